"""How well a sentence fits an image, and which regions and which words made it so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from saccade.explain.answer import answer_figure
from saccade.explain.figure import Figure
from saccade.tasks.reply import Reply, counted, marked
from saccade.types import NOTHING, AttentionMap, Regions, Without


@dataclass(frozen=True, eq=False, repr=False)
class MatchReply(Reply):
    """The score of an image and a sentence, or of another image where the sentence is "": an inner product.

    Higher is better; what is high is told only by the scores of other pairs. ``parts`` are the shares of the steps,
    which add up to it. ``unknown_words`` were never seen in training; ``attention`` are the image's and the sentence's
    maps by step, over ``regions`` and ``words``.
    """

    name: str
    sentence: str
    image: Image.Image
    parts: tuple[float, ...]
    words: tuple[str, ...]
    unknown_words: tuple[str, ...]
    attention: tuple[AttentionMap, ...]
    regions: Regions
    without: Without = NOTHING

    @property
    def score(self) -> float:
        """The inner product."""
        return sum(self.parts)

    def __repr__(self) -> str:
        steps = len({each.name for each in self.attention})
        looked = f"attention of {counted(steps, 'step')}" if steps else "no attention"
        return f"{type(self).__name__}({self.sentence!r}, score {self.score:.4g}, {looked})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the attention as nested lists under its step's name and axes."""
        return {
            "image": self.name,
            "sentence": self.sentence,
            "score": self.score,
            "parts": list(self.parts),
            "words": list(self.words),
            "unknown_words": list(self.unknown_words),
            "grid": self.regions.grid,
            "attention": [each.to_dict() for each in self.attention],
            "without": self.without.to_dict(),
        }

    def figure(self, note: str = "") -> Figure:
        """The image, the score, and each step's map and shaded words."""
        parts = " + ".join(f"{part:.4g}" for part in self.parts)
        score = f"score {self.score:.4g}" + (f" = {parts}, the steps from 0 on" if len(self.parts) > 1 else "")
        figure = answer_figure(
            self.image,
            self.sentence or self.name,
            self.words,
            (),
            self.attention,
            boxes=None if self.regions.boxes is None else self.regions.boxes[0],
            grid=self.regions.grid,
            note=f"{score}; {note}" if note else score,
        )
        return marked(figure, self.without, self.words)
