from __future__ import annotations

from collections import Counter
from math import exp, log, sqrt
from pathlib import Path

import pytest
from tests.metrics.caption_samples import official, random_captions, real_captions

from saccade.metrics.cider import cider_d
from saccade.metrics.ngrams import count_ngrams

Gram = tuple[str, ...]


def grams(caption: str, n: int) -> Counter[Gram]:
    words = caption.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def plainly(results: list[str], references: list[list[str]], *, d: bool) -> list[float]:
    """Vedantam et al. 2015, equations 1 to 3, and for CIDEr-D the one of section 6; times ten."""
    totals = [0.0] * len(results)
    for n in range(1, 5):
        images: Counter[Gram] = Counter()
        for group in references:
            images.update(set().union(*(grams(text, n) for text in group)))

        def weighted(text: str, n: int = n, images: Counter[Gram] = images) -> dict[Gram, float]:
            return {gram: count * log(len(results) / max(1, images[gram])) for gram, count in grams(text, n).items()}

        for i, (result, group) in enumerate(zip(results, references, strict=True)):
            ours = weighted(result)
            for text in group:
                theirs = weighted(text)
                dot = sum((min(w, theirs[g]) if d else w) * theirs[g] for g, w in ours.items() if g in theirs)
                scale = norm(ours) * norm(theirs)
                apart = max(len(result.split()) - 1, 0) - max(len(text.split()) - 1, 0)
                cosine = dot / scale if scale else 0.0
                totals[i] += 10 / 4 / len(group) * cosine * (exp(-(apart**2) / 72) if d else 1)
    return totals


def norm(weights: dict[Gram, float]) -> float:
    return sqrt(sum(weight**2 for weight in weights.values()))


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_definition(seed: int) -> None:
    results, references = random_captions(seed)
    counted = count_ngrams(results, references)
    assert cider_d(counted).tolist() == pytest.approx(plainly(results, references, d=True), abs=1e-12)


def test_a_result_equal_to_its_only_reference_scores_ten() -> None:
    references = [["a dog runs on grass"], ["two cats sit in trees"]]
    scores = cider_d(count_ngrams([group[0] for group in references], references))
    assert scores.tolist() == pytest.approx([10, 10])


def test_saying_a_word_over_and_over_is_clipped_and_too_long() -> None:
    results, references = ["dog dog dog dog dog", "cat"], [["red dog"], ["blue cat"]]
    assert cider_d(count_ngrams(results, references))[0] < 0.4 * plainly(results, references, d=False)[0]


def test_what_every_image_is_told_weighs_nothing() -> None:
    references = [["a dog"], ["a cat"], ["a bird"]]
    assert cider_d(count_ngrams(["a", "a", "a"], references)).tolist() == [0, 0, 0]
    assert cider_d(count_ngrams(["a dog"], references[:1])).tolist() == [0]


@pytest.mark.java
@pytest.mark.parametrize("seed", range(3))
def test_it_equals_pycocoevalcap_on_random_captions(seed: int) -> None:
    results, references = random_captions(seed)
    _, theirs = official("cider.cider.Cider", dict(enumerate(results)), dict(enumerate(references)))
    assert cider_d(count_ngrams(results, references)).tolist() == pytest.approx(list(theirs), abs=1e-9)


@pytest.mark.java
@pytest.mark.data
def test_it_equals_pycocoevalcap_on_real_captions(real_data: Path) -> None:
    results, references = real_captions(real_data)
    assert len(results) >= 2000
    theirs, each = official("cider.cider.Cider", results, references)
    ours = cider_d(count_ngrams(list(results.values()), list(references.values())))
    assert ours.tolist() == pytest.approx(list(each), abs=1e-6)
    assert float(ours.mean()) == pytest.approx(theirs, abs=1e-9)
