from __future__ import annotations

import base64

import numpy as np
import pytest

from saccade.errors import DataError
from saccade.features.import_records import Record, record_of, regions_of

COUNT, SIZE = 11, 7
GENERATOR = np.random.default_rng(0)
FEATURES = GENERATOR.standard_normal((COUNT, SIZE)).astype(np.float32)
BOXES = np.sort(GENERATOR.random((COUNT, 2, 2)), axis=1).reshape(COUNT, 4)
SIDES = {"image_w": 640, "image_h": 480}
PIXELS = (BOXES * (640, 480, 640, 480)).astype(np.float32)
MAP = GENERATOR.standard_normal((2, 3, 11)).astype(np.float32)


def regions(grid=None, dtype="float32", **found):
    return regions_of(record_of(found), grid, dtype)


@pytest.mark.parametrize(
    ("turn", "grid"),
    [
        (lambda array: array, None),
        (lambda array: array, (2, 3)),
        (lambda array: array[None], None),
        (lambda array: array.transpose(2, 0, 1), None),
        (lambda array: array.transpose(2, 0, 1)[None], None),
        (lambda array: array.reshape(6, 11), (2, 3)),
    ],
    ids=["HWC", "HWC, said", "1HWC", "CHW", "1CHW", "flat"],
)
def test_maps_are_grids_row_by_row(turn, grid):
    features, boxes, found = regions(grid, features=turn(MAP))
    assert np.array_equal(features, MAP.reshape(6, 11))
    assert (boxes, found) == (None, (2, 3))


def test_base64_is_the_array():
    text = {name: base64.b64encode(array) for name, array in (("features", FEATURES), ("boxes", PIXELS))}
    for held in (text, {name: value.decode() for name, value in text.items()}):
        features, boxes, _ = regions(**held, num_boxes=COUNT, **SIDES)
        assert np.array_equal(features, FEATURES)
        assert np.allclose(boxes, BOXES, atol=1e-6)


def test_features_are_rounded_once():
    assert np.array_equal(regions(dtype="float16", x=FEATURES, norm_bb=BOXES)[0], FEATURES.astype(np.float16))
    double = np.full((1, 1), 1 + 2**-11 + 2**-40)  # to the nearest half, not by way of float32
    assert regions(dtype="float16", x=double, norm_bb=BOXES[:1])[0].item() == 1 + 2**-10


def test_arrays_with_the_numbers_first_are_turned_around():
    assert np.array_equal(regions(x=FEATURES.T, bbox=PIXELS, **SIDES)[0], FEATURES)
    square = FEATURES[:SIZE]
    assert np.array_equal(regions(x=square, bbox=PIXELS[:SIZE], **SIDES)[0], square)


@pytest.mark.parametrize(
    "sides", [SIDES, {"image_width": "640", "image_height": b"480"}, {"img_w": np.array([640]), "img_h": 480.0}]
)
def test_pixels_become_fractions(sides):
    assert np.allclose(regions(features=FEATURES, boxes=PIXELS, **sides)[1], BOXES, atol=1e-6)


@pytest.mark.parametrize("sides", [SIDES, {}])
def test_fractions_are_told_from_pixels(sides):
    boxes = np.array([[0, 0, 1, 1], [0.25, 0.5, 0.75, 1.005]])
    found = regions(features=FEATURES[:2], boxes=boxes, **sides)[1]
    assert found.tolist() == [[0, 0, 1, 1], [0.25, 0.5, 0.75, 1]]


def test_a_source_that_knows_its_units_is_believed():
    tiny = np.array([[0, 0, 1.5, 2]], np.float32)
    found = regions_of(Record(FEATURES[:1], tiny, (640.0, 480.0), "pixels"), None, "float32")[1]
    assert np.allclose(found, [[0, 0, 1.5 / 640, 2 / 480]])


def test_boxes_are_clipped_a_little():
    boxes = np.array([[-1, 0, 642, 480], [0, -2, 300, 484.5], [320, 240, 320, 240], [9, 9, 8.9999, 10]])
    found = regions(features=FEATURES[:4], boxes=boxes, **SIDES)[1]
    assert np.allclose(found[:3], [[0, 0, 1, 1], [0, 0, 300 / 640, 1], [0.5, 0.5, 0.5, 0.5]])
    assert found[3, 2] == found[3, 0]


def test_padding_rows_are_left_out_and_real_ones_kept():
    features, boxes = FEATURES.copy(), PIXELS.copy()
    features[4:] = boxes[4:] = 0
    assert len(regions(x=features, bbox=boxes, num_bbox=4, **SIDES)[0]) == 4
    assert len(regions(x=FEATURES, bbox=PIXELS, num_bbox=4, **SIDES)[0]) == COUNT


@pytest.mark.parametrize(
    ("held", "how"),
    [
        ({"boxes": PIXELS}, "the boxes are in pixels and the image's width and height are not given"),
        ({"boxes": PIXELS, "image_w": 640}, "the boxes are in pixels and the image's width and height are not given"),
        ({"boxes": PIXELS, "image_w": 640, "image_h": 0}, "expected a width and height above 0, got 640 x 0"),
        ({"boxes": PIXELS, "image_w": 640, "image_h": "nan"}, "expected a width and height above 0, got 640 x nan"),
        ({}, r"got 11 regions without boxes: say with grid \(rows, columns\)"),
        ({"grid": (3, 4)}, "expected 3 x 4 regions, got 11"),
        ({"features": MAP, "grid": (3, 2)}, "expected a map of 3 x 2, got one of 2 x 3"),
        ({"features": MAP[:, :, :3]}, r"expected a map with its channels, .* got \(2, 3, 3\)"),
        ({"features": np.stack([MAP, MAP])}, r"expected features of the shape .* got \(2, 2, 3, 11\)"),
        ({"norm_bb": BOXES[:2]}, r"4 numbers of a box for each of 11 regions, got \(2, 4\)"),
        ({"norm_bb": BOXES[:, :3]}, r"4 numbers of a box for each of 11 regions, got \(11, 3\)"),
        ({"boxes": np.zeros((11, 5))}, r"4 numbers of a box for each of 11 regions, got \(11, 5\)"),
        ({"boxes": np.zeros(11)}, r"expected boxes that are rows of numbers, got float64 of the shape \(11,\)"),
        ({"features": FEATURES[:0]}, "expected at least one region, got none"),
        ({"features": np.zeros((2, 7), int)}, "expected features of floating point numbers, got int64"),
        ({"features": None, "conf": 1}, "expected features or x or .*, got conf"),
        ({"features": None}, "expected features or x or .*, got nothing"),
        ({"features": "AAAA"}, "the features are base64 text and there is no num_boxes or num_bbox: add it"),
        ({"features": "AAA", "num_boxes": 1}, "the features are no whole base64 text .*: the file was cut short"),
        ({"features": "AAAA", "num_boxes": 2}, "features of 2 boxes in four bytes a number, got 3 bytes"),
        ({"features": "", "num_boxes": 2}, "features of 2 boxes in four bytes a number, got 0 bytes"),
        ({"features": "AAAA", "num_boxes": 0}, "features of 0 boxes in four bytes a number, got 3 bytes"),
        ({"features": np.where(FEATURES[3, 2] == FEATURES, np.nan, FEATURES), "norm_bb": BOXES}, "expected finite"),
        ({"features": np.where(FEATURES[3, 2] == FEATURES, np.inf, FEATURES), "norm_bb": BOXES}, "expected finite"),
        ({"features": FEATURES * 1e6, "norm_bb": BOXES}, r"beyond what float16 can hold \(up to .*e\+06\): ask for fl"),
    ],
)
def test_what_is_no_image_is_said(held, how):
    held = {"features": FEATURES, "dtype": "float16", **held}
    with pytest.raises(DataError, match=how):
        regions(**{name: value for name, value in held.items() if value is not None})


@pytest.mark.parametrize(
    ("box", "how"),
    [
        ((10, 10, 700, 50), r"within the image, got \(10, 10, 700, 50\) as box 5 of an image of 640 x 480, in pixels"),
        ((-20, 10, 70, 50), r"got \(-20, 10, 70, 50\) as box 5"),
        ((50, 10, 40, 50), r"got \(50, 10, 40, 50\) as box 5"),
        ((10, 50, 40, 40), r"got \(10, 50, 40, 40\) as box 5"),
        ((10, 10, np.nan, 50), r"got \(10, 10, nan, 50\) as box 5"),
        ((10, 10, np.inf, 50), r"got \(10, 10, inf, 50\) as box 5"),
    ],
)
def test_wrong_boxes_are_named(box, how):
    boxes = PIXELS.copy()
    boxes[5] = box
    with pytest.raises(DataError, match=how):
        regions(features=FEATURES, boxes=boxes, **SIDES)


def test_wrong_fractions_are_named():
    boxes = BOXES.copy()
    boxes[3] = (0.5, 0.5, 1.1, 0.7)
    with pytest.raises(DataError, match=r"expected boxes .*, got \(0.5, 0.5, 1.1, 0.7\) as box 3, in fractions"):
        regions(features=FEATURES, norm_bb=boxes)
