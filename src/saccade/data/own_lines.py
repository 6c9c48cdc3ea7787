"""The lines of own data: one JSON object each, with every key and value checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from saccade.data.records import Box
from saccade.data.texts import refuse_half_characters, refuse_wordless
from saccade.errors import DataError, look_up, show

QUESTION_LINE = '{"image": "a.jpg", "question": "what color is the cup", "answers": ["red"]}'
CAPTION_LINE = '{"image": "a.jpg", "captions": ["a red cup on a table"]}'
SENTENCE_LINE = (
    '{"image": "a.jpg", "sentence": "a red cup on a table", '
    '"phrases": [{"words": [0, 3], "boxes": [[0.1, 0.2, 0.5, 0.9]]}]}'
)
# By kind of line: an example, the keys that it must have, and those that it may have.
EXAMPLES = {"questions": QUESTION_LINE, "captions": CAPTION_LINE, "sentences": SENTENCE_LINE}
REQUIRED = {
    "questions": ("image", "question", "answers"),
    "captions": ("image", "captions"),
    "sentences": ("image", "sentence", "phrases"),
}
KEYS = {key: key for key in ("image", "question", "answers", "type", "boxes", "id")}
ALLOWED = {**REQUIRED, "questions": tuple(KEYS)}
ALL_KEYS = {key: key for keys in ALLOWED.values() for key in keys}
# Keys written for their plural, and what that is a list of.
SINGULAR = {
    "answer": "one string per annotator",
    "caption": "one string per caption",
    "phrase": "one object per phrase",
}
ANY = " or ".join(EXAMPLES.values())


def read_record(line: str) -> dict[str, Any]:
    """The object on the line: all its keys are known, and those required are there."""
    return check_record(read_object(line, ANY))


def kind_of(record: Mapping[str, Any]) -> str:
    """What a record holds, "questions" or "captions": a sentence with phrases is a caption."""
    return "questions" if kind_of_line(record) == "questions" else "captions"


def kind_of_line(record: Mapping[str, Any]) -> str:
    """Which kind of line a record is, by the keys that only it has: one of `EXAMPLES`."""
    if "captions" in record:
        return "captions"
    return "sentences" if "sentence" in record or "phrases" in record else "questions"


def check_record(record: Any) -> dict[str, Any]:
    """The record, once it is an object with all the keys that are required and none that is not known."""
    _refuse_no_object(record, ANY)
    for key, each in SINGULAR.items():
        if key in record:
            raise DataError(f'expected "{key}s", a list with {each}, got "{key}"; write "{key}s": [...]')
    for key in record:
        look_up(ALL_KEYS, key, "key")
    kind = kind_of_line(record)
    if extra := [key for key in record if key not in ALLOWED[kind]]:
        mark = next(key for key in record if key in REQUIRED[kind] and key != "image")
        raise DataError(
            f'expected a question with answers, captions, or a sentence with phrases, got "{mark}" beside '
            f"{', '.join(map(repr, extra))}; a folder holds either questions or captions, and a line of {kind} is like "
            f"{EXAMPLES[kind]}"
        )
    if missing := [key for key in REQUIRED[kind] if key not in record]:
        known = kind != "questions" or "question" in record or "answers" in record
        raise DataError(
            f"expected the key {missing[0]!r}, got {', '.join(map(repr, record)) or 'none'}; as in "
            f"{EXAMPLES[kind] if known else ANY}"
        )
    found: dict[str, Any] = record
    return found


def read_object(line: str, example: str) -> dict[str, Any]:
    """The JSON object of a line, each of its keys once and its characters whole; errors say `example`."""
    try:
        record = json.loads(line, object_pairs_hook=_once_each)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"expected one JSON object on the line, like {example}; it is no JSON ({error})") from None
    _refuse_no_object(record, example)
    found: dict[str, Any] = record
    return found


def _refuse_no_object(record: Any, example: str) -> None:
    refuse_half_characters(record)
    if not isinstance(record, dict):
        raise DataError(f"expected a JSON object like {example}, got {show(record)}")


def read_text(record: Mapping[str, Any], key: str) -> str:
    """The string under that key, without the spaces around it."""
    value = record[key]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f'expected "{key}" to be a string that is not empty, got {show(value)}')
    return value.strip()


def read_question(record: Mapping[str, Any]) -> str:
    """The question, which must have a word."""
    text = read_text(record, "question")
    refuse_wordless(text, '"question"', symbols=False)
    return text


def read_captions(record: Mapping[str, Any]) -> list[str]:
    """The captions, each of which must have a word, with one blank between words."""
    texts = [" ".join(text.split()) for text in read_strings(record, "captions")]
    for text in texts:
        refuse_wordless(text, 'each of "captions"', symbols=True)
    return texts


def read_sentence(record: Mapping[str, Any]) -> str:
    """The sentence, which must have a word, with one blank between words."""
    text = " ".join(read_text(record, "sentence").split())
    refuse_wordless(text, '"sentence"', symbols=True)
    return text


def read_id(record: Mapping[str, Any], default: str) -> str:
    """The line's own id, or the default."""
    value = record.get("id", default)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f'expected "id" to be a string or a whole number, got {show(value)}')
    return str(value)


def read_strings(record: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The strings under that key, one at least, without the spaces around them."""
    value = record[key]
    if isinstance(value, str):
        raise DataError(f'expected "{key}" to be a list of strings, got a string; write [{show(value)}]')
    if not isinstance(value, list) or not value:
        raise DataError(f'expected "{key}" to be a list with at least one string, got {show(value)}')
    for text in value:
        if not isinstance(text, str) or not text.strip():
            raise DataError(f'expected each of "{key}" to be a string that is not empty, got {show(text)}')
    return tuple(text.strip() for text in value)


def read_boxes(value: Any) -> tuple[Box, ...]:
    """The boxes of a line, checked one by one."""
    if not isinstance(value, list):
        raise DataError(f'expected "boxes" to be a list of [x1, y1, x2, y2], got {show(value)}')
    return tuple(_box(box) for box in value)


def _box(value: Any) -> Box:
    numbers = isinstance(value, list) and all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in value)
    if not numbers or len(value) != 4:
        raise DataError(f"expected a box to be four numbers [x1, y1, x2, y2], got {show(value)}")
    x1, y1, x2, y2 = value
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise DataError(
            "expected a box [x1, y1, x2, y2] in fractions of width and height, from 0 to 1, with x1 < x2 and y1 < y2, "
            f"got {show(value)}"
        )
    return float(x1), float(y1), float(x2), float(y2)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's keys and values; of a key that is there twice JSON would keep the last value alone."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"expected every key once on a line, got {show(twice)} again; keep one of them")
    return record
