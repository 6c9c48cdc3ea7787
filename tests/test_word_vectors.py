"""Word vectors from text files, and the mean vectors of related words against loops."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from saccade.errors import DataError
from saccade.text import Vocabulary
from saccade.word_vectors import read_vectors, related_vectors

GLOVE = "the 0.5 -1 2e-1\n. . . 1 2 3\ndog 4 5 6\nat name@domain.com 7 8 9\ncafé 1 1 1\ndog 0 0 0\n"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_each_word_gets_its_vector_or_zero_and_the_found_are_counted(tmp_path: Path) -> None:
    words = ["<pad>", "<unk>", "café", "dog", "cat", ". . .", "at name@domain.com", "the"]
    vectors, found = read_vectors(written(tmp_path, GLOVE), words)
    none = [0.0, 0.0, 0.0]
    expected = [none, none, [1, 1, 1], [4, 5, 6], none, [1, 2, 3], [7, 8, 9], [0.5, -1, 0.2]]
    torch.testing.assert_close(vectors, torch.tensor(expected))
    assert found == 5


def test_a_vocabulary_gets_a_row_for_each_id(tmp_path: Path) -> None:
    vocabulary = Vocabulary.build(["the dog", "the café"])
    vectors, found = read_vectors(written(tmp_path, GLOVE), vocabulary.listed())
    assert (tuple(vectors.shape), found) == ((len(vocabulary), 3), 3)
    ids = vocabulary.encode(["dog"]).ids[0]
    assert vectors[ids].tolist() == [[4, 5, 6]]


@pytest.mark.parametrize("text", ["2 3\na 1 2 3 \nb 4 5 6 \n", "a 1 2 3\r\nb 4 5 6\r\n"])
def test_a_first_line_of_sizes_and_other_line_ends_are_understood(tmp_path: Path, text: str) -> None:
    vectors, found = read_vectors(written(tmp_path, text), ["b", "a"])
    assert (vectors.tolist(), found) == ([[4, 5, 6], [1, 2, 3]], 2)


def test_characters_that_split_lines_elsewhere_are_parts_of_words(tmp_path: Path) -> None:
    vectors, found = read_vectors(written(tmp_path, "a 1 2\nx\x85y 3 4\nx\ry 5 6\n"), ["x\x85y", "x\ry"])
    assert (vectors.tolist(), found) == ([[3, 4], [5, 6]], 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2 3\nb 1 2\n", r"vectors.txt:2: expected a word and 3 numbers, got 2 numbers: 'b 1 2'"),
        ("a 1 2 3\n\nb 1 2 3\n", r"vectors.txt:2: expected a word and 3 numbers, got 0 numbers: ''"),
        ("a 1 2 3\nb 1 two 3\n", r"vectors.txt:2: expected 3 numbers after 'b' \(could not convert .*'two'\)"),
        ("a 1 2 3\nb 1 nan 3\n", r"vectors.txt:2: expected 3 finite numbers after 'b', got nan or inf"),
        ("alone\nb 1 2 3\n", r"vectors.txt:1: expected a word and its numbers, got 'alone'"),
        ("", r"vectors.txt: expected a word and its numbers on each line, got an empty file"),
        (b"PK\x03\x04\xff\xfe", r"vectors.txt: expected UTF-8 text \(.*\); unpack the file if it is an archive"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_vectors(written(tmp_path, text), ["a", "b"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing.txt: no such file; expected word vectors as text"):
        read_vectors(tmp_path / "missing.txt", ["a"])


def related_by_loops(vectors: np.ndarray, texts: list[list[int]]) -> np.ndarray:
    size = len(vectors)
    occurs, pairs = np.zeros(size), np.zeros((size, size))
    for text in texts:
        kept = [word for word in text if word > 1]
        for i, word in enumerate(kept):
            occurs[word] += 1
            for j, other in enumerate(kept):
                if i != j:
                    pairs[word, other] += 1
    out = np.zeros_like(vectors)
    for i in range(size):
        row = np.array([pairs[i, j] / occurs[j] if occurs[j] else 0 for j in range(size)])
        if row.sum():
            out[i] = row / row.sum() @ vectors
    return out


def test_related_vectors_equal_loops_over_all_pairs() -> None:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(13, 5, generator=generator, dtype=torch.float64)
    texts = [torch.randint(0, 11, (n,), generator=generator).tolist() for n in (7, 3, 5, 2, 1, 7, 11)]
    torch.testing.assert_close(related_vectors(vectors, texts), torch.tensor(related_by_loops(vectors.numpy(), texts)))
    assert related_vectors(vectors.float(), texts).dtype == torch.float32


def test_rare_company_weighs_more_and_padding_and_unknown_words_nothing() -> None:
    one_hot = torch.eye(6)
    related = related_vectors(one_hot, [[2, 3, 0, 0], [2, 4, 1], [4, 4], [5]])
    torch.testing.assert_close(related[2], torch.tensor([0, 0, 0, 3 / 4, 1 / 4, 0]))  # 1/1 and 1/3 of a pair
    torch.testing.assert_close(related[4], torch.tensor([0, 0, 3 / 7, 0, 4 / 7, 0]))  # 1/2, and two times 1/3
    assert not related[[0, 1, 5]].any()


def related_by_the_authors_lists(vectors: np.ndarray, texts: list[list[int]], *, slip: bool) -> np.ndarray:
    """BAN's R as their code makes it, a list with an entry for each pair of each text; with its wrong index or not."""
    rows, columns, occurs = [], [], np.zeros(len(vectors))
    for text in texts:
        for word in text:
            occurs[word] += 1
        for first, second in itertools.combinations(text, 2):
            rows += [first, second]
            columns += [second, first]
    values = np.ones(len(rows))
    for number, column in enumerate(columns):
        values[column if slip else number] /= occurs[column]
    matrix = np.zeros((len(vectors), len(vectors)))
    np.add.at(matrix, (rows, columns), values)
    return matrix / np.maximum(matrix.sum(1, keepdims=True), 1e-300) @ vectors


def test_the_authors_slip_gives_nearly_unweighted_company() -> None:
    generator = torch.Generator().manual_seed(2)
    vectors = torch.randn(13, 5, generator=generator, dtype=torch.float64)
    texts = [[2 + int(11 * x**3) for x in torch.rand(7, generator=generator).tolist()] for _ in range(2000)]
    meant, slipped = (related_by_the_authors_lists(vectors.numpy(), texts, slip=slip) for slip in (False, True))
    tfidf, plain = (related_vectors(vectors, texts, weighted=weighted).numpy() for weighted in (True, False))
    np.testing.assert_allclose(tfidf, meant, atol=1e-12)
    # 13 of the 84,000 pairs lack in theirs.
    assert np.abs(plain - slipped).max() < 0.01
    assert np.abs(tfidf - slipped).max() > 0.2


def test_texts_without_pairs_relate_nothing() -> None:
    assert not related_vectors(torch.ones(4, 3), [[2], [3, 1], []]).any()


def test_an_id_beyond_the_vectors_is_refused() -> None:
    with pytest.raises(DataError, match="expected word ids below 4, the number of vectors, got 4"):
        related_vectors(torch.ones(4, 3), [[2, 4]])
