from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.data import vqa_files as files

from saccade.data.records import ExportsAnswers, Question
from saccade.data.vqa import Vqa
from saccade.data.vqa_results import check_results
from saccade.errors import DataError
from saccade.metrics.vqa import best_choice
from saccade.serial import write_json

OPEN = "OpenEnded_mscoco_test2015_questions.json"
CHOICES = "MultipleChoice_mscoco_test2015_questions.json"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return files.write_vqa(tmp_path, 1, images_per_split=4, with_images=False)


def write(folder: Path, change: Any = lambda entries: entries, answer: str = "red") -> Path:
    asked = json.loads((folder / OPEN).read_text())["questions"]
    entries = change([{"question_id": entry["question_id"], "answer": answer} for entry in asked])
    (folder / "results.json").write_text(json.dumps(entries))
    return folder / "results.json"


def test_what_is_written_is_what_the_official_format_says(corpus: Path) -> None:
    data = Vqa(corpus, 1)
    assert isinstance(data, ExportsAnswers)
    answers = {question.id: f"naïve “{question.id}”" for question in data.records(Question, "test")}
    write_json(corpus / "results.json", data.results(answers))
    entries = json.loads((corpus / "results.json").read_text(encoding="utf-8"))
    assert entries == [{"question_id": int(name), "answer": answer} for name, answer in answers.items()]
    assert {type(entry["question_id"]) for entry in entries} == {int}
    assert len(entries) == 12
    assert check_results(corpus / "results.json", corpus / OPEN) == {int(name): a for name, a in answers.items()}


def test_only_questions_of_vqa_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the ids of VQA's questions.*got 'train-1'"):
        Vqa(tmp_path, 1).results({"42": "red", "train-1": "red"})


def test_multiple_choice_answers_are_among_the_choices(corpus: Path) -> None:
    data = Vqa(corpus, 1, task="multiple-choice")
    questions = data.records(Question, "test")
    classes = {answer: i for i, answer in enumerate(("no class", *files.WRONG))}
    scores = [1.0, *(0.5 / (i + 1) for i in range(len(files.WRONG)))]
    best = {question.id: best_choice(question.choices, classes, scores) for question in questions}
    for question in questions:
        assert best[question.id] == min(question.choices, key=files.WRONG.index)
    write_json(corpus / "results.json", data.results(best))
    assert check_results(corpus / "results.json", corpus / CHOICES) == {int(n): a for n, a in best.items()}


def test_an_answer_that_was_not_offered(corpus: Path) -> None:
    path = write(corpus, answer="purple")
    assert set(check_results(path, corpus / OPEN).values()) == {"purple"}
    with pytest.raises(DataError, match=r"answers that are none of the choices: 12 \(10, 11, 12, 170, 171, \.\.\.\)"):
        check_results(path, corpus / CHOICES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: items[7:], r"questions without an answer: 7 \(10, 11, 12, 170, 171, \.\.\.\)"),
        (lambda items: [], r"expected one answer to each of 12 questions, got questions without an answer: 12 \("),
        (lambda items: [*items, *items[:2]], r"questions answered more than once: 2 \(10, 11\)$"),
        (lambda items: [*items, {"question_id": 3, "answer": "no"}], r"a question of no such id: 1 \(3\)$"),
        (lambda items: [item | {"answer": 2} for item in items], r"answers that are no string: 12 \(10, "),
        (lambda items: [{"question_id": item["question_id"]} for item in items], r"answers that are no string: 12 \("),
        (
            lambda items: [*items[1:], {"question_id": 3, "answer": None}],
            r"without an answer: 1 \(10\); answers to .* no such id: 1 \(3\); answers that are no string: 1 \(3\)$",
        ),
        (lambda items: items[0], r'expected a list like \[\{"question_id".*got \{'),
        (lambda items: [*items, "red"], r'got "red" at 12'),
        (
            lambda items: [{"question_id": "10", "answer": "no"}],
            r'expected "question_id" to be a whole number, .* at 0',
        ),
        (
            lambda items: [{"answer": "no"}],
            r'results\.json: expected "question_id" to be a whole number, got \{"answer"',
        ),
    ],
)
def test_what_the_official_server_would_not_take(corpus: Path, change: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_results(write(corpus, change), corpus / OPEN)


def test_files_that_are_missing_or_no_json(corpus: Path) -> None:
    with pytest.raises(DataError, match=r"results\.json: no such file"):
        check_results(corpus / "results.json", corpus / OPEN)
    (corpus / "results.json").write_text('[{"question_id": 1,')
    with pytest.raises(DataError, match=r"results\.json: expected a JSON file"):
        check_results(corpus / "results.json", corpus / OPEN)
    with pytest.raises(DataError, match=r"no_questions\.json: no such file"):
        check_results(write(corpus), corpus / "no_questions.json")
