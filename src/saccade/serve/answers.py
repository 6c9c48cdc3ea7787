"""What a reply becomes: JSON, or the files that --explain writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from starlette.responses import Response

from saccade.explain.figure import Figure
from saccade.explain.files import png_bytes
from saccade.explain.viewer import figure_page
from saccade.serve.problems import JSON, json_bytes

# Under a policy of its own, for a page that is opened from the disk has its styles and script inside.
SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
FILES: Mapping[str, tuple[str, str]] = {
    "png": ("saccade.png", "image/png"),
    "html": ("saccade.html", "text/html; charset=utf-8"),
}


def reply_response(reply: Any, form: str, about: Mapping[str, Any]) -> Response:
    """The reply in one of the forms; `about` is what a JSON answer says beside it."""
    if form in FILES:
        return file_response(reply.figure(), form)
    values = {**about, "reply": reply.to_dict()}
    if form == "figure":
        boxes = reply.regions.boxes
        values["figure"] = reply.figure().to_dict()
        values["regions"] = {"boxes": None if boxes is None else boxes[0].tolist(), "grid": reply.regions.grid}
    return Response(json_bytes(values), media_type=JSON)


def search_response(hits: Any, figure: Figure | None, form: str, about: Mapping[str, Any]) -> Response:
    """The hits of a search in one of the forms, without where their files lie."""
    shown = None if figure is None else _without_places(figure)
    if shown is not None and form in FILES:
        return file_response(shown, form)
    found = [{**hit.to_dict(), "id": public_id(hit.id)} for hit in hits]
    for hit in found:
        del hit["file"]
    values = {**about, "hits": found}
    if form == "figure":
        values["figure"] = None if shown is None else shown.to_dict()
    return Response(json_bytes(values), media_type=JSON)


def file_response(figure: Figure, form: str) -> Response:
    """The figure as a file to be kept, under a name that nobody chose."""
    name, media_type = FILES[form]
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": SANDBOX}
    content = png_bytes(figure) if form == "png" else figure_page(figure).encode("utf-8")
    return Response(content, media_type=media_type, headers=headers)


def public_id(name: str) -> str:
    """The id of what an index holds, without the folders of one that is a place on the server.

    >>> public_id("2019/beach.jpg"), public_id("/home/me/beach.jpg")
    ('2019/beach.jpg', 'beach.jpg')
    """
    path = PurePath(name)
    return path.name if path.is_absolute() or "://" in name else name


def _without_places(figure: Figure) -> Figure:
    parts = tuple(replace(part, link="", title=public_id(part.title)) for part in figure.parts)
    return replace(figure, parts=parts)
