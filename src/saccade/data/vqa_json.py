"""The official JSON files of VQA, v1 and v2 alike: questions, and the annotators' answers, checked while reading.

    {..., "questions": [{"question_id": 458752000, "image_id": 458752, "question": "What is this?",
                         "multiple_choices": ["net", ...]}, ...]}           the choices in MultipleChoice files only
    {..., "annotations": [{"question_id": 458752000, "image_id": 458752, "question_type": "what is this",
                           "answer_type": "other", "multiple_choice_answer": "net",
                           "answers": [{"answer_id": 1, "answer": "net", "answer_confidence": "maybe"}, ...]}, ...]}

A train file has millions of answers, so each object becomes a record as soon as it is parsed, and equal strings one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from saccade.data.texts import refuse_half_characters
from saccade.errors import DataError, first, show

ANSWER_TYPES = ("yes/no", "number", "other")
# How the halves of a surrogate pair begin, as JSON escapes them and as UTF-8 would have them.
SURROGATES = (b"\\ud", b"\\uD", b"\xed")


class AskedQuestion(NamedTuple):
    """An entry of a question file."""

    id: int
    image: int
    text: str
    choices: tuple[str, ...]


class Annotation(NamedTuple):
    """An entry of an annotation file; `answer` is its multiple_choice_answer, `answers` the annotators' in order."""

    id: int
    image: int
    question_type: str
    answer_type: str
    answer: str
    answers: tuple[str, ...]


T = TypeVar("T")
Entry = TypeVar("Entry", AskedQuestion, Annotation)


def read_questions(path: Path, *, choices: bool = False) -> list[AskedQuestion]:
    """The questions of a file, in its order, with `choices` those of a multiple-choice file.

    Raises DataError naming the file and the question for one that lacks something, and for ids that occur twice.
    """

    def question(entry: dict[str, Any], same: dict[str, str]) -> AskedQuestion:
        offered = _strings(entry, "multiple_choices", same) if choices or "multiple_choices" in entry else ()
        return AskedQuestion(
            whole(entry, "question_id"), whole(entry, "image_id"), _string(entry, "question", same), offered
        )

    return _read(path, "questions", AskedQuestion, question)


def read_annotations(path: Path) -> list[Annotation]:
    """The annotations of a file, in its order.

    Raises DataError naming the file and the question for one that lacks something or has an answer type other than the
    official three, and for ids that occur twice.
    """

    def annotation(entry: dict[str, Any], same: dict[str, str]) -> Annotation:
        answer_type = _string(entry, "answer_type", same)
        if answer_type not in ANSWER_TYPES:
            raise DataError(f'expected "answer_type" to be {" or ".join(map(repr, ANSWER_TYPES))}, got {answer_type!r}')
        return Annotation(
            whole(entry, "question_id"),
            whole(entry, "image_id"),
            _string(entry, "question_type", same),
            answer_type,
            _string(entry, "multiple_choice_answer", same),
            _strings(entry, "answers", same),
        )

    return _read(path, "annotations", Annotation, annotation)


def match(
    questions: Sequence[AskedQuestion], annotations: Sequence[Annotation], questions_path: Path, annotations_path: Path
) -> list[Annotation]:
    """Each question's annotation, in the order of the questions.

    Raises DataError with how many and which questions have no annotation, annotations have no question, and pairs
    speak of different images.
    """
    answers = {annotation.id: annotation for annotation in annotations}
    asked = {question.id for question in questions}
    problems = {
        "questions without an annotation": [question.id for question in questions if question.id not in answers],
        "annotations without a question": [annotation.id for annotation in annotations if annotation.id not in asked],
        "questions about another image than their annotation": [
            question.id for question in questions if answers.get(question.id, question).image != question.image
        ],
    }
    if any(problems.values()):
        raise DataError(
            f"expected one annotation in {annotations_path} for each question, got {tally(problems)}; take both "
            "files from the same release",
            questions_path,
        )
    return [answers[question.id] for question in questions]


def tally(problems: dict[str, list[int]]) -> str:
    """What is wrong, how often, and with which ids, the first few of them."""
    return "; ".join(f"{what}: {len(ids):,} ({first(ids)})" for what, ids in problems.items() if ids)


def read_json(path: Path, convert: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The value of a JSON file, each object in it replaced by what `convert` makes of it, inner objects first.

    Raises DataError for a file that cannot be read or is no JSON, for a text with half a character in it, and names the
    file in those of `convert`.
    """

    def whole_characters(entry: dict[str, Any]) -> Any:
        refuse_half_characters(entry)
        return entry if convert is None else convert(entry)

    try:
        content = path.read_bytes()
        # Hardly any file has such an escape, and checking every string would take long.
        suspect = any(start in content for start in SURROGATES)
        return json.loads(content, object_hook=whole_characters if suspect else convert)
    except FileNotFoundError:
        raise DataError("no such file", path) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected a JSON file, whole and in UTF-8; it is none ({error})", path) from None
    except DataError as error:
        raise DataError(str(error), path) from None


def whole(entry: dict[str, Any], *keys: str) -> int:
    """The number under the first of the keys that the entry has; raises DataError where there is none."""
    value = next((entry[key] for key in keys if key in entry), None)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise DataError(f'expected "{keys[0]}" to be a whole number, got {"nothing" if value is None else show(value)}')


def doubles(ids: Iterable[T]) -> list[T]:
    """The ids that occur more than once, each once."""
    return [number for number, count in Counter(ids).items() if count > 1]


def _read(
    path: Path, key: str, kind: type[Entry], record: Callable[[dict[str, Any], dict[str, str]], Entry]
) -> list[Entry]:
    same: dict[str, str] = {}

    def convert(entry: dict[str, Any]) -> Any:
        if "question_id" in entry:
            try:
                return record(entry, same)
            except DataError as error:
                raise DataError(f"question {show(entry['question_id'])}: {error}") from None
        answer = entry.get("answer")
        return same.setdefault(answer, answer) if isinstance(answer, str) else entry

    document = read_json(path, convert)
    entries = document.get(key) if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise DataError(f'expected an object with a list "{key}" of at least one entry, got {show(document)}', path)
    for place, entry in enumerate(entries):
        if not isinstance(entry, kind):
            raise DataError(f'expected each of "{key}" to have a "question_id", got {show(entry)} at {place}', path)
    if twice := doubles(entry.id for entry in entries):
        raise DataError(f"expected every question_id once, got {len(twice):,} more than once ({first(twice)})", path)
    return entries


def _string(entry: dict[str, Any], key: str, same: dict[str, str]) -> str:
    value = entry.get(key)
    if isinstance(value, str):
        return same.setdefault(value, value)
    raise DataError(f'expected "{key}" to be a string, got {_shown(entry, key)}')


def _strings(entry: dict[str, Any], key: str, same: dict[str, str]) -> tuple[str, ...]:
    value = entry.get(key)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return tuple(same.setdefault(item, item) for item in value)
    items = 'objects with an "answer" each' if key == "answers" else "strings"
    raise DataError(f'expected "{key}" to be a list of {items}, at least one, got {_shown(entry, key)}')


def _shown(entry: dict[str, Any], key: str) -> str:
    return show(entry[key]) if key in entry else "nothing"
