from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.metrics.caption_samples import official, random_captions, real_captions

from saccade.metrics.rouge import rouge_l

captions = st.lists(st.sampled_from("abcde"), max_size=70).map(" ".join)


def common(first: list[str], second: list[str]) -> int:
    """The length of the longest common subsequence by the table of all beginnings."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def plainly(result: str, references: list[str]) -> float:
    words, groups = result.split(" "), [reference.split(" ") for reference in references]
    precision = max(common(words, group) / len(words) for group in groups)
    recall = max(common(words, group) / len(group) for group in groups)
    return 2.44 * precision * recall / (recall + 1.44 * precision) if precision else 0.0


@given(captions, st.lists(captions, min_size=1, max_size=3))
def test_it_equals_the_table_of_all_beginnings(result: str, references: list[str]) -> None:
    assert rouge_l(result, references) == pytest.approx(plainly(result, references), rel=1e-12)


def test_order_matters_and_gaps_do_not() -> None:
    assert rouge_l("a dog runs", ["a dog runs"]) == pytest.approx(1)
    assert rouge_l("a big dog", ["a dog"]) == pytest.approx(2.44 * (2 / 3) / (1 + 1.44 * 2 / 3))
    assert rouge_l("dog a", ["a dog"]) == pytest.approx(0.5)
    assert rouge_l("a dog", ["the cat"]) == 0


def test_precision_and_recall_may_come_from_different_references() -> None:
    assert rouge_l("a dog", ["a dog runs in the grass", "a"]) == pytest.approx(1)


@pytest.mark.java
def test_it_equals_pycocoevalcap_on_random_captions() -> None:
    results, references = random_captions(0, 101)
    _, theirs = official("rouge.rouge.Rouge", dict(enumerate(results)), dict(enumerate(references)))
    ours = [rouge_l(*pair) for pair in zip(results, references, strict=True)]
    assert ours == pytest.approx(list(theirs), abs=1e-12)


@pytest.mark.java
@pytest.mark.data
def test_it_equals_pycocoevalcap_on_real_captions(real_data: Path) -> None:
    results, references = real_captions(real_data)
    assert len(results) >= 2000
    _, theirs = official("rouge.rouge.Rouge", results, references)
    ours = [rouge_l(results[image], references[image]) for image in results]
    assert ours == pytest.approx(list(theirs), abs=1e-9)
