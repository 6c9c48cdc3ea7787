"""CIDEr (Vedantam et al. 2015): the similarity of a caption to its references by n-grams weighted with tf-idf.

What papers report as CIDEr is what coco-caption computes under that name, and that is the paper's CIDEr-D: counts
clipped to the reference's, a Gaussian penalty with sigma 6 on the difference in length, times ten, words not stemmed.
The paper's plain CIDEr lacks the clipping and the penalty.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from saccade.metrics.ngrams import Array, NGrams, Order, find

SIGMA = 6.0


def cider_d(ngrams: NGrams) -> Float[Array, " images"]:
    """CIDEr-D of each image's result, from 0 to 10, with the document frequencies of the references given.

    Equal to coco-caption's (and pycocoevalcap's) `Cider` and to vrama91/cider's `ciderD_scorer.py` in mode "corpus".
    As there, the lengths compared are numbers of pairs of words. One image alone has no frequencies, and scores 0.

    >>> from saccade.metrics.ngrams import count_ngrams
    >>> cider_d(count_ngrams(["a dog runs", "a cat"], [["a dog runs"], ["a cat sits there"]])).round(4)
    array([7.5   , 2.7307])
    """
    pairs = np.maximum(ngrams.lengths - 1, 0)
    difference = pairs[ngrams.results :] - pairs[ngrams.images[ngrams.results :]]
    cosines = np.mean([_cosines(ngrams, order) for order in ngrams.orders], axis=0)
    return _mean(ngrams, cosines * np.exp(-(difference**2) / (2 * SIGMA**2)))


def _cosines(ngrams: NGrams, order: Order) -> Float[Array, " references"]:
    """The cosine of each reference and its image's result, the result's counts clipped to the reference's."""
    by_result = order.captions < ngrams.results
    weights = order.counts * _inverse_frequencies(ngrams, order, by_result)[order.grams]
    norms = np.sqrt(np.bincount(order.captions, weights**2, len(ngrams.images)))
    keys = ngrams.images[order.captions] * order.kinds + order.grams
    # Entries are ordered by caption and n-gram, so those of the results have ascending keys.
    places, found = find(keys[~by_result], keys[by_result])
    theirs, ours = weights[~by_result][found], weights[by_result][places[found]]
    products = np.minimum(ours, theirs) * theirs
    dots = np.bincount(order.captions[~by_result][found], products, len(ngrams.images))[ngrams.results :]
    scale = norms[ngrams.results :] * norms[ngrams.images[ngrams.results :]]
    cosines: Array = np.divide(dots, scale, out=np.zeros(len(dots)), where=scale > 0)
    return cosines


def _inverse_frequencies(ngrams: NGrams, order: Order, by_result: Bool[Array, " entries"]) -> Float[Array, " kinds"]:
    """log(images / images with the n-gram in a reference), of every n-gram; one that is in none counts as in one."""
    keys = np.unique(ngrams.images[order.captions[~by_result]] * order.kinds + order.grams[~by_result])
    images = np.bincount(keys % max(order.kinds, 1), minlength=order.kinds)
    weights: Array = np.log(ngrams.results) - np.log(np.maximum(images, 1))
    return weights


def _mean(ngrams: NGrams, similarities: Float[Array, " references"]) -> Float[Array, " images"]:
    """Ten times the mean over each image's references."""
    images = ngrams.images[ngrams.results :]
    return 10 * np.bincount(images, similarities, ngrams.results) / np.bincount(images, minlength=ngrams.results)
