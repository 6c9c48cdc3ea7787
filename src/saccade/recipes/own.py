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
from saccade.recipes.shared import SCENES
from saccade.tasks import AnsweringConfig, CaptioningConfig, TaskConfig

# Quick on a CPU, and better than larger ones of its age. Layer 4 ends its stages; the layer behind says no more.
FEATURES = FeatureSpec(backbone="tf_efficientnet_lite2", image_size=256, layer=3, positions=True, standardize=True)
SMALL_BAN: dict[str, Any] = {"hidden_size": 128, "rank": 1, "tables": 1, "embedding_size": 128, "counter": False}
SMALL_BAN |= {"attention_dropout": 0.0, "dropout": 0.0, "classifier_dropout": 0.2}
SMALL_SAT: dict[str, Any] = {"hidden_size": 512, "attention_size": 256, "start": "scaled", "penalty": 0.0}
SMALL_SAT |= {"embedding_dropout": 0.3, "region_dropout": 0.1}
# What each model is, and sizes that fit a hundred to ten thousand images.
ANSWERERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "r-dan": ("r-DAN", {"hidden_size": 128, "dropout": 0.1}),
    "smem-1": ("SMem, one hop", {"hidden_size": 256, "dropout": 0.1}),
    "smem-2": ("SMem, two hops", {"hidden_size": 256, "dropout": 0.0}),
    "ban": ("BAN", {**SMALL_BAN, "glimpses": 2}),
    "ban-unitary": ("BAN's unitary attention", {**SMALL_BAN, "glimpses": 1}),
    "ban-co": ("BAN's co-attention", {**SMALL_BAN, "glimpses": 1}),
    "dfaf": (
        "DFAF, one block",
        {
            "hidden_size": 128,
            "question_size": 128,
            "embedding_size": 128,
            "classifier_size": 256,
            "blocks": 1,
            "heads": 4,
            "dropout": 0.0,
            "fusion_dropout": 0.0,
            "classifier_dropout": 0.2,
        },
    ),
    "san": ("SAN", {"hidden_size": 128, "embedding_size": 128, "attention_size": 128, "dropout": 0.1}),
    "mrn": (
        "MRN",
        {"hidden_size": 256, "embedding_size": 128, "gru_size": 128, "dropout": 0.1, "word_dropout": 0.0},
    ),
    "lstm-q-i": ("deeper LSTM Q + norm I", {"hidden_size": 512, "lstm_size": 256, "dropout": 0.1}),
    "ibowimg": ("iBOWIMG", {}),
    "question-only": ("the question without the image", {"hidden_size": 128, "dropout": 0.1}),
}
CAPTIONERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sat-soft": ("Show, Attend and Tell, soft attention", SMALL_SAT),
    "sat-hard": ("Show, Attend and Tell, hard attention", SMALL_SAT),
    "nic": ("NIC, no attention", {"dropout": 0.5}),
}


def _own(model: str, about: str, sizes: Mapping[str, Any], task: TaskConfig, metric: str) -> Recipe:
    return Recipe(
        name=f"{model}-own",
        model=model,
        data=DataConfig("own"),
        features=FEATURES,
        task=task,
        optim=OptimConfig(name="adamw", lr=2e-3, weight_decay=1e-4, schedule="cosine", warmup_epochs=0.5, clip=1.0),
        train=TrainConfig(
            epochs=12,
            batch_size=128,
            group_by_image=True,
            metric=metric,
            average=0.99,
            finetune_from=0,
            finetune_stages=1,
            finetune_lr=3e-4,
            augment="none",
        ),
        sizes=dict(sizes),
        card=Card(f"own images: {about} (docs/own_data.md)"),
    )


# As many steps as small data needs to be learnt, and large data to be seen often enough; between so many epochs.
STEPS, FEWEST, MOST = 1500, 8, 40
# With fewer training texts than that, images are soon known by heart: more is dropped.
FEW = 4000
DROPPED_MORE: Mapping[str, Mapping[str, float]] = {
    "r-dan": {"dropout": 0.5},
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


def fitted(recipe: Recipe, texts: int, *, keep: Collection[str] = ()) -> Recipe:
    """The recipe for so many training texts: epochs by steps, and more dropout for few; ``keep`` names what stays.

    Names are those of the command line, "train.epochs" and "sizes.dropout".
    """
    batches = math.ceil(texts / recipe.train.batch_size)
    epochs = min(max(math.ceil(STEPS / batches), FEWEST), MOST)
    more = DROPPED_MORE.get(recipe.model, {}) if texts < FEW else {}
    sizes = {name: share for name, share in more.items() if f"sizes.{name}" not in keep}
    if "train.epochs" not in keep:
        recipe = replace(recipe, train=replace(recipe.train, epochs=epochs))
    return replace(recipe, sizes={**recipe.sizes, **sizes})


RECIPES = (
    *(
        _own(model, about, sizes, AnsweringConfig(scoring="exact"), "accuracy")
        for model, (about, sizes) in ANSWERERS.items()
    ),
    *(
        _own(model, about, sizes, CaptioningConfig(batches="padded", label_smoothing=0.1, beam=3), "cider")
        for model, (about, sizes) in CAPTIONERS.items()
    ),
)
