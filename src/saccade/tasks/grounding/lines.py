"""Lines to beat: what a phrase gets from those who do not read it, in every table beside the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from saccade.data.records import Box, Caption
from saccade.errors import RunError
from saccade.features.proposals import read_windows
from saccade.metrics.grounding import WHOLE, GroundedPhrase, central_window, line_metrics, usual_windows

CENTRE = (0.5, 0.5)
MIDDLE = "the middle"  # beside the types, under which all phrases have the name ""


@dataclass(frozen=True)
class Lines:
    """The window that most training phrases of each type are met by, of all under "", and the largest in the middle.

    The windows are those of `regions: windows`, whatever regions a run has.
    """

    usual: Mapping[str, Box]
    central: Box

    @classmethod
    def of(cls, captions: Sequence[Caption]) -> Lines:
        """By the boxes of training phrases."""
        windows = read_windows()
        boxed = [phrase for caption in captions for phrase in caption.phrases if phrase.boxes]
        found = usual_windows([GroundedPhrase((), each.boxes, each.kinds) for each in boxed], windows)
        central = central_window(windows)
        assert central is not None
        return cls({kind: _box(windows[place]) for kind, place in found.items()}, _box(windows[central]))

    def metrics(self, phrases: Sequence[GroundedPhrase], blind: Sequence[Box | None]) -> dict[str, float]:
        """What every line gets on the phrases; `blind` are the best boxes by their sentences without them, if known."""
        usual = [self._usual(phrase) for phrase in phrases]
        boxes = [box for box in blind if box is not None]
        return {
            **line_metrics("whole_image", phrases, repeat(WHOLE, len(phrases))),
            **line_metrics("centre", phrases, repeat(CENTRE, len(phrases))),
            **line_metrics("central_window", phrases, repeat(self.central, len(phrases))),
            **line_metrics("usual_window", phrases, usual),
            **(line_metrics("sentence_without_phrase", phrases, boxes) if len(boxes) == len(phrases) else {}),
        }

    def _usual(self, phrase: GroundedPhrase) -> Box:
        """Of the phrase's first type that training phrases have, else of all."""
        known = [kind for kind in phrase.kinds if kind in self.usual]
        return self.usual.get(known[0] if known else "", WHOLE)

    def to_dict(self) -> dict[str, list[float]]:
        """Plain values for JSON."""
        return {MIDDLE: list(self.central), **{kind: list(box) for kind, box in self.usual.items()}}

    @classmethod
    def from_dict(cls, values: Any, name: str) -> Lines:
        """The lines of such plain values; raises RunError, which names the file, for others."""
        try:
            boxes = {kind: _box(box) for kind, box in values.items()}
            return cls({kind: box for kind, box in boxes.items() if kind != MIDDLE}, boxes[MIDDLE])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise RunError(f"{name}: expected the usual box of each type; restore the file or train again") from None


def _box(numbers: Sequence[float]) -> Box:
    x1, y1, x2, y2 = map(float, numbers)
    return x1, y1, x2, y2
