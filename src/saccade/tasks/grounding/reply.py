"""Where the phrases of a sentence are in an image, and the regions and words behind that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from saccade.explain.figure import Figure
from saccade.explain.grounding import GroundedWords, grounding_figure
from saccade.tasks.grounding.finding import Found, region_maps
from saccade.tasks.reply import Reply, marked
from saccade.types import NOTHING, AttentionMap, Regions, Without


@dataclass(frozen=True)
class PhraseReply:
    """A phrase, which words of the sentence it is as spaces separate them, and where it was found."""

    text: str
    words: tuple[int, int]
    found: Found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "phrase": self.text,
            "words": list(self.words),
            "boxes": [list(box) for box in self.found.boxes],
            "scores": list(self.found.scores),
            "point": list(self.found.point),
        }


@dataclass(frozen=True, eq=False, repr=False)
class GroundReply(Reply):
    """The boxes of the phrases of a sentence, best first, as fractions of the image's width and height.

    ``weights`` are each phrase's shares of the regions, [phrases, regions]; ``attention`` the model's maps over them,
    and over the ``words`` that it read; ``unknown_words`` were never seen in training.
    """

    name: str
    sentence: str
    image: Image.Image
    phrases: tuple[PhraseReply, ...]
    weights: Float[Tensor, "phrases regions"]
    words: tuple[str, ...]
    unknown_words: tuple[str, ...]
    attention: tuple[AttentionMap, ...]
    regions: Regions
    without: Without = NOTHING

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.sentence!r}, {', '.join(repr(each.text) for each in self.phrases)})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the attention as nested lists under its step's name and axes."""
        assert self.regions.boxes is not None
        return {
            "image": self.name,
            "sentence": self.sentence,
            "phrases": [each.to_dict() for each in self.phrases],
            "words": list(self.words),
            "unknown_words": list(self.unknown_words),
            "regions": self.regions.boxes[0].tolist(),
            "attention": [each.to_dict() for each in self.attention],
            "without": self.without.to_dict(),
        }

    def figure(self, note: str = "") -> Figure:
        """The image with a box for each phrase in its colour, the sentence coloured alike, and each phrase's map."""
        assert self.regions.boxes is not None
        maps = region_maps(self.weights, self.regions.boxes[0])
        grounded = [
            GroundedWords(each.text, each.words, each.found.boxes[0], each.found.scores[0], cells)
            for each, cells in zip(self.phrases, maps, strict=True)
        ]
        figure = grounding_figure(self.image, self.sentence, grounded, note=note)
        return marked(figure, self.without, self.words)
