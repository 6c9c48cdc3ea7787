"""Recipes of BAN and of what its ablation compares it with (Kim, Jun and Zhang, NeurIPS 2018)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from saccade.recipe import Card, DataConfig, OptimConfig, Recipe, TrainConfig
from saccade.recipes.shared import (
    BOTTOM_UP,
    NOT_MEASURED,
    on_daquar,
    on_scenes,
    phrases_of_photographs,
    phrases_of_scenes,
)
from saccade.tasks import AnsweringConfig, GroundingConfig

ATTENDS = {"ban": "BAN", "ban-unitary": "BAN's unitary attention", "ban-co": "BAN's co-attention"}
# What the published ablation was measured with; the released model has 1280, two tables and the counter.
ABLATION = {"hidden_size": 1024, "tables": 1, "counter": False, "glimpses": 1}
PUBLISHED = {
    "ban": "70.04 % test-dev, 70.35 % test-std with Visual Genome, GloVe and counter (authors' README: --data.train "
    "train+val --data.genome DIR --task.glove FILE --optim.lr 7e-4); validation by glimpses, hidden size 1024 "
    "(recalled): 1: 65.36, 2: 65.61, 4: 65.81, 8: 66.00, 12: 66.04 %",
    "ban-unitary": "64.59 % validation, 31.9 M parameters (recalled, no text found)",
    "ban-co": "64.79 % validation, 32.5 M parameters (recalled, no text found)",
}


def _on_vqa(model: str, sizes: dict[str, Any]) -> Recipe:
    """The authors' code, training on train and validating on val."""
    return Recipe(
        name=f"{model}-vqa2",
        model=model,
        data=DataConfig("vqa2"),
        features=BOTTOM_UP,
        task=AnsweringConfig(answers=10_000, min_answer_count=9, targets="ban", words="ban", max_words=14),
        optim=OptimConfig(
            name="adamax",
            lr=1e-3,
            schedule="epochs",
            rates=(0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.5, 0.5, 0.125),
            clip=0.25,
        ),
        train=TrainConfig(epochs=13, batch_size=256, seed=1204),
        sizes=sizes,
        card=Card(f"{ATTENDS[model]} on VQA v2, bottom-up features", PUBLISHED[model], NOT_MEASURED),
    )


def _as_published() -> Recipe:
    """The grounding experiment, by the authors' code: its schedule is that of the answering one."""
    answering = _on_vqa("ban", {})
    return replace(
        answering,
        name="ban-flickr30k-entities",
        model="ban-grounder",
        data=DataConfig("flickr30k-entities"),
        task=GroundingConfig(),
        train=TrainConfig(epochs=13, batch_size=256, seed=1204, metric="recall_1"),
        card=Card(
            "BAN finds phrases among bottom-up regions, section 5.2 of the paper; with --task.glove FILE",
            "R@1, 5, 10 69.69, 84.22, 86.35 %, upper bound 87.45 % (the bound by an author's word, the rest recalled); "
            "69.88, 84.39, 86.40 % of the authors' released model (their README)",
            NOT_MEASURED,
        ),
    )


SMALL = {"hidden_size": 128, "rank": 1, "tables": 1, "embedding_size": 128, "counter": False}
MEASURED_SCENES = {
    "ban": "98.1 % of the test questions, 13 minutes on two busy CPU cores; see docs/results.md",
    "ban-unitary": "95.8 % of the test questions, 10 minutes on a busy CPU core",
    "ban-co": "92.9 % of the test questions, 5 minutes on a busy CPU core",
}
MEASURED_DAQUAR = {"ban": "24.9 ± 0.4 %", "ban-unitary": "25.1 ± 1.3 %", "ban-co": "25.4 ± 0.3 %"}
LITTLE_DROPOUT = {"attention_dropout": 0.0, "dropout": 0.0, "classifier_dropout": 0.2}

GROUNDER = {"phrase": "mean", "spatial": True}

RECIPES = (
    _on_vqa("ban", {}),
    _on_vqa("ban-unitary", ABLATION),
    _on_vqa("ban-co", ABLATION),
    *(
        on_scenes(
            model,
            f"{what} learns the generated scenes",
            sizes={**SMALL, **LITTLE_DROPOUT, "glimpses": 4 if model == "ban" else 1},
            measured=MEASURED_SCENES[model],
        )
        for model, what in ATTENDS.items()
    ),
    *(
        on_daquar(
            model,
            f"{what} on DAQUAR's photographs, all 894 classes",
            sizes={**SMALL, "glimpses": 2 if model == "ban" else 1},
            measured=f"{MEASURED_DAQUAR[model]} on held-out training images, three seeds; see docs/results.md",
        )
        for model, what in ATTENDS.items()
    ),
    _as_published(),
    phrases_of_scenes(
        "ban-grounder",
        "BAN finds the phrases of sentences about the generated scenes",
        sizes={**GROUNDER, "hidden_size": 128, "attention_dropout": 0.0, "dropout": 0.0},
        measured="98.5 % R@1 (any box) of the test scenes, 12 minutes on a busy CPU core; see docs/results.md",
    ),
    phrases_of_photographs(
        "ban-grounder",
        "BAN finds phrases in Flickr30k's photographs, among windows of EfficientNet-Lite2's map",
        sizes={**GROUNDER, "hidden_size": 512, "rank": 2, "attention_dropout": 0.3},
        measured="51.7 / 51.1 % R@1 (any box, merged) of the official validation phrases of 225 photographs, "
        "39 minutes on a busy CPU core; see docs/results.md",
    ),
)
