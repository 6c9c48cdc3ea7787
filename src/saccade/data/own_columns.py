"""Which columns of rows hold what: `key=column`, and from a row's columns to the record of own data that they make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from saccade.data.own_lines import ALL_KEYS, ALLOWED, REQUIRED, kind_of_line
from saccade.errors import DataError, RecipeError, first, look_up

EXAMPLE = (
    "image=COLUMN question=COLUMN answers=COLUMN, image=COLUMN captions=COLUMN, or image=COLUMN sentence=COLUMN "
    "phrases=COLUMN"
)
LISTED = 30  # an error names so many columns
TEXTS = {"answers", "captions"}  # what may be one string where a list of them is meant


def read_columns(said: Sequence[str]) -> dict[str, str]:
    """The column of each key that is said, as in `image=picture`.

    Raises RecipeError for what is no such pair and a key said twice, UnknownNameError for a key that there is not.
    """
    if not isinstance(said, list | tuple):
        raise RecipeError(f"columns: expected a list of key=column, got {said!r}")
    columns: dict[str, str] = {}
    for text in said:
        key, equals, column = text.partition("=")
        if not (equals and key and column):
            raise RecipeError(f"columns: expected key=column, as in image=picture, got {text!r}")
        look_up(ALL_KEYS, key, "key for a column")
        if key in columns:
            raise RecipeError(f"columns: {key} is said twice, {columns[key]!r} and {column!r}: keep one of them")
        columns[key] = column
    kind = kind_of_line(columns)
    if beside := [key for key in columns if key not in ALLOWED[kind]]:
        what = "questions or captions" if kind == "captions" else "questions, captions or sentences"
        mark = next(key for key in columns if key in REQUIRED[kind] and key != "image")
        raise RecipeError(f"columns: expected {what}, got {mark} beside {', '.join(beside)}: leave out one or other")
    return columns


def choose_columns(said: Mapping[str, str], there: Collection[str], where: str) -> dict[str, str]:
    """The column of each key: as said, and of those that every record needs else the column of the key's own name.

    What is said decides between questions, captions and sentences, else what is there. A column of nested values is
    named with dots, as in `answers.answer`. Raises DataError, naming the columns that there are, for one that is not.
    """
    kind = _kind(said, there)
    columns = {**{key: key for key in REQUIRED[kind]}, **said}
    for key, column in columns.items():
        if column not in there and column.partition(".")[0] not in there:
            raise DataError(
                f"no column {column!r} for {key}; the columns are {first(there, LISTED)}: say --data.columns {EXAMPLE}",
                where,
            )
    return columns


def _kind(said: Mapping[str, str], there: Collection[str]) -> str:
    """What kind of line the columns make."""
    kind = kind_of_line(said)
    if kind != "questions" or {"question", "answers"} & said.keys():
        return kind
    if "captions" in there:
        return "captions"
    return "sentences" if {"sentence", "phrases"} <= set(there) and "question" not in there else "questions"


def to_record(columns: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, Any]:
    """The record that a row makes, as a line of own data has it, without the keys of columns that the row leaves empty.

    One string, or one whole number, counts as a list of one where a list is meant; lists of what phrases have, as
    `datasets` may keep them, are a list of phrases.
    """
    record = {key: _value_at(row, column) for key, column in columns.items()}
    record = {key: value for key, value in record.items() if value is not None}
    if "phrases" in record:
        record["phrases"] = _phrases(record["phrases"])
    return {key: _texts(value) if key in TEXTS else value for key, value in record.items()}


def _value_at(value: Any, column: str) -> Any:
    """What a column, or with dots a part of it, holds; of a list of objects the list of their parts."""
    if isinstance(value, list):
        return [_value_at(each, column) for each in value]
    if not isinstance(value, Mapping) or column in value:
        return value[column] if isinstance(value, Mapping) else None
    head, dot, rest = column.partition(".")
    return _value_at(value[head], rest) if dot and head in value else None


def _texts(value: Any) -> Any:
    """A list of strings, if it can be; what is none is left for the reader of records to refuse."""
    values = value if isinstance(value, list) else [value]
    return [str(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in values]


def _phrases(value: Any) -> Any:
    """A list of objects, without what they leave empty; what cannot be one is left for the reader to refuse."""
    if isinstance(value, Mapping) and all(isinstance(each, list) for each in value.values()):
        lengths = {len(each) for each in value.values()}
        if len(lengths) == 1:
            value = [dict(zip(value, each, strict=True)) for each in zip(*value.values(), strict=True)]
    if not isinstance(value, list):
        return value
    return [
        {key: each for key, each in phrase.items() if each is not None} if isinstance(phrase, Mapping) else phrase
        for phrase in value
    ]
