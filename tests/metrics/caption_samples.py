"""Captions to score: random ones of few words, and real ones; and what pycocoevalcap says of them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from saccade.metrics.ptb import tokenize

WORDS = "a the dog cat runs sits on in grass red and".split()  # noqa: SIM905


def random_captions(seed: int, images: int = 23) -> tuple[list[str], list[list[str]]]:
    """Results and references; of one to five references an image, some captions empty, some equal."""
    draw = random.Random(seed)

    def caption(least: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(least, 9)))

    references = [[caption(0) for _ in range(draw.randint(1, 5))] for _ in range(images)]
    results = [draw.choice([draw.choice(group), caption(0), caption(5)]) for group in references]
    return results, references


def real_captions(real_data: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Tokenised captions of Flickr8k: results, of another image or with words lost and swapped, and five references."""
    by_image: dict[str, list[str]] = {}
    for line in (real_data / "flickr8k/Flickr8k_text/Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        name, caption = line.split("\t")
        by_image.setdefault(name.split("#")[0], []).append(tokenize(caption))
    draw = random.Random(0)
    images = list(by_image)
    results = {}
    for image in images:
        words = draw.choice([by_image[image], by_image[draw.choice(images)]])[0].split()
        kept = [word for word in words if draw.random() < 0.8]
        if len(kept) > 3 and draw.random() < 0.5:
            kept[1], kept[2] = kept[2], kept[1]
        results[image] = " ".join(kept)
    return results, by_image


def official(name: str, results: dict[Any, str], references: dict[Any, list[str]]) -> tuple[Any, Any]:
    """The corpus's score and the images' from the scorer of that name, such as "bleu.bleu.Bleu"."""
    module, _, kind = name.rpartition(".")
    scorer = getattr(pytest.importorskip(f"pycocoevalcap.{module}"), kind)()
    further = {"verbose": 0} if kind == "Bleu" else {}
    return scorer.compute_score(references, {image: [text] for image, text in results.items()}, **further)
