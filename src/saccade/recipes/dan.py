"""Recipes of r-DAN, m-DAN and its baseline without attention (Nam, Ha and Kim, CVPR 2017)."""

from __future__ import annotations

import dataclasses

from saccade.features.spec import FeatureSpec
from saccade.recipe import Card, DataConfig, OptimConfig, Recipe, TrainConfig
from saccade.recipes.shared import (
    NO_EXPERIMENT,
    NOT_MEASURED,
    PHOTOGRAPHS,
    SCENES,
    on_daquar,
    on_scenes,
    phrases_of_photographs,
    phrases_of_scenes,
)
from saccade.tasks import MatchingConfig

# Section 4.1, the same for both models; the authors' word to JunweiLiang/DualAttentionNetwork is that they clip values.
PAPER = OptimConfig(
    name="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4, schedule="step", milestones=(30,), clip=0.1, clip_by="value"
)
MATCHERS = {"m-dan": "m-DAN", "vse": "m-DAN's encoders without attention"}
# R@1, 5, 10 and median rank from image to sentence, then from sentence to image, in table 2.
PUBLISHED = {
    ("m-dan", "flickr30k-entities"): "55.0 / 81.8 / 89.0 / 1 and 39.4 / 69.2 / 79.1 / 2, test images",
    ("m-dan", "flickr30k"): "on another split: 55.0 / 81.8 / 89.0 / 1 and 39.4 / 69.2 / 79.1 / 2",
}


def _as_published(model: str, corpus: str) -> Recipe:
    """The paper's, but for its batches of quadruplets: here the images of a batch are each other's negatives."""
    return Recipe(
        name=f"{model}-{corpus}",
        model=model,
        data=DataConfig(corpus),
        features=FeatureSpec(),
        task=MatchingConfig(),
        optim=PAPER,
        train=TrainConfig(epochs=60, batch_size=128, metric="rsum"),
        card=Card(
            f"{MATCHERS[model]} on {corpus}: ResNet-152 at 448 pixels, margin 100, random negatives",
            PUBLISHED.get((model, corpus), NO_EXPERIMENT),
            NOT_MEASURED,
        ),
    )


# Cosines told apart by a softmax over the batch: the best of the losses on small data.
SOFTMAX = MatchingConfig(min_word_count=2, loss="softmax")


def _on_scenes(model: str, *, measured: str) -> Recipe:
    return Recipe(
        name=f"{model}-scenes",
        model=model,
        data=DataConfig("scenes"),
        features=SCENES,
        task=SOFTMAX,
        optim=OptimConfig(name="adam", lr=1e-3, schedule="cosine", warmup_epochs=0.5, clip=1.0),
        train=TrainConfig(epochs=8, batch_size=128, metric="rsum", average=0.999),
        sizes={"similarity": "cosine", "hidden_size": 256, "dropout": 0.1},
        card=Card(f"{MATCHERS[model]}, finds the generated scenes by their captions", NO_EXPERIMENT, measured),
    )


def _on_flickr8k(model: str, *, measured: str) -> Recipe:
    """The last stage of the backbone is trained along, behind maps that are computed once: quick on a CPU."""
    return Recipe(
        name=f"{model}-flickr8k",
        model=model,
        data=DataConfig("flickr8k"),
        features=dataclasses.replace(PHOTOGRAPHS, standardize=True),
        task=SOFTMAX,
        optim=OptimConfig(name="adam", lr=2e-3, schedule="cosine", warmup_epochs=0.5, clip=1.0),
        train=TrainConfig(
            epochs=9,
            batch_size=640,
            group_by_image=True,
            metric="rsum",
            average=0.99,
            finetune_from=6,
            finetune_stages=1,
            finetune_lr=1e-3,
            augment="maps",
        ),
        sizes={"similarity": "cosine", "hidden_size": 512, "dropout": 0.4},
        card=Card(f"{MATCHERS[model]}, on Flickr8k's photographs through EfficientNet-Lite2", NO_EXPERIMENT, measured),
    )


RECIPES = (
    Recipe(
        name="r-dan-vqa1",
        model="r-dan",
        data=DataConfig("vqa1"),
        features=FeatureSpec(),
        optim=PAPER,
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
    *(
        _as_published(model, corpus)
        for model in MATCHERS
        for corpus in ("flickr30k-entities", "flickr30k", "coco", "flickr8k-karpathy")
    ),
    _on_scenes(
        "m-dan",
        measured="92.3 / 54.6 % R@1 of 1,000 test scenes and 5,000 captions, 16 minutes on one CPU core; see "
        "docs/results.md",
    ),
    _on_scenes(
        "vse",
        measured="82.5 / 31.6 % R@1 of 1,000 test scenes and 5,000 captions, 12 minutes on one CPU core; see "
        "docs/results.md",
    ),
    _on_flickr8k(
        "m-dan",
        measured="30.4 / 20.8 % R@1 of 1,000 images and 5,000 sentences, 34 minutes on one shared CPU core; see "
        "docs/results.md",
    ),
    _on_flickr8k(
        "vse",
        measured="not measured whole; with width 128, five epochs and the backbone as it is 16.5 / 12.3 % R@1, three "
        "seeds, where m-DAN has 18.0 / 13.9 %; see docs/results.md",
    ),
    phrases_of_scenes(
        "r-dan-grounder",
        "r-DAN finds the phrases of sentences about the generated scenes",
        sizes={"hidden_size": 128, "dropout": 0.0, "spatial": True},
        measured="95.5 % R@1 (any box) of the test scenes after four epochs, 6 minutes; see docs/results.md",
    ),
    phrases_of_photographs(
        "r-dan-grounder",
        "r-DAN finds phrases in Flickr30k's photographs, among windows of EfficientNet-Lite2's map",
        sizes={"hidden_size": 512, "dropout": 0.3, "spatial": True},
        measured="reading the sentence, backbone as it is, 41.5 / 42.4 % R@1 (any box, merged) of validation phrases; "
        "see docs/results.md",
    ),
)
