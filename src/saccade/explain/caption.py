"""The figure of a caption: the image, then for each word the image lit where the model attended, and the word's gate.

Figures 2 and 3 of "Show, Attend and Tell" (Xu et al. 2015) are the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from saccade.errors import SaccadeError
from saccade.explain.figure import Figure, Listing
from saccade.explain.panel import Bar, Links, Panel, Picture, RegionWeights
from saccade.explain.steps import boxes_of

# A logarithm summed in half precision may end this much above that of a certain caption.
LOG_TOLERANCE = 0.02

WITHOUT_WORDS = "(a caption without words)"
READING_GRID = "The lighter, the more attention; each word has its own scale."
READING_BOXES = "The clearer a region, the more attention; each word has its own scale, and the numbers are weights."
READING_BETAS = "Beta, from 0 to 1, is how much of what was seen goes into the word."
LINKED = "attention of each word"
WITHOUT_ATTENTION = "The model has no attention: there is no map to draw."


def caption_figure(
    image: Image.Image,
    caption: str,
    words: Sequence[str],
    log_probability: float,
    *,
    maps: Float[np.ndarray, "words regions"] | None = None,
    betas: Float[np.ndarray, " words"] | None = None,
    boxes: Tensor | Float[np.ndarray, "boxes 4"] | None = None,
    grid: tuple[int, int] | None = None,
    alternatives: Sequence[tuple[str, float]] = (),
    note: str = "",
) -> Figure:
    """The figure of a caption with its log-probability, and the weights of the regions behind each of its words.

    `image` is upright; `words` are the caption's in order, without its end, whose probability `log_probability`
    includes. `maps` is None for a model without attention, `betas` for one without a gate; `boxes` and `grid` place the
    regions as in RegionWeights. `alternatives` are other captions with their log-probabilities, best first; `note` is a
    line under the caption. Raises SaccadeError for sizes that disagree and for weights, gates or probabilities that are
    none.
    """
    _check(caption, words, log_probability, maps, betas, alternatives)
    picture = Picture(image, f"The image captioned: {caption}")
    lines = (_likelihood(log_probability, len(words)), *([note] if note else []))
    rows = tuple((probability_text(number), _readable(text)) for text, number in alternatives)
    listing = Listing("Other captions and their probabilities", rows) if rows else None
    title = _readable(caption)
    if maps is None or not words or not maps.any():
        reading = WITHOUT_ATTENTION if maps is None else ""
        return Figure(title, lines, (Panel(picture=picture),), "alone", reading, listing)
    places = boxes_of(boxes)
    panels = [Panel("image", picture)]
    for i, word in enumerate(words):
        name = f"word {i + 1}, {word!r}"
        regions = RegionWeights(name, tuple(maps[i].tolist()), places, grid, "light")
        beta = None if betas is None else float(betas[i])
        gauge = None if beta is None else Bar("beta", beta, f"{beta:.2f}")
        panels.append(Panel(word, Picture(image, regions=regions), gauge))
    gridded = all(panel.picture.regions.grid is not None for panel in panels if panel.picture and panel.picture.regions)
    reading = READING_GRID if gridded else READING_BOXES
    reading = reading if betas is None else f"{reading} {READING_BETAS}"
    links = Links(LINKED, tuple(words), tuple(tuple(row) for row in maps.tolist()))
    return Figure(title, lines, tuple(panels), "small", reading, listing, links=links)


def captions_figure(figures: Sequence[Figure]) -> Figure:
    """The captions of several images, one below the other; that of a single one is the figure itself."""
    if not figures:
        raise SaccadeError("expected at least one caption to draw, got none")
    return figures[0] if len(figures) == 1 else Figure(f"Captions of {len(figures)} images", parts=tuple(figures))


def probability_text(log_probability: float) -> str:
    """A caption's probability, to two digits.

    >>> probability_text(-0.5), probability_text(-11.3), probability_text(-2000.0)
    ('0.61', '0.000012', '2.6e-869')
    """
    # A float underflows below about -745, which a long caption of an untrained model can reach.
    return f"{Decimal(min(0.0, log_probability)).exp():.2g}"


def _readable(caption: str) -> str:
    return caption if caption.strip() else WITHOUT_WORDS


def _likelihood(log_probability: float, words: int) -> str:
    """The caption's probability, and the geometric mean of those of its words and its end, as a line of text."""
    whole = f"probability {probability_text(log_probability)}"
    mean = math.exp(min(0.0, log_probability / (words + 1)))
    return f"{whole}, on average {mean:.2f} a word" if words else whole


def _check(
    caption: str,
    words: Sequence[str],
    log_probability: float,
    maps: Float[np.ndarray, "maps regions"] | None,
    betas: Float[np.ndarray, " betas"] | None,
    alternatives: Sequence[tuple[str, float]],
) -> None:
    for text, number in ((caption, log_probability), *alternatives):
        if not number <= LOG_TOLERANCE:
            raise SaccadeError(f"expected a log-probability of at most 0, got {number} for {text!r}")
    if betas is not None and maps is None:
        raise SaccadeError("got betas without maps: expected the maps that they weigh")
    for what, rows in (("beta", betas), ("map", maps)):
        if rows is not None and len(rows) != len(words):
            raise SaccadeError(f"expected one {what} for each of the {len(words)} words, got {len(rows)}")
    for beta in () if betas is None else betas.tolist():
        if not 0.0 <= beta <= 1.0:
            raise SaccadeError(f"expected betas between 0 and 1, got {beta:.3g}")
