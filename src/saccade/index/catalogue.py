"""What an index's rows stand for: the id of each, the file that it was made of, and which rows are no more.

An SQLite file, so that what changes together changes at once or, where the process is killed, not at all.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saccade.index.engine import IndexingError, Keys, Live

AT_ONCE = 500  # ids asked for together: SQLite takes some thousand values at most
PATIENCE_SECONDS = 60.0  # for another process to end what it is writing
FACTS = ("count", "generation", "largest", "changes", "forgotten")
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    id TEXT PRIMARY KEY, key INTEGER UNIQUE, size INTEGER, time INTEGER, hash TEXT, reason TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS removed (key INTEGER PRIMARY KEY);
"""


@dataclass(frozen=True)
class SourceFile:
    """A file as it was when it was read: bytes, modification time in nanoseconds, and a hash of what is in it."""

    size: int
    time: int
    hash: str


@dataclass(frozen=True)
class Entry:
    """What an id stands for: a row, or the reason why it has none; and the file that it was made of, if any."""

    id: str
    file: SourceFile | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Ids beside those of a catalogue: those it lacks, those whose file looks otherwise, those that are gone."""

    new: tuple[str, ...]
    touched: tuple[str, ...]
    gone: tuple[str, ...]


class Catalogue:
    """The catalogue in a file, which is made where there is none. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.RLock()
        self._live: tuple[int, Live] | None = None
        with self._explained():
            self._connection = sqlite3.connect(
                path, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA synchronous = FULL")

    def begin(self) -> None:
        """Make the tables where there are none."""
        with self._explained():
            self._connection.executescript(SCHEMA)
            rows = [(name, 0) for name in FACTS]
            self._connection.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?)", rows)

    @property
    def live(self) -> Live:
        """The rows that count; read when something was changed, not for every search."""
        with self.reading():
            changes = self.changes
            if self._live is None or self._live[0] != changes:
                removed = [key for (key,) in self._connection.execute("SELECT key FROM removed ORDER BY key")]
                count, largest, forgotten = map(self._fact, ("count", "largest", "forgotten"))
                self._live = changes, Live(int(count), np.array(removed, np.int64), float(largest), int(forgotten))
            return self._live[1]

    @property
    def generation(self) -> int:
        """Of the rows' numbering."""
        return int(self._fact("generation"))

    @property
    def changes(self) -> int:
        """How many times something was changed."""
        return int(self._fact("changes"))

    def __len__(self) -> int:
        """How many ids have a row."""
        return self._number("SELECT count(key) FROM entries")

    def failed(self) -> dict[str, str]:
        """The ids that have no row, with the reason."""
        with self.reading():
            return dict(self._connection.execute("SELECT id, reason FROM entries WHERE key IS NULL ORDER BY id"))

    def ids(self) -> list[str]:
        """The ids that have a row, in the order of their rows."""
        with self.reading():
            found = self._connection.execute("SELECT id FROM entries WHERE key IS NOT NULL ORDER BY key")
            return [name for (name,) in found]

    def put(self, entries: Sequence[Entry], largest: float) -> None:
        """Add entries, those with rows in the order of the rows that were appended; what their ids had is no more.

        `largest` is the largest norm of these rows.
        """
        with self.writing():
            key = first = int(self._fact("count"))
            for entry in entries:
                has_row = entry.reason is None
                self._remove([entry.id])
                file = entry.file
                facts = (None, None, None) if file is None else (file.size, file.time, file.hash)
                values = (entry.id, key if has_row else None, *facts, entry.reason)
                self._connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)
                key += has_row
            if key > first:
                self._set("count", key)
                self._set("largest", max(float(self._fact("largest")), largest))

    def remove(self, ids: Iterable[str]) -> int:
        """Remove ids; how many of them were there."""
        with self.writing():
            return self._remove(ids)

    def rename(self, before: str, after: str, file: SourceFile) -> int:
        """Give the row of an id another one; its number."""
        with self.writing():
            self._remove([after])
            self._connection.execute(
                "UPDATE entries SET id = ?, size = ?, time = ?, hash = ? WHERE id = ?",
                (after, file.size, file.time, file.hash, before),
            )
            return self._number("SELECT key FROM entries WHERE id = ?", after)

    def touch(self, name: str, file: SourceFile) -> None:
        """Note that the file of an id looks otherwise and holds the same."""
        with self.writing():
            self._connection.execute("UPDATE entries SET size = ?, time = ? WHERE id = ?", (file.size, file.time, name))

    def forgotten(self) -> None:
        """Note that no removed row is kept any longer."""
        with self.writing():
            self._set("forgotten", self._fact("forgotten") + self._number("SELECT count(*) FROM removed"))
            self._connection.execute("DELETE FROM removed")

    def renumber(self, generation: int) -> None:
        """Number the rows from 0 on, in their order; no removed row is kept any longer."""
        with self.writing():
            self._connection.execute(
                "CREATE TEMP TABLE numbering AS SELECT key AS old, row_number() OVER (ORDER BY key) - 1 AS new "
                "FROM entries WHERE key IS NOT NULL"
            )
            # In two steps by way of negative numbers: none may be there twice at any moment.
            self._connection.execute("UPDATE entries SET key = -1 - key WHERE key IS NOT NULL")
            self._connection.execute("CREATE INDEX temp.by_old ON numbering (old)")
            self._connection.execute(
                "UPDATE entries SET key = (SELECT new FROM numbering WHERE old = -1 - key) WHERE key IS NOT NULL"
            )
            self._connection.execute("DROP TABLE numbering")
            self._connection.execute("DELETE FROM removed")
            self._set("count", self._number("SELECT count(key) FROM entries"))
            self._set("forgotten", 0)
            self._set("generation", generation)

    def keys(self, ids: Sequence[str]) -> Keys:
        """The number of each id's row; -1 for an id that has none."""
        with self.reading():
            found = [
                self._connection.execute("SELECT key FROM entries WHERE id = ?", (name,)).fetchone() for name in ids
            ]
        return np.array([-1 if row is None or row[0] is None else row[0] for row in found], np.int64)

    def all_keys(self) -> Keys:
        """The numbers of all rows, in order."""
        with self.reading():
            found = self._connection.execute("SELECT key FROM entries WHERE key IS NOT NULL ORDER BY key")
            return np.array([key for (key,) in found], np.int64)

    def names(self, keys: Iterable[int]) -> dict[int, str]:
        """The ids by the numbers of their rows, of those that have one."""
        asked, found = list(keys), dict[int, str]()
        with self.reading():
            for start in range(0, len(asked), AT_ONCE):
                some = asked[start : start + AT_ONCE]
                places = ", ".join("?" * len(some))
                found.update(self._connection.execute(f"SELECT key, id FROM entries WHERE key IN ({places})", some))
        return found

    def file(self, name: str) -> SourceFile | None:
        """The file that an id was made of."""
        with self.reading():
            row = self._connection.execute("SELECT size, time, hash FROM entries WHERE id = ?", (name,)).fetchone()
        return None if row is None or row[0] is None else SourceFile(*row)

    def compare(self, files: Iterable[tuple[str, int | None, int | None]]) -> Comparison:
        """The ids given, with the size and time of each one's file where it has one, beside those that are here."""
        with self.reading():
            self._connection.execute("CREATE TEMP TABLE seen (id TEXT PRIMARY KEY, size, time) WITHOUT ROWID")
            try:
                self._connection.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", files)
                queries = (
                    "SELECT id FROM seen WHERE id NOT IN (SELECT id FROM entries) ORDER BY id",
                    "SELECT id FROM seen JOIN entries USING (id) WHERE NOT (seen.size IS entries.size AND "
                    "seen.time IS entries.time) ORDER BY id",
                    "SELECT id FROM entries WHERE id NOT IN (SELECT id FROM seen) ORDER BY id",
                )
                found = [tuple(name for (name,) in self._connection.execute(query)) for query in queries]
            finally:
                self._connection.execute("DROP TABLE seen")
        return Comparison(*found)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read inside belongs together, whatever another process writes meanwhile."""
        with self._lock, self._explained():
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is written inside is there whole, or not at all."""
        with self._lock, self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._set("changes", self.changes + 1)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _remove(self, ids: Iterable[str]) -> int:
        removed = 0
        for name in ids:
            row = self._connection.execute("SELECT key FROM entries WHERE id = ?", (name,)).fetchone()
            if row is None:
                continue
            if row[0] is not None:
                self._connection.execute("INSERT INTO removed VALUES (?)", row)
            self._connection.execute("DELETE FROM entries WHERE id = ?", (name,))
            removed += 1
        return removed

    def _fact(self, name: str) -> float:
        with self._lock, self._explained():
            [value] = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return value  # type: ignore[no-any-return]

    def _set(self, name: str, value: float) -> None:
        self._connection.execute("UPDATE facts SET value = ? WHERE name = ?", (value, name))

    def _number(self, query: str, *values: object) -> int:
        with self._lock, self._explained():
            [number] = self._connection.execute(query, values).fetchone()
        return int(number)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise what SQLite says as IndexingError; a full disk as the system would."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise no_space(self._path) from None
            if "locked" in str(error):
                raise IndexingError(f"{self._path} is in use by another process: wait for it to end") from None
            raise IndexingError(f"{self._path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise IndexingError(
                f"{self._path} was altered ({error}): restore it, or delete the index and make it again"
            ) from None


def no_space(path: Path) -> IndexingError:
    """The error of a disk without room for more."""
    return IndexingError(
        f"{path}: no space left on the disk; nothing that was indexed is lost: make room, and run the same command "
        "again"
    )
