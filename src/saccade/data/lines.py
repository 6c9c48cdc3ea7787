"""Text files line by line: UTF-8 with or without a byte order mark, Windows line ends, blank lines left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from saccade.errors import DataError


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers; raises DataError for a file that cannot be read as UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path) from None
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"expected UTF-8 text ({error.reason}); save the file as UTF-8", path, number) from None
        if text.strip():
            yield number, text
