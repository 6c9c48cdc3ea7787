"""What a model answers to a question about an image, and the attention behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from saccade.explain.answer import answer_figure
from saccade.explain.figure import Figure
from saccade.metrics.units import percentage
from saccade.tasks.reply import Reply, counted, marked
from saccade.types import NOTHING, AttentionMap, Regions, Without


@dataclass(frozen=True, eq=False, repr=False)
class AnswerReply(Reply):
    """An answer to a question about an image.

    ``answers`` are the most probable with their probabilities, best first; ``unknown_words`` were never seen in
    training and say nothing to the model; ``attention`` are this one question's maps, over ``regions`` and ``words``.
    """

    name: str
    question: str
    image: Image.Image
    answers: tuple[tuple[str, float], ...]
    words: tuple[str, ...]
    unknown_words: tuple[str, ...]
    attention: tuple[AttentionMap, ...]
    regions: Regions
    without: Without = NOTHING

    def __repr__(self) -> str:
        steps = len({each.name for each in self.attention})
        looked = f"attention of {counted(steps, 'step')}" if steps else "no attention"
        best = f"{self.answer!r} {percentage(self.answers[0][1])}"
        return f"{type(self).__name__}({best}, {counted(len(self.answers), 'answer')}, {looked})"

    @property
    def answer(self) -> str:
        """The most probable answer."""
        return self.answers[0][0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the attention as nested lists under its step's name and axes."""
        return {
            "image": self.name,
            "question": self.question,
            "answer": self.answer,
            "answers": [{"answer": answer, "probability": probability} for answer, probability in self.answers],
            "words": list(self.words),
            "unknown_words": list(self.unknown_words),
            "grid": self.regions.grid,
            "attention": [each.to_dict() for each in self.attention],
            "without": self.without.to_dict(),
        }

    def figure(self, note: str = "") -> Figure:
        """The image, the answers, and each step's map and shaded words."""
        figure = answer_figure(
            self.image,
            self.question,
            self.words,
            self.answers,
            self.attention,
            boxes=None if self.regions.boxes is None else self.regions.boxes[0],
            grid=self.regions.grid,
            note=note,
        )
        return marked(figure, self.without, self.words)
