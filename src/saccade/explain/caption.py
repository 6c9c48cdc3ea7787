"""A caption and where the model looked for each of its words, as plain data that can be drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from jaxtyping import Float
from PIL import Image

from saccade.errors import SaccadeError
from saccade.explain.explanation import Step

# A logarithm summed in half precision may end this much above that of a certain caption.
LOG_TOLERANCE = 0.02

READING_GRID = "The lighter, the more attention; each word has its own scale."
READING_BOXES = "The clearer a region, the more attention; each word has its own scale, and the numbers are weights."
READING_BETAS = "Beta, from 0 to 1, is how much of what was seen goes into the word."


@dataclass(frozen=True, eq=False)
class CaptionExplanation:
    """A caption of an image with its log probability, and the weights of the regions behind each of its words.

    ``image`` is upright and RGB; ``words`` are the caption's words in order, without its end; ``log_probability`` is
    the natural logarithm of the whole caption's, its end included. ``maps`` is None for a model without attention,
    ``betas`` for one without a gate; ``boxes`` and ``grid`` place the regions as in Step. ``alternatives`` are other
    captions with theirs, best first; ``note`` is a line to show under the caption. Raises SaccadeError for sizes that
    disagree and for weights, gates or probabilities that are none.
    """

    image: Image.Image
    caption: str
    words: tuple[str, ...]
    log_probability: float
    maps: Float[np.ndarray, "words regions"] | None = None
    betas: Float[np.ndarray, " words"] | None = None
    boxes: Float[np.ndarray, "boxes 4"] | None = None
    grid: tuple[int, int] | None = None
    alternatives: tuple[tuple[str, float], ...] = ()
    note: str = ""
    steps: tuple[Step, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for caption, number in ((self.caption, self.log_probability), *self.alternatives):
            if not number <= LOG_TOLERANCE:
                raise SaccadeError(f"expected a log probability of at most 0, got {number} for {caption!r}")
        if self.betas is not None:
            self._check_betas(self.betas)
        object.__setattr__(self, "steps", () if self.maps is None else self._checked_steps(self.maps))

    def _check_betas(self, betas: Float[np.ndarray, " words"]) -> None:
        if self.maps is None:
            raise SaccadeError("got betas without maps: expected the maps that they weigh")
        if betas.shape != (len(self.words),):
            raise SaccadeError(f"expected one beta for each of the {len(self.words)} words, got shape {betas.shape}")
        wrong = next((beta for beta in betas.tolist() if not 0.0 <= beta <= 1.0), None)
        if wrong is not None:
            raise SaccadeError(f"expected betas between 0 and 1, got {wrong:.3g}")

    def _checked_steps(self, maps: Float[np.ndarray, "words regions"]) -> tuple[Step, ...]:
        if len(maps) != len(self.words):
            raise SaccadeError(f"expected one map for each of the {len(self.words)} words, got shape {maps.shape}")
        return tuple(
            Step(f"word {i}, {word!r}", weights, None, self.boxes, self.grid)
            for i, (word, weights) in enumerate(zip(self.words, maps, strict=True), start=1)
        )

    @property
    def title(self) -> str:
        """The caption, or what to say where there is none."""
        return self.caption if self.caption.strip() else "(a caption without words)"

    @property
    def panels(self) -> tuple[tuple[str, Step, float | None], ...]:
        """Every word with its step and its beta; none for a model without attention."""
        betas = [None] * len(self.steps) if self.betas is None else self.betas.tolist()
        return tuple(zip(self.words, self.steps, betas, strict=True)) if self.steps else ()

    @property
    def likelihood(self) -> str:
        """The caption's probability, and the geometric mean of those of its words and its end, as a line of text."""
        whole = f"probability {probability_text(self.log_probability)}"
        mean = math.exp(min(0.0, self.log_probability / (len(self.words) + 1)))
        return f"{whole}, on average {mean:.2f} a word" if self.words else whole

    @property
    def reading(self) -> str:
        """How to read what is drawn."""
        if not self.steps:
            return "" if self.maps is not None else "The model has no attention: there is no map to draw."
        how = READING_BOXES if self.grid is None else READING_GRID
        return how if self.betas is None else f"{how} {READING_BETAS}"


def probability_text(log_probability: float) -> str:
    """A caption's probability, to two digits.

    >>> probability_text(-0.5), probability_text(-11.3), probability_text(-2000.0)
    ('0.61', '0.000012', '2.6e-869')
    """
    # A float underflows below about -745, which a long caption of an untrained model can reach.
    return f"{Decimal(min(0.0, log_probability)).exp():.2g}"
