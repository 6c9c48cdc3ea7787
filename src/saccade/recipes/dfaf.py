"""Recipes of DFAF (Gao et al., CVPR 2019)."""

from __future__ import annotations

from saccade.recipe import Card, DataConfig, OptimConfig, Recipe, TrainConfig
from saccade.recipes.shared import (
    BOTTOM_UP,
    NOT_MEASURED,
    on_daquar,
    on_scenes,
    phrases_of_photographs,
    phrases_of_scenes,
)
from saccade.tasks import AnsweringConfig

SMALL = {
    "hidden_size": 128,
    "question_size": 128,
    "embedding_size": 128,
    "classifier_size": 256,
    "blocks": 1,
    "heads": 4,
}

GROUNDER = {
    "hidden_size": 128,
    "sentence_size": 128,
    "embedding_size": 128,
    "blocks": 1,
    "heads": 4,
    "spatial": True,
}

RECIPES = (
    Recipe(
        name="dfaf-vqa2",
        model="dfaf",
        data=DataConfig("vqa2"),
        features=BOTTOM_UP,
        task=AnsweringConfig(answers=10_000, min_answer_count=9, targets="soft", max_words=14),
        optim=OptimConfig(
            name="adamax",
            lr=1e-3,
            schedule="epochs",
            rates=(1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.5),
            clip=0.25,
        ),
        train=TrainConfig(epochs=13, batch_size=256),
        card=Card(
            about="DFAF on VQA v2, bottom-up features; the number of epochs is not known from a text",
            published="70.22 % test-dev, 70.34 % test-std (quoted by later papers), trained on train+val and Visual "
            "Genome; validation with 1, 5, 8 blocks: 66.21 (quoted), 66.60, 66.66 % (recalled)",
            measured=NOT_MEASURED,
        ),
    ),
    on_scenes(
        "dfaf",
        "DFAF learns the generated scenes",
        sizes={**SMALL, "dropout": 0.0, "fusion_dropout": 0.0, "classifier_dropout": 0.2},
        epochs=8,
        measured="93.1 % of the test questions, 70 minutes on two busy CPU cores; see docs/results.md",
    ),
    on_daquar(
        "dfaf",
        "DFAF on DAQUAR's photographs, all 894 classes",
        sizes=SMALL,
        measured="20.9 ± 1.8 % on held-out training images, three seeds of 5 minutes; see docs/results.md",
    ),
    phrases_of_scenes(
        "dfaf-grounder",
        "DFAF finds the phrases of sentences about the generated scenes",
        sizes={**GROUNDER, "dropout": 0.0},
        measured="95.3 % R@1 (any box) of the test scenes after three epochs of 2,500 scenes; see docs/results.md",
    ),
    phrases_of_photographs(
        "dfaf-grounder",
        "DFAF finds phrases in Flickr30k's photographs, among windows of EfficientNet-Lite2's map",
        sizes=GROUNDER,
        measured="with the backbone as it is 41.3 / 43.0 % R@1 (any box, merged) of the validation phrases of 225 "
        "photographs; see docs/results.md",
    ),
)
