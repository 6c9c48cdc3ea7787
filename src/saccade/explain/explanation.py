"""An answer and the attention it was reached with, as plain data that can be drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from saccade.errors import SaccadeError
from saccade.types import AttentionMap

# Half precision leaves sums of a few hundred weights within this of 1.
SUM_TOLERANCE = 0.02
# A scale reaches at least this many times the even share, so that an almost even map looks almost even.
LEAST_CONTRAST = 4.0
# The strongest weight is worth an outline when it is this many times the even share.
LEAST_LEAD = 1.05


@dataclass(frozen=True, eq=False)
class Step:
    """One look: the weights given to the regions of the image, to the words of the question, or to both.

    ``boxes`` are xyxy fractions of the image. With a ``grid`` of (rows, columns) the regions are its cells in
    row-major order, drawn as one heat map over the boxes' extent, or over the whole image where boxes are None.
    Raises SaccadeError for weights that are not finite, negative, or do not sum to 1, and for sizes that disagree.
    """

    name: str
    regions: Float[np.ndarray, " regions"] | None = None
    words: Float[np.ndarray, " words"] | None = None
    boxes: Float[np.ndarray, "boxes 4"] | None = None
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.regions is None and self.words is None:
            raise SaccadeError(f"{self.name}: expected weights of regions or of words, got neither")
        if self.words is not None:
            _check_weights(self.words, f"{self.name}: the words' weights")
        if self.regions is not None:
            _check_weights(self.regions, f"{self.name}: the regions' weights")
            self._check_places(len(self.regions))

    def _check_places(self, count: int) -> None:
        if self.boxes is None and self.grid is None:
            raise SaccadeError(f"{self.name}: {count} regions cannot be drawn without their boxes or their grid")
        if self.grid is not None and math.prod(self.grid) != count:
            rows, columns = self.grid
            raise SaccadeError(f"{self.name}: expected {rows} x {columns} weights for the grid, got {count}")
        if self.boxes is not None and self.boxes.shape != (count, 4):
            raise SaccadeError(f"{self.name}: expected boxes of shape ({count}, 4), got {self.boxes.shape}")
        if self.boxes is not None and not np.isfinite(self.boxes).all():
            raise SaccadeError(f"{self.name}: expected boxes as fractions of the image, some are not finite")

    def places(self) -> Float[np.ndarray, "regions 4"]:
        """The regions' boxes in order of corner, inside the image; a grid's cells where no boxes were given."""
        boxes = self.boxes if self.boxes is not None else _cells(*(self.grid or (0, 0)))
        corners = np.sort(np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2), axis=1)
        return np.clip(corners, 0.0, 1.0).reshape(-1, 4)


@dataclass(frozen=True, eq=False)
class Explanation:
    """A question about an image, its answers with their probabilities, best first, and the steps that led there.

    ``image`` is upright and RGB; ``words`` are the question's words as the model read them; ``note`` is a line to
    show under the question, such as the expected answer. Raises SaccadeError when a step's words do not match.
    """

    image: Image.Image
    question: str
    words: tuple[str, ...]
    answers: tuple[tuple[str, float], ...]
    steps: tuple[Step, ...] = field(default=())
    note: str = ""

    def __post_init__(self) -> None:
        for step in self.steps:
            if step.words is not None and len(step.words) != len(self.words):
                raise SaccadeError(
                    f"{step.name}: expected one weight for each of the {len(self.words)} words, got {len(step.words)}"
                )
        wrong = next((answer for answer, share in self.answers if not 0.0 <= share <= 1.0 + SUM_TOLERANCE), None)
        if wrong is not None:
            raise SaccadeError(f"expected probabilities between 0 and 1, got {dict(self.answers)[wrong]} for {wrong!r}")


def steps_of(
    attention: Sequence[AttentionMap],
    boxes: Tensor | Float[np.ndarray, "regions 4"] | None = None,
    grid: tuple[int, int] | None = None,
) -> tuple[Step, ...]:
    """The steps of one example, in order: maps of the same name belong to the same step.

    A joint map over words and regions is shown by its two marginals, a map by rows by the mean of its rows; maps of
    kind "raw" are no attention and left out, and so is a map without any weight. Raises SaccadeError for a batch of
    more than one example, and for a name that says the same twice.
    """
    found: dict[str, dict[str, Float[np.ndarray, " weights"]]] = {}
    for each in attention:
        if len(each.weights) != 1:
            raise SaccadeError(f"{each.name}: expected the attention of one example, got {len(each.weights)}")
        if each.kind == "raw" or not each.weights.any():
            continue
        step = found.setdefault(each.name, {})
        for axis in dict.fromkeys(each.axes if each.kind == "joint" else each.axes[-1:]):
            if axis in step:
                raise SaccadeError(f"{each.name}: expected one map over {axis}, got two; name the steps apart")
            step[axis] = _marginal(each, axis)
    places = np.asarray(boxes.detach().float().cpu()) if isinstance(boxes, Tensor) else boxes
    return tuple(
        Step(name, step.get("regions"), step.get("words"), places if "regions" in step else None, grid)
        for name, step in found.items()
    )


def even_share(weights: Float[np.ndarray, " weights"]) -> float:
    """The weight that each would have if all had the same."""
    return 1.0 / len(weights)


def scale_top(weights: Float[np.ndarray, " weights"]) -> float:
    """The weight at the upper end of the scale that these weights are drawn with; the lower end is 0."""
    return min(1.0, max(float(weights.max()), least_top(weights)))


def least_top(weights: Float[np.ndarray, " weights"]) -> float:
    """What the upper end of their scale is at the least."""
    return min(1.0, LEAST_CONTRAST * even_share(weights))


def shares(weights: Float[np.ndarray, " weights"]) -> Float[np.ndarray, " weights"]:
    """The weights' places on their scale, from 0 to 1."""
    return np.clip(np.asarray(weights, dtype=np.float64) / scale_top(weights), 0.0, 1.0)


def strongest(weights: Float[np.ndarray, " weights"]) -> int | None:
    """The index of the largest weight, or None when the weights are as good as even."""
    top = int(weights.argmax())
    return top if weights[top] > LEAST_LEAD * even_share(weights) else None


def weight_text(weight: float, count: int) -> str:
    """A weight among `count`, with enough decimals that the printed weights sum to 1 within 0.05.

    >>> weight_text(1 / 7, 7), weight_text(1 / 196, 196)
    ('0.14', '0.0051')
    """
    return f"{weight:.{max(2, math.ceil(math.log10(count)) + 1)}f}"


def short_text(weight: float) -> str:
    """A weight on its own, to two digits.

    >>> short_text(0.3219), short_text(1 / 196), short_text(1.0)
    ('0.32', '0.0051', '1.0')
    """
    return f"{weight:#.2g}"


def said(weights: Float[np.ndarray, " regions"]) -> str:
    """What a map with these weights shows, in words."""
    count, top = len(weights), strongest(weights)
    regions = "1 region" if count == 1 else f"{count} regions"
    if top is None:
        return f"{regions}, all as good as even"
    lead = float(weights[top]) / even_share(weights)
    times = f"{lead:.1f}" if lead < 10 else f"{lead:.0f}"
    return f"{regions}, the strongest {short_text(float(weights[top]))}, {times} times the even share"


def percent(share: float) -> str:
    """A share of 1 as a percentage with one decimal; what is almost nothing is not called nothing.

    >>> percent(0.8314), percent(0.0002), percent(0.0)
    ('83.1 %', '< 0.1 %', '0.0 %')
    """
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def _check_weights(weights: Float[np.ndarray, " weights"], what: str) -> None:
    if weights.ndim != 1 or not len(weights):
        raise SaccadeError(f"{what}: expected a row of at least one, got shape {weights.shape}")
    if not np.isfinite(weights).all():
        raise SaccadeError(f"{what}: {int((~np.isfinite(weights)).sum())} of {len(weights)} are not finite numbers")
    if weights.min() < 0:
        raise SaccadeError(f"{what}: expected none below 0, got {weights.min():.3g}")
    total = float(weights.sum(dtype=np.float64))
    if abs(total - 1) > SUM_TOLERANCE:
        raise SaccadeError(f"{what}: expected a sum of 1, got {total:.3g}")


def _marginal(attention: AttentionMap, axis: str) -> Float[np.ndarray, " weights"]:
    """How much each region, or each word, is attended to in all; sums to what a single distribution would."""
    weights = np.asarray(attention.weights.detach().float().cpu()[0], dtype=np.float64)
    if attention.axes == (axis,):
        return weights
    # Where an axis comes twice, as in self-attention, the last is the one attended to.
    kept = max(i for i, name in enumerate(attention.axes) if name == axis)
    marginal: Float[np.ndarray, " weights"] = weights.sum(axis=tuple(i for i in range(weights.ndim) if i != kept))
    marginal /= marginal.sum()
    return marginal


def _cells(rows: int, columns: int) -> Float[np.ndarray, "cells 4"]:
    """The boxes of a grid's cells over the whole image, in row-major order."""
    y, x = np.divmod(np.arange(rows * columns, dtype=np.float64), columns)
    return np.stack([x / columns, y / rows, (x + 1) / columns, (y + 1) / rows], axis=1)
