"""ROUGE-L (Lin 2004), equal to coco-caption's `Rouge`."""

from __future__ import annotations

from collections.abc import Sequence

BETA = 1.2  # recall counts for more than precision


def rouge_l(result: str, references: Sequence[str]) -> float:
    """The F-measure of the longest common subsequence of words, from 0 to 1; captions are tokenised.

    The best precision and the best recall are taken, each over all references: they may come from different ones.

    >>> round(rouge_l("a dog runs", ["a dog runs in the grass", "the dog"]), 6)
    0.628866
    """
    words = result.split(" ")
    masks_of = [_masks(reference.split(" ")) for reference in references]
    common = [_common(words, masks, length) for masks, length in masks_of]
    precision = max(common) / len(words)
    recall = max(found / length for found, (_, length) in zip(common, masks_of, strict=True))
    if not common or not max(common):
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _masks(words: Sequence[str]) -> tuple[dict[str, int], int]:
    """The places of every word as the bits of a number, and how many places there are."""
    masks: dict[str, int] = {}
    for place, word in enumerate(words):
        masks[word] = masks.get(word, 0) | 1 << place
    return masks, len(words)


def _common(words: Sequence[str], masks: dict[str, int], length: int) -> int:
    """The length of the longest common subsequence, a row of the table at a time (Hyyrö 2004, "Bit-parallel LCS").

    A bit of `row` is 0 where the length grows by one from the place before to this.
    """
    row = full = (1 << length) - 1
    for word in words:
        matches = row & masks.get(word, 0)
        row = (row + matches | row - matches) & full
    return length - row.bit_count()
