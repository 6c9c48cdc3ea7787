"""What a reader gives: typed records, the images they speak of, and the interface that every corpus has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable

from PIL.Image import Image

from saccade.data.texts import composed
from saccade.errors import DataError

Box = tuple[float, float, float, float]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Record:
    """What somebody wrote about an image; every kind of record has a name for many of it, its ``noun``.

    What was written has its letters composed (Unicode's normal form C), so that equal texts are equal strings; names of
    images are as they are.
    """

    noun: ClassVar[str] = "records"

    id: str
    image: str
    text: str

    def __post_init__(self) -> None:
        """Compose the letters of what was written."""
        if not self.text.isascii():
            _compose(self, "text")


R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Question(Record):
    """A question about an image.

    ``answers`` holds what each annotator said, repeated where they agree; none at all where the answers are kept
    secret, as for an official test split. ``kind`` is the question's type ("" where the corpus has none). ``boxes`` are
    where an attention ought to be, as x1, y1, x2, y2 fractions of width and height; empty where unknown. ``answer``
    is the one answer that the corpus itself names as the right one: VQA's multiple_choice_answer, which may be "", and
    None in corpora without such a thing. ``choices`` are the answers offered in a multiple-choice task.
    ``question_type`` is VQA's other type, the question's first words, where ``kind`` is its answer_type.
    """

    noun: ClassVar[str] = "questions"

    answers: tuple[str, ...]
    kind: str = ""
    boxes: tuple[Box, ...] = ()
    answer: str | None = None
    choices: tuple[str, ...] = ()
    question_type: str = ""

    def __post_init__(self) -> None:
        """Compose the letters of what was asked and answered."""
        written = (self.text, self.kind, self.answer or "", self.question_type, *self.answers, *self.choices)
        if not "".join(written).isascii():  # there are millions of answers in a corpus, most of them in ASCII
            _compose(self, "text", "answers", "kind", "answer", "choices", "question_type")


@dataclass(frozen=True)
class Phrase:
    """A phrase of a sentence: its words, from the first up to but not including the last, and the boxes meant.

    ``kinds`` are the types of what it speaks of ("people"), none where the corpus has none; ``entity`` is the same for
    all phrases about one image that mean the same ("" where unknown). ``boxes`` are several where several things are
    meant, and may be none: ``absent`` then says why ("scene", "no box", "not visual", "not annotated"), or is "" where
    nobody has looked for them.
    """

    words: tuple[int, int]
    boxes: tuple[Box, ...]
    kinds: tuple[str, ...] = ()
    entity: str = ""
    absent: str = ""

    def of(self, text: str) -> str:
        """The phrase as the sentence has it.

        >>> Phrase((1, 3), ()).of("a red cup .")
        'red cup'
        """
        return " ".join(text.split()[slice(*self.words)])


@dataclass(frozen=True, slots=True)
class Caption(Record):
    """A sentence that somebody wrote about an image.

    ``phrases`` count the words that spaces separate in ``text``, and follow it; there are none where the corpus knows
    none. They are what grounding learns from and is measured on; of those without boxes nothing is learnt.
    """

    noun: ClassVar[str] = "captions"

    phrases: tuple[Phrase, ...] = ()


@runtime_checkable
class Corpus(Protocol):
    """Images and what was written about them, split by image."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that are here."""

    def images(self, split: str) -> Sequence[str]:
        """The ids of a split's images, each once and in the order of its records; reads no texts if that can be.

        Raises UnknownNameError for a split that the corpus never has, DataError for one whose files are not here.
        """

    def records(self, kind: type[R], split: str) -> Sequence[R]:
        """The records of one kind, as Question, of a split, in the corpus's order.

        Raises as `images` does, and DataError, naming what the corpus has, where it has none of that kind.
        """

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""


@runtime_checkable
class ChecksImages(Protocol):
    """A corpus whose images may be missing while its texts are there."""

    def missing_images(self, split: str) -> list[str]:
        """The ids of the split's images that are not there, in the corpus's order."""

    def require_images(self, split: str) -> None:
        """Raises DataError when images of the split are missing, saying how many, which, and where was looked."""


@runtime_checkable
class KeepsFiles(Protocol):
    """A corpus whose images are files, so that it shows when one was replaced."""

    def image_file(self, image: str) -> Path | None:
        """The file of the image of that id; None where there is none."""


@runtime_checkable
class JudgesCaptions(Protocol):
    """A corpus that knows what is true of its images."""

    def is_true(self, image: str, caption: str) -> bool:
        """Whether the caption is whole and all that it says holds of the image."""


@runtime_checkable
class ExportsAnswers(Protocol):
    """A corpus with a format of its own for files of answers."""

    def results(self, answers: Mapping[str, str]) -> Any:
        """The answers by the questions' ids, as the JSON value of such a file."""


def records_of(
    kind: type[R], split: str, readers: Mapping[type[Record], Callable[[str], Sequence[Record]]]
) -> Sequence[R]:
    """The split's records of that kind, by the reader that a corpus has for it; raises DataError where it has none."""
    if kind not in readers:
        nouns = " and ".join(each.noun for each in readers)
        raise DataError(
            f"the data set has no {kind.noun}; it has {nouns}: choose another data set, or a recipe for {nouns}"
        )
    return cast("Sequence[R]", readers[kind](split))


def images_of(records: Iterable[Record]) -> list[str]:
    """The ids of the images that the records are about, each once, in order of appearance."""
    return list(dict.fromkeys(record.image for record in records))


def _compose(record: Record, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if isinstance(value, str):
            object.__setattr__(record, name, composed(value))
        elif isinstance(value, tuple):
            object.__setattr__(record, name, tuple(map(composed, value)))
