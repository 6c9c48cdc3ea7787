"""Grounding's metrics: both protocols by hand and against plain loops, what orders and merging may do, and lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.errors import DataError
from saccade.metrics.grounding import (
    WHOLE,
    GroundedPhrase,
    central_window,
    grounding_metrics,
    iou,
    line_metrics,
    merged,
    type_keys,
    usual_windows,
)

LEFT, RIGHT = (0.0, 0.0, 0.25, 0.5), (0.75, 0.0, 1.0, 0.5)
AROUND = (0.0, 0.0, 1.0, 0.5)
Box = tuple[float, float, float, float]


@st.composite
def boxes(draw: st.DrawFn, least: int = 0) -> list[Box]:
    """Boxes on a grid of sevenths, some without area."""
    whole = st.integers(0, 7)
    corners = draw(st.lists(st.tuples(whole, whole, whole, whole), min_size=least, max_size=6))
    return [(min(a, c) / 7, min(b, d) / 7, max(a, c) / 7, max(b, d) / 7) for a, b, c, d in corners]


def slow_iou(a: Box, b: Box) -> float:
    """The one overlap, in plain Python."""
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    covered = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / covered if covered else 0.0


def slow_metrics(phrases: Sequence[GroundedPhrase]) -> dict[str, float]:
    """Any box and merged, in plain Python."""
    sums: dict[str, float] = {}
    for phrase in phrases:
        columns = list(zip(*phrase.truth, strict=True))
        around = (min(columns[0]), min(columns[1]), max(columns[2]), max(columns[3]))
        for end, meant in (("", phrase.truth), ("_merged", [around])):
            best = [max(slow_iou(box, one) for one in meant) for box in phrase.ranked]
            for top in (1, 5, 10):
                sums[f"recall_{top}{end}"] = sums.get(f"recall_{top}{end}", 0) + any(
                    value >= 0.5 - 1e-9 for value in best[:top]
                )
            sums[f"mean_iou{end}"] = sums.get(f"mean_iou{end}", 0) + (best[0] if best else 0)
    return {name: value / len(phrases) for name, value in sums.items()}


def test_both_protocols_by_hand() -> None:
    half = (0.0, 0.0, 0.5, 0.5)
    phrases = [
        GroundedPhrase([AROUND, LEFT], [LEFT, RIGHT], ["people", "body parts"], [AROUND], (0.8, 0.1)),
        GroundedPhrase([RIGHT], [RIGHT], ["people"], [LEFT], (0.25, 0.25)),
        GroundedPhrase([half], [LEFT], [], [half, WHOLE], (0.25, 0.5)),
        GroundedPhrase([], [LEFT, RIGHT], ["body parts"], [LEFT]),
    ]
    found = grounding_metrics(phrases)
    assert {name: value for name, value in found.items() if not name.endswith(("_people", "_body_parts"))} == {
        "phrases": 4,
        "recall_1": 0.5,
        "recall_5": 0.75,
        "recall_10": 0.75,
        "upper_bound": 0.5,
        "mean_iou": (0.25 + 1 + 0.5) / 4,
        "recall_1_merged": 0.75,
        "recall_5_merged": 0.75,
        "recall_10_merged": 0.75,
        "upper_bound_merged": 0.5,
        "mean_iou_merged": (1 + 1 + 0.5) / 4,
        "pointing_accuracy": 0.5,
        "pointing_accuracy_box": 0.5,
    }
    people = {name.removesuffix("_people"): value for name, value in found.items() if name.endswith("_people")}
    assert people == {name: value for name, value in grounding_metrics(phrases[:2]).items() if name in people}
    assert (people["phrases"], people["recall_1"], people["upper_bound"], people["pointing_accuracy"]) == (
        2,
        0.5,
        0,
        0.5,
    )
    assert (found["phrases_body_parts"], found["recall_1_merged_body_parts"], found["recall_5_body_parts"]) == (
        2,
        0.5,
        0.5,
    )


@given(st.lists(st.builds(GroundedPhrase, boxes(), boxes(least=1)), min_size=1, max_size=5))
def test_the_same_as_plain_loops(phrases: list[GroundedPhrase]) -> None:
    found = grounding_metrics(phrases)
    for name, value in slow_metrics(phrases).items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


@given(boxes(), boxes())
def test_overlap_is_from_0_to_1_and_the_same_both_ways(a: list[Box], b: list[Box]) -> None:
    first, second = (np.array(each).reshape(-1, 4) for each in (a, b))
    found = iou(first, second)
    assert found.shape == (len(a), len(b))
    assert ((found >= 0) & (found <= 1)).all()
    assert (found == iou(second, first).T).all()
    own = np.diag(iou(first, first))
    assert np.array_equal(own, (first[:, 2:] > first[:, :2]).all(1).astype(float))


@given(boxes(least=1), boxes(least=1), st.randoms())
def test_more_boxes_never_do_harm_and_their_order_beyond_the_tenth_none(
    ranked: list[Box], truth: list[Box], random: object
) -> None:
    def measured(predicted: Sequence[Box], meant: Sequence[Box] = truth) -> dict[str, float]:
        return grounding_metrics([GroundedPhrase(predicted, meant, proposals=predicted)])

    found = measured(ranked)
    for end in ("", "_merged"):
        rising = [found[f"{name}{end}"] for name in ("recall_1", "recall_5", "recall_10", "upper_bound")]
        assert rising == sorted(rising)
        assert (found[f"mean_iou{end}"] >= 0.5 - 1e-6) == bool(found[f"recall_1{end}"])
    shuffled = ranked[:1] + sorted(ranked[1:], key=lambda _: random.random())  # type: ignore[attr-defined]
    again = measured(shuffled)
    assert {name for name in found if found[name] != again[name]} <= {"recall_5", "recall_5_merged"}
    assert measured(ranked, truth[::-1]) == found
    alone = measured(ranked, truth[:1])
    assert {name: value for name, value in alone.items() if name.endswith("_merged")} == {
        f"{name}_merged": alone[name] for name in ("recall_1", "recall_5", "recall_10", "upper_bound", "mean_iou")
    }


@given(boxes(least=1))
def test_the_merged_box_holds_all_and_touches_some_on_each_side(truth: list[Box]) -> None:
    found = merged(np.array(truth))
    array = np.array(truth)
    assert (found[:2] <= array[:, :2]).all()
    assert (array[:, 2:] <= found[2:]).all()
    assert (array == found).any(0).all()
    assert np.array_equal(merged(found[None]), found)


def test_a_half_is_a_half_in_whatever_precision() -> None:
    """Windows of 13 by 37 pixels beside one twice as wide, at many places of a photograph."""
    width, height = 375, 500
    for x in range(0, width - 26):
        small = np.array([x, 7, x + 13, 44]) / [width, height, width, height]
        large = np.array([x, 7, x + 26, 44]) / [width, height, width, height]
        predicted = small.astype(np.float32)
        assert grounding_metrics([GroundedPhrase(predicted[None], large[None])])["recall_1"] == 1
    below = np.array([0, 0, 249, 500]) / [width, height, width, height]
    whole = np.array([0, 0, 500, 500]) / [width, height, width, height]
    assert grounding_metrics([GroundedPhrase(below[None], whole[None])])["recall_1"] == 0


def test_what_is_not_known_is_left_out_and_a_phrase_without_a_map_misses() -> None:
    blind, seen = GroundedPhrase([LEFT], [LEFT], ["people"]), GroundedPhrase([LEFT], [LEFT], [], [LEFT], (0.1, 0.1))
    assert not {"upper_bound", "pointing_accuracy", "upper_bound_people"} & grounding_metrics([blind]).keys()
    both = grounding_metrics([blind, seen])
    assert "upper_bound" not in both
    assert (both["pointing_accuracy"], both["pointing_accuracy_people"]) == (0.5, 0)
    assert grounding_metrics([GroundedPhrase([LEFT], [LEFT], proposals=())])["upper_bound"] == 0
    assert grounding_metrics([]) == {"phrases": 0}


@pytest.mark.parametrize("point", [(0.0, 0.0), (0.25, 0.5), (0.0, 0.3)])
def test_edges_belong_to_a_box(point: tuple[float, float]) -> None:
    assert grounding_metrics([GroundedPhrase([], [RIGHT, LEFT], point=point)])["pointing_accuracy"] == 1
    beyond = (math.nextafter(0.25, 1), 0.3)
    assert grounding_metrics([GroundedPhrase([], [RIGHT, LEFT], point=beyond)])["pointing_accuracy"] == 0


def test_types_have_keys_that_are_no_other_metric() -> None:
    kinds = [
        "merged",
        "merged people",
        "people",
        "box",
        "of whole image",
        "type merged",
        "step 1",
        "body parts",
        "+",
        "1",
    ]
    phrases = [GroundedPhrase([LEFT], [LEFT], [kind], [LEFT], (0, 0)) for kind in kinds]
    phrases.append(GroundedPhrase([RIGHT], [LEFT], ["people", "people"], [RIGHT], (1, 1)))
    found = grounding_metrics(phrases)
    assert len(found) == 13 * (1 + len(kinds))
    assert found["recall_1"] == 10 / 11
    assert (found["phrases_people"], found["recall_1_people"], found["recall_1_merged_people"]) == (2, 0.5, 0.5)
    assert found["recall_1_merged_type_merged"] == 1
    assert len(set(type_keys(kinds).values())) == len(kinds)


def test_lines_to_beat() -> None:
    phrases = [GroundedPhrase([LEFT], [(0, 0, 0.6, 1)], ["people"]), GroundedPhrase([], [LEFT, RIGHT])]
    assert line_metrics("whole_image", phrases, [WHOLE, WHOLE]) == pytest.approx(
        {
            "recall_1_of_whole_image": 0.5,
            "recall_1_merged_of_whole_image": 1.0,
            "mean_iou_of_whole_image": (0.6 + 0.125) / 2,
            "mean_iou_merged_of_whole_image": (0.6 + 0.5) / 2,
            "pointing_accuracy_of_whole_image": 0.5,
        }
    )
    assert line_metrics("centre", phrases, np.array([[0.5, 0.5], [0.8, 0.5]])) == {"pointing_accuracy_of_centre": 1.0}
    with pytest.raises(ValueError, match="shorter"):
        line_metrics("whole_image", phrases, [WHOLE])


def test_the_usual_window_of_each_type() -> None:
    windows = np.array([WHOLE, LEFT, RIGHT, AROUND])
    phrases = [
        GroundedPhrase([], [RIGHT], ["people"]),
        GroundedPhrase([], [RIGHT, LEFT], ["people", "other"]),
        *[GroundedPhrase([], [(0, 0, 1, 0.9)])] * 3,
    ]
    assert usual_windows(phrases, windows) == {"": 0, "people": 2, "other": 1}
    assert usual_windows([], windows) == {}


def test_the_largest_window_in_the_middle() -> None:
    assert central_window(np.array([WHOLE, (0.02, 0, 1, 1), (0.1, 0.2, 0.95, 0.8), (0, 0, 0.8, 1), LEFT])) == 2
    assert central_window(np.array([WHOLE, LEFT])) is None
    assert central_window(np.array([(0.1, 0.2, 0.95, 0.8)]), tolerance=0.01) is None


@pytest.mark.parametrize(
    ("phrase", "part"),
    [
        (GroundedPhrase([LEFT], []), "a phrase with a box that it means"),
        (GroundedPhrase([LEFT[:3]], [LEFT]), r"four finite numbers, x1, y1, x2, y2, got \[1, 3\]"),
        (GroundedPhrase([LEFT], [(0, 0, float("nan"), 1)]), "four finite numbers"),
        (GroundedPhrase(LEFT, [LEFT]), r"got \[4\]"),  # type: ignore[arg-type]
    ],
)
def test_bad_boxes(phrase: GroundedPhrase, part: str) -> None:
    with pytest.raises(DataError, match=part):
        grounding_metrics([phrase])
