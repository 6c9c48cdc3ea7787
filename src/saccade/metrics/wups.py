"""WUPS, the soft accuracy over sets of answers, equal to Malinowski's `calculate_wups.py` (version of 05.09.2015).

Malinowski and Fritz 2014, section 4: an answer is a set of words, written with commas between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from pathlib import Path

from saccade.errors import DataError
from saccade.metrics.wordnet import WordNet

Measure = Callable[[str, str], float]


class Wups:
    """The WUPS of answers, over the WordNet of a folder or the one that is installed; remembers every pair of words.

    Raises DataError, saying how to get WordNet, where its files are missing.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self._wordnet = WordNet(folder)
        self._similarity = lru_cache(maxsize=None)(self._most_similar)

    def __call__(self, answer: str, truth: str, *, threshold: float) -> float:
        """The WUPS of one answer: similarity below the threshold is worth a tenth of itself. Splits at commas."""
        return score_sets(answer_items(truth), answer_items(answer), lambda a, b: self.word_score(a, b, threshold))

    def mean(self, answers: Sequence[str], truths: Sequence[Sequence[str]], *, threshold: float) -> float:
        """The mean WUPS of the answers, a fraction of 1, each against the truth of every one of its annotators.

        With several annotators that is the average consensus of Malinowski, Rohrbach and Fritz 2015.
        Raises DataError when there is no answer, when lengths differ, and for an answer without annotators.
        """
        if len(answers) != len(truths) or not answers or not all(truths):
            raise DataError(f"expected the truths of each answer, got {len(answers)} answers and {len(truths)} truths")
        pairs = zip(answers, truths, strict=True)
        shares = [sum(self(answer, t, threshold=threshold) for t in given) / len(given) for answer, given in pairs]
        return sum(shares) / len(shares)

    def word_score(self, first: str, second: str, threshold: float) -> float:
        """How well one word stands for another: 1 for the same, 0 where WordNet lacks a noun of either name."""
        if first == second:
            return 1.0
        similarity = self._similarity(first, second)
        return similarity if similarity >= threshold else 0.1 * similarity

    def _most_similar(self, first: str, second: str) -> float:
        """The similarity of the two words' closest senses."""
        pairs = ((x, y) for x in self._wordnet.synsets(first) for y in self._wordnet.synsets(second))
        return max((self._wordnet.similarity(x, y) or 0.0 for x, y in pairs), default=0.0)


def answer_items(answer: str) -> list[str]:
    """The words of a set-valued answer: the parts between commas, without the spaces around them."""
    return [item.strip() for item in answer.split(",")]


def normalize_answer_set(answer: str) -> str:
    """One spelling for every way to write the same set: lower case, each word once, in alphabetical order.

    >>> normalize_answer_set("Table,chair, table")
    'chair, table'
    """
    return ", ".join(sorted(set(answer_items(normalize_answer_items(answer))) - {""}))


def normalize_answer_items(answer: str) -> str:
    """The answer in lower case with single spaces and no empty parts, its words where and as often as they are.

    Of two answers whose sets are the same WUPS then finds every word of one in the other.

    >>> normalize_answer_items("Tape  dispenser,,chair , chair,")
    'tape dispenser, chair, chair'
    """
    return ", ".join(filter(None, (" ".join(item.lower().split()) for item in answer.split(","))))


def score_sets(first: Sequence[str], second: Sequence[str], measure: Measure) -> float:
    """The smaller, over both directions, of the product over a set's words of their best match in the other set."""
    there = prod(max(measure(a, b) for b in second) for a in first)
    back = prod(max(measure(b, a) for a in first) for b in second)
    return min(there, back)
