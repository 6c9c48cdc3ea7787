"""The picture of captions: the image, then for each word the image with where the model looked, and the word's beta."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from saccade.explain import fonts
from saccade.explain.caption import CaptionExplanation, probability_text
from saccade.explain.colors import ACCENT, INK, PAPER, QUIET, RULE, WASH
from saccade.explain.explanation import Step
from saccade.explain.layout import GAP, centred, framed, in_rows, stacked
from saccade.explain.overlay import light_over, sized

# The longer side of the image with a word's map, and of an image that has none beside it.
PANEL, ALONE = 256, 512
BETWEEN, WITHIN = 20, 6
COLUMNS = 6
# Lines of text get at least this many panels' width, however short the caption.
LEAST_COLUMNS = 3
HEADING, WORD, BODY, SMALL = 24, 19, 17, 14


def draw_captions(explanations: Sequence[CaptionExplanation]) -> Image.Image:
    """The whole figure, on white: the captions one below the other, a line between them."""
    widths = [_width(explanation) for explanation in explanations]
    parts: list[Image.Image] = []
    for explanation in explanations:
        if parts:
            parts.append(Image.new("RGB", (max(widths), 1), RULE))
        parts.append(_caption(explanation, max(widths)))
    return framed(stacked(parts, GAP))


def _width(explanation: CaptionExplanation) -> int:
    columns = max(LEAST_COLUMNS, min(COLUMNS, 1 + len(explanation.panels)))
    return columns * PANEL + (columns - 1) * BETWEEN


def _caption(explanation: CaptionExplanation, width: int) -> Image.Image:
    """One caption: its text and probability, the panels in rows, how to read them, the other captions."""
    heading = [fonts.paragraph(explanation.title, HEADING, width)]
    heading += [
        fonts.paragraph(text, BODY, width, color=QUIET) for text in (explanation.likelihood, explanation.note) if text
    ]
    if explanation.panels:
        panels = [_panel(explanation, *panel) for panel in explanation.panels]
        rows = in_rows([_image(explanation), *panels], COLUMNS, BETWEEN)
    else:
        rows = [sized(explanation.image, ALONE)]
    below = [fonts.paragraph(explanation.reading, SMALL, width, color=QUIET)] if explanation.reading else []
    others = [_others(explanation.alternatives, width)] if explanation.alternatives else []
    return stacked([stacked(heading, 4), *rows, *below, *others], BETWEEN)


def _image(explanation: CaptionExplanation) -> Image.Image:
    title = fonts.paragraph("image", WORD, PANEL, color=QUIET, align="center")
    return stacked([title, centred(sized(explanation.image, PANEL), PANEL)], WITHIN)


def _panel(explanation: CaptionExplanation, word: str, step: Step, beta: float | None) -> Image.Image:
    """A word, where the model looked for it, and its beta."""
    title = fonts.paragraph(fonts.shortened(word, WORD, PANEL), WORD, PANEL, align="center")
    parts = [title, centred(light_over(explanation.image, step, PANEL), PANEL)]
    return stacked(parts if beta is None else [*parts, _beta(beta)], WITHIN)


def _beta(beta: float) -> Image.Image:
    """The gate as a bar from 0 to 1, between its name and its number."""
    left, right, base = 40, PANEL - 40, SMALL
    picture = Image.new("RGB", (PANEL, round(fonts.LINE * SMALL)), PAPER)
    draw = ImageDraw.Draw(picture)
    fonts.write(draw, (0, base), "beta", SMALL, color=QUIET)
    draw.rectangle((left, base - 10, right, base - 1), fill=WASH)
    if (filled := round((right - left) * beta)) > 0:
        draw.rectangle((left, base - 10, left + filled, base - 1), fill=ACCENT)
    fonts.write(draw, (PANEL, base), f"{beta:.2f}", SMALL, color=INK, anchor="rs")
    return picture


def _others(alternatives: Sequence[tuple[str, float]], width: int) -> Image.Image:
    """The other captions, one below the other, each after its probability."""
    numbers = [probability_text(number) for _, number in alternatives]
    indent = max(fonts.length(number, BODY) for number in numbers) + BETWEEN
    lines = [fonts.paragraph("Other captions and their probabilities", SMALL, width, color=QUIET)]
    for (caption, _), number in zip(alternatives, numbers, strict=True):
        text = fonts.paragraph(caption, BODY, width - indent)
        line = Image.new("RGB", (width, text.height), PAPER)
        line.paste(text, (indent, 0))
        fonts.write(ImageDraw.Draw(line), (indent - BETWEEN, BODY), number, BODY, color=QUIET, anchor="rs")
        lines.append(line)
    return stacked(lines, 2)
