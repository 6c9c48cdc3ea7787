"""The parts of a panel as small pictures: the scale of a map, shaded words, bars, a gauge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from saccade.explain import fonts
from saccade.explain.colors import ACCENT, INK, PAPER, QUIET, RULE, WASH, outline_color, scale_colors, word_color
from saccade.explain.panel import Bar, WordWeights
from saccade.explain.weights import even_share, scale_top, scaled, short_text, weight_text

BODY, SMALL, SMALLEST = 17, 14, 13
WORD_PAD, WORD_GAP = 6, 4


def scale(weights: Sequence[float], width: int) -> Image.Image:
    """The colour bar from 0 to its top, with a tick at the weight that every region has in an even map."""
    top, even = scale_top(weights), even_share(weights)
    bar = 12
    picture = Image.new("RGB", (width, bar + 6 + round(fonts.LINE * SMALLEST)), PAPER)
    picture.paste(Image.fromarray(np.tile(scale_colors(width), (bar, 1, 1))), (0, 3))
    draw = ImageDraw.Draw(picture)
    tick = round((width - 1) * even / top)
    draw.line((tick, 0, tick, bar + 5), fill=PAPER, width=5)
    draw.line((tick, 0, tick, bar + 5), fill=INK, width=2)
    base = bar + 6 + SMALLEST
    fonts.write(draw, (0, base), "0", SMALLEST, color=QUIET)
    fonts.write(draw, (width // 2, base), f"tick: even share, {short_text(even)}", SMALLEST, color=QUIET, anchor="ms")
    fonts.write(draw, (width, base), short_text(top), SMALLEST, color=QUIET, anchor="rs")
    return picture


def words(shaded: WordWeights, width: int) -> Image.Image:
    """The words in reading order, in as many lines as needed: each shaded by its weight above its number.

    Words of an outline are underlined in its colour.
    """
    count, height = len(shaded.words), BODY + 2 * WORD_PAD
    step = height + (WORD_GAP if shaded.weights is None else SMALLEST + 10)
    texts = [fonts.shortened(word, BODY, width - 2 * WORD_PAD) for word in shaded.words]
    weights = shaded.weights
    numbers = [""] * count if weights is None else [weight_text(weight, count) for weight in weights]
    shares = [0.0] * count if weights is None else scaled(weights).tolist()
    places = _word_places(texts, numbers, width)
    picture = Image.new("RGB", (width, step * (1 + max((line for _, line, _ in places), default=0))), PAPER)
    draw = ImageDraw.Draw(picture)
    mirrored = fonts.right_to_left(" ".join(shaded.words))
    for i, (left, line, wide) in enumerate(places):
        x, y = width - left - wide if mirrored else left, line * step
        middle, right, bottom = x + wide // 2, x + wide - 1, y + height - 1
        draw.rounded_rectangle((x, y, right, bottom), radius=4, fill=word_color(shares[i]), outline=RULE)
        color = shaded.colors[i] if shaded.colors else None
        if color is not None:
            draw.rectangle((x, bottom - 2, right, bottom), fill=outline_color(color))
        fonts.write(draw, (middle, y + WORD_PAD + BODY - 3), texts[i], BODY, anchor="ms")
        fonts.write(draw, (middle, y + height + SMALLEST), numbers[i], SMALLEST, color=QUIET, anchor="ms")
    return picture


def _word_places(texts: Sequence[str], numbers: Sequence[str], width: int) -> list[tuple[int, int, int]]:
    """For each word its left edge, its line and its width."""
    places = []
    x, line = 0, 0
    for text, number in zip(texts, numbers, strict=True):
        wide = max(fonts.length(text, BODY), fonts.length(number, SMALLEST)) + 2 * WORD_PAD
        if x > 0 and x + wide > width:
            x, line = 0, line + 1
        places.append((x, line, wide))
        x += wide + WORD_GAP
    return places


def bars(rows: Sequence[Bar], width: int) -> Image.Image:
    """The bars, one a line with its label and its number; the first one in colour."""
    step, number, gap = round(1.75 * BODY), 68, 12
    longest = max((fonts.length(row.label, BODY) for row in rows), default=0)
    left = gap + min(width // 2, longest)
    room = width - left - number
    picture = Image.new("RGB", (width, max(1, step * len(rows))), PAPER)
    draw = ImageDraw.Draw(picture)
    for i, row in enumerate(rows):
        base = i * step + BODY + 3
        fonts.write(draw, (0, base), fonts.shortened(row.label, BODY, left - gap), BODY)
        draw.rectangle((left, base - 11, left + room, base - 1), fill=WASH)
        filled = round(room * min(1.0, row.share))
        draw.rectangle((left, base - 11, left + filled, base - 1), fill=QUIET if i else ACCENT)
        fonts.write(draw, (width, base), row.text, BODY, color=QUIET if i else INK, anchor="rs")
    return picture


def gauge(bar: Bar, width: int) -> Image.Image:
    """One small bar from 0 to 1, between its name and its number."""
    left, right, base = 8 + max(32, fonts.length(bar.label, SMALL)), width - 40, SMALL
    picture = Image.new("RGB", (width, round(fonts.LINE * SMALL)), PAPER)
    draw = ImageDraw.Draw(picture)
    fonts.write(draw, (0, base), bar.label, SMALL, color=QUIET)
    draw.rectangle((left, base - 10, right, base - 1), fill=WASH)
    if (filled := round((right - left) * min(1.0, bar.share))) > 0:
        draw.rectangle((left, base - 10, left + filled, base - 1), fill=ACCENT)
    fonts.write(draw, (width, base), bar.text, SMALL, color=INK, anchor="rs")
    return picture


def listing(rows: Sequence[tuple[str, str]], width: int, gap: int) -> list[Image.Image]:
    """The texts, each a picture, after its number."""
    indent = max((fonts.length(number, BODY) for number, _ in rows), default=0) + gap
    lines = []
    for number, text in rows:
        written = fonts.paragraph(text, BODY, width - indent)
        line = Image.new("RGB", (width, max(written.height, round(fonts.LINE * BODY))), PAPER)
        line.paste(written, (indent, 0))
        fonts.write(ImageDraw.Draw(line), (indent - gap, BODY), number, BODY, color=QUIET, anchor="rs")
        lines.append(line)
    return lines
