"""Own data in JSON Lines: a file per split, and the images beside it or in images/."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL.Image import Image

from saccade.data.lines import read_lines
from saccade.data.own_lines import CAPTION_LINE, QUESTION_LINE, SENTENCE_LINE, read_record
from saccade.data.own_source import Refuse, Row
from saccade.data.records import SPLITS
from saccade.errors import DataError, ImageError
from saccade.images import find_file, open_image


class LineFiles:
    """The lines of a folder's files and its images; an image's id is its path as the lines have it."""

    published = False

    def __init__(self, root: Path) -> None:
        self._root, self._folders = root, [root, root / "images"]
        self._files: dict[str, Path | None] = {}
        self._paths = {split: path for split in SPLITS if (path := root / f"{split}.jsonl").is_file()}
        if "train" not in self._paths:
            raise DataError(
                f"no train.jsonl here; expected one with a line like {QUESTION_LINE} per question, {CAPTION_LINE} per "
                f"image, or {SENTENCE_LINE} per sentence, the same for val.jsonl and test.jsonl if you have them, and "
                "the images beside them or in images/; or rows: a data set saved to disk, .parquet files, images with "
                "metadata.csv, or .tar shards",
                root,
            )
        self.splits = tuple(self._paths)

    def name(self, split: str) -> str:
        """The split's file."""
        return str(self._paths[split])

    def rows(self, split: str, refuse: Refuse) -> Iterator[Row]:
        """The lines of the split's file."""
        path = self._paths[split]
        for number, line in read_lines(path, refuse):
            yield Row(f"{path}:{number}", f"{split}-{number}", partial(read_record, line))

    def image(self, written: str) -> str:
        """The path inside the folder."""
        image = posixpath.normpath(written)
        if image.startswith(("/", "../")) or image == ".." or Path(image).is_absolute():
            raise DataError(f'expected "image" to be a path inside the folder, got {written!r}')
        if image not in self._files:
            self._files[image] = find_file(self._folders, image)
        return image

    def place(self, image: str) -> str:
        """Its file: a.jpg and images/a.jpg may be the same."""
        found = self._files[image]
        return image if found is None else found.relative_to(self._root).as_posix()

    def has(self, image: str) -> bool:
        """Whether its file is there."""
        return self._files.get(image) is not None

    def file_of(self, image: str) -> Path | None:
        """Its file; None where there is none."""
        return self._files.get(image)

    def looked(self, image: str) -> str:
        """The paths that its file could have."""
        return " and ".join(str(folder / image) for folder in self._folders)

    def open(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        if image not in self._files:
            raise ImageError(f"no line of the files in {self._root} is about an image {image!r}")
        return open_image(self._files[image] or self._root / image)
