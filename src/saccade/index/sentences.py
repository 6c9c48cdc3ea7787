"""A file of sentences and an index of it, kept alike, to be searched by images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saccade.data.lines import read_lines
from saccade.errors import DataError
from saccade.index.building import Update, index_of
from saccade.index.embedder import SENTENCES_AT_ONCE, Embedder
from saccade.index.engine import EngineConfig
from saccade.progress import SILENT, Report

COLUMNS = ("sentence", "caption", "captions")


def index_sentences(
    embedder: Embedder,
    file: Path,
    out: Path,
    config: EngineConfig | None = None,
    *,
    moved: bool = False,
    report: Report = SILENT,
) -> Update:
    """Bring the index in `out` up to date with a file of sentences: of lines of text, or of JSON Lines (.jsonl).

    A line of JSON has a "sentence", a "caption", or a list of "captions". A sentence that comes twice counts once.
    Killed and called again it goes on. Raises DataError naming the line for a sentence without words, IndexingError as
    `index_photographs` does.
    """
    sentences = list(dict.fromkeys(_checked(embedder, file)))
    if not sentences:
        raise DataError("holds no sentence to index", file)
    with index_of(out, embedder, "sentences", str(file), config, moved=moved) as index:
        comparison = index.catalogue.compare((sentence, None, None) for sentence in sentences)
        removed = index.remove(comparison.gone)
        new = comparison.new
        for start in range(0, len(new), SENTENCES_AT_ONCE):
            report.advance("index sentences", start, len(new), "sentences")
            some = new[start : start + SENTENCES_AT_ONCE]
            index.add(some, embedder.sentences(some))
        if new:
            report.advance("index sentences", len(new), len(new), "sentences")
        index.settle()
        return Update(added=len(new), removed=removed, unchanged=len(index) - len(new))


def _checked(embedder: Embedder, file: Path) -> Iterator[str]:
    for number, line in read_lines(file):
        for sentence in _of_json(line, file, number) if file.suffix == ".jsonl" else [line.strip()]:
            try:
                embedder.task.check_text(sentence)
            except DataError as error:
                raise DataError(str(error), file, number) from None
            yield sentence


def _of_json(line: str, file: Path, number: int) -> list[str]:
    try:
        value: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"expected a JSON object, got a line that is none ({error})", file, number) from None
    said = [value[column] for column in COLUMNS if column in value] if isinstance(value, dict) else []
    texts = said[0] if said and isinstance(said[0], list) else said[:1]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise DataError('expected a "sentence", a "caption", or a list of "captions"', file, number)
    return texts
