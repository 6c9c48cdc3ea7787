"""The scale that weights are drawn with, and the numbers printed beside it."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.explain import weights as weights_file
from saccade.explain.weights import said, scale_top, scaled, strongest, weight_text


def test_the_docstrings_examples_hold():
    found = doctest.testmod(weights_file)
    assert (found.failed, found.attempted) == (0, 5)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(0, 2**16), st.floats(0.01, 10))
def test_the_scale_holds_every_weight_and_the_printed_weights_sum_to_one(count, seed, spread):
    weights = np.random.default_rng(seed).dirichlet(np.full(count, spread)).tolist()
    if not np.isfinite(weights).all():  # so concentrated that the draw underflows
        return
    assert scale_top(weights) >= max(weights) - 1e-12
    assert 0 <= scaled(weights).min() <= scaled(weights).max() <= 1
    assert sum(float(weight_text(weight, count)) for weight in weights) == pytest.approx(1, abs=0.0501)


@pytest.mark.parametrize("count", [1, 2, 7, 196])
def test_an_even_map_is_low_on_its_scale_has_no_strongest_region_and_says_so(count):
    even = [1 / count] * count
    assert strongest(even) is None
    assert scaled(even) == pytest.approx(max(0.25, 1 / count))
    assert said(even).endswith("regions above 1.2 times the mean" if count > 1 else "all the weight")
