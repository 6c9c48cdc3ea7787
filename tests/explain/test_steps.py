"""Attention maps to steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.explain.samples import GREY, a_map

from saccade.errors import SaccadeError
from saccade.explain import answer_figure, steps_of
from saccade.types import AttentionMap


def some_weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(int(np.prod(shape)), 0.5)).reshape(shape)


def test_maps_of_one_name_are_one_step_and_the_order_is_kept():
    regions, words, more = some_weights(15), some_weights(7), some_weights(15, seed=1)
    steps = steps_of(
        [
            a_map(regions, ("regions",), "step 1"),
            a_map(words, ("words",), "step 1"),
            a_map(more, ("regions",), "step 2"),
        ]
    )
    assert [step.name for step in steps] == ["step 1", "step 2"]
    np.testing.assert_allclose(steps[0].regions, regions, rtol=1e-6)
    np.testing.assert_allclose(steps[0].words, words, rtol=1e-6)
    np.testing.assert_allclose(steps[1].regions, more, rtol=1e-6)
    assert steps[1].words is None


@pytest.mark.parametrize("axes", [("words", "regions"), ("regions", "words")])
@pytest.mark.parametrize("of_each_row", [False, True])
def test_a_map_over_both_axes_becomes_its_marginals(axes, of_each_row):
    joint = some_weights(7, 11)
    if of_each_row:
        joint = joint / joint.sum(axis=1, keepdims=True)
    given_as = joint if axes[0] == "words" else joint.T.copy()
    (step,) = steps_of([a_map(given_as, axes, "glimpse 1")])
    np.testing.assert_allclose(step.words, joint.sum(axis=1) / joint.sum(), rtol=1e-5)
    np.testing.assert_allclose(step.regions, joint.sum(axis=0) / joint.sum(), rtol=1e-5)


def test_a_joint_map_over_one_axis_that_padding_has_a_part_of_is_scaled_to_sum_to_one():
    (step,) = steps_of([AttentionMap(torch.tensor([[0.1, 0.3]]), ("words",), "glimpse 1")])
    assert step.words == pytest.approx((0.25, 0.75))


def test_of_an_axis_that_comes_twice_the_last_is_the_attended_one():
    rows = some_weights(5, 5)
    rows /= rows.sum(axis=1, keepdims=True)
    (step,) = steps_of([a_map(rows, ("words", "words"), "block 1")])
    np.testing.assert_allclose(step.words, rows.mean(axis=0), rtol=1e-5)


def test_a_map_by_rows_says_what_was_attended_to_and_not_who_attended():
    rows = some_weights(3, 7, 11)
    rows /= rows.sum(axis=2, keepdims=True)
    weights = torch.tensor(rows, dtype=torch.float32)[None]
    (step,) = steps_of([AttentionMap(weights, ("heads", "words", "regions"), "block 1 words<-regions", "rows")])
    assert step.words is None
    np.testing.assert_allclose(step.regions, rows.mean(axis=(0, 1)), rtol=1e-5)


def test_similarities_and_maps_without_weight_are_left_out():
    raw = AttentionMap(torch.full((1, 2, 3), -1.0), ("words", "regions"), "hop 1 correlation", "raw")
    nothing = AttentionMap(torch.zeros(1, 2, 3), ("words", "regions"), "hop 1 words")
    assert steps_of([raw, nothing]) == ()


def test_half_precision_maps_with_gradients_are_drawn():
    weights = torch.softmax(torch.randn(1, 196, requires_grad=True), dim=1).to(torch.bfloat16)
    attention = [AttentionMap(weights, ("regions",), "hop 1")]
    panel = answer_figure(GREY, "?", (), (), attention, boxes=torch.rand(196, 4, requires_grad=True)).panels[1]
    assert len(panel.picture.regions.weights) == len(panel.picture.regions.boxes) == 196


def test_maps_that_cannot_be_paired_are_refused():
    two = AttentionMap(torch.full((2, 3), 1 / 3), ("words",), "step 1")
    with pytest.raises(SaccadeError, match="step 1: expected the attention of one example, got 2"):
        steps_of([two])
    once = a_map(np.full(3, 1 / 3), ("words",), "step 1")
    with pytest.raises(SaccadeError, match="expected one map over words, got two"):
        steps_of([once, once])
