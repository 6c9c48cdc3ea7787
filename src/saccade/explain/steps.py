"""Attention maps to steps: what each step of a model attends to, regions of an image or words of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from saccade.errors import SaccadeError
from saccade.explain.panel import Box, Links
from saccade.types import AttentionMap

LINKED = "attention of words and regions to each other, over all steps"


@dataclass(frozen=True)
class Step:
    """The weights that one step gives to the regions of an image, to the words of a text, or to both."""

    name: str
    regions: tuple[float, ...] | None
    words: tuple[float, ...] | None


def steps_of(attention: Sequence[AttentionMap]) -> tuple[Step, ...]:
    """The steps of one example, in order: maps of the same name belong to the same step.

    A joint map over words and regions becomes its two marginals, a map by rows the mean of its rows; maps of kind "raw"
    are no attention and left out, and so is a map without any weight. Raises SaccadeError for a batch of more than one
    example, and for a name that says the same twice.
    """
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for each in attention:
        if len(each.weights) != 1:
            raise SaccadeError(f"{each.name}: expected the attention of one example, got {len(each.weights)}")
        if each.kind == "raw" or not each.weights.any():
            continue
        step = found.setdefault(each.name, {})
        for axis in dict.fromkeys(each.axes if each.kind == "joint" else each.axes[-1:]):
            if axis in step:
                raise SaccadeError(f"{each.name}: expected one map over {axis}, got two; name the steps apart")
            step[axis] = tuple(_marginal(each, axis).tolist())
    return tuple(Step(name, step.get("regions"), step.get("words")) for name, step in found.items())


def links_of(attention: Sequence[AttentionMap], words: Sequence[str]) -> Links | None:
    """Which words look at which regions in all steps of one example, None for a model that relates them in none.

    A map over both is a step's link as it is, its rows alike much, and heads their mean; where a step has one map over
    the regions and one over the words, a pair's link is the product of both. All links sum to 1, the steps alike much.
    """
    kept = [each for each in attention if each.kind != "raw" and each.weights.any()]
    found = [pairs for each in kept if (pairs := _pairs(each)) is not None]
    alone = {(each.name, each.axes): _marginal(each, each.axes[0]) for each in kept if len(each.axes) == 1}
    for (name, axes), of_regions in alone.items():
        if axes == ("regions",) and (name, ("words",)) in alone:
            found.append(np.outer(alone[name, ("words",)], of_regions))
    if not found:
        return None
    mean = np.mean([pairs / pairs.sum() for pairs in found], axis=0)
    return Links(LINKED, tuple(words), tuple(tuple(row) for row in mean.tolist()))


def _pairs(attention: AttentionMap) -> Float[np.ndarray, "words regions"] | None:
    """The map's weight of each word with each region, None where it is over one of the two alone."""
    if set(attention.axes) - {"heads"} != {"words", "regions"}:
        return None
    weights = np.asarray(attention.weights.detach().float().cpu()[0], dtype=np.float64)
    axes = [axis for axis in attention.axes if axis != "heads"]
    if "heads" in attention.axes:
        weights = weights.mean(axis=attention.axes.index("heads"))
    return weights if axes == ["words", "regions"] else weights.T


def boxes_of(boxes: Tensor | Float[np.ndarray, "boxes 4"] | None) -> tuple[Box, ...] | None:
    """The boxes as plain numbers, None for None."""
    if boxes is None:
        return None
    rows = boxes.detach().float().cpu().tolist() if isinstance(boxes, Tensor) else boxes.tolist()
    return tuple((left, top, right, bottom) for left, top, right, bottom in rows)


def _marginal(attention: AttentionMap, axis: str) -> Float[np.ndarray, " weights"]:
    """How much each region, or each word, is attended to in all; sums to what a single distribution would."""
    weights = np.asarray(attention.weights.detach().float().cpu()[0], dtype=np.float64)
    # Where an axis comes twice, as in self-attention, the last is the one attended to.
    kept = max(i for i, name in enumerate(attention.axes) if name == axis)
    marginal: Float[np.ndarray, " weights"] = weights.sum(axis=tuple(i for i in range(weights.ndim) if i != kept))
    marginal /= marginal.sum()
    return marginal
