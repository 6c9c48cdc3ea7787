"""Keys of question types: as they always were where they are apart, and never two alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.metrics.names import metric_keys


@pytest.mark.parametrize(
    ("kind", "key"), [("yes/no", "yes_no"), ("Number", "number"), ("what is the ...", "what_is_the"), ("a--b", "a_b")]
)
def test_ordinary_types_keep_their_key(kind: str, key: str) -> None:
    assert metric_keys([kind, "color+", "color-"])[kind] == key


@pytest.mark.parametrize(
    ("kinds", "keys"),
    [
        (["color+", "color-"], ["color_plus", "color_minus"]),
        (["color", "color+"], ["color", "color_plus"]),
        (["C", "C#", "C++"], ["c", "c_sharp", "c_plus_plus"]),
        (["+", "?"], ["plus", "question"]),
        (["color plus", "color+", "color-"], ["color_plus", "color_plus_2", "color_minus"]),
        (["Color", "color", "COLOR"], ["color_2", "color_3", "color"]),
        (["color", "Color", "color 2"], ["color_3", "color", "color_2"]),
        (["a→b", "a←b"], ["a_rightwards_arrow_b", "a_leftwards_arrow_b"]),
        (["रंग", "आकार"], ["र_ग", "आक_र"]),
    ],
)
def test_types_that_would_be_alike_are_told_apart(kinds: list[str], keys: list[str]) -> None:
    assert metric_keys(kinds) == dict(sorted(zip(kinds, keys, strict=True)))
    assert metric_keys(reversed(kinds)) == metric_keys(kinds)


def test_a_reserved_key_is_not_taken() -> None:
    assert metric_keys(["step 1", "color"], reserved=["step_1"]) == {"color": "color", "step 1": "step_1_2"}


@given(st.sets(st.text(alphabet="aAb2 _+-#é✓\u0301", max_size=6), max_size=12))
def test_every_type_has_a_key_of_its_own(kinds: set[str]) -> None:
    keys = metric_keys(kinds)
    assert set(keys) == kinds
    assert len(set(keys.values())) == len(kinds)
    assert all(key and key.replace("_", "a").isalnum() for key in keys.values())
