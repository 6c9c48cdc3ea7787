"""Anybody's own questions, or captions, and own images: a folder of images and one JSON Lines file per split.

    train.jsonl            {"image": "a.jpg", "question": "what color is the cup", "answers": ["red", "dark red"]}
                     or    {"image": "a.jpg", "captions": ["a red cup on a table", "a cup"]}
                     or    {"image": "a.jpg", "sentence": "a red cup on a table",
                            "phrases": [{"words": [0, 3], "boxes": [[0.1, 0.2, 0.5, 0.9]]}]}
    val.jsonl, test.jsonl  the same; where one is missing, a tenth of the training images is held out for it
    a.jpg or images/a.jpg  the image that a line calls "a.jpg"

Or rows: a data set of Hugging Face's `datasets` (saved to disk, in Parquet files, an image folder with its metadata, or
on the hub) or WebDataset shards, whose columns are named as those keys or told by `columns`.

A corpus holds either questions or captions; a sentence with phrases is a caption, so that lines of both may be mixed,
and all that reads captions reads it. `words` are places among the words that spaces separate, counted from 0, the first
of the phrase and the one behind its last; `"phrase": "red cup"` stands for them where the sentence has it once. A
phrase may have a `type`, or several `types`; its `boxes` are an empty list where it has none.

`answers` has one entry per annotator. A line with a question may also have
`type` (the question's type), `boxes` (what it is about, as [x1, y1, x2, y2] fractions of width and height) and `id`.
Files are UTF-8; a byte order mark, Windows line ends and blank lines are accepted, spaces around texts and answers
dropped, letters composed (NFC). Nothing else is: a wrong line is an error, and so is a text without a word in it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from PIL.Image import Image

from saccade.data.captioned import count_captions
from saccade.data.lines import refuse as refuse_at_once
from saccade.data.missing import refuse_missing
from saccade.data.own_lines import (
    EXAMPLES,
    KEYS,
    kind_of,
    read_boxes,
    read_captions,
    read_id,
    read_question,
    read_sentence,
    read_strings,
    read_text,
)
from saccade.data.own_phrases import read_phrases
from saccade.data.own_source import Refuse
from saccade.data.own_sources import find_source
from saccade.data.records import SPLITS, Caption, Phrase, Question, R, images_of
from saccade.data.split import count_questions, hold_out
from saccade.data.texts import warn_of_unspaced
from saccade.errors import DataError, SaccadeError, SaccadeWarning, first, look_up

__all__ = ["KEYS", "OwnData"]

FITTING = {
    "questions": "a recipe that answers, such as dfaf-own",
    "captions": "a recipe that captions, such as sat-soft-own, or where phrases have boxes ban-grounder-own",
}


class OwnData:
    """The questions or captions and the images of a folder, read and checked at once; `holds` says which they are.

    An image's id is its path as the lines have it, or its name in the rows. `columns` say which columns of rows hold
    what (`key=column`). With `missing` "skip" an image that is not there is no error, but one of `missing_images`.
    Raises DataError with file and line for a line that is not as expected, and naming the image for one that occurs in
    the files of two splits; or tells `refuse` of each such error, and reads on without the line.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        seed: int = 0,
        columns: Sequence[str] = (),
        missing: Literal["error", "skip"] = "error",
        refuse: Refuse = refuse_at_once,
    ) -> None:
        self._root, self._missing, self._refuse = root, missing, refuse
        self._source = find_source(root, columns)
        self.holds = ""
        self._records = {split: self._read(split) for split in self._source.splits}
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
        """How many `questions`, `images` and distinct `answers`, or `captions`, `images` and phrases, the split has."""
        records = look_up(self._records, split, "split")
        if self.holds == "captions":
            return count_captions([record for record in records if isinstance(record, Caption)])
        return count_questions([record for record in records if isinstance(record, Question)])

    def missing_images(self, split: str) -> list[str]:
        """The ids of the split's images that are not there, in order of appearance."""
        return [image for image in self.images(split) if not self._source.has(image)]

    def require_images(self, split: str) -> None:
        """Raises DataError when images of the split are missing, saying how many, which, and where was looked."""
        missing = self.missing_images(split)
        looked = self._source.looked(missing[0]) if missing else ""
        refuse_missing(missing, self.images(split), split, looked, self._root)

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        return self._source.open(image)

    def image_file(self, image: str) -> Path | None:
        """The file of the image of that id; None where it has none, or no line is about such an image."""
        return self._source.file_of(image)

    def _of(self, split: str) -> tuple[Question | Caption, ...]:
        records = look_up(self._records, split, "split")
        if not records:
            name, remedy = "train.jsonl", f"write {split}.jsonl yourself"
            if self._source.published:
                name, remedy = self._source.name("train"), f"name a split of the rows {split}"
            raise DataError(
                f"holding out a tenth of the images of {name} left none for {split}; {remedy}, or give more images",
                self._root,
            )
        return records

    def _read(self, split: str) -> tuple[Question | Caption, ...]:
        records: dict[str, Question | Caption] = {}
        captioned: Counter[str] = Counter()
        wrong = False
        for row in self._source.rows(split, self._refuse):
            try:
                found = self._of_row(row.read(), row.id, captioned)
                for item in found:
                    if item.id in records:
                        raise DataError(f'expected every "id" once, got {item.id!r} again')
                    records[item.id] = item
            except SaccadeError as error:
                wrong = True
                self._refuse(DataError(str(error), row.where))
        if not records and not wrong:
            examples = [EXAMPLES[self.holds]] if self.holds else EXAMPLES.values()
            raise DataError(
                f"holds no {self.holds or 'questions and no captions'}; expected lines like {' or '.join(examples)}",
                self._source.name(split),
            )
        warn_of_unspaced([record.text for record in records.values()], self.holds, self._source.name(split))
        return tuple(records.values())

    def _of_row(
        self, record: Mapping[str, Any], default_id: str, captioned: Counter[str]
    ) -> Sequence[Question | Caption]:
        self._refuse_mixture(kind_of(record))
        if self.holds == "captions":
            return self._captions(record, captioned)
        return [self._question(record, default_id)]

    def _refuse_mixture(self, kind: str) -> None:
        self.holds = self.holds or kind
        if kind != self.holds:
            raise DataError(
                f"expected {self.holds}, as the lines before have them, got {kind}; a folder holds either questions "
                f"or captions: put the {kind} into a folder of their own"
            )

    def _question(self, record: Mapping[str, Any], default_id: str) -> Question:
        return Question(
            id=read_id(record, default_id),
            image=self._image(read_text(record, "image")),
            text=read_question(record),
            answers=read_strings(record, "answers"),
            kind=read_text(record, "type") if record.get("type", "") != "" else "",
            boxes=read_boxes(record.get("boxes", [])),
        )

    def _captions(self, record: Mapping[str, Any], captioned: Counter[str]) -> list[Caption]:
        """The captions of a line; they are numbered on where the image has had a line before."""
        image = self._image(read_text(record, "image"))
        said: list[tuple[str, tuple[Phrase, ...]]]
        if "sentence" in record:
            text = read_sentence(record)
            said = [(text, read_phrases(record, text))]
        else:
            said = [(text, ()) for text in read_captions(record)]
        start = captioned[image]
        captioned[image] += len(said)
        return [Caption(f"{image}#{n}", image, text, phrases) for n, (text, phrases) in enumerate(said, start)]

    def _image(self, written: str) -> str:
        """The image's id, once it is found."""
        image = self._source.image(written)
        if self._missing == "error" and not self._source.has(image):
            raise DataError(
                f"no such image file: {written!r}; looked for {self._source.looked(image)}: put it there, or leave out "
                "what is about missing images with --data.missing skip"
            )
        return image

    def _refuse_leaks(self) -> None:
        """Refuse an image in two splits; of splits that were published, warn, for their owner cannot mend them."""
        splits: dict[str, str] = {}
        leaks: dict[str, tuple[str, str]] = {}
        for split, records in self._records.items():
            for record in records:
                before = splits.setdefault(self._source.place(record.image), split)
                if before != split:
                    leaks.setdefault(record.image, (before, split))
        if not leaks:
            return
        image, (before, split) = next(iter(leaks.items()))
        if self._source.published:
            message = (
                f"{self._root}: {len(leaks):,} images are in two splits ({first(leaks)}; the first in {before} and "
                f"{split}): what a model scores on {split} says less than it seems"
            )
            warnings.warn(message, SaccadeWarning, stacklevel=3)
            return
        names = [Path(self._source.name(each)).name for each in (before, split)]
        more = f" ({len(leaks):,} images are)" if len(leaks) > 1 else ""
        self._refuse(
            DataError(
                f"image {image!r} is in {names[0]} and in {names[1]}{more}; "
                "an image may be in one split only, or its test says nothing",
                self._root,
            )
        )

    def _hold_out(self, missing: Sequence[str], seed: int) -> None:
        everything = self._records["train"]
        place = self._source.place
        splits = hold_out((place(record.image) for record in everything), missing, seed)
        for split in ("train", *missing):
            self._records[split] = tuple(record for record in everything if splits[place(record.image)] == split)
