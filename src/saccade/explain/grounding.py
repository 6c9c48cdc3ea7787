"""The figure of grounded phrases: the image with a box of a colour for each, then each phrase's map with its box.

Figure 4 of "Bilinear Attention Networks" (Kim, Jun and Zhang 2018) is the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image

from saccade.errors import SaccadeError
from saccade.explain.figure import Figure
from saccade.explain.panel import Box, Links, Outline, Panel, Picture, RegionWeights, WordWeights
from saccade.explain.weights import share_text

READING = (
    "Boxes and words of one colour belong together. A map is the shares of all regions, each spread over its area: the "
    "small square is where it is strongest, and the number of the box is the share of the best region."
)


@dataclass(frozen=True, eq=False)
class GroundedWords:
    """A phrase, its words in the sentence from the first up to but not including the last, and where it was found.

    ``cells`` is its map over the image, which sums to 1 or, where regions reach beyond the image, to less.
    """

    text: str
    words: tuple[int, int]
    box: Box
    share: float
    cells: Float[np.ndarray, "rows columns"]


def grounding_figure(image: Image.Image, sentence: str, phrases: Sequence[GroundedWords], *, note: str = "") -> Figure:
    """The figure of a sentence's phrases, in the order in which they are given.

    `image` is upright. Raises SaccadeError for no phrase, for words beyond the sentence, and for maps that are none.
    """
    if not phrases:
        raise SaccadeError("expected at least one phrase to draw, got none")
    words = sentence.split()
    if beyond := next((each for each in phrases if not 0 <= each.words[0] < each.words[1] <= len(words)), None):
        raise SaccadeError(f"{beyond.text!r}: expected words of the {len(words)} of the sentence, got {beyond.words}")
    outlines = tuple(Outline(each.box, each.text, color) for color, each in enumerate(phrases))
    picture = Picture(image, f"The image, with what was found of: {sentence}", outlines=outlines)
    first = Panel("image", picture, words=WordWeights("sentence", tuple(words), colors=_colors(words, phrases)))
    panels = (_panel(image, each, color) for color, each in enumerate(phrases))
    return Figure(sentence, (note,) if note else (), (first, *panels), reading=READING, links=_links(words, phrases))


def _links(words: Sequence[str], phrases: Sequence[GroundedWords]) -> Links:
    """The map of each word's phrase; nothing of a word that belongs to none."""
    maps = tuple(tuple(_shares(each).ravel().tolist()) for each in phrases)
    return Links("map of each word's phrase", tuple(words), maps, _colors(words, phrases))


def _shares(phrase: GroundedWords) -> Float[np.ndarray, "rows columns"]:
    total = phrase.cells.sum()
    return phrase.cells / total if total > 0 else np.full_like(phrase.cells, 1 / phrase.cells.size)


def _panel(image: Image.Image, phrase: GroundedWords, color: int) -> Panel:
    shares = _shares(phrase)
    rows, columns = shares.shape
    regions = RegionWeights(phrase.text, tuple(shares.ravel().tolist()), grid=(rows, columns))
    return Panel(
        phrase.text,
        Picture(image, regions=regions, outlines=(Outline(phrase.box, share_text(phrase.share), color),)),
    )


def _colors(words: Sequence[str], phrases: Sequence[GroundedWords]) -> tuple[int | None, ...]:
    """The colour of each word's phrase, of the later one where phrases share a word."""
    colors: list[int | None] = [None] * len(words)
    for color, phrase in enumerate(phrases):
        start, end = phrase.words
        colors[start:end] = [color] * (end - start)
    return tuple(colors)
