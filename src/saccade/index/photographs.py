"""A folder of photographs and an index of it, kept alike: what is new is embedded, what is gone is removed.

A photograph is known by its path below the folder. Where size and time of its file are as they were, it is not read;
where they are not, its content tells whether it is another one. A file that has the content of one that is gone was
renamed, and is not embedded again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from saccade.data.batches import prefetch
from saccade.errors import ImageError
from saccade.features.extract import DECODERS, Extractor, Loaded
from saccade.images import find_images, read_image
from saccade.index.background import renew
from saccade.index.building import Update, index_of
from saccade.index.catalogue import Comparison, Entry, SourceFile
from saccade.index.embedder import Embedder
from saccade.index.engine import EngineConfig
from saccade.index.index import Index
from saccade.progress import SILENT, Report
from saccade.serial import hash_file

PIECE = 128  # photographs that are embedded and kept together: a kill costs one piece at most
BATCH = 8  # of these at a time on a CPU, as for a store of features
NAMED = 20  # photographs that cannot be read are named up to so many


@dataclass(frozen=True)
class _Read:
    """A photograph as it was read: its file, and what the backbone takes or why there is nothing to take."""

    name: str
    file: SourceFile | None
    image: Loaded | ImageError


def index_photographs(
    embedder: Embedder,
    photographs: Path,
    out: Path,
    config: EngineConfig | None = None,
    *,
    moved: bool = False,
    batch_size: int | None = None,
    report: Report = SILENT,
) -> Update:
    """Bring the index in `out` up to date with a folder of photographs and its subfolders; make it where there is none.

    Killed at any moment and called again it goes on, and ends as if it had not been killed. `config` says which engine
    keeps the rows of a new index; `moved` that the folder may be another one than the index was made of. Photographs
    that cannot be read are kept in mind with the reason, and tried again when their file changes. Raises ImageError for
    a folder without any, IndexingError for an index of another run, source or engine, or in use.
    """
    names = find_images(photographs)
    with index_of(out, embedder, "images", photographs, config, moved=moved) as index:
        comparison = index.catalogue.compare(_as_they_are(photographs, names))
        renamed = _rename(index, photographs, comparison)
        removed = index.remove(name for name in comparison.gone if name not in renamed)
        changed = _changed(index, photographs, comparison.touched)
        new = [name for name in comparison.new if name not in renamed.values()]
        _embed(index, embedder, photographs, sorted([*new, *changed]), batch_size or BATCH, report)
        index.settle()
        renew(index, embedder)
        failed = index.catalogue.failed()
        for name, reason in list(failed.items())[:NAMED]:
            report.say(f"left out {name}: {reason}")
        tried = [*new, *changed]
        lost = sum(name in failed for name in tried)
        return Update(
            added=sum(name not in failed for name in new),
            changed=sum(name not in failed for name in changed),
            renamed=len(renamed),
            removed=removed,
            unchanged=len(index) - (len(tried) - lost) - len(renamed),
            failed=len(failed),
        )


def _as_they_are(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, int | None, int | None]]:
    """Each name with the size and time of its file; without, where it is gone meanwhile."""
    for name in names:
        try:
            status = (folder / name).stat()
            yield name, status.st_size, status.st_mtime_ns
        except OSError:
            yield name, None, None


def _rename(index: Index, folder: Path, comparison: Comparison) -> dict[str, str]:
    """Give what is gone the names of new files that hold the same; the names before and after."""
    gone = {name: index.catalogue.file(name) for name in comparison.gone if name in index}
    by_content = {(file.size, file.hash): name for name, file in gone.items() if file is not None}
    sizes = {size for size, _ in by_content}
    renamed = {}
    for name in comparison.new if sizes else ():
        try:
            status = (folder / name).stat()
            if status.st_size not in sizes:
                continue
            file = SourceFile(status.st_size, status.st_mtime_ns, hash_file(folder / name))
        except OSError:
            continue  # it is said when it is read
        before = by_content.pop((file.size, file.hash), None)
        if before is not None:
            index.rename(before, name, file)
            renamed[before] = name
    return renamed


def _changed(index: Index, folder: Path, touched: Sequence[str]) -> list[str]:
    """Those of the files with another size or time that hold something else than they did."""
    changed = []
    for name in touched:
        before = index.catalogue.file(name)
        try:
            status = (folder / name).stat()
            same = before is not None and hash_file(folder / name) == before.hash
        except OSError:
            same = False
        if same and before is not None:
            index.catalogue.touch(name, SourceFile(status.st_size, status.st_mtime_ns, before.hash))
        else:
            changed.append(name)
    return changed


def _embed(
    index: Index, embedder: Embedder, folder: Path, names: Sequence[str], batch_size: int, report: Report
) -> None:
    """Embed photographs and keep them, piece by piece: one that is resumed is made of the same batches."""
    pieces = [names[start : start + PIECE] for start in range(0, len(names), PIECE)]
    if not pieces:
        return
    extractor, done = embedder.predictor.extractor, 0
    with ThreadPoolExecutor(DECODERS) as pool:

        def read(piece: Sequence[str]) -> list[_Read]:
            return list(pool.map(partial(_read, extractor, folder), piece))

        for piece in prefetch(read, pieces, depth=1):
            report.advance("index photographs", done, len(names), "images")
            index.put(*_rows(embedder, piece, batch_size))
            done += len(piece)
    report.advance("index photographs", len(names), len(names), "images")


def _read(extractor: Extractor, folder: Path, name: str) -> _Read:
    path, file = folder / name, None
    try:
        status = path.stat()  # before it is read: a file that is replaced meanwhile has another time
        content = path.read_bytes()
        file = SourceFile(status.st_size, status.st_mtime_ns, hashlib.sha256(content).hexdigest())
        return _Read(name, file, extractor.load(read_image(content, name=name)))
    except OSError as error:
        return _Read(name, file, ImageError(f"{name}: {error.strerror or error}"))
    except ImageError as error:
        return _Read(name, file, error)


def _rows(embedder: Embedder, piece: Sequence[_Read], batch_size: int) -> tuple[list[Entry], np.ndarray]:
    """The entries of a piece, and the embeddings of those that could be read."""
    loaded = [each.image for each in piece if not isinstance(each.image, ImageError)]
    batches = [embedder.images(loaded[i : i + batch_size]) for i in range(0, len(loaded), batch_size)]
    entries = [
        Entry(each.name, each.file, str(each.image).removeprefix(f"{each.name}: "))
        if isinstance(each.image, ImageError)
        else Entry(each.name, each.file)
        for each in piece
    ]
    return entries, np.concatenate(batches) if batches else np.empty((0, embedder.size), np.float32)
