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

    def mean(self, answers: Sequence[str], truths: Sequence[str], *, threshold: float) -> float:
        """The mean WUPS of the answers, a fraction of 1; raises DataError when there is none or lengths differ."""
        check_lengths(answers, truths)
        return sum(self(*pair, threshold=threshold) for pair in zip(answers, truths, strict=True)) / len(answers)

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


def wups_scores(answers: Sequence[str], truths: Sequence[str], wups: Wups | None = None) -> dict[str, float]:
    """`accuracy` over answer sets and, where a `Wups` is given, `wups_0.9` and `wups_0.0`; fractions of 1."""
    scores = {"accuracy": set_accuracy(answers, truths)}
    if wups is not None:
        scores |= {f"wups_{t}": wups.mean(answers, truths, threshold=t) for t in (0.9, 0.0)}
    return scores


def set_accuracy(answers: Sequence[str], truths: Sequence[str]) -> float:
    """The share of answers that are the same set of words as the truth (the official script's threshold -1).

    >>> set_accuracy(["book, chair", "book"], ["chair,book", "book, lamp"])
    0.5
    """
    check_lengths(answers, truths)
    pairs = zip(answers, truths, strict=True)
    return sum(set(answer_items(answer)) == set(answer_items(truth)) for answer, truth in pairs) / len(answers)


def answer_items(answer: str) -> list[str]:
    """The words of a set-valued answer: the parts between commas, without the spaces around them."""
    return [item.strip() for item in answer.split(",")]


def normalize_answer_set(answer: str) -> str:
    """One spelling for every way to write the same set: lower case, each word once, in alphabetical order.

    >>> normalize_answer_set("Table,chair, table")
    'chair, table'
    """
    return ", ".join(sorted({" ".join(item.lower().split()) for item in answer.split(",")} - {""}))


def score_sets(first: Sequence[str], second: Sequence[str], measure: Measure) -> float:
    """The smaller, over both directions, of the product over a set's words of their best match in the other set."""
    there = prod(max(measure(a, b) for b in second) for a in first)
    back = prod(max(measure(b, a) for a in first) for b in second)
    return min(there, back)


def check_lengths(answers: Sequence[str], truths: Sequence[str]) -> None:
    """Raise DataError unless there is one truth per answer, and at least one."""
    if len(answers) != len(truths) or not answers:
        raise DataError(f"expected one true answer per answer, got {len(answers)} answers and {len(truths)} truths")
