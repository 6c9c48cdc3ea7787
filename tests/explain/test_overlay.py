"""What lies over an image: colours and light where the weights are, boxes and outlines where they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.explain.samples import GREY, peaked

from saccade.explain import Outline, Picture, RegionWeights, overlay
from saccade.explain.colors import ANCHORS, OUTLINES, laid_over, map_colors, scale_colors, under_light
from saccade.explain.lattice import FEWEST, lattice_of, whole_extent
from saccade.explain.overlay import SMOOTHING, laid, sized, smoothed
from saccade.features.boxes import grid_boxes, not_empty, window

EVEN = (1 / 35,) * 35
CROP = ((0.5, 0.0, 0.75, 0.5), (0.75, 0.0, 1.0, 0.5), (0.5, 0.5, 0.75, 1.0), (0.75, 0.5, 1.0, 1.0))
THREE = ((0.1, 0.3, 0.4, 0.6), (0.6, 0.3, 0.9, 0.6), (0.2, 0.8, 0.9, 0.9))


def over(weights: tuple[float, ...], side: int, image: Image.Image = GREY, **parts: object) -> np.ndarray:
    if not parts.keys() & {"grid", "boxes"}:
        parts["grid"] = (5, 7)
    return np.asarray(laid(Picture(image, regions=RegionWeights("step 1", weights, **parts)), side)).astype(int)


def luminance(rgb: np.ndarray) -> np.ndarray:
    linear = (np.asarray(rgb, dtype=float) / 255) ** 2.2
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_more_weight_is_always_lighter():
    assert (np.diff(luminance(ANCHORS)) > 0).all()
    assert (np.diff(luminance(map_colors(np.linspace(0, 1, 101)))) > 0).all()


@pytest.mark.parametrize("grey", [0, 64, 128, 192, 255])
def test_more_weight_is_lighter_or_more_coloured_over_any_grey(grey):
    colors = laid_over(np.full((101, 3), float(grey)), np.linspace(0, 1, 101)).astype(float)
    warmth = colors[:, 0] - colors[:, 2]
    rising = np.diff(colors.sum(axis=1)) + np.diff(warmth)
    assert (rising >= -6).all()
    assert warmth[-1] > 60 > warmth[0]


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 255))
def test_what_is_lit_is_lighter_than_what_is_not_whatever_the_image(dark, light):
    lit = under_light(np.array([[dark] * 3, [light] * 3], dtype=float), np.array([1.0, 0.0])).astype(int)
    assert (lit[0] > lit[1]).all()
    rising = under_light(np.full((101, 3), float(dark)), np.linspace(0, 1, 101)).astype(int)
    assert (np.diff(rising[:, 0]) >= 0).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 34))
def test_the_hottest_and_the_lightest_pixel_lie_in_the_cell_of_the_largest_weight(at):
    heat, light = over(peaked(35, at), 350), over(peaked(35, at), 350, style="light")
    row, column = divmod(at, 7)
    for measure in (heat[..., 0] - heat[..., 2], light.sum(axis=2)):
        y, x = np.unravel_index(measure.argmax(), measure.shape)
        assert (y // 70, x // 50) == (row, column)
    cell = heat[row * 70 + 15 : row * 70 + 55, column * 50 + 15 : column * 50 + 35]
    assert luminance(cell).mean() > luminance(heat).mean() + 0.1
    assert light.sum(axis=2).max() == under_light(np.array([128.0] * 3), np.array(1.0)).astype(int).sum()


def test_a_cells_centre_has_the_scales_colour_of_its_weight():
    weights = np.random.default_rng(0).dirichlet(np.ones(35))
    picture = over(tuple(weights.tolist()), 350)
    scale = scale_colors(1001).astype(int)
    for i in np.argsort(weights)[:-8]:  # frame and label cover some of the strongest
        row, column = divmod(int(i), 7)
        centre = picture[row * 70 + 35, column * 50 + 25]
        wanted = scale[round(1000 * weights[i] / weights.max())]
        assert np.abs(centre - wanted).max() <= 12, (i, centre, wanted)


def test_smoothing_is_linear_between_centres_then_a_gaussian_of_half_a_cell():
    cells = np.random.default_rng(0).dirichlet(np.ones(6)).reshape(2, 3)
    height, width = 22, 39
    found = smoothed(cells, (width, height))
    # The obvious way: each pixel's linear value, then each pixel as the Gaussian mean of all.
    linear = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            row = np.clip((y + 0.5) * 2 / height - 0.5, 0, 1)
            column = np.clip((x + 0.5) * 3 / width - 0.5, 0, 2)
            by_row = [np.interp(column, range(3), cells[i]) for i in range(2)]
            linear[y, x] = np.interp(row, range(2), by_row)
    ys, xs = np.mgrid[:height, :width]
    for y, x in [(0, 0), (5, 17), (21, 38), (11, 2)]:
        far = ((ys - y) * 2 / height) ** 2 + ((xs - x) * 3 / width) ** 2
        weights = np.exp(-far / (2 * SMOOTHING**2))
        assert found[y, x] == pytest.approx((weights * linear).sum() / weights.sum(), abs=1e-6)


def test_an_even_map_is_one_even_colour_to_the_border_without_a_frame():
    heat, light = over(EVEN, 350), over(EVEN, 350, style="light")
    assert np.ptp(heat.reshape(-1, 3), axis=0).max() <= 1
    assert np.abs(heat[0, 0] - scale_colors(5)[1]).max() <= 1
    assert np.ptp(light) == 0
    np.testing.assert_array_equal(light[0, 0], under_light(np.array([128.0] * 3), np.array(0.25)))


def test_a_grid_over_a_crop_leaves_the_rest_bare_or_dark():
    heat = over((0.25,) * 4, 200, boxes=CROP, grid=(2, 2))
    assert (heat[:, :100] == 128).all()
    assert (heat[:, 100:] != 128).any(axis=-1).all()
    light = over((0.25,) * 4, 200, boxes=CROP, grid=(2, 2), style="light")
    assert (light[:, :100] == under_light(np.array([128.0] * 3), np.array(0.0))).all()
    assert light[:, 100:].min() > light[:, :100].max()


def cells(grid: tuple[int, int], size: tuple[int, int], resize: str) -> np.ndarray:
    """The boxes of those cells of a grid that see some of an image of that size."""
    boxes = grid_boxes(grid, window(size, resize))
    return boxes[not_empty(boxes)].numpy().astype(float)


@settings(deadline=None)
@given(
    st.tuples(st.integers(2, 14), st.integers(2, 14)),
    st.tuples(st.integers(20, 900), st.integers(20, 900)),
    st.sampled_from(["squash", "crop", "pad"]),
)
def test_cells_of_what_the_model_saw_are_known_for_a_grid(grid, size, resize):
    boxes = cells(grid, size, resize)
    if len(boxes) < FEWEST:
        return
    rows, columns = len(np.unique(boxes[:, 1].round(4))), len(np.unique(boxes[:, 0].round(4)))
    assert lattice_of(boxes) == (rows, columns)
    left, top, right, bottom = whole_extent(boxes, (rows, columns))
    widths = boxes[:, 2] - boxes[:, 0]
    assert (right - left) / columns >= widths.max() - 1e-6
    if resize != "pad":
        assert (left, top, right, bottom) == pytest.approx((*boxes[:, :2].min(0), *boxes[:, 2:].max(0)))


@settings(deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 30))
def test_other_boxes_are_no_grid(seed, count):
    corners = np.random.default_rng(seed).random((count, 2, 2))
    corners.sort(axis=1)
    assert lattice_of(corners.reshape(count, 4)) is None


@pytest.mark.parametrize("style", ["heat", "light"])
def test_a_map_over_a_crop_is_drawn_as_a_grid_without_being_told(style):
    wide, places = Image.new("RGB", (300, 200), (128, 128, 128)), cells((7, 7), (300, 200), "crop")
    weights, boxes = peaked(49, 10), tuple(map(tuple, places))
    drawn = over(weights, 300, wide, boxes=boxes, style=style)
    np.testing.assert_array_equal(drawn, over(weights, 300, wide, boxes=boxes, grid=(7, 7), style=style))
    assert np.ptp(drawn[:, :49].reshape(-1, 3), axis=0).max() == 0  # nothing lies over what the model did not see


@pytest.mark.parametrize("style", ["heat", "light"])
@pytest.mark.parametrize("size", [(300, 200), (200, 300), (300, 47)])
def test_a_map_over_a_padded_image_covers_it_and_puts_each_cell_where_it_is(style, size):
    image, boxes = Image.new("RGB", size, (128, 128, 128)), cells((7, 7), size, "pad")
    even = over((1 / len(boxes),) * len(boxes), 300, image, boxes=tuple(map(tuple, boxes)), style=style)
    assert np.ptp(even.reshape(-1, 3), axis=0).max() <= 1
    for at in range(0, len(boxes), 6):
        drawn = over(peaked(len(boxes), at), 120, image, boxes=tuple(map(tuple, boxes)), style="light").sum(axis=2)
        y, x = np.unravel_index(drawn.argmax(), drawn.shape)
        left, top, right, bottom = boxes[at] * (*drawn.shape[::-1], *drawn.shape[::-1])
        assert left - 1 <= x <= right + 1
        assert top - 1 <= y <= bottom + 1


def test_a_label_never_lies_over_that_of_a_stronger_region(monkeypatch):
    written: list[tuple[int, int, int, int]] = []
    monkeypatch.setattr(overlay, "_label", lambda _, place, *rest: written.append(place))
    close = ((0.3, 0.3, 0.5, 0.5), (0.32, 0.3, 0.52, 0.5), (0.1, 0.8, 0.3, 0.9))
    over((0.5, 0.3, 0.2), 300, boxes=close)
    assert len(written) == 2
    over((0.5, 0.3, 0.2), 300, boxes=THREE)
    assert len(written) == 5


@pytest.mark.parametrize("style", ["heat", "light"])
@pytest.mark.parametrize("corner", [0.0, 0.4, 1.0])
def test_a_grid_without_extent_is_drawn(corner, style):
    assert over((0.25,) * 4, 50, boxes=((corner,) * 4,) * 4, grid=(2, 2), style=style).shape == (50, 50, 3)


def test_the_strongest_box_is_clear_and_the_rest_is_dim_in_either_style():
    white = Image.new("RGB", (100, 100), "white")
    picture = over((0.9, 0.1, 0.0), 300, white, boxes=THREE)
    inside, other, outside = picture[135, 75], picture[135, 225], picture[30, 150]
    assert (inside > 240).all()
    assert inside.sum() > other.sum() > outside.sum()
    np.testing.assert_array_equal(picture, over((0.9, 0.1, 0.0), 300, white, boxes=THREE, style="light"))


def test_an_outline_has_its_colour_on_the_edge_of_its_box_and_its_label_above():
    white = Image.new("RGB", (100, 100), "white")
    outlines = tuple(Outline(box, f"box {i}", i) for i, box in enumerate(THREE))
    picture = np.asarray(laid(Picture(white, outlines=outlines), 300))
    for box, color in zip(THREE, OUTLINES, strict=False):
        x, middle = round(300 * box[0]), round(150 * (box[1] + box[3]))
        assert any((picture[middle, x + d] == color).all() for d in (-1, 0, 1))
        assert (picture[middle, x + 15] == 255).all()
        assert (picture[round(300 * box[1]) - 6, x] == color).all()
    far = Outline((0.2, 0.2, 0.5, 0.5), "x" * 500, 7)
    assert np.asarray(laid(Picture(white, outlines=(far,)), 300)).shape == (300, 300, 3)


def test_labels_are_readable_on_every_outline_colour():
    contrast = 1.05 / (luminance(np.array(OUTLINES)) + 0.05)
    assert contrast.min() > 3.5


@pytest.mark.parametrize(("size", "wanted"), [((96, 96), (384, 384)), ((300, 100), (384, 128)), ((1, 500), (1, 384))])
def test_images_come_to_one_reading_size_in_their_own_proportions(size, wanted):
    assert sized(Image.new("RGB", size), 384).size == wanted
