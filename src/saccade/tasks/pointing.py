"""Where a model looked, measured: each step's region map against the boxes that it ought to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.data.records import Box, Question
from saccade.errors import StoreError
from saccade.metrics.attention import attention_entropy, attention_mass, pointing_accuracy
from saccade.types import AttentionMap, Regions


@dataclass(frozen=True)
class Measured:
    """One step's attention over regions: did it point at a box, how much lay in the boxes, how spread was it."""

    step: str
    pointing_accuracy: float
    attention_mass: float
    attention_entropy: float


MEASURES = ("pointing_accuracy", "attention_mass", "attention_entropy")


def measure_attention(
    attention: Sequence[AttentionMap], regions: Regions, questions: Sequence[Question]
) -> list[tuple[Measured, ...]]:
    """What is measured of each question of a batch, a step after the other; nothing for a question without boxes.

    Of a model without maps over regions alone, those that its words look with are taken, summed over words and heads.
    """
    asked = [i for i, question in enumerate(questions) if question.boxes]
    maps = [each for each in attention if each.axes == ("regions",)]
    maps = maps or [each for each in attention if each.axes[-2:] == ("words", "regions") and each.kind != "raw"]
    found: list[list[Measured]] = [[] for _ in questions]
    if not asked or not maps:
        return [() for _ in questions]
    if regions.boxes is None:
        raise StoreError("the regions have no boxes, so where the model looked cannot be measured")
    boxes = [questions[i].boxes for i in asked]
    places, mask = (regions.per_text(of)[asked].cpu().numpy() for of in (regions.boxes, regions.mask))
    for each in maps:
        weights = _over_regions(each.weights[asked].float()).cpu().numpy()
        measured = zip(
            asked,
            pointing_accuracy(weights, places, boxes, mask).tolist(),
            attention_mass(weights, places, boxes, mask).tolist(),
            attention_entropy(weights, mask).tolist(),
            strict=True,
        )
        for i, *values in measured:
            found[i].append(Measured(each.name, *values))
    return [tuple(steps) for steps in found]


def pointing_of_words(
    attention: Sequence[AttentionMap], regions: Regions, targets: Sequence[Sequence[tuple[int, Sequence[Box]]]]
) -> list[tuple[float, ...]]:
    """For each caption's words of interest, (place among its words, boxes), whether the word's strongest region hits.

    Of several maps from words to regions the last counts; nothing is measured for a model without one.
    """
    maps = [each for each in attention if each.axes == ("words", "regions") and each.kind != "raw"]
    rows = [(i, place, boxes) for i, words in enumerate(targets) for place, boxes in words]
    hits: list[list[float]] = [[] for _ in targets]
    if maps and rows:
        if regions.boxes is None:
            raise StoreError("the regions have no boxes, so where the model looked cannot be measured")
        texts, places = [i for i, _, _ in rows], [place for _, place, _ in rows]
        weights = maps[-1].weights[texts, places].float().cpu().numpy()
        where, mask = (regions.per_text(of)[texts].cpu().numpy() for of in (regions.boxes, regions.mask))
        measured = pointing_accuracy(weights, where, [boxes for _, _, boxes in rows], mask)
        for i, hit in zip(texts, measured.tolist(), strict=True):
            hits[i].append(hit)
    return [tuple(found) for found in hits]


def attention_metrics(measured: Sequence[tuple[Measured, ...]], *, steps: bool = True) -> dict[str, float]:
    """The means over questions: of the last step, and with `steps` of each step by name."""
    if not measured:
        return {}
    found = {name: _mean([getattr(steps_of_one[-1], name) for steps_of_one in measured]) for name in MEASURES}
    for number, step in enumerate(measured[0] if steps else ()):
        key = step.step.replace(" ", "_")
        found |= {f"{name}_{key}": _mean([getattr(one[number], name) for one in measured]) for name in MEASURES}
    return found


def _over_regions(weights: Float[Tensor, "texts *axes regions"]) -> Float[Tensor, "texts regions"]:
    """The marginal over the last axis; zero where there is no weight at all."""
    summed = weights.flatten(1, -2).sum(1) if weights.ndim > 2 else weights
    return summed / summed.sum(1, keepdim=True).clamp(min=torch.finfo(summed.dtype).tiny)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
