"""The exceptions Saccade raises, the look-up that answers a wrong name with the known ones, and what errors quote.

Every message says what was expected, what came, and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LISTED = 40  # name all the known ones up to so many
FEW = 5  # of many, name so many
WIDTH = 80  # characters of a value, at most


class SaccadeError(Exception):
    """The root of the tree: catch it to catch every failure Saccade explains itself."""

    def __reduce__(self) -> tuple[Callable[..., SaccadeError], tuple[type[SaccadeError], str]]:
        """The error with its message, whatever it was made of: errors travel between processes."""
        return _with_message, (type(self), str(self))


def _with_message(kind: type[SaccadeError], message: str) -> SaccadeError:
    error = kind.__new__(kind, message)
    assert isinstance(error, kind)
    return error


class UnknownNameError(SaccadeError):
    """A model, recipe, data set, backbone or field of that name does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        nearest = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        listed = "Known" if len(names) <= LISTED else f"Of {len(names)} known the nearest"
        if len(names) > LISTED:
            names = get_close_matches(name, names, n=10, cutoff=0.0)
        super().__init__(f"no {kind} named {name!r}{hint} {listed}: {', '.join(names) or 'none'}.")


class DataError(SaccadeError):
    """A file of a data set is missing, or does not hold what its format asks for."""

    def __init__(self, message: str, path: Path | str | None = None, line: int | None = None) -> None:
        place = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(place + message)


class ImageError(SaccadeError):
    """An image cannot be read, or is larger than the limit."""


class StoreError(SaccadeError):
    """A feature store is missing, unfinished, altered, or lacks an image."""


class RunError(SaccadeError):
    """A run directory is missing, incomplete, altered, or does not fit the request."""


class RecipeError(SaccadeError):
    """A recipe asks for something that cannot be."""


class SaccadeWarning(UserWarning):
    """Something went on, but not as one would think; the command line shows it on a line of its own."""


def look_up(table: Mapping[str, T], name: str, kind: str) -> T:
    """The entry of that name; raises UnknownNameError with the known names and the nearest one."""
    try:
        return table[name]
    except KeyError:
        raise UnknownNameError(kind, name, table) from None


def first(names: Iterable[object], most: int = FEW) -> str:
    """The first few names, by commas.

    >>> first(range(9))
    '0, 1, 2, 3, 4, ...'
    """
    shown = list(map(str, names))
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")


def show(value: object) -> str:
    """A value as it stands in a JSON file, cut short; what could not be printed is escaped.

    >>> show(["rouge", None])
    '["rouge", null]'
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
    return text.encode("utf-8", "backslashreplace").decode()
