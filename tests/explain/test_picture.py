"""The picture: colours where the weights are, a scale that tells them, and no text or shape that breaks it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from saccade.explain import Explanation, Step, draw, fonts
from saccade.explain.colors import ANCHORS, laid_over, map_colors, scale_colors
from saccade.explain.layout import MARGIN
from saccade.explain.overlay import map_over, sized
from saccade.explain.picture import PANEL, _scale, _words

GREY = Image.new("RGB", (97, 97), (128, 128, 128))


def peaked(count: int, at: int, top: float = 0.6) -> np.ndarray:
    weights = np.full(count, (1 - top) / (count - 1))
    weights[at] = top
    return weights


def luminance(rgb: np.ndarray) -> np.ndarray:
    linear = (np.asarray(rgb, dtype=float) / 255) ** 2.2
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def explained(**parts: object) -> Explanation:
    words = ("what", "color", "is", "it")
    step = Step("step 1", peaked(35, 11), peaked(4, 1), grid=(5, 7))
    plain = Explanation(GREY, "What color is it?", words, (("red", 0.9),), (step,))
    return dataclasses.replace(plain, **parts)


def test_more_weight_is_always_lighter():
    assert (np.diff(luminance(ANCHORS)) > 0).all()
    assert (np.diff(luminance(map_colors(np.linspace(0, 1, 101)))) > 0).all()


@pytest.mark.parametrize("grey", [0, 64, 128, 192, 255])
def test_more_weight_is_lighter_or_more_coloured_over_any_grey(grey):
    over = laid_over(np.full((101, 3), float(grey)), np.linspace(0, 1, 101)).astype(float)
    warmth = over[:, 0] - over[:, 2]
    rising = np.diff(over.sum(axis=1)) + np.diff(warmth)
    assert (rising >= -6).all()
    assert over[-1, 0] - over[-1, 2] > 60 > over[0, 0] - over[0, 2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 34))
def test_the_hottest_pixel_lies_in_the_cell_of_the_largest_weight(at):
    step = Step("step 1", peaked(35, at), grid=(5, 7))
    picture = np.asarray(map_over(GREY, step, 350))
    row, column = divmod(at, 7)
    cell = picture[row * 70 + 15 : row * 70 + 55, column * 50 + 15 : column * 50 + 35]
    warm = picture[..., 0].astype(int) - picture[..., 2]
    assert luminance(cell).mean() > luminance(picture).mean() + 0.1
    y, x = np.unravel_index(warm.argmax(), warm.shape)
    assert (y // 70, x // 50) == (row, column)


def test_a_cells_centre_has_the_scales_colour_of_its_weight():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(35))
    picture = np.asarray(map_over(GREY, Step("step 1", weights, grid=(5, 7)), 350)).astype(int)
    scale = scale_colors(1001).astype(int)
    for i in np.argsort(weights)[:-8]:  # frame and label cover some of the strongest
        row, column = divmod(int(i), 7)
        centre = picture[row * 70 + 35, column * 50 + 25]
        wanted = scale[round(1000 * weights[i] / weights.max())]
        assert np.abs(centre - wanted).max() <= 12, (i, centre, wanted)


def test_an_even_map_is_one_even_colour_without_a_frame():
    picture = np.asarray(map_over(GREY, Step("step 1", np.full(35, 1 / 35), grid=(5, 7)), 350))
    assert np.ptp(picture.reshape(-1, 3), axis=0).max() <= 1
    assert np.abs(picture[0, 0].astype(int) - scale_colors(5)[1]).max() <= 1


def test_a_grid_over_a_crop_leaves_the_rest_bare():
    boxes = np.array([[0.5, 0, 0.75, 0.5], [0.75, 0, 1, 0.5], [0.5, 0.5, 0.75, 1], [0.75, 0.5, 1, 1]])
    picture = np.asarray(map_over(GREY, Step("step 1", np.full(4, 0.25), boxes=boxes, grid=(2, 2)), 200))
    assert (picture[:, :100] == 128).all()
    assert (picture[:, 100:] != 128).any(axis=-1).all()


def test_the_strongest_box_is_clear_and_the_rest_is_dim():
    white = Image.new("RGB", (100, 100), "white")
    boxes = np.array([[0.1, 0.3, 0.4, 0.6], [0.6, 0.3, 0.9, 0.6], [0.2, 0.8, 0.9, 0.9]])
    picture = np.asarray(map_over(white, Step("hop 1", np.array([0.9, 0.1, 0.0]), boxes=boxes), 300))
    inside, other, outside = picture[135, 75], picture[135, 225], picture[30, 150]
    assert (inside > 240).all()
    assert inside.sum() > other.sum() > outside.sum()


@pytest.mark.parametrize(("size", "wanted"), [((96, 96), (384, 384)), ((300, 100), (384, 128)), ((1, 500), (1, 384))])
def test_images_come_to_one_reading_size_in_their_own_proportions(size, wanted):
    assert sized(Image.new("RGB", size), 384).size == wanted


def test_the_scales_tick_stands_at_the_even_share():
    weights = peaked(10, 3, top=0.5)
    bar = np.asarray(_scale(weights))[8].astype(int)
    ink = np.flatnonzero(bar.sum(axis=1) < 100)
    assert abs(ink.mean() - (PANEL - 1) * 0.1 / 0.5) <= 1


def test_the_word_of_the_largest_weight_has_the_deepest_shade():
    picture = np.asarray(_words(("one", "two", "six", *["and"] * 13), peaked(16, 2))).astype(int)
    amber = picture[4, :, 0] - picture[4, :, 2]
    assert amber.max() > 150
    assert (np.flatnonzero(amber > 150) > 70).all()
    assert (np.flatnonzero(amber > 150) < 150).all()


@pytest.mark.parametrize("count", [1, 2, 5, 11])
def test_every_step_gets_a_panel_and_rows_wrap(count):
    step = Step("step", peaked(35, 3), peaked(4, 1), grid=(5, 7))
    wide, high = draw(explained(steps=(step,) * count)).size
    columns = min(4, count + 1)
    assert wide == 2 * MARGIN + columns * PANEL + (columns - 1) * 28
    assert high > -(-(count + 1) // 4) * PANEL


def test_a_long_question_wraps_and_stays_inside():
    words = tuple("antidisestablishmentarianism" * (i % 7 == 0) or f"word{i}" for i in range(40))
    step = Step("step 1", words=np.full(40, 1 / 40))
    picture = draw(explained(question=" ".join(words), words=words, steps=(step,)))
    pixels = np.asarray(picture)
    assert (pixels[:, : MARGIN - 4] == 255).all()
    assert (pixels[:, -MARGIN + 4 :] == 255).all()
    assert (pixels[-MARGIN + 4 :] == 255).all()
    assert picture.height > draw(explained()).height


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (1000, 2), (1, 1), (4000, 3000)])
def test_images_of_any_shape_are_drawn(size):
    one = Step("hop 1", np.array([1.0]), boxes=np.array([[0.1, 0.1, 0.9, 0.9]]))
    boxed = Step("hop 2", peaked(3, 1), boxes=np.array([[0, 0, 1, 1], [0.99, 0.99, 1, 1], [0.5, 0.5, 0.5, 0.5]]))
    picture = draw(explained(image=Image.new("RGB", size, "teal"), steps=(*explained().steps, one, boxed)))
    assert picture.mode == "RGB"
    assert picture.width > 4 * PANEL


def test_one_word_one_region_and_no_step_are_drawn():
    step = Step("step 1", np.array([1.0]), np.array([1.0]), grid=(1, 1))
    assert draw(explained(words=("why",), steps=(step,))).width == 2 * MARGIN + 2 * PANEL + 28
    assert draw(explained(steps=(), answers=())).width == 2 * MARGIN + PANEL


@pytest.mark.parametrize(
    "text", ["où est l’été ?", "何色ですか", "ما هذا؟", "какой цвет", "a\nb\tc", "🙂", "", "w" * 500]
)
def test_any_text_is_drawn(text):
    step = Step(text, words=peaked(2, 0))
    picture = draw(explained(question=text, words=(text, "x"), answers=((text, 0.5),), note=text, steps=(step,)))
    assert (np.asarray(picture)[:, -MARGIN + 4 :] == 255).all()


def test_without_other_fonts_accents_are_dropped(monkeypatch):
    only_own = (ImageFont.load_default(17),)
    monkeypatch.setattr(fonts, "_fonts", lambda size: only_own)
    assert fonts.fitting("où est l'été", 17) == ("ou est l'ete", only_own[0])
    assert fonts.fitting("plain", 17) == ("plain", only_own[0])


@given(st.text(max_size=60), st.integers(20, 300))
@settings(max_examples=60, deadline=None)
def test_lines_are_no_wider_than_asked_and_lose_no_words(text, width):
    lines = fonts.wrapped(text, 17, width)
    assert all(fonts.length(line, 17) <= width or len(line) == 1 for line in lines)
    if all(fonts.length(word, 17) <= width for word in text.split()):
        assert " ".join(lines).split() == text.split()
