"""The figure as pixels: panels in rows, numbers where they belong, and no text or shape that breaks it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont
from tests.explain.samples import GREY, SAMPLES, a_caption, a_map, an_answer, peaked

from saccade.explain import Bar, Figure, Panel, Picture, RegionWeights, WordWeights, draw, fonts, png_parts
from saccade.explain.colors import ACCENT, OUTLINES
from saccade.explain.layout import MARGIN
from saccade.explain.png import LAYOUTS

LARGE, SMALL = LAYOUTS["large"], LAYOUTS["small"]
TEXTS = [
    "où est l’été ?",
    "何色ですか",
    "何" * 300,
    "ما هذا اللون؟",
    "какой цвет",
    "a\nb\tc",
    "🙂",
    "\ud83d",
    "\x00",
    "",
    "w" * 500,
]


def framed(figure: Figure) -> np.ndarray:
    """The figure's pixels; nothing may be drawn in its margin."""
    pixels = np.asarray(draw(figure))
    for border in (pixels[:, : MARGIN - 4], pixels[:, -MARGIN + 4 :], pixels[: MARGIN - 4], pixels[-MARGIN + 4 :]):
        assert (border == 255).all()
    return pixels


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_drawn_inside_its_margin(name):
    assert framed(SAMPLES[name]).shape[1] > 400


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 11])
def test_every_panel_is_drawn_and_rows_wrap(count, size):
    layout = LAYOUTS[size]
    figure = Figure("what", panels=(Panel("image", Picture(GREY)),) * count, size=size)
    pixels = framed(figure)
    columns = min(count, layout.columns)
    panels = columns * layout.panel + (columns - 1) * layout.gap
    assert pixels.shape[1] == 2 * MARGIN + max(layout.least, panels)
    assert (pixels == 128).all(axis=2).sum() == pytest.approx(count * layout.panel**2, rel=0.01)


def test_each_panel_has_its_own_map():
    cells = [3, 17, 34]
    maps = np.array([peaked(35, at) for at in cells])
    pixels = framed(a_caption(("a", "b", "c"), maps=maps, betas=None)).astype(int).sum(axis=2)
    side = SMALL.panel
    tops = np.flatnonzero((pixels[:, MARGIN : MARGIN + side] == 3 * 128).all(axis=1))
    for i, at in enumerate(cells, start=1):
        left = MARGIN + i * (side + SMALL.gap)
        panel = pixels[tops[0] : tops[0] + side, left : left + side]
        y, x = np.unravel_index(panel.argmax(), panel.shape)
        assert (y * 5 // side, x * 7 // side) == divmod(at, 7)


def test_an_even_map_says_so_below():
    for style in ("heat", "light"):
        even, uneven = (
            framed(Figure("", panels=(Panel("p", Picture(GREY, regions=RegionWeights("p", w, None, (5, 7), style))),)))
            for w in ((1 / 35,) * 35, peaked(35, 3))
        )
        assert len(even) - len(uneven) == round(fonts.LINE * png_parts.SMALL) + LARGE.within


def test_what_has_no_attention_is_one_image_as_large_as_it_is_alone():
    pixels = framed(a_caption(maps=None, betas=None, grid=None, alternatives=(("a dog", -2.0),)))
    assert (pixels[:, MARGIN : MARGIN + 512] == 128).all(axis=2).all(axis=1).sum() == 512


def test_parts_are_stacked_at_the_width_of_the_widest():
    parts = (a_caption(tuple("abcdefghijk")), a_caption(("x",)), an_answer())
    whole, alone = draw(Figure("all", parts=parts)), [draw(part) for part in parts]
    assert whole.width == max(picture.width for picture in alone)
    assert whole.height > sum(picture.height - 2 * MARGIN for picture in alone)


def test_the_scales_tick_stands_at_the_even_share():
    bar = np.asarray(png_parts.scale(peaked(10, 3, top=0.5), 384))[8].astype(int)
    ink = np.flatnonzero(bar.sum(axis=1) < 100)
    assert abs(ink.mean() - 383 * 0.1 / 0.5) <= 1


def test_the_word_of_the_largest_weight_has_the_deepest_shade():
    def amber(words: tuple[str, ...]) -> np.ndarray:
        picture = np.asarray(png_parts.words(WordWeights("", words, peaked(16, 2)), 384)).astype(int)
        return np.flatnonzero(picture[4, :, 0] - picture[4, :, 2] > 150)

    found = amber(("one", "two", "six", *["and"] * 13))
    assert len(found) > 20
    assert 70 < found.min() < found.max() < 150
    # Arabic is read from the right.
    found = amber(("ما", "هذا", "لون", *["و"] * 13))
    assert 384 - 150 < found.min() < found.max() < 384 - 40


def test_words_without_weights_have_no_numbers_and_those_of_an_outline_its_colour():
    plain = png_parts.words(WordWeights("", ("a", "dog"), None, (None, 1)), 384)
    assert plain.height < png_parts.words(WordWeights("", ("a", "dog"), (0.5, 0.5)), 384).height
    line = (np.asarray(plain) == OUTLINES[1]).all(axis=2)
    assert line.any()
    assert np.flatnonzero(line.any(axis=0)).min() > 20


@pytest.mark.parametrize("part", [png_parts.gauge, lambda bar, width: png_parts.bars([bar], width)])
def test_a_bar_is_as_long_as_its_share(part):
    def filled(share: float) -> int:
        return int((np.asarray(part(Bar("beta", share, f"{share:.2f}"), 256)) == ACCENT).all(axis=2).any(axis=0).sum())

    whole = filled(1.0)
    assert whole > 100
    assert filled(0.0) <= 1
    assert filled(0.5) == pytest.approx(whole / 2, abs=1)
    one, other = (np.asarray(part(Bar("beta", 0.5, text), 256)) for text in ("0.12", "0.13"))
    assert (one != other).any()


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_stays_inside(text):
    answer = an_answer(text, (text, "x"), answers=((text, 0.5),), note=text)
    framed(dataclasses.replace(answer, panels=(*answer.panels, Panel(text, note=text, gauge=Bar(text[:9], 0.5, "1")))))
    framed(a_caption((text, "x"), note=text, alternatives=((text, -900.0),)))


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (1000, 2), (1, 1), (2000, 1500)])
def test_images_of_any_shape_are_drawn(size):
    image = Image.new("RGB", size, "teal")
    boxes = np.array([[0, 0, 1, 1], [0.99, 0.99, 1, 1], [0.5, 0.5, 0.5, 0.5]])
    framed(an_answer(image=image))
    framed(an_answer(image=image, attention=(a_map(peaked(3, 1), ("regions",), "hop"),), boxes=boxes, grid=None))
    framed(a_caption(image=image))


def test_one_word_one_region_no_step_and_nothing_at_all_are_drawn():
    single = (a_map([1.0], ("regions",), "hop"), a_map([1.0], ("words",), "hop"))
    assert framed(an_answer("why", ("why",), attention=single, grid=(1, 1))).shape[1] == 2 * MARGIN + 2 * 384 + 28
    assert framed(an_answer(attention=(), answers=())).shape[1] == 2 * MARGIN + 384
    framed(Figure("", panels=(Panel(),)))
    framed(Figure(""))


def test_without_other_fonts_accents_are_dropped(monkeypatch):
    only_own = (ImageFont.load_default(17),)
    monkeypatch.setattr(fonts, "_fonts", lambda size: only_own)
    assert fonts.fitting("où est l'été", 17) == ("ou est l'ete", only_own[0])
    assert fonts.fitting("plain", 17) == ("plain", only_own[0])


@given(st.text(max_size=60), st.integers(20, 300))
@settings(max_examples=60, deadline=None)
def test_lines_are_no_wider_than_asked_and_lose_no_letter(text, width):
    lines = fonts.wrapped(text, 17, width)
    assert all(fonts.length(line, 17) <= width or len(line) == 1 or not line.isprintable() for line in lines if line)
    assert "".join("".join(lines).split()) == "".join(text.split())
    if all(fonts.length(word, 17) <= width for word in text.split()):
        assert " ".join(lines).split() == text.split()


def test_a_long_word_is_broken_and_a_letter_keeps_its_accent():
    lines = fonts.wrapped("e\u0301" * 100, 17, 100)
    assert len(lines) > 5
    assert all(line.startswith("e") and line.endswith("\u0301") for line in lines)
