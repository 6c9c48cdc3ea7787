"""A file of one line for each of many, which may be killed at any moment while it grows, and goes on where it was.

answers.csv.partial        the lines so far, as JSON Lines; in the end the file is made of it
answers.csv.origin.json    what the lines are made of, by which those of another run or input are told apart
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from saccade.errors import RunError, look_up, show
from saccade.serial import held, read_json, temporary_name, write_json

ERROR = "error"


class GrowingFile:
    """A file that lines are added to; `done` are in it, `failed` of them have an "error"; `finished` says it has all.

    `made_of` is what decides its content, as JSON values by names that an error can quote; `about` says more of it to
    readers. Raises UnknownNameError for a suffix that is not known, and RunError for a file that is made of something
    else, unless it is to be overwritten. As a context it holds the file for one process.
    """

    def __init__(
        self, path: Path, made_of: Mapping[str, Any], *, about: Mapping[str, Any], last: Sequence[str], overwrite: bool
    ) -> None:
        self.path, self._made_of, self._about, self._last = path, dict(made_of), dict(about), last
        self._finish = look_up({".jsonl": self._as_lines, ".csv": self._as_table}, path.suffix.lower(), "file format")
        self._partial = path.with_name(f"{path.name}.partial")
        self._origin = path.with_name(f"{path.name}.origin.json")
        self._overwrite, self._held = overwrite, ExitStack()
        self.done = self.failed = 0
        self.finished = self.path.exists() and not self._partial.exists() and not overwrite
        begun = self._partial.exists() and self._partial.stat().st_size > 0
        if not overwrite and (begun or self.path.exists()):
            self._refuse_other()

    def __enter__(self) -> GrowingFile:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as entering:
            self._file = entering.enter_context(self._partial.open("ab"))
            busy = f"another process is writing {self.path}: wait for it to end, or name another file with --out"
            entering.enter_context(held(self._partial, RunError(busy)))
            if not self._partial.exists():  # it ended just now
                raise RunError(busy)
            self._go_on()
            self._held = entering.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append a line for each, and hand them to the system, which keeps them though the process be killed."""
        for row in rows:
            self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            self.done += 1
            self.failed += ERROR in row
        self._file.flush()

    def finish(self) -> None:
        """Make the file of the lines."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._finish()
        counts = {"lines": self.done, "lines_with_error": self.failed}
        write_json(self._origin, {**self._about, **counts, "made_of": self._made_of})

    def discard(self) -> None:
        """Leave nothing behind."""
        self._partial.unlink()
        self._origin.unlink()

    def _go_on(self) -> None:
        """Count the whole lines, and say what they are made of where there are none yet."""
        if self._overwrite:
            self.path.unlink(missing_ok=True)
            self._file.truncate(0)
        whole = 0
        for line in self._lines():
            whole += len(line)
            self.done += 1
            self.failed += ERROR in json.loads(line)
        self._file.truncate(whole)
        if not whole:
            write_json(self._origin, {**self._about, "made_of": self._made_of})

    def _refuse_other(self) -> None:
        """Refuse lines that are made of something else."""
        hint = "start anew with --overwrite, or name another file with --out"
        if not self._origin.exists():
            raise RunError(f"{self.path} exists, and nothing says what it was made of: {hint}")
        origin = read_json(self._origin)
        if not isinstance(origin, dict) or not isinstance(before := origin.get("made_of"), dict):
            raise RunError(f"{self._origin} was altered: {hint}")
        differing = [
            f"{name} ({show(before.get(name))}, now {show(value)})"
            for name, value in self._made_of.items()
            if before.get(name) != value
        ]
        if differing:
            raise RunError(f"{self.path} was made otherwise; its {', '.join(differing)}: {hint}")
        if self.finished:
            self.done, self.failed = origin.get("lines", 0), origin.get("lines_with_error", 0)

    def _lines(self) -> Iterator[bytes]:
        """The whole lines so far; the last may be half of one."""
        with self._partial.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line

    def _as_lines(self) -> None:
        self._partial.replace(self.path)

    def _as_table(self) -> None:
        """A table with all columns that any line has, the ones of `last` behind the others."""
        columns = dict.fromkeys(name for line in self._lines() for name in json.loads(line))
        columns = {name: None for name in columns if name not in self._last} | {
            name: None for name in self._last if name in columns
        }
        temporary = temporary_name(self.path)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(columns)
            for line in self._lines():
                row = json.loads(line)
                table.writerow([_cell(row.get(name)) for name in columns])
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        self._partial.unlink()


def _cell(value: Any) -> str:
    """A value as a cell: a text as it is, nothing for none, all else as JSON."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
