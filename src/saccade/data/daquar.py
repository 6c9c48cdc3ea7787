"""DAQUAR: questions about indoor photographs (Malinowski and Fritz 2014), in the layout of its authors.

    qa.894.raw.train.txt, qa.894.raw.test.txt   a question on one line, its answer on the next
    qa.37.raw.train.txt, qa.37.raw.test.txt     the reduced set of 37 object classes
    images/image3.png or .jpg                   also in nyu_depth_images/

A question ends by naming its image ("... in the image3 ?"). That ending is removed from the text that a model reads,
and an image named before it loses its number; otherwise a number would be a word that occurs for one image only. An
answer may be several words with commas between them: it is kept as one string ("book, lamp"), whose order scoring
ignores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from PIL.Image import Image

from saccade.data.missing import in_folders, refuse_missing
from saccade.data.records import SPLITS, Question, R, images_of, records_of
from saccade.data.split import count_questions, hold_out
from saccade.data.texts import refuse_wordless
from saccade.errors import DataError, ImageError, look_up
from saccade.images import open_image

FOLDERS = ("images", "nyu_depth_images", "")
SUFFIXES = (".png", ".jpg", ".jpeg")
# "e": one question is misspelt "in th eimage999 ?".
IMAGE = re.compile(r"\be?(image\d+)\b")
ENDING = re.compile(r"(?:\s*\b(?:in|on|of))?(?:\s*\b(?:the|this|th))?\s*\be?image\d+\s*\??\s*$")


class Daquar:
    """DAQUAR with all 894 answer classes or the reduced 37; an image's id is its name, as in "image3".

    "val" is a tenth of the training file's images. So is "test" where the official test file is missing, so that a
    result can be had on images held out: `official_test` says which test it is, and they are not comparable.
    """

    def __init__(self, root: Path | str, *, classes: Literal[894, 37] = 894, seed: int = 0) -> None:
        self._root = Path(root)
        train, test = (self._root / f"qa.{classes}.raw.{split}.txt" for split in ("train", "test"))
        if not train.is_file():
            raise DataError(f"no {train.name} here; expected DAQUAR's file of questions and answers", self._root)
        self.official_test = test.is_file()
        everything = tuple(_read(train, "train"))
        splits = hold_out(images_of(everything), ("val",) if self.official_test else ("val", "test"), seed)
        self._questions = {
            split: tuple(question for question in everything if splits[question.image] == split) for split in SPLITS
        }
        if self.official_test:
            self._questions["test"] = tuple(_read(test, "test"))

    @property
    def splits(self) -> tuple[str, ...]:
        """All three."""
        return SPLITS

    def images(self, split: str) -> Sequence[str]:
        """The ids of the images that a split's questions are about; raises UnknownNameError."""
        return images_of(self._of(split))

    def records(self, kind: type[R], split: str) -> Sequence[R]:
        """The questions of a split, in the file's order; raises UnknownNameError, and DataError for other records."""
        return records_of(kind, split, {Question: self._of})

    def missing_images(self, split: str) -> list[str]:
        """The ids of the split's images that have no file, in order of appearance."""
        return [image for image in self.images(split) if self.image_file(image) is None]

    def require_images(self, split: str) -> None:
        """Raises DataError when images of the split are missing, saying how many, which, and where was looked."""
        missing = self.missing_images(split)
        looked = f"{in_folders(missing[0], FOLDERS)}, as {', '.join(SUFFIXES)}" if missing else ""
        refuse_missing(missing, self.images(split), split, looked, self._root)

    def counts(self, split: str) -> dict[str, int]:
        """How many `questions`, `images` and distinct `answers` the split has, be its images there or not."""
        return count_questions(self._of(split))

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        path = self.image_file(image)
        if path is None:
            raise ImageError(f"{self._root} has no image {image!r} in images/ or nyu_depth_images/, as .png or .jpg")
        return open_image(path)

    def image_file(self, image: str) -> Path | None:
        """The file of the image of that id; None where it is missing."""
        candidates = (self._root / folder / f"{image}{suffix}" for folder in FOLDERS for suffix in SUFFIXES)
        return next((path for path in candidates if path.is_file()), None) if image else None

    def _of(self, split: str) -> tuple[Question, ...]:
        return look_up(self._questions, split, "split")


def _read(path: Path, name: str) -> Iterator[Question]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().split("\n")]
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8 text ({error.reason})", path) from None
    if len(lines) % 2:
        raise DataError(
            "expected a question line and an answer line in turn, got a last question alone", path, len(lines)
        )
    for number in range(0, len(lines), 2):
        text, answer = lines[number : number + 2]
        images: list[str] = IMAGE.findall(text)
        if not images:
            raise DataError(f"expected a question that names its image, as in image3, got {text!r}", path, number + 1)
        if not answer:
            raise DataError("expected an answer, got an empty line", path, number + 2)
        try:
            refuse_wordless(_question(text), "a question", symbols=False)
        except DataError as error:
            raise DataError(str(error), path, number + 1) from None
        yield Question(f"{name}-{number // 2 + 1}", images[-1], _question(text), (_answer(answer),))


def _question(line: str) -> str:
    """The question without the name of its image.

    >>> _question("what is at the corner of the image929 in the image929 ?")
    'what is at the corner of the image'
    """
    return IMAGE.sub("image", ENDING.sub("", line))


def _answer(line: str) -> str:
    """One spelling of the answer: lower case, one comma and space between its words."""
    return ", ".join(" ".join(item.lower().split()) for item in line.split(",") if item.strip())
