"""Known word vectors for a vocabulary: GloVe's text files, and vectors made of those of related words (BAN, DFAF)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.errors import DataError

FIRST_WORD = 2  # ids 0 and 1 are padding and the unknown word


def read_vectors(path: Path | str, words: Sequence[str]) -> tuple[Float[Tensor, "words size"], int]:
    """One row for each word, zero where the file has none; and how many of the words it has.

    A line is a word and its numbers with single spaces between them, the same number of them on every line; the word
    may contain spaces, as a few of glove.840B do. The file is read line by line, and only the numbers of the words
    asked for are looked at. A first line of two whole numbers, as word2vec and fastText write, is skipped. Of a word
    that occurs twice the first vector counts. Raises DataError with the line that is short or has what is no number.
    """
    path = Path(path)
    wanted, found, size = set(words), {}, 0
    for line, text in _lines(path):
        if not size:
            size = _size(text, path)
            if _is_header(text):
                continue
        spaces = text.count(" ")
        if spaces < size:
            raise DataError(f"expected a word and {size} numbers, got {spaces} numbers: {text[:60]!r}", path, line)
        word = text[: text.index(" ")] if spaces == size else text.rsplit(" ", size)[0]
        if word in wanted and word not in found:
            found[word] = _numbers(text, size, path, line)
    if not size:
        raise DataError("expected a word and its numbers on each line, got an empty file", path)
    missing = torch.zeros(size)
    return torch.stack([found.get(word, missing) for word in words]), sum(word in found for word in words)


def vector_size(path: Path | str) -> int:
    """How many numbers the vectors of a file have, by its first line; raises DataError as `read_vectors` does."""
    for _, text in _lines(Path(path)):
        return _size(text, Path(path))
    raise DataError("expected a word and its numbers on each line, got an empty file", path)


def related_vectors(
    vectors: Float[Tensor, "words size"], texts: Iterable[Sequence[int]], *, weighted: bool = True
) -> Float[Tensor, "words size"]:
    """For each word the mean vector of the words it occurs with in a text, rare ones weighted up: R times `vectors`.

    R_ij is proportional to how often the words i and j are a pair of one text (a word that is there twice is a pair
    with itself), over how often j occurs in all; each row of R sums to 1. This is what the second table of BAN's
    authors was meant to be (jnhwkim/ban-vqa@ef4cc36, dataset.py, `tfidf_from_questions`). Theirs is nearly R without
    the weights, which `weighted=False` gives: where the weight of a pair is to be divided, their loop divides that of
    the pair whose number in the list of all is the word's id. So only the first of millions of pairs, as many as there
    are words, are touched, and come to next to nothing; all others weigh the same. The table is to be made from the
    training questions alone: theirs came from the questions of all splits, test included, Visual Genome's, and COCO's
    captions.

    `texts` are word ids. Padding and unknown words relate to nothing; a row without a pair is zero.
    """
    occurrences: Counter[int] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    for text in texts:
        ids = sorted(int(word) for word in text if word >= FIRST_WORD)
        occurrences.update(ids)
        pairs.update(combinations(ids, 2))
    known = len(vectors)
    if occurrences and max(occurrences) >= known:
        raise DataError(f"expected word ids below {known}, the number of vectors, got {max(occurrences)}")
    if not pairs:
        return torch.zeros_like(vectors)
    first, second = torch.tensor(list(pairs)).unbind(1)
    index = torch.stack([torch.cat([first, second]), torch.cat([second, first])])
    counts = torch.tensor(list(pairs.values()), dtype=torch.float64).repeat(2)
    total = torch.ones(known, dtype=torch.float64)
    if weighted:
        total[torch.tensor(list(occurrences))] = torch.tensor(list(occurrences.values()), dtype=torch.float64)
    weights = counts / total[index[1]]
    rows = torch.zeros(known, dtype=torch.float64).index_add(0, index[0], weights)
    related = torch.sparse_coo_tensor(index, weights / rows[index[0]], (known, known), check_invariants=True)
    return (related @ vectors.double()).to(vectors.dtype)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The file's lines from 1, without what ends them."""
    try:
        # Some words contain a carriage return or another of the characters at which text is commonly split.
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, text in enumerate(file, start=1):
                yield number, text.rstrip(" \r\n")
    except FileNotFoundError:
        raise DataError("no such file; expected word vectors as text, as in glove.6B.300d.txt", path) from None
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8 text ({error.reason}); unpack the file if it is an archive", path) from None


def _is_header(text: str) -> bool:
    """Whether this is the line "words size"."""
    fields = text.split(" ")
    return len(fields) == 2 and all(field.isdecimal() for field in fields)


def _size(first: str, path: Path) -> int:
    """How many numbers a word has, by the first line."""
    size = int(first.split(" ")[1]) if _is_header(first) else first.count(" ")
    if not size:
        raise DataError(f"expected a word and its numbers, got {first[:60]!r}", path, 1)
    return size


def _numbers(text: str, size: int, path: Path, line: int) -> Float[Tensor, " size"]:
    word, *fields = text.rsplit(" ", size)
    try:
        numbers = [float(field) for field in fields]
    except ValueError as error:
        raise DataError(f"expected {size} numbers after {word!r} ({error})", path, line) from None
    if not all(map(math.isfinite, numbers)):
        raise DataError(f"expected {size} finite numbers after {word!r}, got nan or inf", path, line)
    return torch.tensor(numbers)
