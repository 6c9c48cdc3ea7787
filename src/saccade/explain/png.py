"""A figure as pixels, on white: small pictures stacked into panels, panels in rows, parts one below the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PIL import Image

from saccade.explain import fonts, png_parts
from saccade.explain.colors import INK, PAPER, QUIET, RULE
from saccade.explain.figure import Figure, Listing
from saccade.explain.layout import GAP, centred, framed, in_rows, stacked
from saccade.explain.overlay import laid
from saccade.explain.panel import Panel
from saccade.explain.png_parts import BODY, SMALL
from saccade.explain.weights import strongest

HEADING, ABOVE_PARTS = 24, 28


@dataclass(frozen=True)
class Layout:
    """How panels of a size are laid out, in pixels.

    `least` is the width that lines of text get at the least; `centred` whether images stand in the middle of panels.
    """

    panel: int
    columns: int
    least: int
    gap: int
    within: int
    title: int
    align: Literal["left", "center"]
    centred: bool = True


LAYOUTS = {
    "large": Layout(384, columns=4, least=384, gap=GAP, within=10, title=BODY, align="left"),
    "small": Layout(256, columns=6, least=3 * 256 + 2 * 20, gap=20, within=6, title=19, align="center"),
    "alone": Layout(512, columns=1, least=3 * 256 + 2 * 20, gap=20, within=6, title=19, align="left", centred=False),
}


def draw(figure: Figure) -> Image.Image:
    """The whole figure with a margin; its parts are as wide as the widest, a line above each."""
    return framed(_figure(figure, _width(figure)))


def _width(figure: Figure) -> int:
    layout = LAYOUTS[figure.size]
    columns = min(layout.columns, len(figure.panels))
    panels = columns * layout.panel + (columns - 1) * layout.gap
    return max(layout.least, panels, *map(_width, figure.parts), 0)


def _figure(figure: Figure, width: int) -> Image.Image:
    """The title and lines, the panels in rows, how to read them, the listing, the parts."""
    layout = LAYOUTS[figure.size]
    heading = [fonts.paragraph(figure.title, ABOVE_PARTS if figure.parts else HEADING, width)]
    heading += [fonts.paragraph(line, BODY, width, color=QUIET) for line in figure.lines]
    rows = in_rows([_panel(panel, layout) for panel in figure.panels], layout.columns, layout.gap)
    below = [fonts.paragraph(figure.reading, SMALL, width, color=QUIET)] if figure.reading else []
    listing = [_listing(figure.listing, width, layout.gap)] if figure.listing else []
    whole = stacked([stacked(heading, 4), *rows, *below, *listing], layout.gap)
    if not figure.parts:
        return whole
    parts = [(Image.new("RGB", (width, 1), RULE), _figure(part, width)) for part in figure.parts]
    return stacked([whole, *(each for part in parts for each in part)], GAP)


def _panel(panel: Panel, layout: Layout) -> Image.Image:
    width = layout.panel
    parts = [] if not panel.title else [_title(panel, layout)]
    regions = None if panel.picture is None else panel.picture.regions
    if panel.picture is not None:
        picture = laid(panel.picture, width)
        parts.append(centred(picture, width) if layout.centred else picture)
    if regions is not None and regions.style == "heat":
        parts.append(png_parts.scale(regions.weights, width))
    if panel.gauge is not None:
        parts.append(png_parts.gauge(panel.gauge, width))
    if regions is not None and strongest(regions.weights) is None:
        parts.append(fonts.paragraph(regions.said, SMALL, width, color=QUIET, align=layout.align))
    if panel.bars:
        parts.append(png_parts.bars(panel.bars, width))
    if panel.words is not None:
        parts.append(png_parts.words(panel.words, width))
    if panel.note:
        parts.append(fonts.paragraph(panel.note, SMALL, width, color=QUIET, align=layout.align))
    return stacked(parts or [Image.new("RGB", (width, 1), PAPER)], layout.within)


def _title(panel: Panel, layout: Layout) -> Image.Image:
    """The panel's title on one line; above a bare image, and at the left, it is no more than a label."""
    bare = panel.picture is not None and panel.picture.regions is None and not panel.picture.outlines
    color = QUIET if bare or layout.align == "left" else INK
    text = fonts.shortened(panel.title, layout.title, layout.panel)
    return fonts.paragraph(text, layout.title, layout.panel, color=color, align=layout.align)


def _listing(listing: Listing, width: int, gap: int) -> Image.Image:
    title = fonts.paragraph(listing.title, SMALL, width, color=QUIET)
    return stacked([title, *png_parts.listing(listing.rows, width, gap)], 2)
