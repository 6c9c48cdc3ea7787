"""Anybody's own questions about anybody's own images: a folder of images and one JSON Lines file per split.

    train.jsonl            {"image": "a.jpg", "question": "what color is the cup", "answers": ["red", "dark red"]}
    val.jsonl, test.jsonl  the same; where one is missing, a tenth of train.jsonl's images is held out for it
    a.jpg or images/a.jpg  the image that a line calls "a.jpg"

`answers` has one entry per annotator. A line may also have `type` (the question's type), `boxes` (where to look, as
[x1, y1, x2, y2] fractions of width and height) and `id`. Files are UTF-8; a byte order mark, Windows line ends and
blank lines are accepted, spaces around questions and answers dropped. Nothing else is: a wrong line is an error.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from saccade.data.records import SPLITS, Box, Question
from saccade.data.split import count_questions, hold_out
from saccade.errors import DataError, ImageError, SaccadeError, look_up
from saccade.images import open_image

LINE = '{"image": "a.jpg", "question": "what color is the cup", "answers": ["red"]}'
KEYS = {key: key for key in ("image", "question", "answers", "type", "boxes", "id")}
REQUIRED = ("image", "question", "answers")


class OwnData:
    """The questions and images of a folder, read and checked at once; an image's id is its path as the lines have it.

    Raises DataError with file and line for a line that is not as expected, and naming the image for one that occurs in
    the files of two splits.
    """

    def __init__(self, root: Path | str, *, seed: int = 0) -> None:
        self._root = Path(root)
        self._files: dict[str, Path] = {}
        if not (self._root / "train.jsonl").is_file():
            raise DataError(
                f"no train.jsonl here; expected one with a line like {LINE} per question, the same for val.jsonl and "
                "test.jsonl if you have them, and the images beside them or in images/",
                self._root,
            )
        paths = {split: self._root / f"{split}.jsonl" for split in SPLITS}
        self._questions = {split: self._read(path) for split, path in paths.items() if path.is_file()}
        self._refuse_leaks()
        self._hold_out([split for split in SPLITS if split not in self._questions], seed)

    def questions(self, split: str) -> Sequence[Question]:
        """The questions of a split, in the file's order; raises UnknownNameError, and DataError without any."""
        questions = look_up(self._questions, split, "split")
        if not questions:
            raise DataError(
                f"holding out a tenth of the images of train.jsonl left none for {split}; "
                f"write {split}.jsonl yourself, or give more images",
                self._root,
            )
        return questions

    def counts(self, split: str) -> dict[str, int]:
        """How many `questions`, `images` and distinct `answers` the split has."""
        return count_questions(look_up(self._questions, split, "split"))

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        if image not in self._files:
            raise ImageError(f"no line of the files in {self._root} is about an image {image!r}")
        return open_image(self._files[image])

    def _read(self, path: Path) -> tuple[Question, ...]:
        questions: dict[str, Question] = {}
        for number, line in _lines(path):
            try:
                record = _record(line)
                question = self._question(record, f"{path.stem}-{number}")
                if question.id in questions:
                    raise DataError(f'expected every "id" once, got {question.id!r} again')
            except SaccadeError as error:
                raise DataError(str(error), path, number) from None
            questions[question.id] = question
        if not questions:
            raise DataError(f"holds no questions; expected a line like {LINE} for each", path)
        return tuple(questions.values())

    def _question(self, record: dict[str, Any], default_id: str) -> Question:
        name = record.get("id", default_id)
        if isinstance(name, bool) or not isinstance(name, (str, int)):
            raise DataError(f'expected "id" to be a string or a whole number, got {_show(name)}')
        return Question(
            id=str(name),
            image=self._image(_text(record, "image")),
            text=_text(record, "question"),
            answers=_answers(record["answers"]),
            kind=_text(record, "type") if record.get("type", "") != "" else "",
            boxes=_boxes(record.get("boxes", [])),
        )

    def _image(self, written: str) -> str:
        """The image's id, once its file is found."""
        image = posixpath.normpath(written)
        if image not in self._files:
            if image.startswith(("/", "../")) or image == ".." or Path(image).is_absolute():
                raise DataError(f'expected "image" to be a path inside the folder, got {written!r}')
            candidates = [self._root / image, self._root / "images" / image]
            found = next((path for path in candidates if path.is_file()), None)
            if found is None:
                raise DataError(f"no such image file: {written!r}; looked for {' and '.join(map(str, candidates))}")
            self._files[image] = found
        return image

    def _place(self, question: Question) -> str:
        """Which file a question is about, by whichever of its names: a.jpg and images/a.jpg may be the same."""
        return self._files[question.image].relative_to(self._root).as_posix()

    def _refuse_leaks(self) -> None:
        splits: dict[str, str] = {}
        for split, questions in self._questions.items():
            for question in questions:
                if splits.setdefault(self._place(question), split) != split:
                    raise DataError(
                        f"image {question.image!r} is in {splits[self._place(question)]}.jsonl and in {split}.jsonl; "
                        "an image may be in one split only, or its test says nothing",
                        self._root,
                    )

    def _hold_out(self, missing: Sequence[str], seed: int) -> None:
        everything = self._questions["train"]
        splits = hold_out(map(self._place, everything), missing, seed)
        for split in ("train", *missing):
            self._questions[split] = tuple(q for q in everything if splits[self._place(q)] == split)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"expected UTF-8 text ({error.reason}); save the file as UTF-8", path, number) from None
        if text.strip():
            yield number, text


def _record(line: str) -> dict[str, Any]:
    """The line's keys and values: all that are required, none that is not known."""
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"expected one JSON object on the line, like {LINE}; it is no JSON ({error})") from None
    if not isinstance(record, dict):
        raise DataError(f"expected a JSON object like {LINE}, got {_show(record)}")
    if "answer" in record:
        raise DataError(
            'expected "answers", a list with one string per annotator, got "answer"; write "answers": [...]'
        )
    for key in record:
        look_up(KEYS, key, "key")
    if missing := [key for key in REQUIRED if key not in record]:
        raise DataError(f"expected the key {missing[0]!r}, got {', '.join(map(repr, record)) or 'none'}; as in {LINE}")
    return record


def _text(record: dict[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f'expected "{key}" to be a string that is not empty, got {_show(value)}')
    return value.strip()


def _answers(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise DataError(f'expected "answers" to be a list of strings, got a string; write [{_show(value)}]')
    if not isinstance(value, list) or not value:
        raise DataError(f'expected "answers" to be a list with at least one string, got {_show(value)}')
    for answer in value:
        if not isinstance(answer, str) or not answer.strip():
            raise DataError(f'expected each of "answers" to be a string that is not empty, got {_show(answer)}')
    return tuple(answer.strip() for answer in value)


def _boxes(value: Any) -> tuple[Box, ...]:
    if not isinstance(value, list):
        raise DataError(f'expected "boxes" to be a list of [x1, y1, x2, y2], got {_show(value)}')
    return tuple(_box(box) for box in value)


def _box(value: Any) -> Box:
    numbers = isinstance(value, list) and all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in value)
    if not numbers or len(value) != 4:
        raise DataError(f"expected a box to be four numbers [x1, y1, x2, y2], got {_show(value)}")
    x1, y1, x2, y2 = value
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise DataError(
            "expected a box [x1, y1, x2, y2] in fractions of width and height, from 0 to 1, with x1 < x2 and y1 < y2, "
            f"got {_show(value)}"
        )
    return float(x1), float(y1), float(x2), float(y2)


def _show(value: Any) -> str:
    """The value as JSON, cut short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
