"""Recipes of Show, Attend and Tell, soft and hard attention (Xu et al., ICML 2015)."""

from __future__ import annotations

from saccade.features.spec import FeatureSpec
from saccade.recipe import Card, DataConfig, OptimConfig, Recipe, TrainConfig
from saccade.recipes.shared import NOT_MEASURED, captions_of_flickr8k, captions_of_scenes
from saccade.tasks import CaptioningConfig

# conv5_4 of VGG-19 before the last pooling, 14 x 14 x 512, from the centre of the image.
VGG = FeatureSpec(backbone="vgg19", layer=4, resize="crop")
PUBLISHED = {
    ("sat-soft", "flickr8k"): "BLEU-1 to 4 without brevity penalty 67 / 44.8 / 29.9 / 19.5, METEOR 18.93 (Table 1)",
    ("sat-hard", "flickr8k"): "BLEU-1 to 4 without brevity penalty 67 / 45.7 / 31.4 / 21.3, METEOR 20.30 (Table 1)",
    ("sat-soft", "flickr30k"): "BLEU-1 to 4 without brevity penalty 66.7 / 43.4 / 28.8 / 19.1, METEOR 18.49 (Table 1)",
    ("sat-hard", "flickr30k"): "BLEU-1 to 4 without brevity penalty 66.9 / 43.9 / 29.6 / 19.9, METEOR 18.46 (Table 1)",
    ("sat-soft", "coco"): "BLEU-1 to 4 without brevity penalty 70.7 / 49.2 / 34.4 / 24.3, METEOR 23.90 (Table 1)",
    ("sat-hard", "coco"): "BLEU-1 to 4 without brevity penalty 71.8 / 50.4 / 35.7 / 25.0, METEOR 23.04 (Table 1)",
}
ABOUT = {"sat-soft": "soft attention", "sat-hard": "hard attention"}
MEASURED = {
    "sat-soft": "64.9 / 47.2 / 33.4 / 23.2, METEOR 20.95, CIDEr 0.561 (development images, beam 5; 54 minutes)",
    "sat-hard": "60.8 / 42.3 / 28.8 / 19.3, METEOR 19.32, CIDEr 0.456 (development images, beam 5; 47 minutes)",
}
MEASURED_SCENES = {
    "sat-soft": "94.7 % of the captions of the test scenes are true, 36 minutes on a CPU core",
    "sat-hard": "75.8 % of the captions of the test scenes are true (the backbone as it is, dropout 0.1)",
}


def _as_published(model: str, corpus: str) -> Recipe:
    """The paper's sizes, Adam and batches; the rate is the authors', their correction of its first steps is not."""
    return Recipe(
        name=f"{model}-{corpus}",
        model=model,
        data=DataConfig(corpus),
        features=VGG,
        task=CaptioningConfig(),
        optim=OptimConfig(name="adam", lr=2e-4),
        train=TrainConfig(epochs=60, batch_size=64, metric="cider", patience=10),
        card=Card(f"Show, Attend and Tell, {ABOUT[model]}, on {corpus}", PUBLISHED[model, corpus], NOT_MEASURED),
    )


RECIPES = (
    *(
        captions_of_flickr8k(
            model,
            f"Show, Attend and Tell, {what}, on Flickr8k's photographs through EfficientNet-Lite2",
            published=PUBLISHED[model, "flickr8k"],
            measured=MEASURED[model],
            sizes={
                "hidden_size": 512,
                "attention_size": 256,
                "start": "scaled",
                "embedding_dropout": 0.3,
                "region_dropout": 0.1,
                "penalty": 0.0,
            },
        )
        for model, what in ABOUT.items()
    ),
    *(_as_published(model, corpus) for model in ABOUT for corpus in ("flickr30k", "coco")),
    *(
        captions_of_scenes(
            model,
            f"Show, Attend and Tell, {what}, describes the generated scenes",
            measured=MEASURED_SCENES[model],
            sizes={
                "hidden_size": 256,
                "embedding_size": 128,
                "attention_size": 128,
                "start": "scaled",
                "dropout": 0.2,
                "penalty": 0.0,
            },
        )
        for model, what in ABOUT.items()
    ),
)
