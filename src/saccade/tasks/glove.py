"""Word embeddings that start from GloVe's vectors, and from those of related words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from saccade.errors import RecipeError
from saccade.nn.text_encoders import FixedLengthGRU
from saccade.progress import Report
from saccade.text import Vocabulary
from saccade.word_vectors import read_vectors, related_vectors, vector_size


def check_glove(model: nn.Module, file: str) -> FixedLengthGRU:
    """The part of the model that starts from the vectors of a file; raises as `start_from_glove` does."""
    encoder = next((module for module in model.modules() if isinstance(module, FixedLengthGRU)), None)
    if encoder is None:
        raise RecipeError(f"{type(model).__name__} starts from no word vectors: leave out --task.glove")
    found, width = vector_size(Path(file)), encoder.tables[0].embedding_dim
    if found != width:
        raise RecipeError(
            f"task.glove: expected vectors of {width} numbers, {file} has {found}; give another file, or set "
            f"--sizes.embedding-size {found}"
        )
    return encoder


def start_from_glove(
    model: nn.Module, file: str, vocabulary: Vocabulary, texts: Sequence[str], report: Report, *, weighted: bool
) -> None:
    """Let the model's word embeddings start from the vectors of a file.

    A second table, as BAN has, starts from what the words that share one of the texts with each word mean. Raises
    DataError for a file that holds no such vectors, RecipeError for a model that takes none or others.
    """
    encoder = check_glove(model, file)
    vectors, found = read_vectors(Path(file), vocabulary.listed())
    report.say(f"word vectors: {found:,} of {len(vocabulary.known_words()):,} words are in {file}")
    tables = [vectors]
    if len(encoder.tables) > 1:
        ids = [row[row > 0].tolist() for row in vocabulary.encode(texts).ids]
        tables.append(related_vectors(vectors, ids, weighted=weighted))
    encoder.load_vectors(*tables)
