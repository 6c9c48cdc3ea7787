"""What the recipes of several papers share: features, and the corpora that no paper here was published on."""

from __future__ import annotations

import dataclasses
from typing import Any

from saccade.features.spec import FeatureSpec
from saccade.recipe import Card, DataConfig, OptimConfig, Recipe, TrainConfig
from saccade.tasks import AnsweringConfig, CaptioningConfig, GroundingConfig

SCENES = FeatureSpec(backbone="scenes-cnn", image_size=96, positions=True)
# Photographs: quick on a CPU, and timm has its weights. The 1,280 numbers behind layer 4 are made of its 352 alone.
PHOTOGRAPHS = FeatureSpec(backbone="tf_efficientnet_lite2", image_size=256, layer=4)
# Anderson et al.'s 10 to 100 boxes an image, or 36: see docs/import_features.md.
BOTTOM_UP = FeatureSpec(backbone="imported", regions="boxes", width=2048)

# Boxes of many scales and ratios over a map whose cells are about as small as the smallest of them.
WINDOWS = dataclasses.replace(PHOTOGRAPHS, image_size=320, regions="windows", standardize=True)

# Fixed windows are coarse: see docs/log.md.
VOTE = 0.15

NOT_MEASURED = "not measured here: the corpus is not at hand"
NO_EXPERIMENT = "none: not an experiment of the paper"


def on_scenes(
    model: str,
    about: str,
    *,
    measured: str,
    sizes: dict[str, Any],
    lr: float = 2e-3,
    epochs: int = 12,
    warmup_epochs: float = 0.5,
) -> Recipe:
    """The model on the generated scenes: the same features, batches and optimiser for all."""
    return Recipe(
        name=f"{model}-scenes",
        model=model,
        data=DataConfig("scenes"),
        features=SCENES,
        optim=OptimConfig(name="adam", lr=lr, schedule="cosine", warmup_epochs=warmup_epochs, clip=1.0),
        train=TrainConfig(epochs=epochs, batch_size=256, group_by_image=True),
        sizes=sizes,
        card=Card(about, NO_EXPERIMENT, measured),
    )


def captions_of_scenes(model: str, about: str, *, measured: str, sizes: dict[str, Any]) -> Recipe:
    """The captioner on the generated scenes: the same features, batches and optimiser for all.

    The backbone learns along. Images are read as they are: crops and mirrors would make places wrong.
    """
    return Recipe(
        name=f"{model}-scenes",
        model=model,
        data=DataConfig("scenes"),
        features=SCENES,
        task=CaptioningConfig(batches="padded", beam=3, max_length=40),
        optim=OptimConfig(name="adam", lr=2e-3, schedule="cosine", warmup_epochs=0.5, clip=1.0),
        train=TrainConfig(
            epochs=10,
            batch_size=128,
            group_by_image=True,
            metric="truth",
            average=0.999,
            finetune_from=1,
            finetune_lr=1e-3,
            augment="none",
        ),
        sizes=sizes,
        card=Card(about, NO_EXPERIMENT, measured),
    )


def captions_of_flickr8k(
    model: str,
    about: str,
    *,
    published: str,
    measured: str,
    sizes: dict[str, Any],
) -> Recipe:
    """The captioner on Flickr8k's photographs: the same features, batches, optimiser and search for all.

    The last stage of the backbone is trained from the second epoch on, with smaller images than those it is tested on.
    """
    return Recipe(
        name=f"{model}-flickr8k",
        model=model,
        data=DataConfig("flickr8k"),
        features=PHOTOGRAPHS,
        task=CaptioningConfig(min_word_count=3, batches="padded", label_smoothing=0.1, beam=3, length_penalty=0.5),
        optim=OptimConfig(name="adam", lr=6e-4, schedule="cosine", warmup_epochs=0.5, clip=1.0),
        train=TrainConfig(
            epochs=5,
            batch_size=50,
            group_by_image=True,
            metric="cider",
            average=0.999,
            finetune_from=1,
            finetune_stages=1,
            finetune_lr=1e-4,
            finetune_size=224,
            augment="mirror",
        ),
        sizes=sizes,
        card=Card(about, published, measured),
    )


def on_daquar(
    model: str,
    about: str,
    *,
    measured: str,
    sizes: dict[str, Any],
    published: str = NO_EXPERIMENT,
    lr: float = 2e-3,
    epochs: int = 16,
) -> Recipe:
    """The model on DAQUAR's photographs, all 894 classes: the same features, batches and optimiser for all."""
    return Recipe(
        name=f"{model}-daquar",
        model=model,
        data=DataConfig("daquar"),
        features=dataclasses.replace(PHOTOGRAPHS, positions=True, standardize=True),
        task=AnsweringConfig(answers=500, scoring="daquar"),
        optim=OptimConfig(name="adam", lr=lr, schedule="cosine", clip=1.0),
        train=TrainConfig(epochs=epochs, batch_size=128, group_by_image=True),
        sizes=sizes,
        card=Card(about, published, measured),
    )


def phrases_of_scenes(model: str, about: str, *, measured: str, sizes: dict[str, Any]) -> Recipe:
    """The grounder on sentences about generated scenes, whose phrases single out what they mean: alike for all."""
    return Recipe(
        name=f"{model}-scenes-phrases",
        model=model,
        data=DataConfig("scenes-phrases"),
        features=dataclasses.replace(SCENES, regions="windows", windows="scenes", max_regions=400),
        task=GroundingConfig(loss="softmax", vote=VOTE),
        optim=OptimConfig(name="adam", lr=2e-3, schedule="cosine", warmup_epochs=0.5, clip=1.0),
        train=TrainConfig(epochs=12, batch_size=128, group_by_image=True, metric="recall_1"),
        sizes=sizes,
        card=Card(about, NO_EXPERIMENT, measured),
    )


def phrases_of_photographs(model: str, about: str, *, measured: str, sizes: dict[str, Any]) -> Recipe:
    """The grounder on Flickr30k Entities, with windows of a small network's map for regions: alike for all.

    The last stage of the backbone is trained along, on whole images: cropped ones would have their boxes elsewhere.
    """
    return Recipe(
        name=f"{model}-flickr30k-entities",
        model=model,
        data=DataConfig("flickr30k-entities"),
        features=WINDOWS,
        task=GroundingConfig(loss="softmax", min_word_count=2, vote=VOTE),
        optim=OptimConfig(name="adamw", lr=1e-3, weight_decay=1e-4, schedule="cosine", warmup_epochs=0.5, clip=1.0),
        train=TrainConfig(
            epochs=4,
            batch_size=80,
            group_by_image=True,
            metric="recall_1",
            finetune_from=1,
            finetune_stages=1,
            finetune_lr=1e-3,
            augment="none",
        ),
        sizes=sizes,
        card=Card(about, NO_EXPERIMENT, measured),
    )
