from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.data import vqa_files as files

from saccade.data.records import Question, images_of
from saccade.data.visual_genome import genome_questions
from saccade.data.vqa import Vqa
from saccade.errors import DataError
from saccade.metrics.vqa import ban_scores, normalize_answer, preprocess_answer, soft_scores, vqa_accuracy

COCO = {1: None, 2: 9, 3: 42, 4: 25, 5: 1000}
PAIRS = {
    1: [("What is red?", "Car.")],
    2: [("What is it?", "A tree."), ("How many?", "Two"), ("Where?", "On the wild meadow.")],
    3: [("What is it?", "tree")],
    4: [("What color?", "The Red")],
    5: [("What is it?", "tree")],
}
ANSWERS = ("tree", "2", "red")


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    return files.write_genome(tmp_path / "genome", COCO, PAIRS)


def test_only_the_images_and_the_answers_that_are_trained_on(genome: Path) -> None:
    questions = genome_questions(genome, ["9", "25"], ANSWERS, preprocess_answer)
    assert [(q.id, q.image, q.text, q.answer) for q in questions] == [
        ("genome-986770", "9", "What is it?", "tree"),
        ("genome-986771", "9", "How many?", "2"),
        ("genome-986774", "25", "What color?", "red"),
    ]
    assert genome_questions(genome, ["9"], (), preprocess_answer) == ()
    assert genome_questions(genome, ["None", "1"], ANSWERS, preprocess_answer) == ()


def test_the_answer_earns_all_there_is(genome: Path) -> None:
    for question in genome_questions(genome, ["9", "25", "42", "1000"], set(ANSWERS), normalize_answer):
        assert question.answer in ANSWERS
        assert question.answers == (question.answer,) * 10
        assert ban_scores(question.answers) == soft_scores(question.answers) == {question.answer: 1.0}
        assert vqa_accuracy(question.answer, question.answers) == 1.0


def test_beside_a_split_of_vqa(tmp_path: Path, genome: Path) -> None:
    data = Vqa(files.write_vqa(tmp_path, images_per_split=2, with_images=False), 2)
    for split, images in {"train": ["9", "25"], "val": ["42"], "train+val": ["9", "42", "25"]}.items():
        questions = genome_questions(genome, images_of(data.records(Question, split)), ANSWERS, preprocess_answer)
        assert images_of(questions) == images
    with pytest.raises(DataError, match=r"image_data\.json: no such file"):
        genome_questions(tmp_path, ["9"], ANSWERS, preprocess_answer)


def test_the_first_versions_names_of_the_keys(tmp_path: Path) -> None:
    (tmp_path / "image_data.json").write_text('[{"id": 2, "coco_id": 9}]')
    pairs = [{"id": 7, "question": "What?", "answer": "red"}]
    (tmp_path / "question_answers.json").write_text(json.dumps([{"id": 2, "qas": pairs}]))
    [question] = genome_questions(tmp_path, ["9"], ANSWERS, preprocess_answer)
    assert (question.id, question.image) == ("genome-7", "9")


@pytest.mark.parametrize(
    ("name", "document", "message"),
    [
        ("image_data.json", {}, r"image_data\.json: expected a list with an object for each image"),
        ("image_data.json", [3], "expected a list with an object for each image"),
        (
            "image_data.json",
            [{"coco_id": 9}],
            r'data\.json: expected "image_id" to be a whole number, got nothing',
        ),
        ("question_answers.json", {}, "expected a list with an object for each image"),
        ("question_answers.json", [{"qas": []}], r'question_answers\.json: expected "id" to be a whole number'),
        ("question_answers.json", [{"id": 2, "qas": {}}], 'expected "qas" to be a list, got {}'),
        ("question_answers.json", [{"id": 2, "qas": [3]}], 'expected each of "qas" to be an object, got 3'),
        (
            "question_answers.json",
            [{"id": 2, "qas": [{"qa_id": 7, "question": "What?"}]}],
            r'question_answers\.json: question 7: expected "answer" to be a string, got null',
        ),
        (
            "question_answers.json",
            [{"id": 2, "qas": [{"qa_id": 7, "question": "What?", "answer": "red"}] * 2}],
            r"expected every qa_id once, got 1 more than once \(genome-7\)",
        ),
    ],
)
def test_files_that_are_not_as_expected(genome: Path, name: str, document: Any, message: str) -> None:
    (genome / name).write_text(json.dumps(document))
    with pytest.raises(DataError, match=message):
        genome_questions(genome, ["9"], ANSWERS, preprocess_answer)
