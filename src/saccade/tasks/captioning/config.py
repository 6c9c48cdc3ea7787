"""How captions become words to predict, and how captions are searched for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import tyro

from saccade.errors import RecipeError
from saccade.limits import PART, Limit, check_limits
from saccade.tasks.base import SCORING, TaskConfig, check_above_zero

if TYPE_CHECKING:
    from saccade.tasks.captioning.task import CaptioningTask

SPECIAL = 3  # ids that are no words: padding, unknown, end


@dataclass(frozen=True, kw_only=True)
class CaptioningOptions:
    """What may differ when a run that captions is evaluated or used; None is what its recipe says."""

    beam: int | None = None
    """Captions: hypotheses kept while searching; the recipe's unless given."""
    length_penalty: float | None = None
    """Captions: rank them by log-probability over length to this power; the recipe's unless given."""
    top: int | None = None
    """How many answers to a question, or captions of an image, to give."""
    sample: bool = False
    """Captions: draw them instead of searching."""
    temperature: float = 1.0
    """Captions: what logits are divided by before a word is drawn."""
    look: Literal["expectation", "argmax", "sample"] | None = None
    """Captions: how hard attention looks: at the mean of the regions by their probability, at the likeliest, at one
    drawn."""
    begin: str | None = None
    """Captions: words that each begins with; the search goes on from there."""
    java: bool = field(default=False, metadata=SCORING)
    """Captions: METEOR and SPICE as well, which need Java and saccade-attention[java]."""


@dataclass(frozen=True)
class CaptioningConfig(TaskConfig):
    """How captions become words to predict, and how captions are found when validating."""

    Options: ClassVar[type] = CaptioningOptions

    kind: tyro.conf.Suppress[Literal["captioning"]] = "captioning"
    """The task."""
    words: int = 10_000
    """Keep the so many most frequent words of the training captions, counting those for padding, unknown and end."""
    min_word_count: int = 1
    """Of these, keep the words that the training captions have so many times."""
    max_words: int = 99
    """Captions of more words are not trained on."""
    batches: Literal["length", "padded"] = "length"
    """length: the captions of a batch have the same number of words, as in the paper; padded: any captions."""
    label_smoothing: float = 0.0
    """Share of each target's probability that is spread over all words."""
    beam: int = 1
    """Hypotheses kept when decoding; 1 takes the most probable word each time."""
    max_length: int = 30
    """Most words of a decoded caption."""
    min_length: int = 1
    """Fewest words of a decoded caption."""
    length_penalty: float = 0.0
    """Hypotheses are ranked by their log-probability over their length to this power; 0 ranks by the sum."""

    @staticmethod
    def task() -> type[CaptioningTask]:
        """Captioning."""
        from saccade.tasks.captioning.task import CaptioningTask  # noqa: PLC0415 - loads PyTorch

        return CaptioningTask

    def check(self) -> None:
        """Refuse numbers of nothing, and searches that cannot be."""
        check_above_zero(
            min_word_count=self.min_word_count, max_words=self.max_words, beam=self.beam, max_length=self.max_length
        )
        limits = {
            "words": (Limit(least=SPECIAL + 1, whole=True), self.words),
            "label_smoothing": (PART, self.label_smoothing),
            "min_length": (Limit(least=0, whole=True), self.min_length),
            "length_penalty": (Limit(), self.length_penalty),
        }
        check_limits({f"task.{name}": limit for name, limit in limits.items()})
        if self.min_length > self.max_length:
            raise RecipeError(
                f"task.min_length: expected at most task.max_length, {self.max_length}, got {self.min_length}"
            )

    def smoke(self) -> CaptioningConfig:
        """Short captions of all words."""
        return dataclasses.replace(
            self, min_word_count=1, max_length=min(self.max_length, 12), min_length=min(self.min_length, 12)
        )
