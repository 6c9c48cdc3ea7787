"""Text files line by line: UTF-8 with or without a byte order mark, Windows line ends, blank lines left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from saccade.errors import DataError


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers; raises DataError for a file that cannot be read as UTF-8."""
    for number, line in all_lines(path):
        if line.strip():
            yield number, line.removesuffix("\n")


def all_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its end, and its number; one after the other, for files may be larger than the memory."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"expected UTF-8 text ({error.reason}); save the file as UTF-8", path, number
                    ) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path) from None
