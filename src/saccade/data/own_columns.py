"""Which columns of rows hold what: `key=column`, and from a row's columns to the record of own data that they make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from saccade.data.own_lines import ALL_KEYS, REQUIRED
from saccade.errors import DataError, RecipeError, first, look_up

EXAMPLE = "image=COLUMN question=COLUMN answers=COLUMN, or image=COLUMN captions=COLUMN"
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
    if "captions" in columns and (beside := [key for key in columns if key not in REQUIRED["captions"]]):
        raise RecipeError(
            f"columns: expected questions or captions, got captions beside {', '.join(beside)}: leave out one or other"
        )
    return columns


def choose_columns(said: Mapping[str, str], there: Collection[str], where: str) -> dict[str, str]:
    """The column of each key: as said, and of those that every record needs else the column of the key's own name.

    What is said decides between questions and captions, else what is there. A column of nested values is named with
    dots, as in `answers.answer`. Raises DataError, naming the columns that there are, for one that is not.
    """
    captions = "captions" in said or ("captions" in there and not {"question", "answers"} & said.keys())
    kind = "captions" if captions and "question" not in said else "questions"
    columns = {**{key: key for key in REQUIRED[kind]}, **said}
    for key, column in columns.items():
        if column not in there and column.partition(".")[0] not in there:
            raise DataError(
                f"no column {column!r} for {key}; the columns are {first(there, LISTED)}: say --data.columns {EXAMPLE}",
                where,
            )
    return columns


def to_record(columns: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, Any]:
    """The record that a row makes, as a line of own data has it, without the keys of columns that the row leaves empty.

    One string, or one whole number, counts as a list of one where a list is meant.
    """
    record = {key: _value_at(row, column) for key, column in columns.items()}
    record = {key: value for key, value in record.items() if value is not None}
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
