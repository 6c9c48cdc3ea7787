"""Writing figures and pages: the suffix says the format, and nothing is left half written."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from saccade.errors import SaccadeError, look_up
from saccade.explain.figure import Figure
from saccade.explain.png import draw
from saccade.explain.viewer import figure_page
from saccade.serial import temporary_name

# What the format's two bytes for the height can hold, less what encoders keep.
JPEG_HEIGHT = 65500


def save(figure: Figure, path: Path | str) -> None:
    """Write the figure as a picture or as a web page, as the path's suffix says; missing folders are made.

    Raises SaccadeError for an unknown suffix, naming the known ones, and for a place that cannot be written.
    """
    path = Path(path)
    make = look_up(FORMATS, path.suffix.lower(), "picture format")
    _write(make(figure), path)


def save_page(page: str, path: Path | str) -> None:
    """Write a web page; missing folders are made. Raises SaccadeError for a place that cannot be written."""
    _write(page.encode("utf-8"), Path(path))


def save_bytes(content: bytes, path: Path | str) -> None:
    """Write a file; missing folders are made. Raises SaccadeError for a place that cannot be written."""
    _write(content, Path(path))


def check_suffix(path: Path | str) -> None:
    """Nothing when `save` knows the path's suffix; raises SaccadeError naming the known ones when it does not."""
    look_up(FORMATS, Path(path).suffix.lower(), "picture format")


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    stream = BytesIO()
    draw(figure).save(stream, "PNG")
    return stream.getvalue()


def _jpeg_bytes(figure: Figure) -> bytes:
    picture = draw(figure)
    if picture.height > JPEG_HEIGHT:
        raise SaccadeError(
            f"the picture is {picture.height} pixels high and a JPEG file at most {JPEG_HEIGHT}: "
            "choose .png or .html, or draw fewer images at a time"
        )
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=92, subsampling=0)
    return stream.getvalue()


def _html_bytes(figure: Figure) -> bytes:
    return figure_page(figure).encode("utf-8")


FORMATS: dict[str, Callable[[Figure], bytes]] = {
    ".png": png_bytes,
    ".jpg": _jpeg_bytes,
    ".jpeg": _jpeg_bytes,
    ".html": _html_bytes,
    ".htm": _html_bytes,
}


def _write(content: bytes, path: Path) -> None:
    """Write to a temporary name beside the path, then rename."""
    unfinished = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise SaccadeError(f"{path} cannot be written ({error.strerror}): choose another place") from None
