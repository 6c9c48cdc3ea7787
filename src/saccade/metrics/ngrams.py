"""How often every n-gram of one to four words occurs in every caption: counted once, for BLEU and CIDEr alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

Array = np.ndarray
ORDERS = 4


@dataclass(frozen=True)
class Order:
    """The n-grams of one length: entry by entry a caption, an n-gram in it and its count, by caption and n-gram."""

    captions: Int[Array, " entries"]
    grams: Int[Array, " entries"]
    counts: Int[Array, " entries"]
    kinds: int
    """How many different n-grams of this length there are."""


@dataclass(frozen=True)
class NGrams:
    """The n-grams of results and references; captions are numbered through, the results first."""

    results: int
    """How many results, which is how many images: result and image have the same number."""

    images: Int[Array, " captions"]
    """The image of every caption."""

    lengths: Int[Array, " captions"]
    """The number of words of every caption."""

    orders: tuple[Order, ...]
    """The n-grams of one word, of two, of three and of four."""


def count_ngrams(results: Sequence[str], references: Sequence[Sequence[str]]) -> NGrams:
    """The n-grams of tokenised captions, words between spaces; `references` holds those of each result's image.

    >>> counted = count_ngrams(["a dog and a cat"], [["a dog"]])
    >>> counted.orders[0].counts, counted.orders[1].captions
    (array([2, 1, 1, 1, 1, 1]), array([0, 0, 0, 0, 1]))
    """
    # Python's own idea of a space, as in coco-caption: it parts the word that a no-break space holds together.
    captions = [caption.split() for caption in results]
    captions += [caption.split() for group in references for caption in group]
    images = np.concatenate([np.arange(len(results)), np.repeat(np.arange(len(results)), list(map(len, references)))])
    lengths = np.array([len(words) for words in captions])
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(word, len(numbers)) for words in captions for word in words], np.int64)
    caption = np.repeat(np.arange(len(captions)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(ids))  # words from here to the caption's end
    grams, kinds, orders = ids, len(numbers), []
    for n in range(1, ORDERS + 1):
        if n > 1:
            # An n-gram is the (n-1)-gram in its place and the word behind it; renumbered, so that no number overflows.
            follows = np.append(ids[n - 1 :], np.zeros(min(n - 1, len(ids)), np.int64))
            different, grams = np.unique(grams * len(numbers) + follows, return_inverse=True)
            kinds = len(different)
        orders.append(_entries(caption[left >= n], grams[left >= n], kinds))
    return NGrams(len(results), images, lengths, tuple(orders))


def _entries(captions: Int[Array, " places"], grams: Int[Array, " places"], kinds: int) -> Order:
    """The n-grams in all places, equal ones of a caption counted together."""
    keys, counts = np.unique(captions * max(kinds, 1) + grams, return_counts=True)
    return Order(keys // max(kinds, 1), keys % max(kinds, 1), counts, kinds)


def find(keys: Int[Array, " sought"], among: Int[Array, " known"]) -> tuple[Int[Array, " sought"], Array]:
    """The place of each key in an ascending array, and whether it is there at all."""
    if not len(among):
        return np.zeros(len(keys), np.int64), np.zeros(len(keys), bool)
    places = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return places, among[places] == keys
