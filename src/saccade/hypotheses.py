"""How captions are searched for, and what a search finds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from saccade.errors import RecipeError, UnknownNameError
from saccade.text import END_ID, PADDING_ID, UNKNOWN_ID
from saccade.types import AttentionMap

NEVER = (PADDING_ID, UNKNOWN_ID)  # ids that are never written

# How hard attention looks: at the mean of the regions by their probability, at the likeliest, at one drawn.
Look = Literal["expectation", "argmax", "sample"]


@dataclass(frozen=True)
class Search:
    """How captions are searched for.

    ``beam`` is the number of hypotheses (1 is greedy search). ``max_length`` and ``min_length`` count words, without
    the end. Captions are ranked by log p / length ** ``length_penalty``, where the length counts the end: 0 ranks by
    probability, as the authors do, 1 by the mean per word. ``n_best`` is the number of captions returned for an image.
    ``sample`` draws that many captions, whatever the beam, from the softmax of logits / ``temperature``. ``look`` is
    how a model of hard attention looks meanwhile, by default as it was made to. ``begin`` are ids of words that every
    caption begins with, whose log-probabilities count like those of the others.
    """

    beam: int = 1
    max_length: int = 30
    min_length: int = 1
    length_penalty: float = 0.0
    n_best: int = 1
    sample: bool = False
    temperature: float = 1.0
    look: str | None = None  # a Look
    begin: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, least in {"beam": 1, "max_length": 1, "min_length": 0, "n_best": 1}.items():
            if getattr(self, name) < least:
                raise RecipeError(f"expected {name} >= {least}, got {getattr(self, name)}: raise it")
        if self.max_length < self.min_length:
            raise RecipeError(
                f"expected max_length >= min_length, got {self.max_length} < {self.min_length}: change one"
            )
        if self.n_best > self.beam and not self.sample:
            raise RecipeError(f"a beam of {self.beam} finds no more captions than that, n_best={self.n_best}: widen it")
        if not 0 < self.temperature < math.inf:
            raise RecipeError(f"expected temperature > 0, got {self.temperature}: for the likeliest words use a beam")
        if not math.isfinite(self.length_penalty):
            raise RecipeError(f"expected a finite length_penalty, got {self.length_penalty}: 0 ranks by probability")
        if self.look is not None and self.look not in get_args(Look):
            raise UnknownNameError("look", self.look, get_args(Look))
        if len(self.begin) > self.max_length:
            raise RecipeError(
                f"begin: expected at most {self.max_length} words, as many as a caption may have, got "
                f"{len(self.begin)}: leave some out"
            )
        if special := [word for word in self.begin if word <= END_ID]:
            raise RecipeError(f"begin: expected ids of words, above {END_ID}, got {special[0]}")

    def check(self, vocabulary: int) -> None:
        """Refuse, with RecipeError, a beam wider than a vocabulary of so many ids has words, and ids beyond it."""
        words = vocabulary - len(NEVER) - 1
        if self.beam > words and not self.sample:
            raise RecipeError(f"expected beam <= {words}, the vocabulary's words, got {self.beam}: narrow the beam")
        if max(self.begin, default=0) >= vocabulary:
            raise RecipeError(f"begin: expected ids below {vocabulary}, got {max(self.begin)}")

    def score(self, log_probability: Tensor, length: int) -> Tensor:
        """What captions are ranked by; the length counts the end."""
        return log_probability / float(length**self.length_penalty)


@dataclass(eq=False)
class Hypothesis:
    """A caption: its word ids without the end, and the sum of the log-probabilities of its words and its end.

    Where `max_length` came before the end, ``finished`` is False and the sum lacks the end. ``attention`` holds the
    model's maps in a batch of 1 with a row for each word; that of the end is left out.
    """

    ids: tuple[int, ...]
    log_probability: float
    finished: bool
    attention: tuple[AttentionMap, ...]
