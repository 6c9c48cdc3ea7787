"""Web pages that need nothing but themselves: text, tables, and answers with their attention."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from typing import NewType

import numpy as np
from jaxtyping import Float
from PIL import Image

from saccade.errors import SaccadeError
from saccade.explain.colors import scale_colors
from saccade.explain.explanation import (
    Explanation,
    Step,
    even_share,
    percent,
    said,
    scale_top,
    shares,
    short_text,
    weight_text,
)
from saccade.explain.overlay import map_over, sized

# HTML whose text is already escaped; made by this file's functions, and put together by `page`.
Markup = NewType("Markup", str)

# Twice what a narrow screen shows, so that high resolutions stay sharp.
SIDE = 560
SCALE_STOPS = 13


def page(title: str, sections: Sequence[Markup], *, lead: str = "") -> Markup:
    """A whole page: the title, a sentence under it, and the sections in order."""
    style = files("saccade.explain").joinpath("page.css").read_text(encoding="utf-8")
    below = f'\n<p class="lead">{escape(lead)}</p>' if lead else ""
    return Markup(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="generator" content="saccade">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}:root {{ --scale: {_gradient()}; }}\n</style>\n</head>\n"
        f"<body>\n<main>\n<header>\n<h1>{escape(title)}</h1>{below}\n</header>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(heading: str | None, content: str) -> Markup:
    """A section under its heading, or under none."""
    above = f"<h2>{escape(heading)}</h2>\n" if heading else ""
    return Markup(f"<section>\n{above}{content}\n</section>")


def paragraphs(heading: str, *texts: str) -> Markup:
    """A section of plain text."""
    return section(heading, "\n".join(f"<p>{escape(text)}</p>" for text in texts))


def facts(heading: str, values: Mapping[str, str]) -> Markup:
    """A section of names and what they are: recipe, time, seed."""
    rows = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in values.items())
    return section(heading, f"<dl>\n{rows}\n</dl>")


def commands(heading: str, lines: Sequence[tuple[str, str]]) -> Markup:
    """A section of command lines, each with what it does."""
    items = "\n".join(
        f"<li><span>{escape(purpose)}</span><pre><code>{escape(line)}</code></pre></li>" for line, purpose in lines
    )
    return section(heading, f'<ul class="commands">\n{items}\n</ul>')


def metrics_table(
    heading: str,
    columns: Sequence[str],
    rows: Mapping[str, Sequence[float | None]],
    *,
    caption: str = "",
    first: str = "",
    best: bool = True,
) -> Markup:
    """A section with a table of fractions as percentages, the highest of every column in bold where `best` asks for it.

    ``first`` heads the column of row names; None, or a number that is not finite, is shown as a dash. Raises
    SaccadeError for a row of another length.
    """
    for name, values in rows.items():
        if len(values) != len(columns):
            raise SaccadeError(f"row {name!r}: expected {len(columns)} numbers, one a column, got {len(values)}")
    highest = [max(filter(_is_number, column), default=None) for column in zip(*rows.values(), strict=True)]
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in (first, *columns))
    body = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(
            _number(value, bold=best and len(rows) > 1 and value == top)
            for value, top in zip(values, highest, strict=True)
        )
        + "</tr>"
        for name, values in rows.items()
    )
    above = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    table = f"<table>\n{above}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return section(heading, f'<div class="wide">{table}</div>')


def answer_section(explanation: Explanation, *, heading: str | None = "") -> Markup:
    """A section with the image, its answers, and every step's map and words; the heading is the question by default."""
    note = f'<p class="note">{escape(explanation.note)}</p>\n' if explanation.note else ""
    image = sized(explanation.image, SIDE)
    first = (
        f"<figure>\n<h3>image</h3>\n{image_markup(image, f'The image asked about: {explanation.question}')}\n"
        f"{_answers(explanation.answers)}\n</figure>"
    )
    steps = "\n".join(_step(explanation, step) for step in explanation.steps)
    title = explanation.question if heading == "" else heading
    return section(title, f'{note}<div class="panels">\n{first}\n{steps}\n</div>')


def image_markup(image: Image.Image, alt: str) -> Markup:
    """The image, with what it shows in words."""
    stream = BytesIO()
    image.save(stream, "JPEG", quality=90, subsampling=0)
    data = b64encode(stream.getvalue()).decode("ascii")
    width, height = image.size
    return Markup(f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{escape(alt)}">')


def _step(explanation: Explanation, step: Step) -> Markup:
    parts = [f"<h3>{escape(step.name)}</h3>"]
    if step.regions is not None:
        shown = said(step.regions)
        picture = map_over(explanation.image, step, SIDE)
        parts.append(image_markup(picture, f"{step.name}, weights over the image: {shown}"))
        parts.append(_scale(step.regions))
        parts.append(f'<p class="said">{escape(shown)}</p>')
    if step.words is not None:
        read = zip(explanation.words, step.words.tolist(), shares(step.words).tolist(), strict=True)
        spans = [_word(*each, len(step.words)) for each in read]
        parts.append(f'<p class="words">{" ".join(spans)}</p>')
        parts.append(f'<p class="said">even share: {short_text(even_share(step.words))}</p>')
    return Markup("<figure>\n" + "\n".join(parts) + "\n</figure>")


def _scale(weights: Float[np.ndarray, " regions"]) -> Markup:
    """The colour bar with 0, its top, and a tick at the even share."""
    top, even = scale_top(weights), even_share(weights)
    return Markup(
        f'<div class="scale"><div class="bar"><i style="left:{100 * even / top:.2f}%"></i></div>'
        f"<span>0</span><span>tick: even share, {short_text(even)}</span><span>{short_text(top)}</span></div>"
    )


def _word(word: str, weight: float, share: float, count: int) -> Markup:
    text = weight_text(weight, count)
    return Markup(
        f'<span class="word" style="--share:{share:.3f}" title="weight {text}">'
        f"<span>{escape(word)}</span> <small>{text}</small></span>"
    )


def _answers(answers: Sequence[tuple[str, float]]) -> Markup:
    items = "\n".join(
        f'<li style="--share:{min(1.0, share):.4f}"><span>{escape(answer)}</span><i></i><b>{percent(share)}</b></li>'
        for answer, share in answers
    )
    return Markup(f'<ol class="answers">\n{items}\n</ol>')


def _number(value: float | None, *, bold: bool) -> str:
    if not _is_number(value):
        return "<td>–</td>"
    text = f"{100 * (value or 0.0):.1f} %"
    return f"<td><strong>{text}</strong></td>" if bold else f"<td>{text}</td>"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _gradient() -> str:
    stops = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in scale_colors(SCALE_STOPS).tolist())
    return f"linear-gradient(to right, {stops})"
