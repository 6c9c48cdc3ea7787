"""An index: embeddings by id in a folder, found by inner product, whichever engine keeps them.

    index.json         what it holds, of which run and folder, and which engine keeps it; written first
    catalogue.sqlite   which row stands for which id and file, and which rows are no more
    background.json    how sentences about other things score here (`saccade.index.background`)
    rows-000.float32   the rows, where the engine keeps them in a file; each says which files it has besides

Rows are on the disk before the catalogue knows of them: a process that is killed leaves rows that nobody knows, which
the next one writes over.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

from saccade.errors import RunError
from saccade.index.catalogue import Catalogue, Entry, SourceFile, no_space
from saccade.index.engine import EngineConfig, IndexingError, Vectors, as_rows, create_engine
from saccade.serial import from_dict, locked, read_json, to_dict, write_json

FACTS, CATALOGUE = "index.json", "catalogue.sqlite"
FORMAT = "saccade-index-1"
REMOVED_SHARE = 0.25  # of the rows, beyond which those that are left are written anew


@dataclass(frozen=True)
class IndexFacts:
    """What an index holds: images or sentences, of which folder or file, embedded by which run."""

    holds: Literal["images", "sentences"]
    size: int
    """Numbers of an embedding."""
    run: str
    """Where the run was when the index was made."""
    fingerprint: str
    """Of the run's weights and of all that gives them meaning."""
    source: str
    """Folder of the photographs, or file of the sentences."""
    engine: EngineConfig = field(default_factory=EngineConfig)
    format: str = FORMAT


@dataclass(frozen=True)
class Found:
    """What was found, and its inner product with the query."""

    id: str
    score: float


class Index:
    """Embeddings by id. Make one with `create`, open one with `open`; a context manager, which lets go of the folder.

    One process at a time may write to it; others may search meanwhile, and so may threads.
    """

    def __init__(self, path: Path, facts: IndexFacts, *, writing: bool) -> None:
        self.path, self.facts, self._device = path, facts, "cpu"
        self._open = ExitStack()
        try:
            if writing:
                busy = f"another process is writing to {path}: wait for it to end"
                self._open.enter_context(locked(path, IndexingError(busy)))
            self.catalogue = Catalogue(path / CATALOGUE)
            self._open.callback(self.catalogue.close)
            if writing:
                self.catalogue.begin()
            self._engine = create_engine(path, facts.size, facts.engine, self.catalogue.generation)
            self._open.callback(self._close_engine)
            if writing:
                self._engine.tidy()
        except BaseException:
            self._open.close()
            raise

    @classmethod
    def create(cls, path: Path, facts: IndexFacts) -> Index:
        """An empty index in a new or empty folder, open for writing; raises IndexingError for another folder."""
        # What a process left that was killed before it wrote the facts does no harm.
        if path.exists() and (not path.is_dir() or any(not file.match(".*.tmp") for file in path.iterdir())):
            raise IndexingError(f"{path} is not empty and no index: name another folder with --out")
        with explained(path):
            path.mkdir(parents=True, exist_ok=True)
            write_json(path / FACTS, to_dict(facts))
        try:
            return cls(path, facts, writing=True)
        except BaseException:  # no server, say: an index that never was is in nobody's way
            with suppress(IndexingError), locked(path, IndexingError("it is another process's")):
                for file in path.iterdir():
                    shutil.rmtree(file) if file.is_dir() else file.unlink()
            raise

    @classmethod
    def open(cls, path: Path | str, *, writing: bool = False) -> Index:
        """The index in a folder; raises IndexingError where there is none, or another process writes to it too."""
        path = Path(path)
        if not (path / FACTS).is_file():
            what = "it has no index.json" if path.exists() else "no such folder"
            raise IndexingError(f"{path} is not an index ({what}): make one with saccade index RUN PHOTOS --out {path}")
        facts = read_facts(path)
        if not writing and not (path / CATALOGUE).exists():
            raise IndexingError(f"{path} is unfinished: run the same saccade index again, it goes on where it stopped")
        return cls(path, facts, writing=writing)

    def add(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Add embeddings [ids, size] by their ids; what an id had before is no more."""
        self.put([Entry(each) for each in ids], vectors)

    def put(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Add entries; `vectors` are the rows of those without a reason why they have none, in their order."""
        named = [each.id for each in entries if each.reason is None]
        rows = as_rows(vectors, self.facts.size)
        if len(rows) != len(named) or len({each.id for each in entries}) < len(entries):
            raise IndexingError(f"expected an embedding for each id, each once, got {len(rows)} for {len(named)}")
        with explained(self.path):
            if named:
                self._engine.append(self.catalogue.live.count, rows, named)
            self.catalogue.put(entries, float(np.linalg.norm(rows, axis=1).max(initial=0)))

    def remove(self, ids: Iterable[str]) -> int:
        """Remove ids; how many of them were there."""
        gone = list(ids)
        with explained(self.path):
            return self.catalogue.remove(gone) if gone else 0

    def rename(self, before: str, after: str, file: SourceFile) -> None:
        """Let the row of an id stand for another one, whose file holds the same."""
        with explained(self.path):
            self._engine.rename(self.catalogue.rename(before, after, file), after)

    def search(self, queries: Vectors, top: int) -> list[list[Found]]:
        """For each query [queries, size] the ids with the highest inner products, best first, at most `top`."""
        asked = as_rows(queries, self.facts.size)
        with self.catalogue.reading():
            self._follow()
            scores, keys = self._engine.search(asked, top, self.catalogue.live)
            names = self.catalogue.names(set(keys[keys >= 0].tolist()))
        return [
            [Found(names[key], score) for key, score in zip(row, line, strict=True) if key in names]
            for row, line in zip(keys.tolist(), scores.tolist(), strict=True)
        ]

    def compute_on(self, device: str) -> None:
        """Search on that device, where the engine can: the exact one."""
        self._device = device
        self._engine.compute_on(device)

    def vectors(self, ids: Sequence[str]) -> Vectors:
        """The embeddings of ids, as they are kept; raises IndexingError for one that is not there."""
        with self.catalogue.reading():
            self._follow()
            keys = self.catalogue.keys(ids)
            if (keys < 0).any():
                raise IndexingError(f"{self.path} does not hold {ids[int((keys < 0).argmax())]!r}")
            return self._engine.vectors(keys)

    def settle(self) -> None:
        """Let go of what was removed where that is worth it, and make what was added quick to find."""
        with explained(self.path):
            live = self.catalogue.live
            if not self._engine.keeps_removed:
                if live.removed.size:
                    self._engine.forget(live.removed)
                    self.catalogue.forgotten()
            elif len(live.removed) > REMOVED_SHARE * live.count:
                self.compact()
            self._engine.settle(self.catalogue.live)

    def compact(self) -> None:
        """Write the rows that are left anew, without the removed ones."""
        if not self._engine.keeps_removed:
            self.settle()
            return
        with explained(self.path):
            generation = self.catalogue.generation + 1
            other, before = self._engine.rewrite(self.catalogue.all_keys(), generation), self._engine
            self.catalogue.renumber(generation)
            self._engine = other
            before.discard()

    def moved(self, *, run: str, source: str) -> None:
        """Note where the run and what was indexed lie now."""
        facts = replace(self.facts, run=run, source=source)
        if facts != self.facts:
            self.facts = facts
            write_json(self.path / FACTS, to_dict(facts))

    def __len__(self) -> int:
        return len(self.catalogue)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.catalogue.keys([name])[0] >= 0)

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        self._open.close()

    def _close_engine(self) -> None:
        self._engine.close()  # which may be another one by then

    def _follow(self) -> None:
        """Turn to the rows as they are numbered now, where another process has numbered them anew."""
        generation = self.catalogue.generation
        if generation != self._engine.generation:
            self._engine.close()
            self._engine = create_engine(self.path, self.facts.size, self.facts.engine, generation)
            self._engine.compute_on(self._device)


def read_facts(path: Path) -> IndexFacts:
    """What the index in a folder holds; raises IndexingError for a file of another format."""
    try:
        data = read_json(path / FACTS)
        if isinstance(data, dict) and data.get("format") == FORMAT:
            return from_dict(IndexFacts, data)
    except RunError as error:
        raise IndexingError(f"{error}; restore it, or delete {path} and index again") from None
    raise IndexingError(f"{path / FACTS}: expected an index of the format {FORMAT}")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise the error of a full disk as one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(path) from None
        raise
