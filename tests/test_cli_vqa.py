"""The commands on VQA's files, on features from files, and on several recipes: what they print and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data.vqa_files import write_vqa

from saccade.corpus import images_at_hand
from saccade.data import create_dataset

V2 = "v2_OpenEnded_mscoco_val2014_questions.json"
SMALL = ("--sizes.hidden-size", "13", "--sizes.embedding-size", "7", "--sizes.rank", "1", "--train.accelerator", "cpu")


@pytest.fixture(scope="module")
def vqa(tmp_path_factory) -> Path:
    return write_vqa(tmp_path_factory.mktemp("corpus") / "vqa", images_per_split=4)


def results(folder: Path, questions: Path, answer: str = "yes", *, leave_out: int = 0, double: int = 0) -> Path:
    ids = [question["question_id"] for question in json.loads(questions.read_text())["questions"]]
    entries = [{"question_id": name, "answer": answer} for name in [*ids[leave_out:], *ids[-1:] * double]]
    path = folder / "results.json"
    path.write_text(json.dumps(entries))
    return path


def find(root: Path, name: str) -> Path:
    return next(root.rglob(name))


def boxes(folder: Path, images: list[str], width: int = 5) -> Path:
    """Features in NPZ files, one for each image."""
    folder.mkdir()
    for image in images:
        box = np.tile([1.0, 1.0, 9.0, 9.0], (11, 1)).astype(np.float32)
        features = np.ones((11, width), np.float32)
        np.savez(folder / f"{image}.npz", features=features, boxes=box, image_w=20, image_h=10, num_boxes=11)
    return folder


def test_score_prints_the_official_accuracies(saccade, vqa, tmp_path) -> None:
    questions, annotations = find(vqa, V2), find(vqa, "v2_mscoco_val2014_annotations.json")
    outcome = saccade("score", "vqa", results(tmp_path, questions), questions, annotations)
    assert outcome.code == 0
    assert {line.split()[0] for line in outcome.out.splitlines() if line.startswith("accuracy")} == {
        "accuracy",
        "accuracy_yes_no",
        "accuracy_number",
        "accuracy_other",
    }
    assert "question_types:" in outcome.out
    scored = json.loads(saccade("score", "vqa", tmp_path / "results.json", questions, annotations, "--json").out)
    assert 0 <= scored["accuracy"] <= 1
    assert scored["question_types"]


@pytest.mark.parametrize(
    ("wrong", "parts"), [({"leave_out": 2}, ("without an answer: 2",)), ({"double": 1}, ("more than once",))]
)
def test_score_refuses_results_that_do_not_fit(refused, vqa, tmp_path, wrong: dict, parts: tuple[str, ...]) -> None:
    questions, annotations = find(vqa, V2), find(vqa, "v2_mscoco_val2014_annotations.json")
    refused("score", "vqa", results(tmp_path, questions, **wrong), questions, annotations, parts=parts)


def test_score_wants_questions_and_annotations(refused, vqa, tmp_path) -> None:
    refused("score", "vqa", results(tmp_path, find(vqa, V2)), find(vqa, V2), parts=("QUESTIONS ANNOTATIONS", "2 files"))


def test_features_from_files_train_evaluate_and_are_not_asked(saccade, refused, vqa, scene, tmp_path) -> None:
    source = boxes(tmp_path / "npz", images_at_hand(create_dataset("vqa2", vqa)))
    made = saccade("import-features", source, "--out", tmp_path / "store", "--data", "vqa2", "--root", vqa)
    assert (made.code, made.out.splitlines()[0]) == (0, f"12 images, regions of 5 in {tmp_path / 'store'}")

    fields = ("--data.root", vqa, "--data.store", tmp_path / "store", "--task.min-answer-count", "1", *SMALL)
    refused("train", "ban-vqa2", *fields, "--out", tmp_path / "run", parts=("2048", "has 5", "--features.width 5"))
    once = ("--features.width", "5", "--train.epochs", "1", "--sizes.glimpses", "2", "--out", tmp_path / "run")
    assert saccade("train", "ban-vqa2", *fields, *once).code == 0

    secret = saccade("evaluate", tmp_path / "run")
    assert secret.code == 0
    assert "accuracy" not in secret.out
    official = tmp_path / "run" / "val" / "results.json"
    own = json.loads(saccade("evaluate", tmp_path / "run", "--split", "val", "--json").out)
    scored = saccade("score", "vqa", official, find(vqa, V2), find(vqa, "v2_mscoco_val2014_annotations.json"), "--json")
    assert json.loads(scored.out)["accuracy"] == pytest.approx(own["accuracy"])
    assert saccade("evaluate", tmp_path / "run", "--split", "test-dev").code == 0

    later = boxes(tmp_path / "later", images_at_hand(create_dataset("vqa2", vqa), splits=["val"]))
    assert saccade("import-features", later, "--out", tmp_path / "val").code == 0
    assert saccade("evaluate", tmp_path / "run", "--split", "val", "--store", tmp_path / "val").code == 0
    parts = ("lacks 4 of the 4 images",)
    refused("evaluate", tmp_path / "run", "--split", "test", "--store", tmp_path / "val", parts=parts)
    other = write_vqa(tmp_path / "other", seed=1, images_per_split=3)
    parts = ("another corpus", "features of that came from files", f"it may be {tmp_path / 'store'}", "--store DIR")
    refused("evaluate", tmp_path / "run", "--split", "val", "--root", other, parts=parts)
    refused("ask", tmp_path / "run", scene, "what is it?", parts=("trained on features from files", "saccade evaluate"))


def test_an_annotated_image_without_features_is_named(refused, vqa, tmp_path) -> None:
    images = images_at_hand(create_dataset("vqa2", vqa))
    source = boxes(tmp_path / "npz", images[:-1])
    command = ("import-features", source, "--out", tmp_path / "store", "--data", "vqa2", "--root", vqa)
    refused(*command, parts=("1 of", "12", images[-1]))


def test_a_recipe_on_features_from_files_says_where_they_come_from(refused, vqa) -> None:
    refused("train", "dfaf-vqa2", "--data.root", vqa, parts=("features from files", "import-features", "--data.store"))


def test_compare_trains_evaluates_and_tells(saccade, scenes_store, tmp_path) -> None:
    fields = ("--smoke", "--data.store", scenes_store, "--train.epochs", "1", "--train.accelerator", "cpu")
    entries = ("ibowimg-scenes", "r-dan-scenes --sizes.steps 1 --sizes.hidden-size 16")
    outcome = saccade("compare", *entries, "--seeds", "1", "--out", tmp_path / "out", *fields)
    assert outcome.code == 0, outcome.err
    assert all(entry in outcome.out for entry in entries)
    assert {"comparison.md", "comparison.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_compare_refuses_what_cannot_be_compared(refused) -> None:
    refused("compare", parts=("expected recipes", "saccade compare r-dan-scenes"))
    refused("compare", "ibowimg-scenes", "ibowimg-scenes", parts=("same recipe",))
    refused("compare", "ibowimg-scenes", "ibowimg-positions-absolute", parts=("cannot be compared", "data.name"))
    refused("compare", "ibowimg-scene", parts=("ibowimg-scenes",), code=2)
    refused("compare", "ibowimg-scenes --optim.rl 1", parts=("--optim.rl",), code=2)
