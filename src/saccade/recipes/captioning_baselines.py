"""Recipes of what Show, Attend and Tell compares with: NIC (Vinyals et al., CVPR 2015)."""

from __future__ import annotations

from saccade.features.spec import FeatureSpec
from saccade.recipe import Card, DataConfig, OptimConfig, Recipe, TrainConfig
from saccade.recipes.shared import NOT_MEASURED, captions_of_flickr8k, captions_of_scenes
from saccade.tasks import CaptioningConfig

PUBLISHED = {
    "flickr8k": "BLEU-1 to 3 63 / 41 / 27 (Table 1 of Xu et al. 2015): an ensemble, on another split",
    "flickr30k": "BLEU-1 to 4 66.3 / 42.3 / 27.7 / 18.3 (Table 1 of Xu et al. 2015): an ensemble, on another split",
    "coco": "BLEU-1 to 4 66.6 / 46.1 / 32.9 / 24.6 (Table 1 of Xu et al. 2015): an ensemble, on another split",
}
MEASURED = "58.7 / 39.7 / 25.9 / 17.1, METEOR 17.34, CIDEr 0.350 (development images, beam 5; 36 minutes)"
MEASURED_SCENES = "34.1 % of the captions of the test scenes are true (the backbone as it is, 10 minutes on a CPU core)"


def _as_published(corpus: str) -> Recipe:
    """im2txt's optimiser and sizes on VGG-19's mean region, so that it sees what the attention models see."""
    return Recipe(
        name=f"nic-{corpus}",
        model="nic",
        data=DataConfig(corpus),
        features=FeatureSpec(backbone="vgg19", layer=4, resize="crop"),
        task=CaptioningConfig(words=12_000, min_word_count=4, batches="padded"),
        optim=OptimConfig(
            name="sgd", lr=2.0, momentum=0.0, schedule="step", milestones=tuple(range(8, 64, 8)), factor=0.5, clip=5.0
        ),
        train=TrainConfig(epochs=60, batch_size=32, metric="cider", patience=10),
        card=Card(f"NIC, no attention, on {corpus}", PUBLISHED[corpus], NOT_MEASURED),
    )


RECIPES = (
    captions_of_flickr8k(
        "nic",
        "NIC, no attention, on Flickr8k's photographs through EfficientNet-Lite2",
        published=PUBLISHED["flickr8k"],
        measured=MEASURED,
        sizes={"dropout": 0.5},
    ),
    *(_as_published(corpus) for corpus in ("flickr30k", "coco")),
    captions_of_scenes(
        "nic",
        "NIC, no attention, describes the generated scenes",
        measured=MEASURED_SCENES,
        sizes={"hidden_size": 256, "embedding_size": 128, "dropout": 0.1},
    ),
)
