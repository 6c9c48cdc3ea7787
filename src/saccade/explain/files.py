"""Writing explanations and pages: the suffix says the format, and nothing is left half written."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from saccade.errors import SaccadeError, look_up
from saccade.explain.explanation import Explanation
from saccade.explain.html import Markup, answer_section, page
from saccade.explain.picture import draw


def save(explanation: Explanation, path: Path | str) -> None:
    """Write the explanation as a picture or as a web page, as the path's suffix says; missing folders are made.

    Raises SaccadeError for an unknown suffix, naming the known ones, and for a place that cannot be written.
    """
    path = Path(path)
    _write(look_up(FORMATS, path.suffix.lower(), "picture format")(explanation), path)


def save_page(markup: Markup, path: Path | str) -> None:
    """Write a web page; missing folders are made. Raises SaccadeError for a place that cannot be written."""
    _write(markup.encode("utf-8"), Path(path))


def check_suffix(path: Path | str) -> None:
    """Nothing when `save` knows the path's suffix; raises SaccadeError naming the known ones when it does not."""
    look_up(FORMATS, Path(path).suffix.lower(), "picture format")


def _png(explanation: Explanation) -> bytes:
    stream = BytesIO()
    draw(explanation).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _jpeg(explanation: Explanation) -> bytes:
    stream = BytesIO()
    draw(explanation).save(stream, "JPEG", quality=92, subsampling=0)
    return stream.getvalue()


def _html(explanation: Explanation) -> bytes:
    return page(explanation.question, [answer_section(explanation, heading=None)]).encode("utf-8")


FORMATS: dict[str, Callable[[Explanation], bytes]] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".html": _html,
    ".htm": _html,
}


def _write(content: bytes, path: Path) -> None:
    """Write to a temporary name beside the path, then rename."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise SaccadeError(f"{path} cannot be written ({error.strerror}): choose another place") from None
