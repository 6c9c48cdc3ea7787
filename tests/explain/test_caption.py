"""A caption with its maps: what is refused and what it says of itself."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saccade.errors import SaccadeError
from saccade.explain import CaptionExplanation, caption
from saccade.explain.caption import probability_text

IMAGE = Image.new("RGB", (31, 17), "teal")
WORDS = ("a", "dog", "runs")


def captioned(**parts: object) -> CaptionExplanation:
    maps = np.random.default_rng(0).dirichlet(np.ones(35), 3)
    given = {"log_probability": -4.0, "maps": maps, "betas": np.array([0.0, 0.25, 1.0]), "grid": (5, 7)} | parts
    return CaptionExplanation(**({"image": IMAGE, "caption": "a dog runs", "words": WORDS} | given))


def test_the_docstrings_examples_hold():
    found = doctest.testmod(caption)
    assert (found.failed, found.attempted) == (0, 1)


def test_every_word_has_its_weights_and_its_beta():
    explained = captioned()
    assert [word for word, _, _ in explained.panels] == list(WORDS)
    assert [beta for _, _, beta in explained.panels] == [0.0, 0.25, 1.0]
    np.testing.assert_array_equal([step.regions for _, step, _ in explained.panels], explained.maps)
    assert {step.grid for step in explained.steps} == {(5, 7)}
    assert [beta for _, _, beta in captioned(betas=None).panels] == [None] * 3


def test_a_model_without_attention_has_no_panels_and_says_so():
    explained = captioned(maps=None, betas=None, grid=None)
    assert explained.panels == ()
    assert "no attention" in explained.reading


def test_a_caption_without_words_is_taken():
    explained = captioned(caption=" ", words=(), maps=np.zeros((0, 35)), betas=np.zeros(0))
    assert (explained.panels, explained.reading, explained.title) == ((), "", "(a caption without words)")
    assert explained.likelihood == "probability 0.018"


def test_the_reading_names_the_gate_only_where_there_is_one():
    boxes = np.tile([0.1, 0.1, 0.5, 0.5], (35, 1))
    assert "Beta" in captioned().reading
    assert "Beta" not in captioned(betas=None).reading
    assert "the numbers are weights" in captioned(boxes=boxes, grid=None).reading


def test_the_average_is_over_the_words_and_the_end():
    assert captioned(log_probability=4 * math.log(0.37)).likelihood == "probability 0.019, on average 0.37 a word"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"words": ("a", "dog")}, r"one beta for each of the 2 words, got shape \(3,\)"),
        ({"words": ("a", "dog"), "betas": None}, r"one map for each of the 2 words, got shape \(3, 35\)"),
        ({"betas": np.array([0.1, 1.2, 0.3])}, "betas between 0 and 1, got 1.2"),
        ({"betas": np.array([0.1, np.nan, 0.3])}, "betas between 0 and 1, got nan"),
        ({"maps": None}, "got betas without maps"),
        ({"grid": (5, 8)}, "word 1, 'a': expected 5 x 8 weights for the grid, got 35"),
        ({"grid": None}, "word 1, 'a': 35 regions cannot be drawn without their boxes or their grid"),
        ({"boxes": np.zeros((7, 4))}, r"expected boxes of shape \(35, 4\), got \(7, 4\)"),
        ({"maps": np.full((3, 35), 0.01)}, "word 1, 'a': the regions' weights: expected a sum of 1, got 0.35"),
        ({"log_probability": 0.5}, "log probability of at most 0, got 0.5 for 'a dog runs'"),
        ({"log_probability": math.nan}, "log probability of at most 0, got nan"),
        ({"alternatives": (("a cat", 3.0),)}, "log probability of at most 0, got 3.0 for 'a cat'"),
    ],
)
def test_what_disagrees_is_refused(parts, message):
    with pytest.raises(SaccadeError, match=message):
        captioned(**parts)


@settings(deadline=None)
@given(st.floats(-700, 0))
def test_probabilities_are_printed_to_two_digits(log_probability):
    assert float(probability_text(log_probability)) == pytest.approx(math.exp(log_probability), rel=0.051)


def test_no_probability_is_too_small_to_print():
    assert probability_text(-math.inf) == "0"
    assert probability_text(0.001) == "1"
    assert probability_text(-1e5).endswith("e-43430")
