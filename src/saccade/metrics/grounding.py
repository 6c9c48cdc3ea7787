"""Whether a phrase's box was found: recall, its upper bound, overlap, pointing. NumPy only.

Boxes are x1, y1, x2, y2, points x, y: fractions of the image's width and height. Overlap is taken of areas, without the
pixel that some evaluations add to width and height.

Two protocols, always both, for one alone says little of a phrase with several boxes. *Any box*: a box is right where it
overlaps any of the boxes meant with an IoU of at least 0.5. *Merged* (`_merged`): where it so overlaps the one box
around all of them.

`Flickr30kEntitiesRecallEvaluator` of ashkamath/mdetr (datasets/flickr_eval.py) gives the same recalls, all and by type,
for the same numbers, any box by itself and merged with its `merge_boxes`; its recall at -1 over all boxes that could
have been chosen is the upper bound. It takes the four numbers of Flickr30k Entities' files as they are. They count
pixels from 1 and include a box's last ones: this package subtracts 1 from left and top alone, so that its boxes are a
pixel wider and higher. On 225 validation photographs (2,961 phrases) that is another verdict on 20 phrases, where one
of 390 windows is drawn for each that overlaps its box with an IoU of at least 0.3, and on none, where one of all is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from saccade.errors import DataError
from saccade.metrics.names import metric_keys

Array = np.ndarray
Boxes = Sequence[Sequence[float]] | Float[Array, "boxes 4"]
Point = Sequence[float] | Float[Array, " 2"]

# Fractions round, and a half is a half: on photographs of less than half a million pixels no other IoU of whole pixels
# is as near to it.
OVERLAP = 0.5 - 1e-6
TOP = (1, 5, 10)
WHOLE = (0.0, 0.0, 1.0, 1.0)
# How the part of a metric's name may begin that is no type; with "type" among them no two types get the same key.
NO_TYPE = ("merged", "box", "of", "step", "type")


@dataclass(frozen=True)
class GroundedPhrase:
    """What was predicted of one phrase, and what is right."""

    ranked: Boxes
    """The boxes predicted, best first; none at all is a miss."""
    truth: Boxes
    """The boxes meant, one at least."""
    kinds: Sequence[str] = ()
    """The types of what the phrase speaks of; a phrase of several counts in each."""
    proposals: Boxes | None = None
    """All boxes that could have been predicted; None where they are not known."""
    point: Point | None = None
    """Where the phrase's map is strongest, x and y; None where there is no map."""


def iou(a: Float[Array, "n 4"], b: Float[Array, "m 4"]) -> Float[Array, "n m"]:
    """The area that two boxes share over the area that they cover; 0 where neither has any.

    >>> iou(np.array([[0, 0, 0.5, 1]]), np.array([[0, 0, 1, 1], [0.25, 0, 0.75, 1], [0.5, 0, 1, 1]]))
    array([[0.5       , 0.33333333, 0.        ]])
    """
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    shared = sides.clip(0.0).prod(2)
    covered = _areas(a)[:, None] + _areas(b) - shared
    found: Array = np.divide(shared, covered, out=np.zeros_like(shared), where=covered > 0)
    return found


def merged(boxes: Float[Array, "boxes 4"]) -> Float[Array, " 4"]:
    """The one box around all.

    >>> merged(np.array([[0, 0.5, 0.25, 1], [0.5, 0.25, 0.75, 0.5]]))
    array([0.  , 0.25, 0.75, 1.  ])
    """
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def grounding_metrics(phrases: Sequence[GroundedPhrase]) -> dict[str, float]:
    """The means over phrases, then those over the phrases of each type, the type's name behind the metric's.

    - `phrases`: how many there are
    - `recall_1`, `recall_5`, `recall_10`: the share with a right box among the first so many
    - `upper_bound`: the share with a right box among the proposals, where the proposals of every phrase are known
    - `mean_iou`: the IoU of the best-ranked box with the one of the boxes meant that it fits best
    - each of these again as `_merged`
    - `pointing_accuracy`: the share whose map is strongest inside one of the boxes meant, edges included, where any
      phrase has a map
    - `pointing_accuracy_box`: the share with the centre of the best-ranked box inside one of them

    Raises DataError for a phrase without a box that is meant, and for boxes that are none.

    >>> found = grounding_metrics([GroundedPhrase([(0, 0, 1, 1)], [(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)], ["people"])])
    >>> found["recall_1"], found["recall_1_merged"], found["mean_iou"], found["recall_1_merged_people"]
    (0.0, 1.0, 0.25, 1.0)
    """
    if not phrases:
        return {"phrases": 0}
    measured = [_measures(phrase) for phrase in phrases]
    left_out = {name for one in measured for name, value in one.items() if value is None}
    if any(phrase.point is not None for phrase in phrases):
        left_out.discard("pointing_accuracy")
    groups: dict[str, list[dict[str, float | None]]] = defaultdict(list)
    for phrase, one in zip(phrases, measured, strict=True):
        for kind in dict.fromkeys(phrase.kinds):
            groups[kind].append(one)
    found = _means(measured, left_out, "")
    for kind, key in type_keys(groups).items():
        found |= _means(groups[kind], left_out, f"_{key}")
    return found


def line_metrics(name: str, phrases: Sequence[GroundedPhrase], places: Iterable[Sequence[float]]) -> dict[str, float]:
    """What a line to beat gets that answers each phrase with one box, or with one point, whatever the model says.

    Of boxes `recall_1`, `mean_iou`, both protocols, and `pointing_accuracy` by their centres; of points
    `pointing_accuracy` alone. `_of_` and the line's name stand behind.

    >>> phrases = [GroundedPhrase([], [(0, 0, 0.25, 1)])]
    >>> line_metrics("whole_image", phrases, [WHOLE])["mean_iou_of_whole_image"]
    0.25
    >>> line_metrics("centre", phrases, [(0.5, 0.5)])
    {'pointing_accuracy_of_centre': 0.0}
    """
    answered = [_answered(phrase, place) for phrase, place in zip(phrases, places, strict=True)]
    wanted = ["pointing_accuracy"]
    if any(len(phrase.ranked) for phrase in answered):
        wanted = ["recall_1", "recall_1_merged", "mean_iou", "mean_iou_merged", *wanted]
    found = grounding_metrics(answered)
    return {f"{metric}_of_{name}": found[metric] for metric in wanted if metric in found}


def usual_windows(phrases: Iterable[GroundedPhrase], windows: Float[Array, "windows 4"]) -> dict[str, int]:
    """Which window is right for most phrases of each type, any box; for most of all phrases under "".

    Of several such windows the first.

    >>> people = GroundedPhrase([], [(0, 0, 0.4, 1)], ["people"])
    >>> usual_windows([people, GroundedPhrase([], [WHOLE])], np.array([WHOLE, (0, 0, 0.4, 1)]))
    {'': 0, 'people': 1}
    """
    right: dict[str, Array] = defaultdict(lambda: np.zeros(len(windows), dtype=np.int64))
    for phrase in phrases:
        hits = (iou(windows, _boxes(phrase.truth)) >= OVERLAP).any(1)
        for kind in dict.fromkeys(["", *phrase.kinds]):
            right[kind] += hits
    return {kind: int(counts.argmax()) for kind, counts in right.items()}


def central_window(windows: Float[Array, "windows 4"], tolerance: float = 0.05) -> int | None:
    """Which is the largest window in the middle of the image that is not the whole of it; None where there is none.

    In the middle: its centre is off the image's by at most `tolerance`, of the width and of the height. The whole: each
    of its edges is off the image's by less than that.

    >>> central_window(np.array([WHOLE, (0.3, 0.3, 0.7, 0.7), (0.2, 0.2, 0.82, 0.8), (0, 0, 0.8, 1)]))
    2
    """
    centres = (windows[:, :2] + windows[:, 2:]) / 2
    middle = (np.abs(centres - 0.5) <= tolerance).all(1) & (np.abs(windows - np.array(WHOLE)) >= tolerance).any(1)
    return int(np.where(middle, _areas(windows), -1.0).argmax()) if middle.any() else None


def type_keys(kinds: Iterable[str]) -> dict[str, str]:
    """A key for each type, as `saccade.metrics.names` makes them, that is not taken for a part of a metric's name.

    >>> type_keys(["body parts", "merged"])
    {'body parts': 'body_parts', 'merged': 'type_merged'}
    """
    keys = metric_keys(kinds)
    return {kind: f"type_{key}" if key.partition("_")[0] in NO_TYPE else key for kind, key in keys.items()}


def _measures(phrase: GroundedPhrase) -> dict[str, float | None]:
    """Every metric's value for one phrase; None where it is not known."""
    truth, ranked = _boxes(phrase.truth), _boxes(phrase.ranked)
    if not len(truth):
        raise DataError("expected a phrase with a box that it means, got one without; leave out such phrases")
    proposals = None if phrase.proposals is None else _boxes(phrase.proposals)
    found: dict[str, float | None] = {}
    for end, meant in (("", truth), ("_merged", merged(truth)[None])):
        overlaps = iou(ranked, meant).max(1)
        for top in TOP:
            found[f"recall_{top}{end}"] = float((overlaps[:top] >= OVERLAP).any())
        found[f"upper_bound{end}"] = None if proposals is None else float((iou(proposals, meant) >= OVERLAP).any())
        found[f"mean_iou{end}"] = float(overlaps[0]) if len(overlaps) else 0.0
    found["pointing_accuracy"] = None if phrase.point is None else _inside(phrase.point, truth)
    found["pointing_accuracy_box"] = _inside(_centre(ranked[0]), truth) if len(ranked) else 0.0
    return found


def _means(measured: Sequence[dict[str, float | None]], left_out: set[str], end: str) -> dict[str, float]:
    """What is known of the phrases; a map that one of them lacks misses."""
    names = [name for name in measured[0] if name not in left_out]
    means = {f"{name}{end}": float(np.mean([one[name] or 0.0 for one in measured])) for name in names}
    return {f"phrases{end}": len(measured)} | means


def _answered(phrase: GroundedPhrase, place: Sequence[float]) -> GroundedPhrase:
    """The phrase with one box, or one point, for all that was predicted of it."""
    numbers = [float(number) for number in place]
    if len(numbers) == 2:
        return GroundedPhrase((), phrase.truth, point=numbers)
    return GroundedPhrase([numbers], phrase.truth, point=_centre(_boxes([numbers])[0]))


def _boxes(boxes: Boxes) -> Float[Array, "boxes 4"]:
    """The boxes as one array in double precision; raises DataError for what is none."""
    found = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) if len(boxes) == 0 else np.asarray(boxes, np.float64)
    if found.ndim != 2 or found.shape[1] != 4 or not np.isfinite(found).all():
        raise DataError(f"expected boxes of four finite numbers, x1, y1, x2, y2, got {list(found.shape)}")
    return found


def _areas(boxes: Float[Array, "boxes 4"]) -> Float[Array, " boxes"]:
    areas: Array = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return areas


def _centre(box: Float[Array, " 4"]) -> Float[Array, " 2"]:
    centre: Array = (box[:2] + box[2:]) / 2
    return centre


def _inside(point: Point, boxes: Float[Array, "boxes 4"]) -> float:
    """1 where the point lies in one of the boxes, edges included, else 0."""
    place = np.asarray(point, dtype=np.float64)
    return float(((boxes[:, :2] <= place) & (place <= boxes[:, 2:])).all(1).any())
