"""A figure as plain data: what a reply has to show. `saccade.explain.png` and `saccade.explain.viewer` draw it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from saccade.errors import SaccadeError
from saccade.explain import figure_json
from saccade.explain.panel import Links, Panel

LINKS = ("file:///", "https://", "http://")


@dataclass(frozen=True)
class Listing:
    """Further texts, each with its number as text: (number, text), best first, under a title."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figure:
    """A title, lines under it, panels in rows, and what follows them; then figures that are parts of it, if any.

    ``size`` is that of the panels: "large" with titles at the left, "small" with titles in the middle, or "alone" for
    one image that stands for itself. ``reading`` says how to read the panels. ``link`` is where the title leads to on a
    page: a file, as its URI, or a page. ``links`` say which words look at which regions of the panels' maps; a page
    shows them, a picture does not. Raises SaccadeError for another link, and for links to other regions.
    """

    title: str
    lines: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()
    size: Literal["large", "small", "alone"] = "large"
    reading: str = ""
    listing: Listing | None = None
    parts: tuple[Figure, ...] = ()
    link: str = ""
    links: Links | None = None

    def __post_init__(self) -> None:
        if self.link and not self.link.startswith(LINKS):
            raise SaccadeError(f"link: expected one that begins with {', '.join(LINKS)}, got {self.link[:40]!r}")
        if self.links is not None and self.links.weights:
            maps = [panel.picture.regions for panel in self.panels if panel.picture is not None]
            counts, linked = {len(each.weights) for each in maps if each is not None}, len(self.links.weights[0])
            if counts != {linked}:
                found = ", ".join(map(str, sorted(counts))) or "none"
                raise SaccadeError(f"{self.links.name}: expected maps over the {linked} regions of links, got {found}")

    def to_dict(self) -> dict[str, Any]:
        """JSON values: the fields by name, panels and their parts as objects, and `images`, each distinct one once.

        A picture's `image` is its index in `images`, which are data URLs of JPEG files, the longer side at most 1024
        pixels. The `boxes` of regions are an index of `places` likewise, for all maps of an image have the same ones:
        xyxy fractions of the image, so they hold at any size. Numbers have six significant digits.
        """
        return figure_json.encoded(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Figure:
        """The figure of such JSON values; raises SaccadeError for a field or value that is none."""
        return figure_json.decoded(cls, data)

    def _repr_html_(self) -> str:
        """For notebooks: what may stand in any page, its styles its own."""
        from saccade.explain.viewer import figure_fragment  # noqa: PLC0415  (it imports this file)

        return figure_fragment(self)

    def _repr_png_(self) -> bytes:
        from saccade.explain.files import png_bytes  # noqa: PLC0415  (it imports this file)

        return png_bytes(self)


class Illustrated(ABC):
    """What has a figure, and shows it in a notebook: the replies."""

    @abstractmethod
    def figure(self, note: str = "") -> Figure:
        """What there is to draw; `note` is a line of its own under the title."""

    def _repr_html_(self) -> str:
        return self.figure()._repr_html_()

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()
