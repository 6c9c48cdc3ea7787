"""Attention maps to pictures and self-contained web pages: where the model looked, and what it read.

Arrays and images in, a Pillow image or a page of HTML out; no chart library is needed.
"""

from saccade.explain.caption import CaptionExplanation
from saccade.explain.caption_html import caption_section, captions_page
from saccade.explain.caption_picture import draw_captions
from saccade.explain.explanation import Explanation, Step, steps_of
from saccade.explain.files import check_suffix, save, save_page
from saccade.explain.html import Markup, answer_section, commands, facts, metrics_table, page, paragraphs
from saccade.explain.picture import draw

__all__ = [
    "CaptionExplanation",
    "Explanation",
    "Markup",
    "Step",
    "answer_section",
    "caption_section",
    "captions_page",
    "check_suffix",
    "commands",
    "draw",
    "draw_captions",
    "facts",
    "metrics_table",
    "page",
    "paragraphs",
    "save",
    "save_page",
    "steps_of",
]
