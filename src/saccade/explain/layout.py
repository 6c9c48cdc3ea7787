"""Small pictures put together: one below the other, side by side, in rows, inside a margin."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from saccade.explain.colors import PAPER

GAP = 28
MARGIN = 32


def centred(picture: Image.Image, width: int) -> Image.Image:
    """The picture in the middle of a panel of that width."""
    panel = Image.new("RGB", (width, picture.height), PAPER)
    panel.paste(picture, ((width - picture.width) // 2, 0))
    return panel


def stacked(parts: Sequence[Image.Image], gap: int) -> Image.Image:
    """The parts one below the other, flush left."""
    height = sum(part.height for part in parts) + gap * (len(parts) - 1)
    whole = Image.new("RGB", (max(part.width for part in parts), height), PAPER)
    y = 0
    for part in parts:
        whole.paste(part, (0, y))
        y += part.height + gap
    return whole


def beside(parts: Sequence[Image.Image], gap: int) -> Image.Image:
    """The parts in a row, flush at the top."""
    width = sum(part.width for part in parts) + gap * (len(parts) - 1)
    whole = Image.new("RGB", (width, max(part.height for part in parts)), PAPER)
    x = 0
    for part in parts:
        whole.paste(part, (x, 0))
        x += part.width + gap
    return whole


def in_rows(panels: Sequence[Image.Image], columns: int, gap: int) -> list[Image.Image]:
    """The panels in reading order, that many in a row."""
    return [beside(panels[i : i + columns], gap) for i in range(0, len(panels), columns)]


def framed(figure: Image.Image) -> Image.Image:
    """The figure with a white margin on every side."""
    whole = Image.new("RGB", (figure.width + 2 * MARGIN, figure.height + 2 * MARGIN), PAPER)
    whole.paste(figure, (MARGIN, MARGIN))
    return whole
