"""The page of captions: for each, the image, then for each word the image with where the model looked, and its beta."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from saccade.explain.caption import CaptionExplanation, probability_text
from saccade.explain.explanation import Step, said
from saccade.explain.html import Markup, image_markup, page, section
from saccade.explain.overlay import light_over, sized

# Thirty panels a caption and several captions a page: as sharp as needed, and no larger. Boxes bear numbers to read.
SIDE, WITH_BOXES, ALONE = 320, 560, 640


def captions_page(explanations: Sequence[CaptionExplanation]) -> Markup:
    """A whole page of captions; that of a single one is the page's title, several have one heading each."""
    if len(explanations) == 1:
        return page(explanations[0].title, [caption_section(explanations[0], heading=None)])
    return page(f"Captions of {len(explanations)} images", [caption_section(each) for each in explanations])


def caption_section(explanation: CaptionExplanation, *, heading: str | None = "") -> Markup:
    """A section with the image and every word's map and beta; the heading is the caption by default."""
    words = "\n".join(_word(explanation, *panel) for panel in explanation.panels)
    image = image_markup(sized(explanation.image, _side(explanation)), f"The image captioned: {explanation.title}")
    kind = "panels small" if explanation.grid is not None else "panels"
    panels = f'<div class="{kind} looks">\n<figure>\n<h3>image</h3>\n{image}\n</figure>\n{words}\n</div>'
    alone = f'<figure class="alone">\n{image}\n</figure>'
    note = f'<p class="note">{escape(explanation.note)}</p>\n' if explanation.note else ""
    above = f"<p>{escape(explanation.likelihood)}</p>\n{note}"
    reading = f'\n<p class="said">{escape(explanation.reading)}</p>' if explanation.reading else ""
    title = explanation.title if heading == "" else heading
    return section(title, f"{above}{panels if words else alone}{reading}{_others(explanation.alternatives)}")


def _side(explanation: CaptionExplanation) -> int:
    """The longer side of the pictures, in pixels."""
    if not explanation.panels:
        return ALONE
    return WITH_BOXES if explanation.grid is None else SIDE


def _word(explanation: CaptionExplanation, word: str, step: Step, beta: float | None) -> Markup:
    assert step.regions is not None
    shown = f"{step.name}: where the model looked; {said(step.regions)}"
    image = image_markup(light_over(explanation.image, step, _side(explanation)), shown)
    return Markup(f'<figure>\n<h3 class="one">{escape(word)}</h3>\n{image}\n{_beta(beta)}</figure>')


def _beta(beta: float | None) -> Markup:
    """The gate as a bar from 0 to 1 with its number; nothing for a model without one."""
    if beta is None:
        return Markup("")
    return Markup(f'<p class="beta" style="--share:{beta:.3f}"><span>beta</span> <i></i> <b>{beta:.2f}</b></p>\n')


def _others(alternatives: Sequence[tuple[str, float]]) -> Markup:
    if not alternatives:
        return Markup("")
    rows = "\n".join(
        f"<dt>{probability_text(number)}</dt><dd>{escape(caption)}</dd>" for caption, number in alternatives
    )
    return Markup(f'\n<h3>Other captions and their probabilities</h3>\n<dl class="others">\n{rows}\n</dl>')
