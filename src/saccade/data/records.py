"""What a reader gives: typed records, the images they speak of, and what was counted while reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from PIL.Image import Image

Box = tuple[float, float, float, float]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about an image.

    ``answers`` holds what each annotator said, repeated where they agree; none at all where the answers are kept
    secret, as for an official test split. ``kind`` is the question's type ("" where the corpus has none). ``boxes`` are
    where an attention ought to look, as x1, y1, x2, y2 fractions of width and height; empty where unknown. ``answer``
    is the one answer that the corpus itself names as the right one: VQA's multiple_choice_answer, which may be "", and
    None in corpora without such a thing. ``choices`` are the answers offered in a multiple-choice task.
    ``question_type`` is VQA's other type, the question's first words, where ``kind`` is its answer_type.
    """

    id: str
    image: str
    text: str
    answers: tuple[str, ...]
    kind: str = ""
    boxes: tuple[Box, ...] = ()
    answer: str | None = None
    choices: tuple[str, ...] = ()
    question_type: str = ""


@dataclass(frozen=True)
class Phrase:
    """A phrase of a sentence: its words, from the first up to but not including the last, and the boxes meant."""

    words: tuple[int, int]
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence that somebody wrote about an image.

    ``phrases`` count the words that spaces separate in ``text``; there are none where the corpus has no boxes.
    """

    id: str
    image: str
    text: str
    phrases: tuple[Phrase, ...] = ()


@runtime_checkable
class AnsweringData(Protocol):
    """A corpus of questions about images, split by image."""

    def questions(self, split: str) -> Sequence[Question]:
        """The questions of a split, in the corpus's order; raises UnknownNameError for a split it lacks."""
        ...

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        ...


@runtime_checkable
class CaptioningData(Protocol):
    """A corpus of images with captions, split by image."""

    def captions(self, split: str) -> Sequence[Caption]:
        """The captions of a split, in the corpus's order; raises UnknownNameError for a split it lacks."""
        ...

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        ...


Corpus = AnsweringData | CaptioningData


def images_of(texts: Sequence[Question] | Sequence[Caption]) -> list[str]:
    """The ids of the images that the texts are about, each once, in order of appearance."""
    return list(dict.fromkeys(text.image for text in texts))
