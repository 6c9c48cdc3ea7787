"""How sentences become words, what a pair is held against, and what may differ when a run is used."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import tyro

from saccade.limits import NOT_NEGATIVE, Limit, check_limits
from saccade.tasks.base import SCORING, TaskConfig, check_above_zero

if TYPE_CHECKING:
    from saccade.tasks.matching.task import MatchingTask

SPECIAL = 2  # ids that are no words: padding, unknown


@dataclass(frozen=True, kw_only=True)
class MatchingOptions:
    """What may differ when a run that matches is evaluated or used."""

    folds: int = field(default=1, metadata=SCORING)
    """Matching: score the images in so many equal parts, each by itself, and give the means; 5 is COCO's 1K."""


@dataclass(frozen=True)
class MatchingConfig(TaskConfig):
    """How sentences become words, and which loss tells pairs from others."""

    Options: ClassVar[type] = MatchingOptions

    kind: tyro.conf.Suppress[Literal["matching"]] = "matching"
    """The task."""
    words: int = 10_000
    """Keep the so many most frequent words of the training sentences, counting those for padding and unknown."""
    min_word_count: int = 1
    """Of these, keep the words that the training sentences have so many times."""
    max_words: int = 50
    """Sentences are cut after so many words."""
    loss: Literal["random", "all", "hardest", "semi-hard", "softmax"] = "random"
    """What a pair is held against; random: one other image and one other sentence, by the margin, as in the paper; all:
    all others of the batch; hardest: those that score highest; semi-hard: the highest of those below the pair; softmax:
    all, by the cross-entropy of a softmax over scores, both ways (InfoNCE)."""
    margin: float = 100.0
    """How far a pair must be above what it is held against; 100 is for products, 0.2 is usual for cosines."""
    warmup_epochs: int = 0
    """hardest: hold pairs against all others for the first so many epochs; alone from the start, that loss stalls."""

    @staticmethod
    def task() -> type[MatchingTask]:
        """Matching."""
        from saccade.tasks.matching.task import MatchingTask  # noqa: PLC0415 - loads PyTorch

        return MatchingTask

    def check(self) -> None:
        """Refuse numbers of nothing."""
        check_above_zero(min_word_count=self.min_word_count, max_words=self.max_words)
        limits = {
            "words": (Limit(least=SPECIAL + 1, whole=True), self.words),
            "margin": (NOT_NEGATIVE, self.margin),
            "warmup_epochs": (Limit(least=0, whole=True), self.warmup_epochs),
        }
        check_limits({f"task.{name}": limit for name, limit in limits.items()})

    def smoke(self) -> MatchingConfig:
        """The same, with the loss of its end from the start."""
        return dataclasses.replace(self, warmup_epochs=0)
