"""Result files as the official VQA server and its evaluation code take them: `[{"question_id": 1, "answer": "no"}]`.

One entry for every question of the question file, in open-ended and multiple-choice tasks alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from saccade.data.vqa_json import AskedQuestion, doubles, read_json, read_questions, tally
from saccade.errors import DataError, show

ENTRY = '[{"question_id": 458752000, "answer": "net"}, ...]'


def results_of(answers: Mapping[str, str]) -> list[dict[str, int | str]]:
    """Each question's answer, by the question's id, in the mapping's order: the value of a result file.

    Raises DataError for an id that is no number, as those of VQA are.
    """
    if wrong := next((name for name in answers if not (name.isascii() and name.isdecimal())), None):
        raise DataError(f"expected the ids of VQA's questions, whole numbers as in '458752000', got {wrong!r}")
    return [{"question_id": int(name), "answer": answer} for name, answer in answers.items()]


def check_results(results: Path | str, questions: Path | str) -> dict[int, str]:
    """The answers of a result file by question id, in the order of the question file, which they fit.

    A question file with choices is one of multiple choice: there each answer must be one of the choices, to the letter.
    Raises DataError with how many and which answers are missing, doubled, about unknown questions, no strings, or no
    choices.
    """
    return answers_to(read_questions(Path(questions)), results)


def answers_to(asked: Sequence[AskedQuestion], results: Path | str) -> dict[int, str]:
    """What `check_results` gives, for questions that are already read."""
    path = Path(results)
    entries = [(_id(entry, place, path), entry.get("answer")) for place, entry in enumerate(_entries(path))]
    answers = dict(entries)
    choices = {question.id: question.choices for question in asked}
    strings = {number: answer for number, answer in answers.items() if isinstance(answer, str)}
    problems = {
        "questions without an answer": [number for number in choices if number not in answers],
        "answers to a question of no such id": [number for number in answers if number not in choices],
        "questions answered more than once": doubles(number for number, _ in entries),
        "answers that are no string": [number for number in answers if number not in strings],
        "answers that are none of the choices": [
            number for number, answer in strings.items() if choices.get(number) and answer not in choices[number]
        ],
    }
    if any(problems.values()):
        raise DataError(f"expected one answer to each of {len(asked):,} questions, got {tally(problems)}", path)
    return {number: strings[number] for number in choices}


def _entries(path: Path) -> list[dict[str, object]]:
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DataError(f"expected a list like {ENTRY}, got {show(entries)}", path)
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(f"expected a list like {ENTRY}, got {show(entry)} at {place}", path)
    return entries


def _id(entry: dict[str, object], place: int, path: Path) -> int:
    number = entry.get("question_id")
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    raise DataError(f'expected "question_id" to be a whole number, got {show(entry)} at {place}', path)
