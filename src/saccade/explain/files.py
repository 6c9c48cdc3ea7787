"""Writing explanations and pages: the suffix says the format, and nothing is left half written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

from saccade.errors import SaccadeError, look_up
from saccade.explain.caption import CaptionExplanation
from saccade.explain.caption_html import captions_page
from saccade.explain.caption_picture import draw_captions
from saccade.explain.explanation import Explanation
from saccade.explain.html import Markup, answer_section, page
from saccade.explain.picture import draw

# What can be drawn: an answer, or captions, all in one picture or page.
Explained = Explanation | CaptionExplanation | Sequence[CaptionExplanation]

# What the format's two bytes for the height can hold, less what encoders keep.
JPEG_HEIGHT = 65500


def save(explained: Explained, path: Path | str) -> None:
    """Write what is explained as a picture or as a web page, as the path's suffix says; missing folders are made.

    Several captions are put into one picture, one below the other, or into one page. Raises SaccadeError for an
    unknown suffix, naming the known ones, for no captions at all, and for a place that cannot be written.
    """
    path = Path(path)
    make = look_up(FORMATS, path.suffix.lower(), "picture format")
    if isinstance(explained, Sequence) and not explained:
        raise SaccadeError(f"{path}: expected at least one caption to draw, got none")
    _write(make(explained), path)


def save_page(markup: Markup, path: Path | str) -> None:
    """Write a web page; missing folders are made. Raises SaccadeError for a place that cannot be written."""
    _write(markup.encode("utf-8"), Path(path))


def check_suffix(path: Path | str) -> None:
    """Nothing when `save` knows the path's suffix; raises SaccadeError naming the known ones when it does not."""
    look_up(FORMATS, Path(path).suffix.lower(), "picture format")


def _png(explained: Explained) -> bytes:
    stream = BytesIO()
    _drawn(explained).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _jpeg(explained: Explained) -> bytes:
    picture = _drawn(explained)
    if picture.height > JPEG_HEIGHT:
        raise SaccadeError(
            f"the picture is {picture.height} pixels high and a JPEG file at most {JPEG_HEIGHT}: "
            "choose .png or .html, or draw fewer captions at a time"
        )
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=92, subsampling=0)
    return stream.getvalue()


def _html(explained: Explained) -> bytes:
    if isinstance(explained, Explanation):
        return page(explained.question, [answer_section(explained, heading=None)]).encode("utf-8")
    return captions_page(_captions(explained)).encode("utf-8")


def _drawn(explained: Explained) -> Image.Image:
    return draw(explained) if isinstance(explained, Explanation) else draw_captions(_captions(explained))


def _captions(explained: CaptionExplanation | Sequence[CaptionExplanation]) -> Sequence[CaptionExplanation]:
    return [explained] if isinstance(explained, CaptionExplanation) else explained


FORMATS: dict[str, Callable[[Explained], bytes]] = {
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
