"""How questions and answers become classes and scores, and what may differ when a run is used."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import tyro

from saccade.tasks.base import TaskConfig, check_above_zero

if TYPE_CHECKING:
    from saccade.tasks.answering.task import AnsweringTask


@dataclass(frozen=True, kw_only=True)
class AnsweringOptions:
    """What may differ when a run that answers is evaluated or used."""

    top: int | None = None
    """How many answers to a question, or captions of an image, to give."""


@dataclass(frozen=True)
class AnsweringConfig(TaskConfig):
    """How questions and answers become classes and scores."""

    Options: ClassVar[type] = AnsweringOptions
    ALIKE: ClassVar[tuple[str, ...]] = ("scoring", "answers", "min_answer_count")

    kind: tyro.conf.Suppress[Literal["answering"]] = "answering"
    """The task."""
    answers: int = 2000
    """Keep the so many most frequent answers of the training split as classes."""
    min_answer_count: int = 1
    """Of these, keep the answers that so many training questions have."""
    targets: Literal["hard", "annotators", "soft", "ban"] = "hard"
    """hard: softmax, the annotators' most frequent answer; annotators: softmax, the share of annotators with each
    answer, which is the mean of sampling one of them; soft: a sigmoid per class, the official scores; ban: the same
    from the answers as they were written, by the table of BAN's authors."""
    scoring: Literal["vqa", "daquar", "exact"] = "vqa"
    """vqa: the official VQA accuracy, with its normalisation; daquar: exact answer sets and WUPS; exact: answers as
    they were written, but for spaces and upper case."""
    words: Literal["words", "ban", "smem"] = "words"
    """How a question becomes words; words: without punctuation; ban: as BAN's authors do it, "what 's the man 's name";
    smem: as SMem's, where question marks and commas are words."""
    min_word_count: int = 1
    """Words rarer than this in the training questions are unknown."""
    max_words: int = 50
    """Questions are cut after so many words."""
    glove: str = ""
    """Text file of GloVe word vectors to start from, for the models that take some."""
    related: Literal["tfidf", "code"] = "tfidf"
    """BAN's second table of word vectors, of the words that share a question with each; tfidf: rare ones weigh more, as
    the paper means it; code: as its authors' code, by a slip, nearly without weights."""

    @staticmethod
    def task() -> type[AnsweringTask]:
        """Answering."""
        from saccade.tasks.answering.task import AnsweringTask  # noqa: PLC0415 - loads PyTorch

        return AnsweringTask

    def check(self) -> None:
        """Refuse numbers of nothing."""
        check_above_zero(
            answers=self.answers,
            min_answer_count=self.min_answer_count,
            min_word_count=self.min_word_count,
            max_words=self.max_words,
        )

    def smoke(self) -> AnsweringConfig:
        """Without files, and with every answer."""
        return dataclasses.replace(self, glove="", min_answer_count=1)
