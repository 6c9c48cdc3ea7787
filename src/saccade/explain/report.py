"""What a report has besides figures, as plain data: a table of metrics, facts, commands. The viewer makes the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from saccade.errors import SaccadeError
from saccade.explain.weights import share_text

NO_NUMBER = "–"


@dataclass(frozen=True)
class MetricsTable:
    """A table of fractions as percentages, the highest of every column in bold where `best` asks for it.

    ``first`` heads the column of row names; None, or a number that is not finite, is shown as a dash. Raises
    SaccadeError for a row of another length.
    """

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[float | None]]
    caption: str = ""
    first: str = ""
    best: bool = True

    def __post_init__(self) -> None:
        for name, values in self.rows.items():
            if len(values) != len(self.columns):
                raise SaccadeError(
                    f"row {name!r}: expected {len(self.columns)} numbers, one a column, got {len(values)}"
                )

    def cells(self) -> dict[str, list[tuple[str, bool]]]:
        """For each row the text of every cell, and whether it is the best of its column."""
        numbers = {name: [_finite(value) for value in values] for name, values in self.rows.items()}
        highest = [
            max((value for value in column if value is not None), default=None)
            for column in zip(*numbers.values(), strict=True)
        ]
        bold = self.best and len(numbers) > 1
        return {
            name: [
                (NO_NUMBER if value is None else share_text(value), bold and value is not None and value == top)
                for value, top in zip(values, highest, strict=True)
            ]
            for name, values in numbers.items()
        }


@dataclass(frozen=True)
class Facts:
    """Names and what they are: recipe, time, seed."""

    title: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Chart:
    """A drawing that is SVG already, which Saccade made itself, and what it shows in words."""

    title: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Commands:
    """Command lines, each with what it does: (line, purpose)."""

    title: str
    lines: Sequence[tuple[str, str]]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
