"""Anybody's own questions, or captions, and own images: a folder of images and one JSON Lines file per split.

    train.jsonl            {"image": "a.jpg", "question": "what color is the cup", "answers": ["red", "dark red"]}
                     or    {"image": "a.jpg", "captions": ["a red cup on a table", "a cup"]}
    val.jsonl, test.jsonl  the same; where one is missing, a tenth of train.jsonl's images is held out for it
    a.jpg or images/a.jpg  the image that a line calls "a.jpg"

A folder holds either questions or captions. `answers` has one entry per annotator. A line with a question may also have
`type` (the question's type), `boxes` (what it is about, as [x1, y1, x2, y2] fractions of width and height) and `id`.
Files are UTF-8; a byte order mark, Windows line ends and blank lines are accepted, spaces around texts and answers
dropped, letters composed (NFC). Nothing else is: a wrong line is an error, and so is a text without a word in it.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from PIL.Image import Image

from saccade.data.captioned import count_captions
from saccade.data.lines import read_lines
from saccade.data.own_lines import (
    CAPTION_LINE,
    EXAMPLES,
    KEYS,
    QUESTION_LINE,
    read_boxes,
    read_captions,
    read_id,
    read_question,
    read_record,
    read_strings,
    read_text,
)
from saccade.data.records import SPLITS, Caption, Question, R, images_of
from saccade.data.split import count_questions, hold_out
from saccade.data.texts import warn_of_unspaced
from saccade.errors import DataError, ImageError, SaccadeError, look_up
from saccade.images import find_file, open_image

__all__ = ["KEYS", "OwnData"]

FITTING = {
    "questions": "a recipe that answers, such as r-dan-own",
    "captions": "a recipe that captions, such as sat-soft-own",
}


class OwnData:
    """The questions or captions and the images of a folder, read and checked at once; `holds` says which they are.

    An image's id is its path as the lines have it. Raises DataError with file and line for a line that is not as
    expected, and naming the image for one that occurs in the files of two splits.
    """

    def __init__(self, root: Path | str, *, seed: int = 0) -> None:
        self._root = Path(root)
        self._files: dict[str, Path] = {}
        if not (self._root / "train.jsonl").is_file():
            raise DataError(
                f"no train.jsonl here; expected one with a line like {QUESTION_LINE} per question, or {CAPTION_LINE} "
                "per image, the same for val.jsonl and test.jsonl if you have them, and the images beside them or in "
                "images/",
                self._root,
            )
        self.holds = ""
        paths = {split: self._root / f"{split}.jsonl" for split in SPLITS}
        self._records = {split: self._read(path) for split, path in paths.items() if path.is_file()}
        self._refuse_leaks()
        self._hold_out([split for split in SPLITS if split not in self._records], seed)

    @property
    def splits(self) -> tuple[str, ...]:
        """All three: what has no file is held out."""
        return SPLITS

    def images(self, split: str) -> Sequence[str]:
        """The ids of a split's images, in the file's order; raises UnknownNameError, and DataError for none."""
        return images_of(self._of(split))

    def records(self, kind: type[R], split: str) -> Sequence[R]:
        """The questions or captions of a split, in the file's order.

        Raises UnknownNameError, and DataError for a split without any and for records that the folder does not hold.
        """
        if kind.noun != self.holds:
            example = f", with lines like {EXAMPLES[kind.noun]}" if kind.noun in EXAMPLES else ""
            raise DataError(
                f"expected {kind.noun}{example}; this folder holds {self.holds}: train {FITTING[self.holds]}, or name "
                "another folder",
                self._root,
            )
        return cast("Sequence[R]", self._of(split))

    def counts(self, split: str) -> dict[str, int]:
        """How many `questions`, `images` and distinct `answers`, or `captions` and `images`, the split has."""
        records = look_up(self._records, split, "split")
        if self.holds == "captions":
            return count_captions([record for record in records if isinstance(record, Caption)])
        return count_questions([record for record in records if isinstance(record, Question)])

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        if image not in self._files:
            raise ImageError(f"no line of the files in {self._root} is about an image {image!r}")
        return open_image(self._files[image])

    def image_file(self, image: str) -> Path | None:
        """The file of the image of that id; None where no line is about such an image."""
        return self._files.get(image)

    def _of(self, split: str) -> tuple[Question | Caption, ...]:
        records = look_up(self._records, split, "split")
        if not records:
            raise DataError(
                f"holding out a tenth of the images of train.jsonl left none for {split}; "
                f"write {split}.jsonl yourself, or give more images",
                self._root,
            )
        return records

    def _read(self, path: Path) -> tuple[Question | Caption, ...]:
        records: dict[str, Question | Caption] = {}
        captioned: Counter[str] = Counter()
        for number, line in read_lines(path):
            try:
                kind, record = read_record(line)
                self._refuse_mixture(kind)
                if kind == "captions":
                    found: Sequence[Question | Caption] = self._captions(record, captioned)
                else:
                    found = [self._question(record, f"{path.stem}-{number}")]
                for item in found:
                    if item.id in records:
                        raise DataError(f'expected every "id" once, got {item.id!r} again')
                    records[item.id] = item
            except SaccadeError as error:
                raise DataError(str(error), path, number) from None
        if not records:
            examples = [EXAMPLES[self.holds]] if self.holds else EXAMPLES.values()
            raise DataError(
                f"holds no {self.holds or 'questions and no captions'}; expected lines like {' or '.join(examples)}",
                path,
            )
        warn_of_unspaced([record.text for record in records.values()], self.holds, path)
        return tuple(records.values())

    def _refuse_mixture(self, kind: str) -> None:
        self.holds = self.holds or kind
        if kind != self.holds:
            raise DataError(
                f"expected {self.holds}, as the lines before have them, got {kind}; a folder holds either questions "
                f"or captions: put the {kind} into a folder of their own"
            )

    def _question(self, record: dict[str, Any], default_id: str) -> Question:
        return Question(
            id=read_id(record, default_id),
            image=self._image(read_text(record, "image")),
            text=read_question(record),
            answers=read_strings(record, "answers"),
            kind=read_text(record, "type") if record.get("type", "") != "" else "",
            boxes=read_boxes(record.get("boxes", [])),
        )

    def _captions(self, record: dict[str, Any], captioned: Counter[str]) -> list[Caption]:
        """The captions of a line; they are numbered on where the image has had a line before."""
        image = self._image(read_text(record, "image"))
        texts = read_captions(record)
        start = captioned[image]
        captioned[image] += len(texts)
        return [Caption(f"{image}#{n}", image, text) for n, text in enumerate(texts, start)]

    def _image(self, written: str) -> str:
        """The image's id, once its file is found."""
        image = posixpath.normpath(written)
        if image not in self._files:
            if image.startswith(("/", "../")) or image == ".." or Path(image).is_absolute():
                raise DataError(f'expected "image" to be a path inside the folder, got {written!r}')
            folders = [self._root, self._root / "images"]
            found = find_file(folders, image)
            if found is None:
                candidates = " and ".join(str(folder / image) for folder in folders)
                raise DataError(f"no such image file: {written!r}; looked for {candidates}")
            self._files[image] = found
        return image

    def _place(self, record: Question | Caption) -> str:
        """Which file a record is about, by whichever of its names: a.jpg and images/a.jpg may be the same."""
        return self._files[record.image].relative_to(self._root).as_posix()

    def _refuse_leaks(self) -> None:
        splits: dict[str, str] = {}
        for split, records in self._records.items():
            for record in records:
                if splits.setdefault(self._place(record), split) != split:
                    raise DataError(
                        f"image {record.image!r} is in {splits[self._place(record)]}.jsonl and in {split}.jsonl; "
                        "an image may be in one split only, or its test says nothing",
                        self._root,
                    )

    def _hold_out(self, missing: Sequence[str], seed: int) -> None:
        everything = self._records["train"]
        splits = hold_out(map(self._place, everything), missing, seed)
        for split in ("train", *missing):
            self._records[split] = tuple(record for record in everything if splits[self._place(record)] == split)
