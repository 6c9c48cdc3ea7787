"""The picture of an answer: the image, every step's map with its scale, the words shaded, the answers.

Every part is a small picture; parts are stacked into panels, and panels into rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from saccade.explain import fonts
from saccade.explain.colors import ACCENT, INK, PAPER, QUIET, RULE, WASH, scale_colors, word_color
from saccade.explain.explanation import (
    Explanation,
    Step,
    even_share,
    percent,
    scale_top,
    shares,
    short_text,
    weight_text,
)
from saccade.explain.layout import GAP, centred, framed, in_rows, stacked
from saccade.explain.overlay import map_over, sized

PANEL = 384
COLUMNS = 4
HEADING, BODY, SMALL = 24, 17, 13


def draw(explanation: Explanation) -> Image.Image:
    """The whole figure, on white: the question, then a panel for the image and its answers and one for each step."""
    panels = [_image_panel(explanation), *(_step_panel(explanation, step) for step in explanation.steps)]
    rows = in_rows(panels, COLUMNS, GAP)
    width = max(row.width for row in rows)
    heading = [fonts.paragraph(explanation.question, HEADING, width)]
    if explanation.note:
        heading.append(fonts.paragraph(explanation.note, BODY, width, color=QUIET))
    return framed(stacked([stacked(heading, 4), *rows], GAP))


def _image_panel(explanation: Explanation) -> Image.Image:
    image = centred(sized(explanation.image, PANEL), PANEL)
    return stacked([_title("image"), image, _answers(explanation.answers)], 10)


def _step_panel(explanation: Explanation, step: Step) -> Image.Image:
    parts = [_title(step.name)]
    if step.regions is not None:
        parts += [centred(map_over(explanation.image, step, PANEL), PANEL), _scale(step.regions)]
    if step.words is not None:
        parts.append(_words(explanation.words, step.words))
    return stacked(parts, 10)


def _title(name: str) -> Image.Image:
    return fonts.paragraph(fonts.shortened(name, BODY, PANEL), BODY, PANEL, color=QUIET)


def _scale(weights: Float[np.ndarray, " regions"]) -> Image.Image:
    """The colour bar from 0 to its top, with a tick at the weight that every region has in an even map."""
    top, even = scale_top(weights), even_share(weights)
    bar = 12
    picture = Image.new("RGB", (PANEL, bar + 6 + round(fonts.LINE * SMALL)), PAPER)
    picture.paste(Image.fromarray(np.tile(scale_colors(PANEL), (bar, 1, 1))), (0, 3))
    draw = ImageDraw.Draw(picture)
    tick = round((PANEL - 1) * even / top)
    draw.line((tick, 0, tick, bar + 5), fill=PAPER, width=5)
    draw.line((tick, 0, tick, bar + 5), fill=INK, width=2)
    base = bar + 6 + SMALL
    fonts.write(draw, (0, base), "0", SMALL, color=QUIET)
    fonts.write(draw, (PANEL // 2, base), f"tick: even share, {short_text(even)}", SMALL, color=QUIET, anchor="ms")
    fonts.write(draw, (PANEL, base), short_text(top), SMALL, color=QUIET, anchor="rs")
    return picture


def _words(words: Sequence[str], weights: Float[np.ndarray, " words"]) -> Image.Image:
    """The words in reading order, each shaded by its weight and above its number, in as many lines as needed."""
    pad, gap = 6, 4
    height = BODY + 2 * pad
    step = height + SMALL + 10
    boxes: list[tuple[int, int, int, str, str]] = []
    x, line = 0, 0
    for word, weight in zip(words, weights.tolist(), strict=True):
        number = weight_text(weight, len(weights))
        text = fonts.shortened(word, BODY, PANEL - 2 * pad)
        width = max(fonts.length(text, BODY), fonts.length(number, SMALL)) + 2 * pad
        if x > 0 and x + width > PANEL:
            x, line = 0, line + 1
        boxes.append((x, line, width, text, number))
        x += width + gap
    picture = Image.new("RGB", (PANEL, step * (line + 1)), PAPER)
    draw = ImageDraw.Draw(picture)
    for (x, line, width, text, number), share in zip(boxes, shares(weights), strict=True):
        y, middle = line * step, x + width // 2
        draw.rounded_rectangle(
            (x, y, x + width - 1, y + height - 1), radius=4, fill=word_color(float(share)), outline=RULE
        )
        fonts.write(draw, (middle, y + pad + BODY - 3), text, BODY, anchor="ms")
        fonts.write(draw, (middle, y + height + SMALL), number, SMALL, color=QUIET, anchor="ms")
    return picture


def _answers(answers: Sequence[tuple[str, float]]) -> Image.Image:
    """The answers, one a line with its bar and its percentage; the best one in colour."""
    step, number, gap = round(1.75 * BODY), 68, 12
    longest = max((fonts.length(answer, BODY) for answer, _ in answers), default=0)
    bar = gap + min(PANEL // 2, longest)
    room = PANEL - bar - number
    picture = Image.new("RGB", (PANEL, max(1, step * len(answers))), PAPER)
    draw = ImageDraw.Draw(picture)
    for i, (answer, probability) in enumerate(answers):
        base = i * step + BODY + 3
        fonts.write(draw, (0, base), fonts.shortened(answer, BODY, bar - gap), BODY)
        draw.rectangle((bar, base - 11, bar + room, base - 1), fill=WASH)
        filled = round(room * min(1.0, probability))
        draw.rectangle((bar, base - 11, bar + filled, base - 1), fill=QUIET if i else ACCENT)
        fonts.write(draw, (PANEL, base), percent(probability), BODY, color=QUIET if i else INK, anchor="rs")
    return picture
