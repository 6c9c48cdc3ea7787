"""The files of the page, all of them read when the server starts: no request is ever looked up on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".woff2": "font/woff2",
}
VIEWER = (".js", ".css")  # beside which lie the templates of pages


@dataclass(frozen=True)
class File:
    """A file as it is sent."""

    content: bytes
    media_type: str


def static_files() -> dict[str, File]:
    """The files of the page and of the viewer, by the path of their address."""
    page, viewer = files("saccade.serve") / "page", files("saccade.explain") / "viewer"
    table = {f"/page/{each.name}": _read(each) for each in page.iterdir() if _suffix(each) in TYPES}
    table |= {f"/viewer/{each.name}": _read(each) for each in viewer.iterdir() if _suffix(each) in VIEWER}
    table["/"] = table["/page/index.html"]
    return table


def _read(file: Traversable) -> File:
    return File(file.read_bytes(), TYPES[_suffix(file)])


def _suffix(file: Traversable) -> str:
    return "." + file.name.rpartition(".")[2]
