"""Figures and reports as HTML that needs nothing but itself: whole pages, and pieces for any page, as in notebooks.

The templates escape every text; no other file makes HTML.
"""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from saccade.explain.colors import outline_color, scale_colors
from saccade.explain.figure import Figure
from saccade.explain.figure_json import jpeg_url
from saccade.explain.overlay import laid
from saccade.explain.panel import Picture, WordWeights
from saccade.explain.report import Chart, Commands, Facts, MetricsTable
from saccade.explain.weights import even_share, scale_top, scaled, short_text, strongest, weight_text

Section = Figure | MetricsTable | Facts | Commands | Chart

# Twice what a screen shows, so that high resolutions stay sharp; thirty small panels are only as sharp as needed.
SIDES = {"large": 560, "small": 320, "wide": 560, "alone": 640}
SCALE_STOPS = 13


def figure_page(figure: Figure) -> str:
    """A whole page of the figure."""
    return _rendered("page.html", title=figure.title, lead="", sections=[figure], titled=False)


def figure_fragment(figure: Figure) -> str:
    """The figure as one element for any page; its styles hold for it alone."""
    return _rendered("fragment.html", figure=figure)


def page(title: str, sections: Sequence[Section], *, lead: str = "") -> str:
    """A whole page: the title, a sentence under it, and the sections in order, each under its own title."""
    return _rendered("page.html", title=title, lead=lead, sections=sections, titled=True)


def _rendered(template: str, **values: object) -> str:
    text = ENVIRONMENT.get_template(template).render(**values)
    # Half of a surrogate pair can be in a string, but not in a file.
    return text.encode("utf-8", "replace").decode("utf-8")


def _size(figure: Figure) -> str:
    """The figure's size; small panels with boxes are "wide", for boxes bear numbers to read."""
    pictures = [panel.picture for panel in figure.panels if panel.picture is not None]
    boxed = any(each.outlines or (each.regions is not None and each.regions.grid is None) for each in pictures)
    return "wide" if figure.size == "small" and boxed else figure.size


def _image(picture: Picture, size: str) -> dict[str, object]:
    """The attributes of the picture's element, and what it shows in words."""
    drawn = laid(picture, SIDES[size])
    labels = ", ".join(outline.label for outline in picture.outlines if outline.label)
    alt = picture.alt
    if picture.regions is not None:
        alt = f"{picture.regions.name}, weights over the image: {picture.regions.said}"
    alt = f"{alt}; outlined: {labels}" if labels else alt
    return {"src": jpeg_url(drawn), "width": drawn.width, "height": drawn.height, "alt": alt}


def _words(shaded: WordWeights) -> list[dict[str, object]]:
    """For each word its text, its weight as text and as a place on the scale, and its colour."""
    count, weights = len(shaded.words), shaded.weights
    shares = [0.0] * count if weights is None else scaled(weights).tolist()
    return [
        {
            "text": word,
            "weight": "" if weights is None else weight_text(weights[i], count),
            "share": shares[i],
            "color": _rgb(*outline_color(color)) if shaded.colors and (color := shaded.colors[i]) is not None else "",
        }
        for i, word in enumerate(shaded.words)
    ]


def _rgb(red: int, green: int, blue: int) -> str:
    return f"rgb({red} {green} {blue})"


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
ENVIRONMENT.filters |= {
    "even_share": even_share,
    "image": _image,
    "is_even": lambda weights: strongest(weights) is None,
    "kind": _kind,
    "scale_top": scale_top,
    "short_text": short_text,
    "size": _size,
    "words": _words,
}
ENVIRONMENT.globals["gradient"] = ", ".join(_rgb(*color) for color in scale_colors(SCALE_STOPS).tolist())
