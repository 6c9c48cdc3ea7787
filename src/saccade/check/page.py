"""What a check found as a page: errors and warnings, counts, answers, five examples, and how to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from saccade.check import Findings, Written
from saccade.data.own import OwnData
from saccade.data.records import Caption
from saccade.errors import ImageError
from saccade.explain import Bar, Commands, Facts, Figure, Outline, Panel, Picture, page
from saccade.explain.viewer import Section
from saccade.metrics.units import percentage

BARS = 12
SIDE = 560  # pixels: what the page shows
LONGEST = 60  # characters of an answer beside its bar


def findings_page(findings: Findings, data: OwnData, root: str) -> str:
    """The page, with everything in it."""
    sections: list[Section] = []
    if findings.errors:
        more = findings.wrong - len(findings.errors)
        lines = [*findings.errors, *([f"and {more:,} more"] if more > 0 else [])]
        sections.append(Figure(f"To mend before training: {findings.wrong:,}", tuple(lines)))
    if findings.warnings:
        sections.append(Figure("Warnings", tuple(findings.warnings)))
    sections.append(Facts("What is there", facts(findings)))
    panels = [_bars("Answers", findings.answers), _bars("Question types", findings.kinds)]
    if any(panel.bars for panel in panels):
        sections.append(Figure("Questions", panels=tuple(panel for panel in panels if panel.bars)))
    if findings.examples:
        sections.append(Figure("Examples", panels=tuple(_example(each, data) for each in findings.examples)))
    if findings.trainable:
        sections.append(Commands("Train on it", [(findings.command, time_line(findings))]))
    return page(f"Own data in {root}", sections, lead=verdict(findings))


def facts(findings: Findings) -> dict[str, str]:
    """What is there, by name: counts of each split, sizes of images, what is right without looking."""
    found = {
        split: ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in counts.items())
        for split, counts in findings.counts.items()
    }
    found |= {"images": findings.sizes} if findings.sizes else {}
    return found | {
        name: f"right for {percentage(share)} of val and test, without an image: what a model must beat"
        for name, share in findings.blind.items()
    }


def verdict(findings: Findings) -> str:
    """One sentence: whether it can be trained on."""
    warnings = _some(len(findings.warnings), "warning")
    if not findings.trainable:
        return f"It cannot be trained on yet: {_some(findings.wrong, 'error')}, {warnings}."
    return f"It can be trained on: {warnings}."


def time_line(findings: Findings) -> str:
    """How long training takes."""
    expected = findings.expected
    return f"The time {expected}" if isinstance(expected, str) else f"Takes {expected}"


def shares(counts: Mapping[str, int], most: int = BARS) -> list[tuple[str, float, str]]:
    """The most frequent of what was counted, each with its share as a number and in words, and the others in one."""
    total = sum(counts.values())
    rows = [(name, count / total, percentage(count / total)) for name, count in list(counts.items())[:most]]
    if rest := len(counts) - len(rows):
        share = 1 - sum(share for _, share, _ in rows)
        rows.append((f"{rest:,} others", max(share, 0.0), percentage(share)))
    return rows


def _bars(title: str, counts: Mapping[str, int]) -> Panel:
    cut = {name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}...": count for name, count in counts.items()}
    return Panel(f"{title}: {len(counts):,}", bars=tuple(Bar(*row) for row in shares(cut)))


def _example(record: Written, data: OwnData) -> Panel:
    note, title = f"Image: {record.image}", record.text
    if isinstance(record, Caption):
        spoken = [(color, p.of(record.text), p.boxes) for color, p in enumerate(record.phrases)]
        outlines = tuple(Outline(box, words, color) for color, words, boxes in spoken for box in boxes)
        if boxless := [words for _, words, boxes in spoken if not boxes]:
            note = f"Without a box: {', '.join(boxless)}. {note}"
    else:
        outlines = tuple(Outline(box) for box in record.boxes)
        said = Counter(record.answers)
        answers = ", ".join(answer if count == 1 else f"{answer} ({count} times)" for answer, count in said.items())
        kind = f". Type: {record.kind}" if record.kind else ""
        note = f"Answer: {answers}{kind}. {note}"
    try:
        opened = data.open_image(record.image)
    except ImageError as error:
        return Panel(title, note=f"{note}. {error}")
    opened.thumbnail((SIDE, SIDE))
    return Panel(title, Picture(opened, alt=f"the image {record.image}", outlines=outlines), note=note)


def _some(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
