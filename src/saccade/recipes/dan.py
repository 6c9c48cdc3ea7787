"""Recipes of r-DAN (Nam, Ha and Kim, CVPR 2017)."""

from __future__ import annotations

from saccade.features.spec import FeatureSpec
from saccade.recipe import Card, DataConfig, OptimConfig, Recipe, TrainConfig
from saccade.recipes.shared import NOT_MEASURED, on_daquar, on_scenes

RECIPES = (
    Recipe(
        name="r-dan-vqa1",
        model="r-dan",
        data=DataConfig("vqa1"),
        features=FeatureSpec(),
        optim=OptimConfig(
            name="sgd",
            lr=0.1,
            momentum=0.9,
            weight_decay=5e-4,
            schedule="step",
            milestones=(30,),
            clip=0.1,
            clip_by="value",
        ),
        train=TrainConfig(epochs=60, batch_size=128, group_by_image=True),
        card=Card(
            about="r-DAN on VQA v1, table 1 of the paper: ResNet-152 at 448 pixels, 2,000 answers",
            published="64.3 % test-dev, 64.2 % test-std open-ended, trained on train+val (--data.train train+val)",
            measured=NOT_MEASURED,
        ),
    ),
    on_scenes(
        "r-dan",
        "r-DAN learns the generated scenes",
        sizes={"hidden_size": 128, "dropout": 0.1},
        measured="96.7 % of the test questions, 11 minutes on two CPU cores; see docs/results.md",
    ),
    on_daquar(
        "r-dan",
        "r-DAN on DAQUAR's photographs, all 894 classes",
        sizes={"hidden_size": 256},
        measured="24.2 ± 0.2 % on held-out training images, three seeds; see docs/results.md",
    ),
)
