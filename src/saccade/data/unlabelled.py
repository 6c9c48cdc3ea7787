"""What a trained run is to say something about: images, and texts about them, without anything that would be right.

    photos/           every image in the folder and those below it
    photo.jpg         that image
    asked.jsonl       {"image": "a.jpg", "question": "what color is the cup", "shelf": 3}   an object a line
    asked.csv         image,question,shelf      a header, then a line each; ";" or tabs may separate as well

Files of lines are UTF-8, with or without a byte order mark. `image` is a path below the file's folder, or that folder's
images/, or below another root, or a whole path. What else stands in a line is carried along and not looked at.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL.Image import Image

from saccade.data.lines import all_lines, read_lines
from saccade.data.own_lines import read_object, read_text
from saccade.data.texts import composed
from saccade.errors import DataError, ImageError, SaccadeError, show
from saccade.images import find_file, find_images, image_suffixes, open_image
from saccade.serial import hash_file

JSON_LINES, TABLES = (".jsonl", ".ndjson"), (".csv", ".tsv")
SEPARATORS = (",", ";", "\t")
IMAGE = "image"

# The number of a line, and what it says by the names of its columns.
Line = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Asked:
    """An image, the text about it ("" where none is read), and all columns of the line that they come from."""

    image: str
    text: str
    columns: dict[str, Any]


class Unlabelled:
    """The images and texts of a folder, an image, JSON Lines or CSV, read anew whenever they are iterated over.

    `column` is the name of the texts, "" where images alone are wanted; `texts` are asked about every image, where the
    lines have none of their own. Iterating raises DataError with file and line for a line that is not as expected;
    `check` may raise it for a text. Raises DataError and ImageError for an input that is none of these.
    """

    def __init__(
        self,
        path: Path,
        *,
        root: Path | None = None,
        column: str = "",
        texts: Sequence[str] = (),
        check: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.path, self._column, self._texts, self._check = path, column, tuple(map(composed, texts)), check
        self.root = path.parent if root is None else root
        for text in self._texts:
            check(text)
        suffix = path.suffix.lower()
        if root is not None and not root.is_dir():
            raise DataError("no such folder; --root names the folder of the images", root)
        if suffix in JSON_LINES + TABLES and not path.is_dir():
            if not path.is_file():
                raise DataError("no such file", path)
            self._lines: Callable[[], Iterator[Line]] = partial(
                _objects if suffix in JSON_LINES else _table, path, self._example()
            )
            self.sha256 = hash_file(path)
            return
        if root is not None:
            raise DataError("--root is for the images of JSON Lines and CSV; an image or folder is where it is", path)
        if column and not texts:
            raise DataError(f"expected a {column} to ask about each image: --{column} TEXT", path)
        names = self._names(suffix)
        self._lines = lambda: ((number, {IMAGE: name}) for number, name in enumerate(names, 1))
        self.sha256 = hashlib.sha256("\0".join(names).encode()).hexdigest()

    def __iter__(self) -> Iterator[Asked]:
        for number, columns in self._lines():
            try:
                yield from self._asked(columns)
            except SaccadeError as error:
                raise DataError(str(error), self.path, number) from None

    def find(self, image: str) -> Path | None:
        """The file of an image, None where there is none."""
        return find_file((self.root, self.root / "images"), image)

    def open_image(self, image: str) -> Image:
        """The upright RGB image of that name; raises ImageError."""
        path = self.find(image)
        if path is None:
            raise ImageError(f"{image}: no such image file in {self.root}")
        return open_image(path)

    def _names(self, suffix: str) -> list[str]:
        """The image's name, or those of the folder."""
        if self.path.is_dir():
            self.root = self.path
            return find_images(self.path)
        if suffix and suffix not in image_suffixes():
            raise DataError(
                "expected a folder of images, an image, or a file of lines that ends in "
                f"{', '.join(JSON_LINES + TABLES)}",
                self.path,
            )
        if not self.path.is_file():
            raise ImageError(f"{self.path}: no such image file, folder of images, or file of lines")
        return [self.path.name]

    def _asked(self, columns: dict[str, Any]) -> Iterator[Asked]:
        if IMAGE not in columns:
            raise DataError(f'expected the key "{IMAGE}", got {", ".join(map(show, columns)) or "none"}')
        image = read_text(columns, IMAGE)
        if not self._column:
            yield Asked(image, "", columns)
            return
        own = self._column in columns
        if own and self._texts:
            raise DataError(f"has a {self._column} of its own: leave out --{self._column}")
        if not own and not self._texts:
            raise DataError(f"expected a {self._column} about each image: {self._example()}, or --{self._column} TEXT")
        if own:
            text = composed(read_text(columns, self._column))
            self._check(text)
            yield Asked(image, text, columns)
        for text in self._texts:
            yield Asked(image, text, {IMAGE: image, self._column: text, **columns})

    def _example(self) -> str:
        text = f', "{self._column}": "..."' if self._column else ""
        return f'{{"image": "a.jpg"{text}}}'


def _objects(path: Path, example: str) -> Iterator[Line]:
    for number, line in read_lines(path):
        try:
            yield number, read_object(line, example)
        except DataError as error:
            raise DataError(str(error), path, number) from None


def _table(path: Path, _: str) -> Iterator[Line]:
    """The lines of a table by the names in its header."""
    lines = all_lines(path)
    header, separator = _header(path, next(lines, (1, ""))[1])
    rows = csv.reader((line for _, line in lines), delimiter=separator, strict=True)
    while True:
        number = rows.line_num + 2  # the header is the first
        try:
            cells = next(rows, None)
        except csv.Error as error:
            raise DataError(f"expected CSV, this is none ({error})", path, number) from None
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise DataError(
                f"expected {len(header)} cells, as the header has, got {len(cells)}; a text with {show(separator)} in "
                "it stands in quotes",
                path,
                number,
            )
        yield number, dict(zip(header, cells, strict=True))


def _header(path: Path, line: str) -> tuple[list[str], str]:
    """The names in the first line of a table, and what separates them."""
    for separator in SEPARATORS:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=separator, strict=True), [])]
        except csv.Error:
            continue
        if IMAGE not in names:
            continue
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise DataError(f"expected every column once, got {show(twice)} again", path, 1)
        return names, separator
    raise DataError(f'expected a header with a column "{IMAGE}", got {show(line.strip())}', path, 1)
