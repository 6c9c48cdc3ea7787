"""Steps from attention maps, the scale they are drawn with, and what is refused."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saccade.errors import SaccadeError
from saccade.explain import Explanation, Step, explanation, steps_of
from saccade.explain.explanation import scale_top, shares, strongest, weight_text
from saccade.types import AttentionMap


def some_weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(int(np.prod(shape)), 0.5)).reshape(shape)


def a_map(weights: np.ndarray, axes: tuple[str, ...], name: str) -> AttentionMap:
    return AttentionMap(torch.from_numpy(weights)[None], axes, name)


def test_the_docstrings_examples_hold():
    found = doctest.testmod(explanation)
    assert (found.failed, found.attempted) == (0, 3)


def test_maps_of_one_name_are_one_step_and_the_order_is_kept():
    regions, words, more = some_weights(15), some_weights(7), some_weights(15, seed=1)
    steps = steps_of(
        [
            a_map(regions, ("regions",), "step 1"),
            a_map(words, ("words",), "step 1"),
            a_map(more, ("regions",), "step 2"),
        ],
        grid=(3, 5),
    )
    assert [step.name for step in steps] == ["step 1", "step 2"]
    np.testing.assert_allclose(steps[0].regions, regions, rtol=1e-6)
    np.testing.assert_allclose(steps[0].words, words, rtol=1e-6)
    np.testing.assert_allclose(steps[1].regions, more, rtol=1e-6)
    assert steps[1].words is None


@pytest.mark.parametrize("axes", [("words", "regions"), ("regions", "words")])
@pytest.mark.parametrize("of_each_row", [False, True])
def test_a_map_over_both_axes_is_shown_by_its_marginals(axes, of_each_row):
    joint = some_weights(7, 11)
    if of_each_row:
        joint = joint / joint.sum(axis=1, keepdims=True)
    given_as = joint if axes[0] == "words" else joint.T.copy()
    (step,) = steps_of([a_map(given_as, axes, "glimpse 1")], boxes=np.zeros((11, 4)))
    np.testing.assert_allclose(step.words, joint.sum(axis=1) / joint.sum(), rtol=1e-5)
    np.testing.assert_allclose(step.regions, joint.sum(axis=0) / joint.sum(), rtol=1e-5)


def test_of_an_axis_that_comes_twice_the_last_is_the_attended_one():
    rows = some_weights(5, 5)
    rows /= rows.sum(axis=1, keepdims=True)
    (step,) = steps_of([a_map(rows, ("words", "words"), "block 1")])
    np.testing.assert_allclose(step.words, rows.mean(axis=0), rtol=1e-5)


def test_a_map_by_rows_shows_what_was_attended_to_and_not_who_attended():
    rows = some_weights(3, 7, 11)
    rows /= rows.sum(axis=2, keepdims=True)
    weights = torch.tensor(rows, dtype=torch.float32)[None]
    heads = AttentionMap(weights, ("heads", "words", "regions"), "block 1 words<-regions", "rows")
    (step,) = steps_of([heads], boxes=np.zeros((11, 4)))
    assert step.words is None
    np.testing.assert_allclose(step.regions, rows.mean(axis=(0, 1)), rtol=1e-5)


def test_similarities_and_maps_without_weight_are_left_out():
    raw = AttentionMap(torch.full((1, 2, 3), -1.0), ("words", "regions"), "hop 1 correlation", "raw")
    nothing = AttentionMap(torch.zeros(1, 2, 3), ("words", "regions"), "hop 1 words")
    assert steps_of([raw, nothing], boxes=np.zeros((3, 4))) == ()


def test_half_precision_maps_with_gradients_are_taken():
    weights = torch.softmax(torch.randn(1, 196, requires_grad=True), dim=1).to(torch.bfloat16)
    (step,) = steps_of([AttentionMap(weights, ("regions",), "hop 1")], boxes=torch.rand(196, 4))
    assert step.regions.shape == (196,)
    assert step.places().shape == (196, 4)


def test_maps_that_cannot_be_paired_are_refused():
    two = AttentionMap(torch.full((2, 3), 1 / 3), ("words",), "step 1")
    with pytest.raises(SaccadeError, match="step 1: expected the attention of one example, got 2"):
        steps_of([two])
    once = a_map(np.full(3, 1 / 3), ("words",), "step 1")
    with pytest.raises(SaccadeError, match="expected one map over words, got two"):
        steps_of([once, once])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, float("nan"), 0.5], "1 of 3 are not finite"),
        ([float("inf"), 0.0], "1 of 2 are not finite"),
        ([1.2, -0.2], "none below 0, got -0.2"),
        ([0.5, 0.2], "a sum of 1, got 0.7"),
        ([0.0, 0.0], "a sum of 1, got 0"),
        ([], "at least one"),
    ],
)
@pytest.mark.parametrize("axis", ["regions", "words"])
def test_weights_that_are_no_shares_are_refused(axis, weights, message):
    with pytest.raises(SaccadeError, match=f"hop 2: the {axis}' weights: .*{message}"):
        Step("hop 2", **{axis: np.array(weights, dtype=float)}, grid=(1, max(1, len(weights))))


def test_sizes_that_disagree_are_refused():
    even = np.full(6, 1 / 6)
    with pytest.raises(SaccadeError, match="neither"):
        Step("step 1")
    with pytest.raises(SaccadeError, match="6 regions cannot be drawn without their boxes or their grid"):
        Step("step 1", even)
    with pytest.raises(SaccadeError, match="expected 3 x 5 weights for the grid, got 6"):
        Step("step 1", even, grid=(3, 5))
    with pytest.raises(SaccadeError, match=r"expected boxes of shape \(6, 4\), got \(5, 4\)"):
        Step("step 1", even, boxes=np.zeros((5, 4)))
    with pytest.raises(SaccadeError, match="some are not finite"):
        Step("step 1", even, boxes=np.full((6, 4), np.nan))
    image = Image.new("RGB", (3, 2))
    with pytest.raises(SaccadeError, match="step 1: expected one weight for each of the 5 words, got 6"):
        Explanation(image, "?", tuple("abcde"), (), (Step("step 1", words=even),))
    with pytest.raises(SaccadeError, match="between 0 and 1, got nan for 'red'"):
        Explanation(image, "?", (), (("blue", 0.5), ("red", float("nan"))))


def test_the_cells_of_a_grid_tile_the_image_row_by_row():
    places = Step("step 1", np.full(15, 1 / 15), grid=(3, 5)).places()
    np.testing.assert_allclose(places[0], [0, 0, 1 / 5, 1 / 3])
    np.testing.assert_allclose(places[7], [2 / 5, 1 / 3, 3 / 5, 2 / 3])
    assert np.prod(places[:, 2:] - places[:, :2], axis=1).sum() == pytest.approx(1)


def test_boxes_are_put_in_order_and_kept_inside_the_image():
    boxes = np.array([[0.9, 0.2, 0.1, 0.4], [-0.5, 0.5, 1.5, 2.0]])
    step = Step("hop 1", np.array([0.5, 0.5]), boxes=boxes)
    np.testing.assert_allclose(step.places(), [[0.1, 0.2, 0.9, 0.4], [0, 0.5, 1, 1]])


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(0, 2**16), st.floats(0.01, 10))
def test_the_scale_holds_every_weight_and_the_printed_weights_sum_to_one(count, seed, spread):
    weights = np.random.default_rng(seed).dirichlet(np.full(count, spread))
    if not np.isfinite(weights).all():  # so concentrated that the draw underflows
        return
    assert scale_top(weights) >= weights.max() - 1e-12
    assert 0 <= shares(weights).min() <= shares(weights).max() <= 1
    assert sum(float(weight_text(weight, count)) for weight in weights) == pytest.approx(1, abs=0.0501)


@pytest.mark.parametrize("count", [1, 2, 7, 196])
def test_an_even_map_is_low_on_its_scale_and_has_no_strongest_region(count):
    even = np.full(count, 1 / count)
    assert strongest(even) is None
    assert shares(even) == pytest.approx(max(0.25, 1 / count))
