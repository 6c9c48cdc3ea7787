"""Recipes of what the papers compare with: iBOWIMG, deeper LSTM Q + norm I, SAN, MRN, and the question alone."""

from __future__ import annotations

from typing import Any

from saccade.features.spec import FeatureSpec
from saccade.recipe import Card, DataConfig, OptimConfig, Recipe, TrainConfig
from saccade.recipes.shared import NOT_MEASURED, on_daquar, on_scenes
from saccade.tasks import AnsweringConfig

ABOUT = {
    "ibowimg": "iBOWIMG, a bag of words beside the mean region: what no attention can do",
    "question-only": "the question without the image: what the wording gives away",
    "lstm-q-i": "deeper LSTM Q + norm I, the reference of VQA v1: no attention",
    "san": "stacked attention, two layers",
    "mrn": "multimodal residual learning without attention",
}
INCEPTION = FeatureSpec(backbone="inception_v3", image_size=299)
VGG = FeatureSpec(backbone="vgg19")
TORCH_RMSPROP = {"name": "rmsprop", "lr": 3e-4, "schedule": "steps", "factor": 0.99997592, "period": 1}
TORCH_RMSPROP |= {"clip": 10.0, "clip_by": "value"}


def _on_vqa(
    model: str,
    published: str,
    *,
    features: FeatureSpec,
    optim: dict[str, Any],
    epochs: int,
    batch_size: int,
    task: AnsweringConfig,
) -> Recipe:
    return Recipe(
        name=f"{model}-vqa1",
        model=model,
        data=DataConfig("vqa1"),
        features=features,
        task=task,
        optim=OptimConfig(**optim),
        train=TrainConfig(epochs=epochs, batch_size=batch_size),
        card=Card(f"VQA v1: {ABOUT[model]}", published, NOT_MEASURED),
    )


SCENES_SIZES: dict[str, dict[str, Any]] = {
    "ibowimg": {},
    "question-only": {"hidden_size": 128, "dropout": 0.1},
    "lstm-q-i": {"hidden_size": 512, "lstm_size": 256, "dropout": 0.1},
    "san": {"hidden_size": 128, "embedding_size": 128, "attention_size": 128, "dropout": 0.1},
    "mrn": {"hidden_size": 256, "embedding_size": 128, "gru_size": 128, "dropout": 0.1, "word_dropout": 0.0},
}
MEASURED_SCENES = {
    "lstm-q-i": "52.9 % of the test questions, 18 minutes on a busy CPU core",
    "ibowimg": "52.5 % of the test questions, 2 minutes on two busy CPU cores",
    "san": "75.2 % of the test questions, 30 minutes on two busy CPU cores",
    "mrn": "62.6 % of the test questions, 11 minutes on two busy CPU cores",
}
MEASURED_DAQUAR = {
    "ibowimg": "25.1 ± 0.2 %",
    "question-only": "21.4 ± 0.3 %",
    "lstm-q-i": "8.8 ± 1.3 %",
    "san": "22.0 ± 1.1 %",
    "mrn": "24.8 ± 0.6 %",
}
DAQUAR_SIZES: dict[str, dict[str, Any]] = {
    "ibowimg": {},
    "question-only": {"hidden_size": 256},
    "lstm-q-i": {},
    "san": {"hidden_size": 256, "embedding_size": 256, "attention_size": 256},
    "mrn": {"hidden_size": 512, "embedding_size": 256, "gru_size": 512},
}

RECIPES = (
    _on_vqa(
        "ibowimg",
        "55.72 % test-dev, 55.89 % test-std (leaderboard): GoogLeNet's mean, epoch chosen on val, then train+val; the "
        "norms of the parameters were clipped as well, which is left out here",
        features=INCEPTION,
        optim={
            "name": "sgd",
            "lr": 0.01,
            "embedding_lr": 80.0,
            "weight_decay": 5e-6,
            "loss_weight": 100.0,
            "clip": 0.1,
            "clip_by": "parameter",
        },
        epochs=100,
        batch_size=100,
        task=AnsweringConfig(answers=10_000, min_answer_count=3, min_word_count=6),
    ),
    _on_vqa(
        "question-only",
        "none for this encoder; the question-only LSTM of Antol et al. is another",
        features=VGG,
        optim={"name": "adam", "lr": 1e-3},
        epochs=10,
        batch_size=128,
        task=AnsweringConfig(),
    ),
    _on_vqa(
        "lstm-q-i",
        "57.75 % test-dev, 58.16 % test-std (leaderboard), with VGG-19's fc7 where the mean region stands here; "
        "150,000 iterations, about 300 epochs of train",
        features=VGG,
        optim=TORCH_RMSPROP,
        epochs=300,
        batch_size=500,
        task=AnsweringConfig(answers=1000, max_words=26),
    ),
    _on_vqa(
        "san",
        "58.68 % test-dev, 58.85 % test-std (leaderboard), trained on train and half of val; an answer was sampled "
        "from the annotators at each visit, here their shares are the targets, which is the mean of that",
        features=VGG,
        optim={
            "name": "sgd",
            "lr": 0.05,
            "embedding_lr": 80.0,
            # The authors add 5e-4 times the squared weights to the loss: twice that is the slope, and is clipped too.
            "weight_decay": 1e-3,
            "decay": "not-embeddings",
            "decay_inside_clip": True,
            "clip": 0.1,
            "clip_by": "parameter",
        },
        epochs=50,
        batch_size=100,
        task=AnsweringConfig(answers=1000, targets="annotators"),
    ),
    _on_vqa(
        "mrn",
        "61.84 % test-std (authors' README) with ResNet-152's mean, skip-thought vectors and two rises of the rate, "
        "which are left out here; 250,000 iterations, about 135 epochs of train+val",
        features=FeatureSpec(),
        optim=TORCH_RMSPROP,
        epochs=135,
        batch_size=200,
        task=AnsweringConfig(answers=2000),
    ),
    *(
        on_scenes(
            model, f"scenes: {ABOUT[model]}", sizes=sizes, measured=MEASURED_SCENES.get(model, "not measured yet")
        )
        for model, sizes in SCENES_SIZES.items()
    ),
    *(
        on_daquar(
            model,
            f"DAQUAR: {ABOUT[model]}",
            sizes=sizes,
            measured=f"{MEASURED_DAQUAR[model]} on held-out training images, three seeds; see docs/results.md",
        )
        for model, sizes in DAQUAR_SIZES.items()
    ),
)
