"""The picture of captions: light where the weights are, one panel a word, nothing cut off or outside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saccade.errors import SaccadeError
from saccade.explain import CaptionExplanation, Step, draw_captions, files, save
from saccade.explain.caption_picture import BETWEEN, COLUMNS, LEAST_COLUMNS, PANEL, _beta
from saccade.explain.colors import ACCENT, under_light
from saccade.explain.layout import MARGIN
from saccade.explain.overlay import SMOOTHING, light_over, map_over, smoothed

GREY = Image.new("RGB", (97, 97), (128, 128, 128))


def peaked(count: int, at: int, top: float = 0.6) -> np.ndarray:
    weights = np.full(count, (1 - top) / (count - 1))
    weights[at] = top
    return weights


def captioned(count: int, image: Image.Image = GREY, **parts: object) -> CaptionExplanation:
    words = tuple(f"word{i}" for i in range(count))
    maps = np.stack([peaked(35, i % 35) for i in range(count)]) if count else np.zeros((0, 35))
    given = {"maps": maps, "betas": np.linspace(0, 1, count), "grid": (5, 7)} | parts
    return CaptionExplanation(
        **({"image": image, "caption": " ".join(words), "words": words, "log_probability": -9.0} | given)
    )


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 255))
def test_what_is_lit_is_lighter_than_what_is_not_whatever_the_image(dark, light):
    over = under_light(np.array([[dark] * 3, [light] * 3], dtype=float), np.array([1.0, 0.0])).astype(int)
    assert (over[0] > over[1]).all()
    rising = under_light(np.full((101, 3), float(dark)), np.linspace(0, 1, 101)).astype(int)
    assert (np.diff(rising[:, 0]) >= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 34))
def test_the_lightest_pixel_lies_in_the_cell_of_the_largest_weight(at):
    picture = np.asarray(light_over(GREY, Step("dog", peaked(35, at), grid=(5, 7)), 350)).astype(int).sum(axis=2)
    row, column = divmod(at, 7)
    y, x = np.unravel_index(picture.argmax(), picture.shape)
    assert (y // 70, x // 50) == (row, column)
    assert picture.max() == under_light(np.array([128.0] * 3), np.array(1.0)).astype(int).sum()


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


def test_an_even_map_is_dim_and_even_to_the_border():
    picture = np.asarray(light_over(GREY, Step("a", np.full(35, 1 / 35), grid=(5, 7)), 350))
    assert np.ptp(picture) == 0
    even = under_light(np.array([128.0] * 3), np.array(0.25))
    np.testing.assert_array_equal(picture[0, 0], even)


def test_outside_a_grid_over_a_crop_there_is_no_light():
    boxes = np.array([[0.5, 0, 0.75, 0.5], [0.75, 0, 1, 0.5], [0.5, 0.5, 0.75, 1], [0.75, 0.5, 1, 1]])
    picture = np.asarray(light_over(GREY, Step("a", np.full(4, 0.25), boxes=boxes, grid=(2, 2)), 200))
    assert (picture[:, :100] == under_light(np.array([128.0] * 3), np.array(0.0))).all()
    assert picture[:, 100:].min() > picture[:, :100].max()


@pytest.mark.parametrize("corner", [0.0, 0.4, 1.0])
def test_a_grid_without_extent_is_drawn(corner):
    boxes = np.full((4, 4), corner)
    assert light_over(GREY, Step("a", np.full(4, 0.25), boxes=boxes, grid=(2, 2)), 50).size == (50, 50)


def test_boxes_are_drawn_as_those_of_an_answer():
    boxes = np.array([[0.1, 0.3, 0.4, 0.6], [0.6, 0.3, 0.9, 0.6], [0.2, 0.8, 0.9, 0.9]])
    step = Step("dog", peaked(3, 1), boxes=boxes)
    np.testing.assert_array_equal(light_over(GREY, step, 256), map_over(GREY, step, 256))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 11, 30])
def test_every_word_gets_a_panel_and_rows_wrap(count):
    picture = draw_captions([captioned(count)])
    columns = min(COLUMNS, max(LEAST_COLUMNS, count + 1))
    assert picture.width == 2 * MARGIN + columns * PANEL + (columns - 1) * BETWEEN
    rows = -(-(count + 1) // COLUMNS)
    assert rows * (PANEL + 50) < picture.height - 2 * MARGIN < rows * (PANEL + 80) + 350
    below = np.asarray(picture)[-MARGIN + 4 :]
    assert (below == 255).all()


def test_each_panel_is_lit_at_its_own_cell():
    cells = [3, 17, 34]
    maps = np.stack([peaked(35, at) for at in cells])
    pixels = np.asarray(draw_captions([captioned(3, maps=maps, betas=None)])).astype(int).sum(axis=2)
    tops = np.flatnonzero((pixels[:, MARGIN : MARGIN + PANEL] == 3 * 128).all(axis=1))
    for i, at in enumerate(cells, start=1):
        left = MARGIN + i * (PANEL + BETWEEN)
        panel = pixels[tops[0] : tops[0] + PANEL, left : left + PANEL]
        y, x = np.unravel_index(panel.argmax(), panel.shape)
        assert (y * 5 // PANEL, x * 7 // PANEL) == divmod(at, 7)


def test_the_bar_is_as_long_as_beta():
    def filled(beta: float) -> int:
        return int((np.asarray(_beta(beta)) == ACCENT).all(axis=2).any(axis=0).sum())

    whole = filled(1.0)
    assert filled(0.0) == 0
    assert filled(0.5) == pytest.approx(whole / 2, abs=1)
    assert whole > PANEL / 2
    assert (np.asarray(_beta(0.12)) != np.asarray(_beta(0.13))).any()


def test_without_attention_the_image_stands_alone():
    picture = draw_captions([captioned(4, maps=None, betas=None, grid=None, alternatives=(("a dog", -2.0),))])
    assert picture.width == 2 * MARGIN + LEAST_COLUMNS * PANEL + (LEAST_COLUMNS - 1) * BETWEEN
    assert picture.height > 512


def test_several_captions_are_stacked_at_the_width_of_the_widest():
    each = [captioned(11), captioned(1), captioned(4, maps=None, betas=None)]
    whole, alone = draw_captions(each), [draw_captions([one]) for one in each]
    assert whole.width == max(picture.width for picture in alone)
    assert whole.height > sum(picture.height - 2 * MARGIN for picture in alone)


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (1000, 2), (1, 1)])
def test_images_of_any_shape_and_texts_of_any_kind_are_drawn_inside_the_margin(size):
    word = "antidisestablishmentarianism" * 3
    words = ("où", "何色", word, "🙂")
    explained = captioned(
        4,
        Image.new("RGB", size, "teal"),
        words=words,
        caption=" ".join([*words] * 9),
        note=word,
        alternatives=((word, -900.0),),
    )
    pixels = np.asarray(draw_captions([explained]))
    for border in (pixels[:, : MARGIN - 4], pixels[:, -MARGIN + 4 :], pixels[-MARGIN + 4 :]):
        assert (border == 255).all()


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG")])
def test_one_or_several_are_saved_as_pictures(tmp_path, name, kind):
    one = captioned(1)
    for what, drawn in ((one, [one]), ([one, one], [one, one])):
        save(what, tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            assert (picture.format, picture.size) == (kind, draw_captions(drawn).size)


def test_no_captions_and_too_many_for_a_jpeg_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SaccadeError, match=r"a\.png: expected at least one caption to draw, got none"):
        save([], tmp_path / "a.png")
    monkeypatch.setattr(files, "JPEG_HEIGHT", 700)
    with pytest.raises(SaccadeError, match=r"pixels high and a JPEG file at most 700: choose \.png or \.html"):
        save([captioned(1)] * 2, tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []
