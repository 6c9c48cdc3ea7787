"""Holding images out: by image, the same on every platform, and untouched by images that come later. And counting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from saccade.data.records import Question, images_of
from saccade.errors import DataError

HELD_OUT_SHARE = 0.1  # of the training images, for each split that a corpus lacks


def hold_out(images: Iterable[str], splits: Sequence[str], seed: int = 0) -> dict[str, str]:
    """Each image's split: a tenth of the images for each of `splits`, the others "train"."""
    shares = dict.fromkeys(splits, HELD_OUT_SHARE)
    return split_by_image(images, {**shares, "train": 1 - HELD_OUT_SHARE * len(splits)}, seed)


def count_questions(questions: Sequence[Question]) -> dict[str, int]:
    """How many `questions`, `images` and distinct `answers` there are."""
    answers = {answer for question in questions for answer in question.answers}
    return {"questions": len(questions), "images": len(images_of(questions)), "answers": len(answers)}


def split_by_image(images: Iterable[str], fractions: Mapping[str, float], seed: int = 0) -> dict[str, str]:
    """Each image's split, drawn with the given probabilities from its id and the seed alone.

    So a split's size is about its fraction, not exactly it; and adding or removing images moves no other. Raises
    DataError unless the fractions are at least 0 and sum to 1.

    >>> split_by_image(["a.jpg", "b.jpg", "c.jpg"], {"train": 0.5, "val": 0.5})
    {'a.jpg': 'train', 'b.jpg': 'train', 'c.jpg': 'val'}
    """
    if abs(sum(fractions.values()) - 1) > 1e-9 or min(fractions.values()) < 0:
        raise DataError(f"expected fractions of at least 0 that sum to 1, got {dict(fractions)}")
    return {image: _draw(image, fractions, seed) for image in images}


def _draw(image: str, fractions: Mapping[str, float], seed: int) -> str:
    digest = blake2b(f"{seed}:{image}".encode(), digest_size=8).digest()
    point = int.from_bytes(digest, "big") / 2**64
    total = 0.0
    for split, fraction in fractions.items():
        total += fraction
        if point < total:
            return split
    # The point lies behind the rounded sum: the last split that has a share takes it.
    return [split for split, fraction in fractions.items() if fraction > 0][-1]
