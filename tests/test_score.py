"""Scoring result files, end to end, against the independent transcription of the official evaluation."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.data import vqa_files as files
from tests.metrics import official_vqa as official

from saccade.data.vqa_json import ANSWER_TYPES
from saccade.errors import DataError
from saccade.score import score_vqa

TESTS = Path(__file__).parent
QUESTION_TYPES = ["how many", "is the", "what color is the", "none of the above"]


def write(folder: Path, rows: list[dict[str, Any]], *, choices: bool = False) -> tuple[Path, Path, Path]:
    """A result file, a question file and an annotation file, each in an order of its own."""
    draw = random.Random(3)
    questions, annotations, results = [], [], []
    for row in rows:
        name = {"question_id": row["id"], "image_id": row["id"] // 1000}
        offered = {"multiple_choices": row["choices"]} if choices else {}
        questions.append({**name, "question": "what ?", **offered})
        answers = [{"answer_id": i, "answer": a, "answer_confidence": "maybe"} for i, a in enumerate(row["answers"], 1)]
        told = {"question_type": row["question_type"], "answer_type": row["answer_type"]}
        annotations.append({**name, **told, "multiple_choice_answer": row["answers"][0], "answers": answers})
        results.append({"question_id": row["id"], "answer": row["prediction"]})
    paths = (folder / "results.json", folder / "questions.json", folder / "annotations.json")
    shuffled = [draw.sample(entries, len(entries)) for entries in (results, questions, annotations)]
    paths[0].write_text(json.dumps(shuffled[0]))
    paths[1].write_text(json.dumps({"task_type": "Open-Ended", "questions": shuffled[1]}))
    paths[2].write_text(json.dumps({"data_subtype": "val2014", "annotations": shuffled[2]}))
    return paths


def rows_of(count: int, draw: random.Random) -> list[dict[str, Any]]:
    pool = ["yes", "no", "2", "two", "The two", "a dog", "dogs", "1,000", "1000", "dont", "don't", "t-shirt", "t shirt"]
    rows = []
    for i in range(count):
        few = draw.sample(pool, draw.choice([1, 2, 3, 5]))
        answers = [draw.choice(few) for _ in range(10)]
        prediction = draw.choice([draw.choice(few), draw.choice(few).upper(), draw.choice(pool)])
        rows.append(
            {
                "id": 1000 * (i // 3) + i % 3,
                "answers": answers,
                "prediction": prediction,
                "choices": [*draw.sample(pool, 5), prediction],
                "question_type": draw.choice(QUESTION_TYPES),
                "answer_type": draw.choice(ANSWER_TYPES),
            }
        )
    return rows


def officially(paths: tuple[Path, Path, Path], places: int) -> dict[str, Any]:
    results, _, annotations = (json.loads(path.read_text()) for path in paths)
    return official.evaluate(annotations["annotations"], results, places)


@pytest.mark.parametrize("choices", [False, True])
def test_a_result_file_scores_as_the_official_evaluation_says(tmp_path: Path, choices: bool) -> None:
    paths = write(tmp_path, rows_of(600, random.Random(0)), choices=choices)
    scores = score_vqa(*paths)
    exact, rounded = officially(paths, 12), officially(paths, 2)
    assert list(scores) == ["accuracy", "accuracy_yes_no", "accuracy_number", "accuracy_other", "question_types"]
    assert 100 * scores["accuracy"] == pytest.approx(exact["overall"], abs=1e-9)
    assert round(100 * scores["accuracy"], 2) == rounded["overall"]
    for name, key in zip(ANSWER_TYPES, ("accuracy_yes_no", "accuracy_number", "accuracy_other"), strict=True):
        assert 100 * scores[key] == pytest.approx(exact["perAnswerType"][name], abs=1e-9)
        assert round(100 * scores[key], 2) == rounded["perAnswerType"][name]
    assert list(scores["question_types"]) == sorted(QUESTION_TYPES)
    for name, share in scores["question_types"].items():
        assert 100 * share == pytest.approx(exact["perQuestionType"][name], abs=1e-9)
        assert round(100 * share, 2) == rounded["perQuestionType"][name]
    # Types that score alike would hide a mix-up.
    assert len({round(share, 6) for share in scores["question_types"].values()}) == len(QUESTION_TYPES)
    assert 0.2 < scores["accuracy"] < 0.8


def test_types_that_do_not_occur_are_left_out(tmp_path: Path) -> None:
    row = {"id": 1001, "choices": [], "question_type": "how many", "answer_type": "number"}
    rows = [row | {"answers": ["2"] * 10, "prediction": "2"}, row | {"id": 2, "answers": ["3"] * 10, "prediction": "2"}]
    assert score_vqa(*write(tmp_path, rows)) == {
        "accuracy": 0.5,
        "accuracy_number": 0.5,
        "question_types": {"how many": 0.5},
    }


def test_the_corpus_as_one_downloads_it(tmp_path: Path) -> None:
    files.write_vqa(tmp_path, 1, images_per_split=6, with_images=False)
    annotations = tmp_path / "mscoco_val2014_annotations.json"
    told = json.loads(annotations.read_text())["annotations"]
    results = [{"question_id": entry["question_id"], "answer": entry["multiple_choice_answer"]} for entry in told]
    (tmp_path / "results.json").write_text(json.dumps(results))
    for task in ("OpenEnded", "MultipleChoice"):
        scores = score_vqa(tmp_path / "results.json", tmp_path / f"{task}_mscoco_val2014_questions.json", annotations)
        assert scores["accuracy"] == 1.0
        assert scores["question_types"] == {"are the": 1.0, "how many": 1.0, "what color are the": 1.0}


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    rows = rows_of(60, random.Random(1))
    results, questions, annotations = write(tmp_path, rows, choices=True)
    other = files.write_vqa(tmp_path / "other", with_images=False)
    with pytest.raises(DataError, match=r"questions\.json: expected one annotation in .*v2_mscoco_val2014_annotations"):
        score_vqa(results, questions, other / "v2_mscoco_val2014_annotations.json")
    with pytest.raises(DataError, match=r'annotations\.json: question \d+: expected "question" to be a string'):
        score_vqa(results, annotations, annotations)
    with pytest.raises(DataError, match=r'questions\.json: question \d+: expected "answer_type" to be a string'):
        score_vqa(results, questions, questions)
    document = json.loads(results.read_text())
    results.write_text(json.dumps([entry | {"answer": "never offered"} for entry in document[7:]]))
    with pytest.raises(DataError, match=r"without an answer: 7 \(.*\); answers that are none of the choices: 53 \("):
        score_vqa(results, questions, annotations)
