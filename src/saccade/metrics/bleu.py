"""BLEU of a whole corpus (Papineni et al. 2002), equal to coco-caption's `Bleu(4)` with option "closest"."""

from __future__ import annotations

from itertools import accumulate
from math import exp
from operator import mul

import numpy as np

from saccade.metrics.ngrams import NGrams, Order, find

# Added above and below every fraction, so that none divides by nothing and no match at all gives nearly 0.
TINY, SMALL = 1e-15, 1e-9


def bleu_scores(ngrams: NGrams) -> dict[str, float]:
    """`bleu_1` to `bleu_4`, then `bleu_1_no_bp` to `bleu_4_no_bp`, which Xu et al. 2015 report; fractions of 1.

    The first have the brevity penalty, taken over the corpus from the reference closest in length to each result, the
    shorter of two equally close. The others have none.

    >>> from saccade.metrics.ngrams import count_ngrams
    >>> scores = bleu_scores(count_ngrams(["a dog runs"], [["a dog runs fast", "the dog is running"]]))
    >>> round(scores["bleu_2"], 6), round(scores["bleu_2_no_bp"], 6)
    (0.716531, 1.0)
    """
    lengths = ngrams.lengths[: ngrams.results]
    precisions = [
        (_matches(ngrams, order) + TINY) / (int(np.maximum(lengths - n, 0).sum()) + SMALL)
        for n, order in enumerate(ngrams.orders)
    ]
    ratio = (int(lengths.sum()) + TINY) / (_closest_lengths(ngrams) + SMALL)
    penalty = exp(1 - 1 / ratio) if ratio < 1 else 1.0
    means = [product ** (1 / n) for n, product in enumerate(accumulate(precisions, mul), 1)]
    with_penalty = {f"bleu_{n}": mean * penalty for n, mean in enumerate(means, 1)}
    return with_penalty | {f"bleu_{n}_no_bp": mean for n, mean in enumerate(means, 1)}


def _matches(ngrams: NGrams, order: Order) -> int:
    """How many of the results' n-grams occur in a reference, each at most as often as in the one with most of them."""
    keys = ngrams.images[order.captions] * order.kinds + order.grams
    by_result = order.captions < ngrams.results
    there, group = np.unique(keys[~by_result], return_inverse=True)
    most = np.zeros(len(there), np.int64)
    np.maximum.at(most, group, order.counts[~by_result])
    places, found = find(keys[by_result], there)
    return int(np.minimum(order.counts[by_result][found], most[places[found]]).sum())


def _closest_lengths(ngrams: NGrams) -> int:
    """The sum over the images of the length of the reference closest to the result's."""
    images, lengths = ngrams.images[ngrams.results :], ngrams.lengths[ngrams.results :]
    away = np.abs(lengths - ngrams.lengths[images])
    order = np.lexsort((lengths, away, images))
    _, first = np.unique(images[order], return_index=True)
    return int(lengths[order][first].sum())
