"""The last stages by themselves give what the whole backbone gives, and learn what they learn in it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from PIL import Image

from saccade.features.backbones import create_backbone
from saccade.features.boxes import grid_boxes
from saccade.features.extract import Extractor, extract
from saccade.features.spec import FeatureSpec
from saccade.features.stages import LastStages
from saccade.features.tuning import Tuning, _cut

pytestmark = pytest.mark.filterwarnings("ignore:the weights of .* are random")
CPU = torch.device("cpu")
NAMES = ["0.jpg", "7.jpg", "3.jpg"]
# One cut at the end of a stage of each kind of network that timm knows of, with padding that follows the size of the
# image, with a head behind the last stage, with branches.
CUT = [("test_resnet", 2), ("test_resnet", -1), ("test_efficientnet", -1), ("tf_efficientnet_lite0", 3)]
# Of these more than a map goes on, or the map that timm gives is another, in some of its versions.
WHOLE = [("test_vit", -1), ("resnetv2_18", 3), ("vgg11", -1)]


@pytest.mark.parametrize(("name", "layer"), CUT)
def test_stages_give_what_the_whole_gives(name, layer):
    spec = FeatureSpec(backbone=name, weights="random", image_size=96, layer=layer)
    backbone = create_backbone(spec)
    stages = LastStages.of(backbone, spec, 1)
    assert stages is not None
    before = create_backbone(replace(spec, layer=stages.layer))
    images = torch.rand(3, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(stages(backbone, before(images)), backbone(images))


@pytest.mark.parametrize(("name", "layer"), WHOLE)
def test_what_cannot_be_cut_is_run_whole(name, layer):
    spec = FeatureSpec(backbone=name, weights="random", image_size=160 if name == "test_vit" else 96, layer=layer)
    backbone = create_backbone(spec)
    stages = LastStages.of(backbone, spec, 1)
    if stages is not None:
        before = create_backbone(replace(spec, layer=stages.layer))
        images = torch.rand(1, 3, spec.image_size, spec.image_size)
        with torch.no_grad():
            torch.testing.assert_close(stages(backbone, before(images)), backbone(images))


@pytest.fixture
def opened(pictures):
    return lambda name: Image.open(pictures / name).convert("RGB")


@pytest.fixture(params=["grid", "windows"])
def stored(spec, opened, tmp_path, request):
    """The same backbone to be trained, from images and from the store of what its first stages give."""
    spec = replace(spec, positions=True, standardize=True, regions=request.param, max_regions=7)
    whole, kept = (Tuning(spec, opened, CPU, "none", stages=1) for _ in range(2))
    assert kept.kept == replace(
        spec, layer=1, dtype="float32", positions=False, standardize=False, regions="grid", regions_file=""
    )
    kept.from_store(extract(NAMES, opened, tmp_path / "store", kept.kept))
    return whole, kept


def test_what_is_kept_stands_for_the_image(stored):
    whole, kept = stored
    for read in ("read_plain", "read_augmented"):
        expected, found = (getattr(tuning, read)(NAMES) for tuning in (whole, kept))
        torch.testing.assert_close(found.features, expected.features, rtol=1e-4, atol=1e-4)
        assert torch.equal(found.boxes, expected.boxes)
        assert torch.equal(found.mask, expected.mask)
        assert (found.grid, found.features.shape[-1]) == (expected.grid, kept.region_size)


def test_the_same_weights_learn_the_same(stored):
    gradients = []
    for tuning in stored:
        tuning.unfreeze()
        tuning.read_augmented(NAMES).features.pow(3).sum().backward()
        gradients.append({n: p.grad for n, p in tuning.backbone.named_parameters() if p.grad is not None})
    whole, kept = gradients
    assert whole.keys() == kept.keys() != set()
    for name, gradient in whole.items():
        torch.testing.assert_close(kept[name], gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()), msg=name)


def test_a_copy_whose_weights_moved_on_is_run_in_the_same_way(stored):
    whole, kept = stored
    copied = copy.deepcopy(kept.backbone)
    with torch.no_grad():
        for parameter in kept.learning:
            parameter.add_(1.0)
        plain = whole.read_plain(NAMES).features
    torch.testing.assert_close(kept.read_plain(NAMES, copied).features, plain, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(kept.read_plain(NAMES).features, plain, atol=1e-2)


def test_images_are_read_again_where_what_was_kept_has_other_weights_now(stored, opened):
    _, kept = stored
    kept.check_kept()
    assert kept.kept is not None
    with torch.no_grad():
        next(kept.backbone.parameters()).mul_(1.5)
    kept.check_kept()
    assert kept.kept is None
    served = Extractor(replace(kept._extractor.spec), state=kept.backbone.state_dict())([opened(n) for n in NAMES])
    torch.testing.assert_close(kept.read_plain(NAMES).features, served.features)


def test_parts_of_what_is_kept_are_learnt_from(spec, opened, tmp_path):
    tuning = Tuning(replace(spec, positions=True), opened, CPU, "maps", stages=1)
    tuning.from_store(extract(NAMES, opened, tmp_path / "store", tuning.kept))
    torch.manual_seed(0)
    read, again = tuning.read_augmented(NAMES), tuning.read_augmented(NAMES)
    rows, columns = read.grid
    assert rows == columns < tuning.grid[0]
    assert read.features.shape == (len(NAMES), rows * columns, tuning.region_size)
    assert torch.equal(read.boxes[0], grid_boxes(read.grid))
    assert not torch.equal(read.features, again.features)
    assert torch.equal(
        tuning.read_plain(NAMES).features,
        Tuning(tuning._extractor.spec, opened, CPU, stages=1).read_plain(NAMES).features,
    )


def test_a_part_of_a_map_is_what_lies_there_mirrored_or_not():
    maps, places = torch.arange(2 * 64.0).view(2, 64, 1), set()
    for _ in range(200):
        parts, (rows, columns) = _cut(maps, (8, 8))
        assert parts.shape == (2, 49, 1)
        for image, part in zip(maps, parts.view(2, rows, columns), strict=True):
            whole, mirrored = image.view(8, 8), bool(part[0, 0] > part[0, -1])
            top, left = divmod(int(part.min() - image.min()), 8)
            expected = whole[top : top + 7, left : left + 7]
            assert torch.equal(part, expected.flip(1) if mirrored else expected)
            places.add((top, left, mirrored))
    assert len(places) == 8


@pytest.mark.parametrize("how", [{"augment": "mirror"}, {"stages": None}, {"size": 64}])
def test_images_that_change_or_stages_that_all_learn_leave_nothing_to_keep(spec, opened, how):
    assert Tuning(spec, opened, CPU, **{"augment": "none", "stages": 1, **how}).kept is None


def test_of_a_cropped_image_nothing_is_kept(spec, opened):
    assert Tuning(replace(spec, resize="pad"), opened, CPU, "none", stages=1).kept is None
