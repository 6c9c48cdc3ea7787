"""The shipped backbone for scenes: its file, its map, and what a cell of it knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from saccade.data.scenes import Scenes
from saccade.features import scenes_cnn
from saccade.features.scenes_cnn import ScenesCNN

WEIGHTS = Path(scenes_cnn.__file__).with_suffix(".safetensors")


@pytest.fixture(scope="module")
def backbone() -> ScenesCNN:
    backbone = ScenesCNN()
    backbone.load_state_dict(load_file(WEIGHTS))
    return backbone.eval()


def inputs(scenes: Scenes, images: list[str]) -> torch.Tensor:
    pixels = np.stack([np.asarray(scenes.open_image(image)) for image in images])
    mean, std = (torch.tensor(value)[:, None, None] for value in (ScenesCNN.mean, ScenesCNN.std))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std


def test_the_weights_are_small_enough_to_ship():
    assert WEIGHTS.stat().st_size < 2_000_000


@pytest.mark.parametrize(("height", "width"), [(96, 96), (64, 104)])
def test_the_map_is_an_eighth_of_the_image(backbone, height, width):
    with torch.no_grad():
        features = backbone(torch.zeros(3, 3, height, width))
    assert features.shape == (3, ScenesCNN.channels, height // ScenesCNN.stride, width // ScenesCNN.stride)


def test_every_channel_lives(backbone):
    scenes = Scenes()
    with torch.no_grad():
        features = backbone(inputs(scenes, scenes.images("train")[-200:]))
    mean, deviation = features.mean((0, 2, 3)), features.std((0, 2, 3))
    assert mean.abs().max() < 0.2
    assert deviation.min() > 0.8
    assert deviation.max() < 1.2


@pytest.fixture(scope="module")
def cells(backbone):
    """The things of 300 training and 50 test scenes, and the features of the cell at each one's centre, with a one."""

    def collect(scenes, images):
        with torch.no_grad():
            maps = backbone(inputs(scenes, images))
        found = [(row, thing) for row, image in zip(maps, images, strict=True) for thing in scenes.scene(image).things]
        features = [row[:, thing.y // ScenesCNN.stride, thing.x // ScenesCNN.stride] for row, thing in found]
        return torch.nn.functional.pad(torch.stack(features), (0, 1), value=1.0), [thing for _, thing in found]

    scenes = Scenes(train=300, test=50)
    return {split: collect(scenes, scenes.images(split)) for split in ("train", "test")}


@pytest.mark.parametrize("attribute", ["color", "shape", "size"])
def test_a_linear_classifier_tells_what_a_cell_holds(cells, attribute):
    (train, train_things), (test, test_things) = cells["train"], cells["test"]
    values = sorted({getattr(thing, attribute) for thing in train_things})
    wanted = torch.tensor([[float(getattr(thing, attribute) == value) for value in values] for thing in train_things])
    guesses = (test @ torch.linalg.lstsq(train, wanted).solution).argmax(1).tolist()
    right = [values[guess] == getattr(thing, attribute) for guess, thing in zip(guesses, test_things, strict=True)]
    assert np.mean(right) > 0.97
