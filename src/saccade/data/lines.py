"""Text files line by line: UTF-8 with or without a byte order mark, Windows line ends, blank lines left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from saccade.errors import DataError


def refuse(error: DataError) -> None:
    """Raises the error: what is done with a wrong line unless somebody wants to hear of all of them."""
    raise error from None


def read_lines(path: Path, refuse: Callable[[DataError], None] = refuse) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers.

    Raises DataError for a file that cannot be read; `refuse` is told of a line that is no UTF-8, which is left out.
    """
    for number, line in all_lines(path, refuse):
        if line.strip():
            yield number, line.removesuffix("\n")


def all_lines(path: Path, refuse: Callable[[DataError], None] = refuse) -> Iterator[tuple[int, str]]:
    """Every line with its end, and its number; one after the other, for files may be larger than the memory."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    refuse(DataError(f"expected UTF-8 text ({error.reason}); save the file as UTF-8", path, number))
                    continue
                yield number, text
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path) from None
