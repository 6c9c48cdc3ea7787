"""What the command line shows: progress and warnings on standard error, metrics on standard output."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from saccade.devices import is_first_process
from saccade.errors import SaccadeWarning
from saccade.metrics.units import UNITS, format_metric
from saccade.progress import Report

SECONDS_BETWEEN_LINES = 10.0
# Logs that tell, in every process, what an error or the progress tells better.
OF_OTHERS = ("lightning_fabric.utilities.distributed", "torch.multiprocessing.spawn")


class ConsoleReport(Report):
    """Bars with a rate and the time left; a line every ten seconds where standard error is no terminal.

    Of several processes the first one shows them.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=not is_first_process())
        for name in OF_OTHERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        self._bars: Progress | None = None
        if sys.stderr.isatty() and is_first_process():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
            )
            self._bars = Progress(*columns, console=self._console, transient=True)
        self._stage, self._task = "", TaskID(0)
        self._started = self._last = 0.0
        self._first = 0

    def __reduce__(self) -> tuple[type[ConsoleReport], tuple[()]]:
        """A spawned process shows its own progress."""
        return ConsoleReport, ()

    def __enter__(self) -> ConsoleReport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def advance(self, stage: str, done: int, total: int, unit: str) -> None:
        """Move the stage's bar, or print its line when one is due."""
        now = time.monotonic()
        if stage != self._stage:
            self._begin(stage, total, now, done)
        rate = (done - self._first) / (now - self._started) if now > self._started else 0.0
        speed = f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.1f} {unit}/s" if rate else ""
        if self._bars is not None:
            self._bars.update(self._task, completed=done, total=total, rate=speed)
            if done == total:
                self._bars.remove_task(self._task)
                self._stage = ""
        elif done == total or now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            left = f"{_duration((total - done) / rate)} left" if rate and done < total else ""
            self._console.print(", ".join(filter(None, (f"{stage}: {done}/{total} {unit}", speed, left))), markup=False)
            if done == total:
                self._stage = ""

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, markup=False)

    def _begin(self, stage: str, total: int, now: float, done: int) -> None:
        self._stage, self._started, self._last, self._first = stage, now, now, max(done - 1, 0)
        if self._bars is not None:
            self._bars.start()
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            self._task = self._bars.add_task(stage, total=total, rate="")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our warnings on one line; those of others with their place, for it is not the user's doing.

    Of several processes the first one shows ours.
    """
    if issubclass(category, SaccadeWarning):
        if not is_first_process():
            return
        text = f"saccade: warning: {message}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(text)


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """A line each, in its unit. Groups of metrics have a title; a group that the table of units has is of one unit."""
    _print_metrics(metrics, indent="", unit=None)


def _print_metrics(metrics: Mapping[str, Any], *, indent: str, unit: str | None) -> None:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            print(f"{indent}{name}:")
            _print_metrics(value, indent=f"{indent}  ", unit=unit or (name if name in UNITS else None))
        else:
            print(f"{indent + name:36} {format_metric(unit or name, value)}")
