"""Recipes for own data: every model of the table, from one definition, fitted to the amount of the data.

What was measured for them stands in docs/log.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from saccade.features.spec import FeatureSpec
from saccade.recipe import Card, DataConfig, OptimConfig, Recipe, TrainConfig
from saccade.recipes import ban, baselines, captioning_baselines, dan, dfaf, sat, smem
from saccade.recipes.shared import SCENES, VOTE, WINDOWS
from saccade.tasks import AnsweringConfig, CaptioningConfig, GroundingConfig, MatchingConfig, TaskConfig

# Quick on a CPU, and better than larger ones of its age. Layer 4 ends its stages; the layer behind says no more.
FEATURES = FeatureSpec(backbone="tf_efficientnet_lite2", image_size=256, layer=3, positions=True, standardize=True)
# Corpora on which each model has been given sizes that are learnt from a few thousand images on a CPU.
SIZED = ("scenes", "scenes-phrases", "flickr8k")

# Sizes that own data wants otherwise. SMem as its authors start it hardly reads the question, and a narrow one is slow
# to compare it with what is seen.
_SMEM = {"start": "scaled", "hidden_size": 512}
OTHERWISE: Mapping[str, Mapping[str, Any]] = {"smem-1": _SMEM, "smem-2": _SMEM}
# And rates: its attention is soon too sharp to learn more.
RATE, RATES = 2e-3, {"smem-1": 1e-3, "smem-2": 1e-3}


# What the texts are, and the metric that chooses the epoch.
OWN_TASKS: Mapping[str, tuple[TaskConfig, str]] = {
    "answering": (AnsweringConfig(scoring="exact"), "accuracy"),
    "matching": (MatchingConfig(min_word_count=2, loss="softmax"), "rsum"),
    "grounding": (GroundingConfig(loss="softmax", vote=VOTE), "recall_1"),
    "captioning": (CaptioningConfig(min_word_count=2, batches="padded", label_smoothing=0.1, beam=3), "cider"),
}


def _own(like: Recipe) -> Recipe:
    """The recipe for own data of a model in the sizes of another of its recipes."""
    task, metric = OWN_TASKS[like.task.kind]
    return Recipe(
        name=f"{like.model}-own",
        model=like.model,
        data=DataConfig("own"),
        features=WINDOWS if task.kind == "grounding" else FEATURES,
        task=task,
        optim=OptimConfig(
            name="adamw",
            lr=RATES.get(like.model, RATE),
            weight_decay=1e-4,
            schedule="cosine",
            warmup_epochs=0.5,
            clip=1.0,
        ),
        train=TrainConfig(
            epochs=12,
            batch_size=64,
            # Sentences to match are held against those of as many images as a batch has.
            group_by_image=task.kind != "matching",
            metric=metric,
            average=0.99,
            finetune_from=3,
            finetune_stages=1,
            finetune_lr=3e-4,
            augment="none",
        ),
        sizes={**like.sizes, **OTHERWISE.get(like.model, {})},
        card=Card(f"own images, {like.task.kind}: {like.model}, see docs/own_data.md"),
    )


# As many steps as small data needs to be learnt, and large data to be seen often enough; between so many epochs.
STEPS, FEWEST, MOST = 1200, 10, 40
# The backbone learns along after this share of the epochs: from the start it is spoilt by a model that knows nothing.
UNTUNED = 0.2
# Small images are enlarged so many times and no more, to multiples of the cells' side; between so many pixels.
ENLARGED, CELL, SMALLEST = 1.5, 16, 128
# With fewer training texts than that, images are soon known by heart: more is dropped.
FEW = 4000
DROPPED_MORE: Mapping[str, Mapping[str, float]] = {
    "r-dan": {"dropout": 0.5},
    "m-dan": {"dropout": 0.5},
    "vse": {"dropout": 0.5},
    "smem-1": {"dropout": 0.4},
    "smem-2": {"dropout": 0.4},
    "ban": {"attention_dropout": 0.2, "dropout": 0.2, "classifier_dropout": 0.5},
    "ban-unitary": {"attention_dropout": 0.2, "dropout": 0.2, "classifier_dropout": 0.5},
    "ban-co": {"attention_dropout": 0.2, "dropout": 0.2, "classifier_dropout": 0.5},
    "dfaf": {"dropout": 0.1, "fusion_dropout": 0.2, "classifier_dropout": 0.5},
    "san": {"dropout": 0.5},
    "mrn": {"dropout": 0.5, "word_dropout": 0.25},
    "lstm-q-i": {"dropout": 0.5},
    "question-only": {"dropout": 0.5},
    "ban-grounder": {"attention_dropout": 0.3, "dropout": 0.2},
    "dfaf-grounder": {"dropout": 0.1},
    "r-dan-grounder": {"dropout": 0.3},
}


def is_own(recipe: Recipe) -> bool:
    """Whether the recipe is one of those for own data, which also other data may be trained with."""
    return recipe.name.endswith("-own")


def of_backbone(recipe: Recipe, backbone: str) -> Recipe:
    """The recipe for own data with another backbone, of which the layer and the stages of its own say nothing."""
    if not is_own(recipe) or backbone == recipe.features.backbone:
        return recipe
    size = SCENES.image_size if backbone == SCENES.backbone else recipe.features.image_size
    features = replace(recipe.features, backbone=backbone, layer=-1, image_size=size)
    return replace(recipe, features=features, train=replace(recipe.train, finetune_from=None, finetune_stages=None))


def fitted(recipe: Recipe, texts: int, side: float | None = None, *, keep: Collection[str] = ()) -> Recipe:
    """The recipe for so many training texts about images of such a side in pixels; ``keep`` names what stays.

    Epochs follow from steps, and the epoch from which the backbone learns along from them; few texts are dropped more
    of; small images are enlarged less. Names are those of the command line, "train.epochs" and "sizes.dropout".
    """
    train, features = recipe.train, recipe.features
    more = DROPPED_MORE.get(recipe.model, {}) if texts < FEW else {}
    sizes = {name: share for name, share in more.items() if f"sizes.{name}" not in keep}
    if "train.epochs" not in keep:
        batches = math.ceil(texts / train.batch_size)
        train = replace(train, epochs=min(max(math.ceil(STEPS / batches), FEWEST), MOST))
    if train.finetune_from is not None and "train.finetune_from" not in keep:
        train = replace(train, finetune_from=math.ceil(UNTUNED * train.epochs))
    if side is not None and "features.image_size" not in keep:
        enlarged = CELL * math.ceil(ENLARGED * side / CELL)
        features = replace(features, image_size=min(max(enlarged, SMALLEST), features.image_size))
    return replace(recipe, train=train, features=features, sizes={**recipe.sizes, **sizes})


_PAPERS = (dan, smem, ban, dfaf, baselines, sat, captioning_baselines)
_SIZED = (recipe for corpus in SIZED for file in _PAPERS for recipe in file.RECIPES if recipe.data.name == corpus)
RECIPES = tuple(map(_own, {recipe.model: recipe for recipe in _SIZED}.values()))
