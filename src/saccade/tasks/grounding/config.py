"""How sentences become words and phrases, what a region is held to, and what may differ when a run is used."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import tyro

from saccade.limits import NOT_NEGATIVE, SHARE, Limit, check_limits, optional
from saccade.tasks.base import TaskConfig, check_above_zero

if TYPE_CHECKING:
    from saccade.tasks.grounding.task import GroundingTask

OVERLAP = Limit(above=0, most=1)
SPECIAL = 2  # ids that are no words: padding, unknown


@dataclass(frozen=True, kw_only=True)
class GroundingOptions:
    """What may differ when a run that grounds is evaluated or used."""

    phrase: tuple[str, ...] = ()
    """Grounding: find these phrases, words of the sentence as they stand in it; by default those that are noticed."""
    nms: float | None = None
    """Grounding: rank no box that overlaps a better one with more than this IoU."""
    vote: float | None = None
    """Grounding: put in front the mean of the regions that overlap the best one with at least this IoU, by the squares
    of their shares; 1 is the best one as it is, and the recipe's is taken unless given."""


@dataclass(frozen=True)
class GroundingConfig(TaskConfig):
    """How sentences become words and phrases, and what a region is held to."""

    Options: ClassVar[type] = GroundingOptions

    kind: tyro.conf.Suppress[Literal["grounding"]] = "grounding"
    """The task."""
    words: int = 10_000
    """Keep the so many most frequent words of the training sentences, counting those for padding and unknown."""
    min_word_count: int = 1
    """Of these, keep the words that the training sentences have so many times."""
    max_words: int = 82
    """Sentences are cut after so many words."""
    glove: str = ""
    """Text file of GloVe word vectors to start from, for the models that take some."""
    loss: Literal["sigmoid", "softmax"] = "sigmoid"
    """sigmoid: every region by itself is right or wrong, as BAN's authors train; softmax: the regions share 1, which
    the right ones should have by how well they fit (Yu et al. 2018)."""
    overlap: float = 0.5
    """A region is right where it overlaps one of the phrase's boxes with at least this IoU."""
    shift_weight: float = 1.0
    """How much the loss of moved boxes counts, of a model that moves them."""
    vote: float = 1.0
    """The first box is the mean of the regions that overlap the best one with at least this IoU, weighted by the
    squares of their shares (box voting, Gidaris and Komodakis 2015); 1 is the best one as it is."""

    @staticmethod
    def task() -> type[GroundingTask]:
        """Grounding."""
        from saccade.tasks.grounding.task import GroundingTask  # noqa: PLC0415 - loads PyTorch

        return GroundingTask

    def check(self) -> None:
        """Refuse numbers of nothing."""
        check_above_zero(min_word_count=self.min_word_count, max_words=self.max_words)
        limits = {
            "words": (Limit(least=SPECIAL + 1, whole=True), self.words),
            "overlap": (OVERLAP, self.overlap),
            "shift_weight": (NOT_NEGATIVE, self.shift_weight),
            "vote": (OVERLAP, self.vote),
        }
        check_limits({f"task.{name}": limit for name, limit in limits.items()})

    def smoke(self) -> GroundingConfig:
        """The same, without a file of word vectors."""
        return dataclasses.replace(self, glove="")


def check_options(options: GroundingOptions) -> None:
    """Refuse, with RecipeError, an overlap that is no share."""
    check_limits({"nms": (optional(SHARE), options.nms), "vote": (optional(OVERLAP), options.vote)})
