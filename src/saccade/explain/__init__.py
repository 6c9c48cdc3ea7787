"""Figures: what a reply has to show as plain data, drawn to pixels by `png` or to self-contained HTML by `viewer`.

Arrays and images in, a Pillow image or a page of HTML out; no chart library is needed.
"""

from saccade.explain.answer import answer_figure
from saccade.explain.caption import caption_figure, captions_figure
from saccade.explain.figure import Figure, Illustrated, Listing
from saccade.explain.files import check_suffix, save, save_bytes, save_page
from saccade.explain.panel import Bar, Links, Outline, Panel, Picture, RegionWeights, WordWeights
from saccade.explain.png import draw
from saccade.explain.report import Chart, Commands, Facts, MetricsTable
from saccade.explain.steps import Step, steps_of
from saccade.explain.viewer import figure_fragment, figure_page, page

__all__ = [
    "Bar",
    "Chart",
    "Commands",
    "Facts",
    "Figure",
    "Illustrated",
    "Links",
    "Listing",
    "MetricsTable",
    "Outline",
    "Panel",
    "Picture",
    "RegionWeights",
    "Step",
    "WordWeights",
    "answer_figure",
    "caption_figure",
    "captions_figure",
    "check_suffix",
    "draw",
    "figure_fragment",
    "figure_page",
    "page",
    "save",
    "save_bytes",
    "save_page",
    "steps_of",
]
