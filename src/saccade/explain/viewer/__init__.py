"""Figures and reports as HTML that needs nothing but itself: whole pages, and pieces for any page, as in notebooks.

Figures become elements in one place, `showFigure` of viewer.js, which draws what `Figure.to_dict` gives; the HTML made
here holds both, and so does the page of `saccade serve`. A report's tables, facts, commands and charts are templates,
which escape every text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from saccade.explain.figure import Figure
from saccade.explain.figure_json import jpeg_url
from saccade.explain.png import draw
from saccade.explain.report import Chart, Commands, Facts, MetricsTable
from saccade.explain.viewer import bundle

# Of the picture in a notebook that is not trusted, in pixels: as wide as notebooks are.
WIDEST = 1000

Section = Figure | MetricsTable | Facts | Commands | Chart

# Notebooks run an element's scripts one by one, and more than once: each draws what is not drawn yet.
START = """
for (const shown of document.querySelectorAll("[data-saccade]")) {
const held = shown.querySelector('script[type="application/json"]');
if (!held) continue;
showFigure(shown, JSON.parse(held.textContent), { heading: Number(shown.dataset.saccade) });
}
"""


def figure_page(figure: Figure) -> str:
    """A whole page of the figure."""
    return _page(figure.title, "", [figure], titled=False)


def page(title: str, sections: Sequence[Section], *, lead: str = "") -> str:
    """A whole page: the title, a sentence under it, and the sections in order, each under its own title."""
    return _page(title, lead, sections, titled=True)


def figure_fragment(figure: Figure) -> str:
    """The figure as one element for any page; its styles hold for it alone, and it leaves no name in the page.

    Where scripts do not run, as in a notebook that is not trusted, it shows the picture.
    """
    picture = draw(figure)
    picture.thumbnail((WIDEST, picture.height), Image.Resampling.LANCZOS)
    return _rendered("fragment.html", figure=figure, picture=jpeg_url(picture))


def _page(title: str, lead: str, sections: Sequence[Section], *, titled: bool) -> str:
    drawn = any(isinstance(section, Figure) for section in sections)
    values = {"title": title, "lead": lead, "sections": sections, "titled": titled, "drawn": drawn}
    return _rendered("page.html", **values, picture="")


def _rendered(template: str, **values: object) -> str:
    script = f'(() => {{\n"use strict";\n{bundle.script()}{START}}})();'
    text = ENVIRONMENT.get_template(template).render(styles=bundle.styles(), script=script, **values)
    # Half of a surrogate pair can be in a string, but not in a file.
    return text.encode("utf-8", "replace").decode("utf-8")


def _figure_json(figure: Figure) -> str:
    """The figure's JSON for a script element, which no text of it can end."""
    found = figure.to_dict()
    for part in _with_parts(found):
        _share_maps(part)
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _with_parts(figure: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield figure
    for part in figure["parts"]:
        yield from _with_parts(part)


def _share_maps(figure: dict[str, Any]) -> None:
    """Put the panel's number in place of a row of links that is its map, as in captions: pages are half as large."""
    pictures = [panel["picture"] for panel in figure["panels"]]
    maps = [picture and picture["regions"] and picture["regions"]["weights"] for picture in pictures]
    if links := figure["links"]:
        links["weights"] = [maps.index(row) if row in maps else row for row in links["weights"]]


def _kind(section: Section) -> str:
    """The macro that draws a section."""
    return type(section).__name__.lower()


ENVIRONMENT = Environment(
    loader=PackageLoader("saccade.explain.viewer"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {"figure_json": _figure_json, "kind": _kind}
