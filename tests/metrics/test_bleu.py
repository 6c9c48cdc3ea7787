from __future__ import annotations

from collections import Counter
from math import exp
from pathlib import Path

import pytest
from tests.metrics.caption_samples import official, random_captions, real_captions

from saccade.metrics.bleu import bleu_scores
from saccade.metrics.ngrams import count_ngrams

TINY, SMALL = 1e-15, 1e-9


def plainly(results: list[str], references: list[list[str]]) -> dict[str, float]:
    """The definition, image by image: Papineni et al. 2002, sections 2.1 to 2.3, and coco-caption's two constants."""
    scores, product = {}, 1.0
    lengths = [len(result.split()) for result in results]
    closest = sum(
        min((abs(len(reference.split()) - length), len(reference.split())) for reference in group)[1]
        for length, group in zip(lengths, references, strict=True)
    )
    ratio = (sum(lengths) + TINY) / (closest + SMALL)
    for n in range(1, 5):
        matches = guesses = 0
        for result, group in zip(results, references, strict=True):
            mine = grams(result, n)
            guesses += mine.total()
            matches += sum(min(count, max(grams(text, n)[gram] for text in group)) for gram, count in mine.items())
        product *= (matches + TINY) / (guesses + SMALL)
        scores[f"bleu_{n}_no_bp"] = product ** (1 / n)
        scores[f"bleu_{n}"] = product ** (1 / n) * (exp(1 - 1 / ratio) if ratio < 1 else 1)
    return scores


def grams(caption: str, n: int) -> Counter[tuple[str, ...]]:
    words = caption.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


@pytest.mark.parametrize("seed", range(7))
def test_it_equals_the_definition(seed: int) -> None:
    results, references = random_captions(seed)
    scores = bleu_scores(count_ngrams(results, references))
    assert scores == pytest.approx(plainly(results, references), rel=1e-12)
    assert list(scores) == [f"bleu_{n}{end}" for end in ("", "_no_bp") for n in range(1, 5)]


def test_the_penalty_is_for_short_results_only() -> None:
    short = bleu_scores(count_ngrams(["a dog runs on"], [["a dog runs on grass"]]))
    assert short["bleu_4"] == pytest.approx(exp(1 - 5 / 4), rel=1e-6)
    assert short["bleu_4_no_bp"] == pytest.approx(1, rel=1e-6)
    long = bleu_scores(count_ngrams(["a dog runs on grass"], [["a dog runs on"]]))
    assert long["bleu_1"] == long["bleu_1_no_bp"] == pytest.approx(4 / 5, rel=1e-6)


def test_of_equally_close_references_the_shorter_counts() -> None:
    scores = bleu_scores(count_ngrams(["a b c"], [["a b c d", "a b"]]))
    assert scores["bleu_1"] == scores["bleu_1_no_bp"]


def test_repetition_earns_nothing() -> None:
    """The example of Papineni et al. 2002, section 2.1: 2 of 7."""
    references = ["the cat is on the mat", "there is a cat on the mat"]
    scores = bleu_scores(count_ngrams(["the the the the the the the"], [references]))
    assert scores["bleu_1"] == pytest.approx(2 / 7, rel=1e-6)


def test_captions_without_words_score_almost_nothing() -> None:
    scores = bleu_scores(count_ngrams([""], [["a dog"]]))
    assert all(0 <= score < 1e-3 for score in scores.values())


@pytest.mark.java
@pytest.mark.parametrize("seed", range(3))
def test_it_equals_pycocoevalcap_on_random_captions(seed: int) -> None:
    results, references = random_captions(seed)
    theirs, _ = official("bleu.bleu.Bleu", dict(enumerate(results)), dict(enumerate(references)))
    ours = bleu_scores(count_ngrams(results, references))
    assert [ours[f"bleu_{n}"] for n in range(1, 5)] == pytest.approx(theirs, rel=1e-9)


@pytest.mark.java
@pytest.mark.data
def test_it_equals_pycocoevalcap_on_real_captions(real_data: Path) -> None:
    results, references = real_captions(real_data)
    assert len(results) >= 2000
    theirs, _ = official("bleu.bleu.Bleu", results, references)
    ours = bleu_scores(count_ngrams(list(results.values()), list(references.values())))
    assert [ours[f"bleu_{n}"] for n in range(1, 5)] == pytest.approx(theirs, abs=1e-9)
