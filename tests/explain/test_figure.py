"""Figures as data: what the builders put in, what is refused, JSON and back."""

from __future__ import annotations

import dataclasses
import doctest
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.explain.samples import GREY, SAMPLES, a_caption, a_map, a_sheet, an_answer, peaked

from saccade.errors import SaccadeError
from saccade.explain import (
    Bar,
    Figure,
    Illustrated,
    Links,
    Outline,
    Panel,
    Picture,
    RegionWeights,
    WordWeights,
    caption,
    captions_figure,
    draw,
)
from saccade.explain.caption import probability_text
from saccade.explain.grounding import GroundedWords, grounding_figure
from saccade.explain.steps import links_of
from saccade.types import AttentionMap

EVEN = (1 / 6,) * 6


def test_an_answer_has_a_panel_for_the_image_with_the_answers_and_one_for_each_step():
    figure = an_answer(note="Right answer: red")
    assert (figure.title, figure.lines, figure.size) == ("What color?", ("Right answer: red",), "large")
    first, one, two = figure.panels
    assert [(bar.label, bar.text) for bar in first.bars] == [("red", "83.1 %"), ("blue", "< 0.1 %")]
    assert "What color?" in first.picture.alt
    assert (one.title, one.picture.regions.grid, one.words.words) == ("step 1", (3, 5), ("what", "color"))
    assert one.picture.regions.weights == pytest.approx(peaked(15, 4, 0.72))
    assert one.words.weights == pytest.approx((1 / 3, 2 / 3))
    assert (two.title, two.words) == ("step 2", None)
    [alone] = an_answer(attention=(), answers=()).panels
    assert alone.bars == ()


def test_every_word_of_a_caption_has_its_weights_and_its_beta():
    figure = a_caption()
    image, *words = figure.panels
    assert (image.title, image.gauge, image.picture.regions) == ("image", None, None)
    assert [panel.title for panel in words] == ["a", "dog", "runs"]
    assert [panel.gauge.share for panel in words] == [0.0, 0.5, 1.0]
    for i, panel in enumerate(words):
        assert panel.picture.regions == RegionWeights(
            f"word {i + 1}, {panel.title!r}", peaked(35, i), None, (5, 7), "light"
        )
    assert figure.lines == ("probability 0.018, on average 0.37 a word",)
    assert a_caption(note="a.jpg").lines[1:] == ("a.jpg",)
    assert all(panel.gauge is None for panel in a_caption(betas=None).panels)


def test_a_caption_says_how_to_read_it():
    boxes = np.tile([0.1, 0.1, 0.5, 0.5], (35, 1))
    assert "Beta" in a_caption().reading
    assert "Beta" not in a_caption(betas=None).reading
    assert "the numbers are weights" in a_caption(boxes=boxes, grid=None).reading
    without = a_caption(maps=None, betas=None, grid=None)
    assert "no attention" in without.reading
    assert (len(without.panels), without.size) == (1, "alone")


def test_a_caption_without_words_is_taken():
    figure = a_caption((), caption=" ", alternatives=(("", -1.0),))
    assert figure.listing.rows == (("0.37", "(a caption without words)"),)
    assert (figure.title, figure.reading, figure.size) == ("(a caption without words)", "", "alone")
    assert figure.lines == ("probability 0.018",)


def test_other_captions_come_with_their_probabilities():
    assert a_caption(alternatives=(("a cat", -0.5), ("two dogs", -2000.0))).listing.rows == (
        ("0.61", "a cat"),
        ("2.6e-869", "two dogs"),
    )
    assert a_caption().listing is None


def test_several_captions_are_parts_of_one_figure_and_one_is_itself():
    one, two = a_caption(), a_caption(("x",))
    assert captions_figure([one]) is one
    assert captions_figure([one, two]) == Figure("Captions of 2 images", parts=(one, two))
    with pytest.raises(SaccadeError, match="expected at least one caption to draw, got none"):
        captions_figure([])


@settings(deadline=None)
@given(st.floats(-700, 0))
def test_probabilities_are_printed_to_two_digits(log_probability):
    assert float(probability_text(log_probability)) == pytest.approx(math.exp(log_probability), rel=0.051)


def test_no_probability_is_too_small_to_print():
    assert doctest.testmod(caption) == (0, 1)
    assert probability_text(-math.inf) == "0"
    assert probability_text(0.001) == "1"
    assert probability_text(-1e5).endswith("e-43430")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"words": ("a", "dog")}, r"one beta for each of the 2 words, got 3"),
        ({"words": ("a", "dog"), "betas": None}, r"one map for each of the 2 words, got 3"),
        ({"betas": np.array([0.1, 1.01, 0.3])}, "betas between 0 and 1, got 1.01"),
        ({"betas": np.array([0.1, np.nan, 0.3])}, "betas between 0 and 1, got nan"),
        ({"maps": None}, "got betas without maps"),
        ({"grid": (5, 8)}, "word 1, 'a': expected 5 x 8 weights for the grid, got 35"),
        ({"grid": None}, "word 1, 'a': 35 regions cannot be drawn without their boxes or their grid"),
        ({"boxes": np.zeros((7, 4))}, "word 1, 'a': expected a box for each of 35 regions, got 7"),
        ({"maps": np.full((3, 35), 0.01)}, "word 1, 'a': the regions' weights: expected a sum of 1, got 0.35"),
        ({"log_probability": 0.5}, "log-probability of at most 0, got 0.5 for 'a dog runs'"),
        ({"log_probability": math.nan}, "log-probability of at most 0, got nan"),
        ({"alternatives": (("a cat", 3.0),)}, "log-probability of at most 0, got 3.0 for 'a cat'"),
    ],
)
def test_what_disagrees_in_a_caption_is_refused(parts, message):
    with pytest.raises(SaccadeError, match=message):
        a_caption(**{"caption": "a dog runs", "maps": a_caption_maps(), "betas": np.array([0.0, 0.25, 1.0])} | parts)


def a_caption_maps() -> np.ndarray:
    return np.array([peaked(35, i) for i in range(3)])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, math.nan, 0.5], "1 of 3 are not finite"),
        ([math.inf, 0.0], "1 of 2 are not finite"),
        ([1.2, -0.2], "none below 0, got -0.2"),
        ([0.5, 0.2], "a sum of 1, got 0.7"),
        ([0.0, 0.0], "a sum of 1, got 0"),
        ([], "at least one"),
    ],
)
def test_weights_that_are_no_shares_are_refused(weights, message):
    with pytest.raises(SaccadeError, match=f"hop 2: the regions' weights: .*{message}"):
        RegionWeights("hop 2", tuple(weights), grid=(1, len(weights)))
    with pytest.raises(SaccadeError, match=f"hop 2: the words' weights: .*{message}"):
        WordWeights("hop 2", ("w",) * len(weights), tuple(weights))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RegionWeights("step 1", EVEN), "step 1: 6 regions cannot be drawn without their boxes or their grid"),
        (lambda: RegionWeights("step 1", EVEN, grid=(3, 5)), "expected 3 x 5 weights for the grid, got 6"),
        (
            lambda: RegionWeights("step 1", EVEN, ((0.0, 0.0, 1.0, 1.0),) * 5),
            "expected a box for each of 6 regions, got 5",
        ),
        (lambda: RegionWeights("step 1", EVEN, ((0.0, 0.0, math.nan, 1.0),) * 6), "step 1: .*some are not finite"),
        (lambda: WordWeights("step 1", tuple("abcde"), EVEN), "step 1: .* weight for each of the 5 words, got 6"),
        (lambda: WordWeights("step 1", tuple("ab"), None, (1,)), "step 1: .* colour for each of the 2 words, got 1"),
        (lambda: WordWeights("step 1", ("a",), None, (-1,)), "colours counted from 0, got -1"),
        (lambda: Outline((0.0, 0.0, 1.0, math.inf), "a dog"), "outline 'a dog': .*some are not finite"),
        (lambda: Bar("red", math.nan, "?"), "'red': expected a number between 0 and 1, got nan"),
        (lambda: an_answer(answers=(("red", 1.1),)), "'red': expected a number between 0 and 1, got 1.1"),
        (lambda: an_answer(attention=(a_map(EVEN, ("words",), "hop"),)), "hop: .* of the 2 words, got 6"),
        (lambda: an_answer(grid=None), "step 1: 15 regions cannot be drawn without"),
    ],
)
def test_sizes_and_numbers_that_disagree_are_refused(make, message):
    with pytest.raises(SaccadeError, match=message):
        make()


def test_the_cells_of_a_grid_tile_the_image_row_by_row():
    places = RegionWeights("step 1", (1 / 15,) * 15, grid=(3, 5)).places()
    np.testing.assert_allclose(places[0], [0, 0, 1 / 5, 1 / 3])
    np.testing.assert_allclose(places[7], [2 / 5, 1 / 3, 3 / 5, 2 / 3])
    assert np.prod(places[:, 2:] - places[:, :2], axis=1).sum() == pytest.approx(1)


def test_boxes_are_put_in_order_and_kept_inside_the_image():
    regions = RegionWeights("hop 1", (0.5, 0.5), ((0.9, 0.2, 0.1, 0.4), (-0.5, 0.5, 1.5, 2.0)))
    np.testing.assert_allclose(regions.places(), [[0.1, 0.2, 0.9, 0.4], [0, 0.5, 1, 1]])


@pytest.mark.parametrize("mode", ["RGBA", "L", "I;16", "P", "1", "CMYK"])
def test_images_of_every_mode_are_drawn(mode):
    figure = an_answer(image=Image.new(mode, (30, 20)))
    assert {panel.picture.image.mode for panel in figure.panels} == {"RGB"}
    assert draw(figure).mode == "RGB"


def without_pixels(figure: Figure) -> Figure:
    """The figure, each image replaced by a black one of its size."""

    def plain(panel: Panel) -> Panel:
        if panel.picture is None:
            return panel
        blank = Image.new("RGB", panel.picture.image.size)
        return dataclasses.replace(panel, picture=dataclasses.replace(panel.picture, image=blank))

    return dataclasses.replace(
        figure,
        panels=tuple(plain(panel) for panel in figure.panels),
        parts=tuple(without_pixels(part) for part in figure.parts),
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_a_figure_comes_back_from_its_json_values(name):
    figure = SAMPLES[name]
    data = json.loads(json.dumps(figure.to_dict(), allow_nan=False))
    back = Figure.from_dict(data)
    assert back.to_dict() | {"images": []} == data | {"images": []}
    assert without_pixels(back) == without_pixels(Figure.from_dict(back.to_dict()))
    pictures = [panel.picture for panel in back.panels if panel.picture is not None]
    for found, panel in zip(pictures, figure.panels, strict=True):
        far = np.asarray(found.image).astype(int) - np.asarray(panel.picture.image)
        assert np.abs(far).max() <= 4  # JPEG of one colour
    assert draw(back).size == draw(figure).size


def test_the_json_values_are_named_as_documented_and_hold_each_image_once():
    data = a_sheet().to_dict()
    assert list(data) == [
        "title",
        "lines",
        "panels",
        "size",
        "reading",
        "listing",
        "parts",
        "link",
        "links",
        "images",
        "places",
    ]
    assert list(data["panels"][0]) == ["title", "picture", "gauge", "bars", "words", "note"]
    assert [panel["picture"]["image"] for panel in data["panels"]] == [0, 1]
    assert len(data["images"]) == 2
    # The same pixels in another object, in another part, are the same image.
    twice = Figure("two", parts=(an_answer(image=GREY), a_caption(image=GREY.copy()))).to_dict()
    assert len(twice["images"]) == 1
    assert "images" not in twice["parts"][0]
    assert twice["parts"][0]["panels"][1]["picture"] == {
        "image": 0,
        "alt": "",
        "regions": {
            "name": "step 1",
            "weights": pytest.approx(peaked(15, 4, 0.72)),
            "boxes": None,
            "grid": [3, 5],
            "style": "heat",
            "said": "15 regions, the strongest 0.72, 11 times the even share",
        },
        "outlines": [],
    }


def test_json_has_numbers_of_six_digits_and_the_places_of_regions_once():
    boxes = np.tile([1 / 3, 0.1, 2 / 3, 0.5], (35, 1))
    data = Figure("two", parts=(a_caption(boxes=boxes, grid=None), a_caption(boxes=boxes.copy(), grid=None))).to_dict()
    assert data["places"] == [[[0.333333, 0.1, 0.666667, 0.5]] * 35]
    assert {panel["picture"]["regions"]["boxes"] for part in data["parts"] for panel in part["panels"][1:]} == {0}
    assert data["parts"][0]["panels"][1]["picture"]["regions"]["weights"][1] == 0.0117647


def test_links_of_a_caption_are_the_maps_of_its_words():
    links = a_caption().links
    assert (links.words, links.rows) == (("a", "dog", "runs"), (0, 1, 2))
    assert links.weights == tuple(pytest.approx(peaked(35, i)) for i in range(3))
    assert a_caption(maps=None, betas=None).links is None


def test_the_words_of_a_phrase_are_linked_by_its_map():
    figure = grounding_figure(GREY, "a man and dogs", [
        GroundedWords("a man", (0, 2), (0.0, 0.0, 0.5, 1.0), 0.5, np.array([[0.5, 0.0]])),
        GroundedWords("dogs", (3, 4), (0.5, 0.0, 1.0, 1.0), 0.5, np.array([[0.1, 0.3]])),
    ])  # fmt: skip
    assert figure.links.rows == (0, 0, None, 1)
    assert figure.links.weights == (pytest.approx((1.0, 0.0)), pytest.approx((0.25, 0.75)))


def test_links_of_separate_maps_are_their_product_and_heads_and_steps_their_mean():
    alone = [a_map([0.25, 0.75], ("regions",), "step 1"), a_map([0.5, 0.1, 0.4], ("words",), "step 1")]
    links = links_of(alone, ("what", "color", "now"))
    np.testing.assert_allclose(links.weights, np.outer([0.5, 0.1, 0.4], [0.25, 0.75]))
    joint = np.array([[0.1, 0.2], [0.3, 0.1], [0.1, 0.2]])
    rows = np.stack([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]])  # heads, regions, words
    by_rows = AttentionMap(torch.tensor(rows)[None], ("heads", "regions", "words"), "block 1", "rows")
    both = links_of([a_map(joint, ("words", "regions"), "glimpse 1"), by_rows], ("a", "b", "c"))
    np.testing.assert_allclose(both.weights, (joint + np.array([[0.25, 0.0], [0.25, 0.5], [0.0, 0.0]])) / 2)
    assert links_of([a_map([0.25, 0.75], ("regions",), "step 1")], ("a",)) is None
    assert links_of([AttentionMap(torch.rand(1, 1, 2), ("words", "regions"), "hop", "raw")], ("a",)) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Links("all", ("a", "b"), ((0.5,),)), "all: expected a row for each of 2 words, got 1"),
        (lambda: Links("all", ("a",), ((0.5,),), (1,)), "all: expected one of the 1 rows, got 1"),
        (lambda: Links("all", ("a", "b"), ((0.5,), (0.1, 0.2))), "all: expected rows over the same regions"),
        (lambda: Links("all", ("a",), ((math.nan,),)), "all: expected finite weights of at least 0, got nan"),
        (
            lambda: dataclasses.replace(a_caption(), links=Links("all", ("a",), ((0.5,),))),
            "all: expected maps over the 1 regions of links, got 35",
        ),
    ],
)
def test_links_that_are_none_are_refused(make, message):
    with pytest.raises(SaccadeError, match=message):
        make()


def test_large_images_are_made_smaller_in_json():
    figure = Figure("large", panels=(Panel(picture=Picture(Image.new("RGB", (3000, 1500), "teal"))),))
    assert Figure.from_dict(figure.to_dict()).panels[0].picture.image.size == (1024, 512)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": ["http://somewhere/a.jpg"]}, "images: expected data URLs beginning with 'data:image/jpeg;base64,'"),
        ({"images": ["data:image/jpeg;base64,AAAA"]}, "a data URL holds no JPEG file"),
        ({"images": ["data:image/jpeg;base64,%"]}, "a data URL holds no JPEG file"),
        ({"images": []}, "image: expected an index of one of the 0 images, got 0"),
        ({"images": "x"}, "images: expected a list"),
        ({"size": "huge"}, "size: expected 'large' or 'small' or 'alone', got 'huge'"),
        ({"colour": 1}, "no field of Figure named 'colour'"),
        ({"panels": [{"bars": [{"label": "a", "share": 7, "text": ""}]}]}, "'a': expected a number between 0 and 1"),
    ],
)
def test_json_values_that_are_no_figure_are_refused(change, message):
    with pytest.raises(SaccadeError, match=message):
        Figure.from_dict(a_sheet().to_dict() | change)


def test_boxes_that_are_not_in_the_table_are_refused():
    data = a_caption(boxes=np.tile([0.1, 0.1, 0.5, 0.5], (35, 1)), grid=None).to_dict()
    with pytest.raises(SaccadeError, match="boxes: expected an index of one of the 0 places, got 0"):
        Figure.from_dict(data | {"places": []})


def test_a_notebook_shows_the_figure_of_what_has_one():
    class Reply(Illustrated):
        def figure(self, note: str = "") -> Figure:
            return a_sheet()

    assert Reply()._repr_html_() == a_sheet()._repr_html_()
    assert Reply()._repr_png_() == a_sheet()._repr_png_()
    assert Reply()._repr_png_().startswith(b"\x89PNG")
