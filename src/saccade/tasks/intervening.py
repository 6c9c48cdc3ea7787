"""Taking away regions and words before a model sees them, and laying its maps over all of them again.

A region that is taken away is masked, as one that does not exist. A word that is taken away is closed up: what is left
are the words of a text that was written without it, for masks are padding on the right to every model that reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from saccade.errors import DataError, RecipeError
from saccade.text import Vocabulary, pad_words
from saccade.types import AttentionMap, Regions, Without, Words


def left_regions(regions: Regions, without: Sequence[Without]) -> Regions:
    """The regions that are left for each text, or image: the mask of those taken away is False.

    Once any is taken away, rows that texts share become a row for each text. Raises DataError for a number that an
    image does not have.
    """
    if not any(each.regions for each in without):
        return regions
    left = regions if regions.grouping is None else regions.take(regions.grouping.image)
    mask = left.mask.clone()
    for row, each in zip(mask, without, strict=True):
        exist = row.nonzero()[:, 0]
        _check("regions", each.regions, len(exist), "the image has")
        row[exist[list(each.regions)]] = False
    return replace(left, mask=mask)


@dataclass(frozen=True, eq=False)
class LeftTexts:
    """Texts of which words may have been taken away: ``words`` are what is left of each, as a model reads it.

    ``shown`` are all words of each that a reply shows, ``places`` where what is left lies among them, and ``unknown``
    the words left that the vocabulary lacks.
    """

    words: Words
    shown: tuple[tuple[str, ...], ...]
    places: tuple[tuple[int, ...], ...]
    unknown: tuple[tuple[str, ...], ...]

    def map_of(self, attention: AttentionMap, text: int, masks: Mapping[str, Bool[Tensor, " places"]]) -> AttentionMap:
        """The map of one text, as `AttentionMap.of` gives it, over all words shown: 0 where one was taken away."""
        found = attention.of(text, {**masks, "words": self.words.mask[text]})
        if len(self.places[text]) == len(self.shown[text]):
            return found
        weights, places = found.weights, torch.tensor(self.places[text])
        for dimension, axis in enumerate(found.axes, start=1):
            if axis == "words":
                shape = [*weights.shape[:dimension], len(self.shown[text]), *weights.shape[dimension + 1 :]]
                weights = weights.new_zeros(shape).index_copy(dimension, places, weights)
        return replace(found, weights=weights)


def left_texts(
    vocabulary: Vocabulary, texts: Sequence[str], without: Sequence[Without], *, max_words: int | None
) -> LeftTexts:
    """The texts as a model reads what is left of them, cut after `max_words` words.

    Raises DataError for a text without words, for one of which no word is left, and for a number beyond the words that
    a reply shows: those that are read and those taken away between them.
    """
    whole = vocabulary.encode(texts)
    rows, shown, places, unknown = [], [], [], []
    for text, ids, mask, each in zip(texts, whole.ids, whole.mask, without, strict=True):
        words = vocabulary.words(text)
        left = [place for place in range(int(mask.sum())) if place not in each.words]
        read = left[:max_words]
        count = len(words) if len(read) == len(left) else left[len(read)]
        _check("words", each.words, count, f"what is read of {text!r} has")
        if not left:
            raise DataError(f"without words: expected at least one left of {text!r}, got all {count} taken away")
        rows.append(ids[read].tolist())
        shown.append(tuple(words[:count]))
        places.append(tuple(read))
        unknown.append(tuple(words[place] for place in left if words[place] not in vocabulary))
    return LeftTexts(pad_words(rows), tuple(shown), tuple(places), tuple(unknown))


def left_before(places: Sequence[int], without: Without) -> list[int]:
    """How many words are left before each of the places among a text's words.

    >>> left_before([0, 1, 2, 3], Without(words=(1,)))
    [0, 1, 1, 2]
    """
    return [place - bisect_left(without.words, place) for place in places]


def refuse_words(without: Sequence[Without], run: str) -> None:
    """Raise RecipeError where words are to be taken away from what has none."""
    if any(each.words for each in without):
        raise RecipeError(f"without words: {run}, so that there are no words to take away; leave them out")


def _check(what: str, numbers: Sequence[int], count: int, has: str) -> None:
    """Raise DataError for a number of what is not there; `has` says in words who has the so many that are."""
    if numbers and numbers[-1] >= count:
        known = f"{count} {what}, 0 to {count - 1}" if count else f"no {what}"
        raise DataError(f"without {what}: {has} {known}, got {numbers[-1]}")
