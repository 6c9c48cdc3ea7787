"""How long work tells what it has done. Library code reports; what is shown, and where, is the caller's choice."""

from __future__ import annotations

import time
from collections.abc import Callable

# What is over sooner than that needs no forecast; one is made when so many seconds of the work are over.
WORTH_SAYING, MEASURED = 20.0, 2.0


class Report:
    """Tells nobody. Subclasses show what they are told."""

    def advance(self, stage: str, done: int, total: int, unit: str) -> None:
        """So many of the stage's units of work are done; called again and again, with `done` equal to `total` last."""

    def say(self, text: str) -> None:
        """Something worth a line."""


SILENT = Report()


class Forecast:
    """Says once, when the first units of some work are done, about how long all of it will take.

    The first unit is not measured: it warms up. `what` is the work, "extraction of 900 images".
    """

    def __init__(
        self, report: Report, what: str, total: int, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._report, self._what, self._total, self._clock = report, what, total, clock
        self._started: float | None = None
        self._first, self._said = 0, False

    def done(self, units: int) -> None:
        """So many units are done."""
        if self._said or not units:
            return
        if self._started is None:
            self._started, self._first = self._clock(), units
            return
        seconds, measured = self._clock() - self._started, units - self._first
        if seconds >= MEASURED and measured:
            self._said = True
            if (whole := seconds / measured * (self._total - self._first)) >= WORTH_SAYING:
                self._report.say(f"{self._what}: {about(whole)}")


def about(seconds: float) -> str:
    """A length of time as people say it: "about 4 minutes"."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return f"about {round(seconds / size)} {unit}s"
        if seconds >= 0.75 * size:
            return f"about {'an' if unit == 'hour' else 'a'} {unit}"
    return f"about {max(10, round(seconds, -1)):.0f} seconds"
