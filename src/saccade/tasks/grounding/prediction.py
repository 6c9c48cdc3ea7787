"""Where the phrases of a sentence were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from saccade.data.records import Box, Caption, Phrase
from saccade.metrics.grounding import GroundedPhrase
from saccade.tasks.grounding.finding import Found


@dataclass(frozen=True, eq=False)
class PhrasePrediction:
    """A phrase, where it was found, and where it would be by the rest of its sentence, or None."""

    phrase: Phrase
    text: str
    found: Found
    blind: Box | None = None


@dataclass(frozen=True, eq=False)
class GroundingPrediction:
    """The phrases of a sentence and where each was found; ``proposals`` are all boxes that there were."""

    sentence: Caption
    phrases: tuple[PhrasePrediction, ...]
    proposals: Float64[np.ndarray, "regions 4"]

    def said(self) -> dict[str, Any]:
        """Each phrase with its boxes, best first."""
        return {"phrases": [_said(each) for each in self.phrases]}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for predictions.jsonl."""
        phrases = [
            _said(each) | {"types": list(each.phrase.kinds), "truth": [list(box) for box in each.phrase.boxes]}
            for each in self.phrases
        ]
        return {"image": self.sentence.image, "sentence": self.sentence.text, "phrases": phrases}

    def result(self) -> dict[str, Any]:
        """The boxes of the phrases that have some, as `saccade score grounding` takes them."""
        return {
            "image_id": self.sentence.image,
            "sentence_id": int(self.sentence.id.rpartition("#")[2]),
            "boxes": [[list(box) for box in of.found.boxes] for of in self.phrases if of.phrase.boxes],
        }

    def grounded(self) -> list[GroundedPhrase]:
        """The phrases as they are scored."""
        return [
            GroundedPhrase(each.found.boxes, each.phrase.boxes, each.phrase.kinds, self.proposals, each.found.point)
            for each in self.phrases
            if each.phrase.boxes
        ]


def _said(prediction: PhrasePrediction) -> dict[str, Any]:
    found = prediction.found
    return {
        "phrase": prediction.text,
        "words": list(prediction.phrase.words),
        "boxes": [[round(edge, 4) for edge in box] for box in found.boxes],
        "scores": [round(score, 6) for score in found.scores],
        "point": [round(place, 4) for place in found.point],
    }
