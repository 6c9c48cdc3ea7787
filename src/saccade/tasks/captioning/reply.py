"""What a model writes about an image, and where it looked for each word."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from PIL import Image

from saccade.explain.caption import caption_figure
from saccade.explain.figure import Figure
from saccade.tasks.reply import Reply, counted, marked
from saccade.types import NOTHING, AttentionMap, Regions, Without


@dataclass(frozen=True, eq=False, repr=False)
class CaptionReply(Reply):
    """A caption of an image.

    ``log_probability`` sums over the words and the end, in nats; ``alternatives`` are further captions with theirs,
    best first. ``attention`` are this one caption's maps, a row for each word, over ``regions``. ``begin`` is what it
    was told to begin with.
    """

    name: str
    image: Image.Image
    words: tuple[str, ...]
    log_probability: float
    alternatives: tuple[tuple[str, float], ...]
    attention: tuple[AttentionMap, ...]
    regions: Regions
    without: Without = NOTHING
    begin: str = ""

    def __repr__(self) -> str:
        looked = f"attention for {counted(len(self.words), 'word')}" if self.attention else "no attention"
        best = f"{self.caption!r}, log-probability {self.log_probability:.2f}"
        return f"{type(self).__name__}({best}, {counted(1 + len(self.alternatives), 'caption')}, {looked})"

    @property
    def caption(self) -> str:
        """The caption's words, separated by spaces."""
        return " ".join(self.words)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the attention as nested lists under its name and axes."""
        return {
            "image": self.name,
            "caption": self.caption,
            "log_probability": self.log_probability,
            "probability": math.exp(self.log_probability),
            "words": list(self.words),
            "alternatives": [{"caption": text, "log_probability": score} for text, score in self.alternatives],
            "grid": self.regions.grid,
            "attention": [each.to_dict() for each in self.attention],
            "without": self.without.to_dict(),
            "begin": self.begin,
        }

    def figure(self, note: str = "") -> Figure:
        """The image, then each word's map and its gate, and the other captions."""
        maps = next((m for m in self.attention if m.axes == ("words", "regions")), None)
        gate = next((m for m in self.attention if m.axes == ("words",)), None)
        begun = f'begun with "{self.begin}"' if self.begin else ""
        figure = caption_figure(
            self.image,
            self.caption,
            self.words,
            self.log_probability,
            maps=None if maps is None else maps.weights[0].numpy(),
            betas=None if gate is None else gate.weights[0].numpy(),
            boxes=None if self.regions.boxes is None else self.regions.boxes[0],
            grid=self.regions.grid,
            alternatives=self.alternatives,
            note="; ".join(filter(None, (begun, note))),
        )
        return marked(figure, self.without)
