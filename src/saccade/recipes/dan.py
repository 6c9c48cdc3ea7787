"""Recipes of r-DAN (Nam, Ha and Kim, CVPR 2017)."""

from __future__ import annotations

from saccade.features.spec import FeatureSpec
from saccade.recipe import AnsweringConfig, Card, DataConfig, OptimConfig, Recipe, TrainConfig

SCENES = FeatureSpec(backbone="scenes-cnn", image_size=96, positions=True)
MOBILENET = FeatureSpec(backbone="mobilenetv2_100", image_size=224, positions=True)

RECIPES = (
    Recipe(
        name="r-dan-scenes",
        model="r-dan",
        data=DataConfig("scenes"),
        features=SCENES,
        optim=OptimConfig(name="adam", lr=2e-3, schedule="cosine", warmup_epochs=0.5, clip=1.0),
        train=TrainConfig(epochs=12, batch_size=256, group_by_image=True),
        sizes={"hidden_size": 128, "dropout": 0.1},
        card=Card(
            about="r-DAN learns the generated scenes; not an experiment of the paper",
            published="none: the scenes are Saccade's own",
            measured="96.7 % of the test questions, 11 minutes on two CPU cores; see docs/results.md",
        ),
    ),
    Recipe(
        name="r-dan-daquar",
        model="r-dan",
        data=DataConfig("daquar"),
        features=MOBILENET,
        task=AnsweringConfig(answers=500, scoring="daquar"),
        optim=OptimConfig(name="adam", lr=2e-3, schedule="cosine", clip=1.0),
        train=TrainConfig(epochs=16, batch_size=128, group_by_image=True),
        sizes={"hidden_size": 256},
        card=Card(
            about="r-DAN on DAQUAR's photographs, all 894 classes; not an experiment of the paper",
            published="none for r-DAN; about 29 % for a two-layer attention network on the official test split",
            measured="25.7 % on held-out training images (iBOWIMG 24.9 %, question-only 21.6 %), 4 minutes on two CPU "
            "cores, MobileNetV2 weights trained with TensorFlow's padding; see docs/results.md for the command",
        ),
    ),
    Recipe(
        name="r-dan-own",
        model="r-dan",
        data=DataConfig("own"),
        features=FeatureSpec(),
        optim=OptimConfig(name="adam", lr=1e-3, schedule="cosine", warmup_epochs=1.0, clip=1.0),
        train=TrainConfig(epochs=30, batch_size=128, group_by_image=True, patience=8),
        card=Card(about="r-DAN on own images and questions, in JSON Lines files (docs/own_data.md)"),
    ),
)
