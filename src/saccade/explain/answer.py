"""The figure of an answer: the image with the answers, then for every step its map and the words it read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from saccade.explain.figure import Figure
from saccade.explain.panel import Bar, Box, Panel, Picture, RegionWeights, WordWeights
from saccade.explain.steps import Step, boxes_of, links_of, steps_of
from saccade.explain.weights import share_text
from saccade.types import AttentionMap


def answer_figure(
    image: Image.Image,
    question: str,
    words: Sequence[str],
    answers: Sequence[tuple[str, float]],
    attention: Sequence[AttentionMap] = (),
    *,
    boxes: Tensor | Float[np.ndarray, "boxes 4"] | None = None,
    grid: tuple[int, int] | None = None,
    note: str = "",
) -> Figure:
    """The figure of a question's answers with their probabilities, best first, and the attention behind them.

    `image` is upright; `words` are the question's as the model read them; `boxes` and `grid` place the regions as in
    RegionWeights; `note` is a line under the question, such as the expected answer. Raises SaccadeError for weights or
    probabilities that are none, and for sizes that disagree.
    """
    places = boxes_of(boxes)
    bars = tuple(Bar(answer, share, share_text(share)) for answer, share in answers)
    first = Panel("image", Picture(image, f"The image asked about: {question}"), bars=bars)
    steps = (_panel(image, words, step, places, grid) for step in steps_of(attention))
    links = links_of(attention, words)
    return Figure(question, (note,) if note else (), (first, *steps), links=links)


def _panel(
    image: Image.Image,
    words: Sequence[str],
    step: Step,
    boxes: tuple[Box, ...] | None,
    grid: tuple[int, int] | None,
) -> Panel:
    regions = None if step.regions is None else RegionWeights(step.name, step.regions, boxes, grid)
    return Panel(
        step.name,
        None if regions is None else Picture(image, regions=regions),
        words=None if step.words is None else WordWeights(step.name, tuple(words), step.words),
    )
