"""The backbone in training: its regions, its gradients, and the sizes of its images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image

from saccade.errors import RecipeError
from saccade.features.boxes import grid_boxes
from saccade.features.extract import Extractor
from saccade.features.spec import FeatureSpec
from saccade.features.tuning import Tuning

pytestmark = pytest.mark.filterwarnings("ignore:the weights of .* are random")
CPU = torch.device("cpu")
NAMES = ["0.jpg", "7.jpg"]


@pytest.fixture
def opened(pictures):
    return lambda name: Image.open(pictures / name).convert("RGB")


def test_without_augmentation_images_are_read_as_they_are_looked_at(spec, opened):
    tuning = Tuning(spec, opened, CPU)
    read, looked = tuning.read_augmented(NAMES), tuning.read_plain(NAMES)
    assert torch.equal(read.features, looked.features)
    assert torch.equal(read.boxes, looked.boxes)


def test_augmented_images_have_the_size_that_is_asked_for_and_others_the_spec_s(spec, opened):
    tuning = Tuning(spec, opened, CPU, "mirror", size=64)
    read, looked = tuning.read_augmented(NAMES), tuning.read_plain(NAMES)
    assert (read.grid, looked.grid) == ((8, 8), (12, 12))
    assert read.features.shape[:2] == (2, 64)
    assert looked.features.shape[:2] == (2, 144)
    assert torch.equal(read.boxes[0], grid_boxes((8, 8)))


def test_smaller_images_give_what_their_own_spec_gives(spec, opened):
    features = Tuning(spec, opened, CPU, size=64).read_augmented(NAMES).features
    expected = Extractor(replace(spec, image_size=64, dtype="float32"))([opened(name) for name in NAMES]).features
    assert torch.allclose(features, expected, atol=1e-5)


def test_gradients_reach_the_backbone_that_is_looked_through(spec, opened):
    tuning = Tuning(spec, opened, CPU, size=64)
    before = tuning.read_plain(NAMES).features
    tuning.unfreeze()
    tuning.read_augmented(NAMES).features.sum().backward()
    with torch.no_grad():
        for parameter in tuning.backbone.parameters():
            if parameter.grad is not None:
                parameter.sub_(1e-2 * parameter.grad.sign())
    assert not torch.allclose(tuning.read_plain(NAMES).features, before)


def test_what_was_trained_is_what_an_extractor_of_its_weights_gives(spec, opened):
    tuning = Tuning(spec, opened, CPU)
    served = Extractor(spec, state=tuning.backbone.state_dict())([opened(name) for name in NAMES])
    assert torch.equal(tuning.read_plain(NAMES).features, served.features)


def test_gradients_reach_the_backbone_in_the_run_s_precision(spec, opened):
    tuning = Tuning(spec, opened, CPU, size=64, autocast=partial(torch.autocast, "cpu", torch.bfloat16))
    exact = Tuning(spec, opened, CPU, size=64)
    tuning.unfreeze()
    features = tuning.read_augmented(NAMES).features
    assert features.dtype == torch.float32
    assert not torch.equal(features, exact.read_augmented(NAMES).features)
    assert not torch.equal(tuning.read_plain(NAMES).features, exact.read_plain(NAMES).features)
    features.sum().backward()
    assert any(parameter.grad is not None for parameter in tuning.backbone.parameters())


@pytest.mark.parametrize("size", [0, -8])
def test_a_size_that_there_is_not_is_refused(spec, opened, size):
    with pytest.raises(RecipeError, match=r"train\.finetune_size"):
        Tuning(spec, opened, CPU, size=size)


@pytest.mark.parametrize("size", [64, 65])
def test_a_backbone_of_one_size_is_refused_others(opened, size):
    with pytest.raises(RecipeError, match=r"train\.finetune_size: the weights do not fit test_vit"):
        Tuning(FeatureSpec(backbone="test_vit", weights="random", image_size=96), opened, CPU, size=size)
