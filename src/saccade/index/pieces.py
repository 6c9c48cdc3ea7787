"""Photographs to embeddings piece by piece, by any process: in this one they go to the index, others write files.

A piece is a list of names. Its embeddings depend on these alone, not on who makes it or on what else is made.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.batches import prefetch
from saccade.data.pictures import Pictures
from saccade.errors import ImageError
from saccade.features.extract import Extractor, Loaded
from saccade.features.making import DECODERS
from saccade.index.catalogue import Entry, SourceFile
from saccade.index.embedder import Embedder
from saccade.index.engine import Vectors
from saccade.serial import hash_file, temporary_name

Piece = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Embedded:
    """What was made of a piece: its entries, and the embeddings of those that could be read, in order."""

    entries: list[Entry]
    vectors: Vectors

    def write(self, path: Path) -> None:
        """Write it into a file, whole or not at all."""
        stream, temporary = io.BytesIO(), temporary_name(path)
        np.savez(stream, vectors=self.vectors, entries=np.array(json.dumps([asdict(each) for each in self.entries])))
        temporary.write_bytes(stream.getvalue())
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> Embedded:
        """What such a file holds."""
        with np.load(path, allow_pickle=False) as arrays:
            entries = json.loads(arrays["entries"].item())
            vectors = arrays["vectors"]
        files = [each["file"] and SourceFile(**each["file"]) for each in entries]
        return cls(
            [Entry(each["id"], file, each["reason"]) for each, file in zip(entries, files, strict=True)], vectors
        )


def part_of(folder: Path, piece: Piece) -> Path:
    """The file of a piece in a folder."""
    return folder / f"{hashlib.sha256(json.dumps(piece).encode()).hexdigest()[:24]}.npz"


@dataclass
class PieceMaker:
    """What makes pieces, for `Workers.run`; where it arrives pickled, it loads the run anew.

    ``keep`` takes what was made; without it, it is written into `parts`, a folder that all processes see.
    """

    pictures: Pictures
    embedder: Embedder
    batch_size: int | None
    parts: Path
    keep: Callable[[Embedded], None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what is this process's own."""
        return {**self.__dict__, "keep": None}

    def __call__(self) -> Callable[[Iterable[Piece]], Iterator[None]]:
        """From pieces to nothing: each is kept when the next is asked for."""
        return self._make

    def _make(self, pieces: Iterable[Piece]) -> Iterator[None]:
        extractor = self.embedder.predictor.extractor
        with ThreadPoolExecutor(DECODERS) as pool:

            def read(piece: Piece) -> tuple[Piece, list[_Read]]:
                return piece, list(pool.map(partial(_read, extractor, self.pictures), piece))

            for piece, photographs in prefetch(read, pieces, depth=1):
                made = self._embedded(photographs)
                if self.keep is None:
                    made.write(part_of(self.parts, piece))
                else:
                    self.keep(made)
                yield None

    def _embedded(self, photographs: Sequence[_Read]) -> Embedded:
        size = self.batch_size or (8 if self.embedder.device.type == "cpu" else 64)
        loaded = [each.image for each in photographs if not isinstance(each.image, ImageError)]
        batches = [self.embedder.images(loaded[start : start + size]) for start in range(0, len(loaded), size)]
        vectors = np.concatenate(batches) if batches else np.empty((0, self.embedder.size), np.float32)
        return Embedded([each.entry for each in photographs], vectors)


@dataclass(frozen=True)
class _Read:
    """A photograph as it was read: what the backbone takes, or why there is nothing to take."""

    entry: Entry
    image: Loaded | ImageError


def _read(extractor: Extractor, pictures: Pictures, name: str) -> _Read:
    entry = Entry(name)
    try:
        entry = Entry(name, source_file(pictures, name))
        return _Read(entry, extractor.load(pictures.open(name), name))
    except ImageError as error:
        return _Read(replace(entry, reason=str(error).partition(f"{name}: ")[2] or str(error)), error)


def source_file(pictures: Pictures, name: str) -> SourceFile | None:
    """A photograph's file as it is now; None where it is none of this machine's, or gone."""
    path = pictures.file(name)
    if path is None:
        return None
    try:
        status = path.stat()  # before it is read: a file that is replaced meanwhile has another time
        return SourceFile(status.st_size, status.st_mtime_ns, hash_file(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ImageError(f"{name}: {error.strerror or error}") from None
