"""Where own data comes from: rows by split and the images that they speak of, whatever the format on disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from PIL.Image import Image

from saccade.data.records import SPLITS
from saccade.errors import DataError, ImageError, first
from saccade.images import find_file, open_image, read_image

Refuse = Callable[[DataError], None]

# What others call the three splits, the likelier name first.
NAMES = {"train": ("train", "training"), "val": ("validation", "val", "valid", "dev"), "test": ("test", "testing")}
URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)


@dataclass(frozen=True)
class Row:
    """A row as it lies on disk: where, for errors; an id for want of its own; and how its record is read and checked.

    The record's "image" is the image's id, or what `Source.image` makes one of.
    """

    where: str
    id: str
    read: Callable[[], Mapping[str, Any]]


class Source(Protocol):
    """Rows by split, and the images that they speak of, by id. Images are opened from several threads."""

    # Whether the splits are those of somebody who published them, so that an image in two of them is told, not refused.
    published: bool

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that are there, train among them."""

    def name(self, split: str) -> str:
        """What an error about the whole split calls it."""

    def rows(self, split: str, refuse: Refuse) -> Iterator[Row]:
        """The rows of a split in their order; `refuse` hears of what is no row at all."""

    def image(self, written: str) -> str:
        """The id of the image that a row names; raises DataError for a name that cannot be."""

    def place(self, image: str) -> str:
        """Which image that is, by whichever of its names: alike for the same one, and the same on every machine."""

    def has(self, image: str) -> bool:
        """Whether the image is there."""

    def file_of(self, image: str) -> Path | None:
        """The image's file; None where it has none of its own."""

    def looked(self, image: str) -> str:
        """Where the image was looked for."""

    def open(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""


class Pictures:
    """The images of rows, by id: those embedded in the rows, of which nothing is kept in memory, and files.

    An embedded image is told by its content and called by the first name that it has, or its content's hash without
    one; so the same picture in several rows is one image. Another picture of a name that is taken has its hash behind
    the name.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._files: dict[str, Path | None] = {}
        self._embedded: dict[str, tuple[str, Callable[[], bytes]]] = {}
        self._named: dict[str, str] = {}  # the ids of embedded images by their contents' hashes

    def embed(self, name: str, content: bytes, read: Callable[[], bytes]) -> str:
        """The id of an image embedded in a row; `read` reads its content again."""
        digest = blake2b(content, digest_size=8).hexdigest()
        if digest not in self._named:
            path, image = PurePosixPath(name), name or digest
            if image in self._embedded:
                image = str(path.with_name(f"{path.stem}~{digest}{path.suffix}"))
            self._named[digest] = image
            self._embedded[image] = (digest, read)
        return self._named[digest]

    def file(self, written: str) -> str:
        """The id of an image in a file: its path, that inside the first folder where it lies in that."""
        if URL.match(written):
            raise DataError(f"expected an image or its path, got an address, {written!r}: fetch the images first")
        path, root = Path(written), self._folders[0].absolute()
        image = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        if image not in self._files:
            self._files[image] = find_file(self._folders, image)
        return image

    def place(self, image: str) -> str:
        """The content's hash of an embedded image, else its file."""
        found = self._files.get(image)
        if image in self._embedded or found is None:
            return self._embedded.get(image, (image,))[0]
        return found.relative_to(self._folders[0]).as_posix() if found.is_relative_to(self._folders[0]) else str(found)

    def has(self, image: str) -> bool:
        """Whether the image is embedded, or its file there."""
        return image in self._embedded or self._files.get(image) is not None

    def file_of(self, image: str) -> Path | None:
        """Its file; None where it is embedded."""
        return self._files.get(image)

    def looked(self, image: str) -> str:
        """The paths that a file could have had."""
        return " and ".join(str(folder / image) for folder in self._folders)

    def open(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        if image in self._embedded:
            return read_image(self._embedded[image][1](), name=image)
        if image not in self._files:
            raise ImageError(f"no row is about an image {image!r}")
        return open_image(self._files[image] or self._folders[0] / image)


class PictureSource:
    """What sources of published rows share: their images are `Pictures`, and a row has its image's id."""

    published = True

    def __init__(self, folders: Sequence[Path]) -> None:
        self._pictures = Pictures(folders)

    def image(self, written: str) -> str:
        """The id that the row was given."""
        return written

    def place(self, image: str) -> str:
        """The content's hash of an embedded image, else its file."""
        return self._pictures.place(image)

    def has(self, image: str) -> bool:
        """Whether the image is embedded, or its file there."""
        return self._pictures.has(image)

    def file_of(self, image: str) -> Path | None:
        """Its file; None where it is embedded."""
        return self._pictures.file_of(image)

    def looked(self, image: str) -> str:
        """The paths that a file could have had."""
        return self._pictures.looked(image)

    def open(self, image: str) -> Image:
        """The upright RGB image of that id; raises ImageError."""
        return self._pictures.open(image)


def own_splits(names: Iterable[str], where: str) -> dict[str, str]:
    """Which of our splits each of those names is; a single split of another name is "train".

    Raises DataError where there is nothing to train on. What is no split of ours is left out.
    """
    there = list(names)
    known = {split: name for split in SPLITS for name in reversed(NAMES[split]) if name in there}
    if "train" not in known and len(there) == 1 and not known:
        known = {"train": there[0]}
    if "train" not in known:
        raise DataError(f"expected a split train, got {first(there) or 'none'}", where)
    return known
