"""Sentences with phrases as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.data.records import Caption, Phrase
from saccade.errors import StoreError
from saccade.types import Grouping, Phrases, Regions, Words


@dataclass(frozen=True, eq=False)
class PhraseBatch:
    """Sentences with phrases ready for a model; several may share an image, as `regions` say.

    ``truth`` are the boxes that each phrase means, ``meant`` which of them exist; ``sentences`` are the records in the
    order of the rows, and ``asked`` the phrases of each that the batch has.
    """

    regions: Regions
    words: Words
    phrases: Phrases
    truth: Float[Tensor, "texts phrases meant 4"]
    meant: Bool[Tensor, "texts phrases meant"]
    sentences: tuple[Caption, ...]
    asked: tuple[tuple[Phrase, ...], ...]

    def to(self, device: torch.device | str) -> PhraseBatch:
        """The same batch on another device."""
        return replace(
            self,
            regions=self.regions.to(device),
            words=self.words.to(device),
            phrases=self.phrases.to(device),
            truth=self.truth.to(device),
            meant=self.meant.to(device),
        )


def make_batch(
    sentences: Sequence[Caption],
    asked: Sequence[tuple[Phrase, ...]],
    regions: Regions,
    words: Words,
    places: Sequence[Sequence[int]],
) -> PhraseBatch:
    """The sentences with some phrases of each; of `regions` a sentence has the row of its place, or of its group.

    `words` are those of the sentences as the model reads them, and `places` how many of them stand before each that
    spaces separate, as `Vocabulary.places` says.
    """
    shape = (len(sentences), max(1, *map(len, asked)))
    most = max((len(phrase.boxes) for phrases in asked for phrase in phrases), default=0)
    spans, exist = torch.zeros(*shape, 2, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    truth, meant = torch.zeros(*shape, most, 4), torch.zeros(*shape, most, dtype=torch.bool)
    for i, phrases in enumerate(asked):
        for j, phrase in enumerate(phrases):
            spans[i, j] = torch.tensor(_span(places[i], phrase.words))
            exist[i, j] = True
            truth[i, j, : len(phrase.boxes)] = torch.tensor(phrase.boxes).reshape(-1, 4)
            meant[i, j, : len(phrase.boxes)] = True
    return PhraseBatch(regions, words, Phrases(spans, exist), truth, meant, tuple(sentences), tuple(asked))


def grouping_of(regions: Regions, texts: int) -> Grouping:
    """Which row of the regions each of so many texts is about."""
    return regions.grouping or Grouping.of(torch.arange(texts, device=regions.mask.device))


def boxes_of(regions: Regions) -> Float[Tensor, "images regions 4"]:
    """Where the regions are; raises StoreError for regions that have no boxes."""
    if regions.boxes is None:
        raise StoreError("the regions have no boxes, so that no phrase can be found in them: use features with boxes")
    return regions.boxes


def _span(places: Sequence[int], words: tuple[int, int]) -> tuple[int, int]:
    """The phrase among the words that the model reads; of one without any the word before it, or the first."""
    start, end = places[words[0]], places[words[1]]
    return (start, end) if start < end else (max(start - 1, 0), max(start, 1))
