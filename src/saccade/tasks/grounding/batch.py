"""Sentences with phrases as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.data.records import Caption, Phrase
from saccade.errors import DataError, StoreError
from saccade.text import UNKNOWN_ID, pad_words
from saccade.types import Grouping, Phrases, Regions, Without, Words


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


def check_left(seen: Regions, without: Sequence[Without]) -> None:
    """Raise DataError where no region is left to find a phrase in."""
    count = seen.per_text(seen.mask).sum(1).tolist()
    if blind := [each for each, left in zip(without, count, strict=True) if each.regions and not left]:
        raise DataError(
            f"without regions: expected one left to find phrases in, got all {len(blind[0].regions)} taken away"
        )


def possible(sentences: Sequence[Caption]) -> list[tuple[Phrase, ...]]:
    """The phrases of each sentence that there may be a box for."""
    return [tuple(phrase for phrase in each.phrases if not phrase.absent) for each in sentences]


def rests(batch: PhraseBatch, pairs: Sequence[tuple[int, int]]) -> tuple[Regions, Words, Phrases]:
    """Of some phrases, by text and place in it, the rest of their sentences, each as if that were the phrase."""
    rest = []
    for i, j in pairs:
        ids, (start, end) = batch.words.ids[i][batch.words.mask[i]].tolist(), batch.phrases.spans[i, j].tolist()
        rest.append([*ids[:start], *ids[end:]] or [UNKNOWN_ID])
    words, device = pad_words(rest), batch.regions.mask.device
    spans = torch.tensor([[(0, len(each))] for each in rest])
    rows = grouping_of(batch.regions, len(batch.sentences)).image[[i for i, _ in pairs]]
    phrases = Phrases(spans, torch.ones(spans.shape[:2], dtype=torch.bool))
    return batch.regions.grouped(Grouping.of(rows)), words.to(device), phrases.to(device)


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
