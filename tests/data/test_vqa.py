from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.data import vqa_files as files

from saccade.data.records import ChecksImages, Corpus, Question, images_of
from saccade.data.vqa import Vqa
from saccade.errors import DataError, ImageError, UnknownNameError

V2_QUESTIONS = "v2_OpenEnded_mscoco_train2014_questions.json"
V2_ANNOTATIONS = "v2_mscoco_train2014_annotations.json"


def entries(path: Path) -> list[dict[str, Any]]:
    document = json.loads(path.read_text())
    return document["questions" if "questions" in document else "annotations"]


def rewrite(path: Path, change: Any) -> None:
    document = json.loads(path.read_text())
    key = "questions" if "questions" in document else "annotations"
    document[key] = change(document[key])
    path.write_text(json.dumps(document))


def altered(number: int, **fields: Any) -> Any:
    """Changes the entry of that place; a field of ... is taken away."""

    def change(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        merged = items[number] | fields
        items[number] = {key: value for key, value in merged.items() if value is not ...}
        return items

    return change


@pytest.mark.parametrize(
    ("version", "abstract", "task"),
    [
        (2, False, "open-ended"),
        (1, False, "open-ended"),
        (1, False, "multiple-choice"),
        (1, True, "open-ended"),
        (1, True, "multiple-choice"),
    ],
)
def test_every_question_comes_with_what_its_files_say(tmp_path: Path, version: int, abstract: bool, task: str) -> None:
    files.write_vqa(tmp_path, version, images_per_split=5, questions_per_image=3, abstract=abstract)
    data = Vqa(tmp_path, version, abstract=abstract, task=task)
    assert isinstance(data, Corpus)
    assert isinstance(data, ChecksImages)
    corpus, subset = ("abstract_v002", "train2015") if abstract else ("mscoco", "train2014")
    prefix = "v2_" if version == 2 else ""
    name = f"{'MultipleChoice' if task == 'multiple-choice' else 'OpenEnded'}_{corpus}_{subset}_questions.json"
    asked = entries(tmp_path / f"{prefix}{name}")
    told = {entry["question_id"]: entry for entry in entries(tmp_path / f"{prefix}{corpus}_{subset}_annotations.json")}
    questions = data.records(Question, "train")
    assert len(questions) == len(asked) == 15
    for question, entry in zip(questions, asked, strict=True):
        annotation = told[entry["question_id"]]
        assert question.id == str(entry["question_id"])
        assert question.image == str(entry["image_id"])
        assert question.text == entry["question"]
        assert question.answers == tuple(answer["answer"] for answer in annotation["answers"])
        assert len(question.answers) == 10
        assert question.kind == annotation["answer_type"]
        assert question.question_type == annotation["question_type"]
        assert question.answer == annotation["multiple_choice_answer"]
        assert question.choices == tuple(entry.get("multiple_choices", ()))
        assert len(question.choices) == (18 if task == "multiple-choice" else 0)


@pytest.mark.parametrize("task", ["open-ended", "multiple-choice"])
def test_test_splits_have_no_answers(tmp_path: Path, task: str) -> None:
    data = Vqa(files.write_vqa(tmp_path, 1, images_per_split=4), 1, task=task)
    test, dev = data.records(Question, "test"), data.records(Question, "test-dev")
    assert [len(test), len(dev)] == [12, 6]
    assert list(test[:6]) == list(dev)
    assert {(q.answers, q.answer, q.kind, q.question_type) for q in test} == {((), None, "", "")}
    assert {len(q.choices) for q in test} == {18 if task == "multiple-choice" else 0}
    assert data.counts("test") == {"questions": 12, "images": 4, "answers": 0}


def test_both_splits_together(tmp_path: Path) -> None:
    data = Vqa(files.write_vqa(tmp_path), 2)
    together = data.records(Question, "train+val")
    assert list(together) == [*data.records(Question, "train"), *data.records(Question, "val")]
    assert len(together) == 24
    assert len(images_of(together)) == 8


def test_a_copy_under_another_name_is_noticed(tmp_path: Path) -> None:
    files.write_vqa(tmp_path)
    for name in (V2_QUESTIONS, V2_ANNOTATIONS):
        (tmp_path / name.replace("train2014", "val2014")).write_text((tmp_path / name).read_text())
    with pytest.raises(DataError, match="the files of train and val share questions"):
        Vqa(tmp_path, 2).records(Question, "train+val")


def test_splits_that_are_not(tmp_path: Path) -> None:
    files.write_vqa(tmp_path, 1, abstract=True)
    assert Vqa(tmp_path, 1, abstract=True).splits == ("train", "val", "test")
    assert Vqa(tmp_path, 2).splits == ()
    with pytest.raises(UnknownNameError, match="no split named 'test-dev'"):
        Vqa(tmp_path, 1, abstract=True).records(Question, "test-dev")
    with pytest.raises(UnknownNameError, match=r"no split named 'dev'.*test, test-dev, train, train\+val, val"):
        Vqa(tmp_path, 2).records(Question, "dev")
    with pytest.raises(DataError, match="expected VQA v1, as v2 has no abstract scenes"):
        Vqa(tmp_path, 2, abstract=True)
    with pytest.raises(DataError, match="expected VQA v1, as v2 has no multiple-choice questions"):
        Vqa(tmp_path, 2, task="multiple-choice")


def test_a_split_needs_its_own_files_only(tmp_path: Path) -> None:
    files.write_vqa(tmp_path, with_images=False)
    data = Vqa(tmp_path, 2)
    assert data.splits == ("train", "val", "test-dev", "test")
    for path in tmp_path.glob("*val2014*"):
        path.unlink()
    assert data.splits == ("train", "test-dev", "test")
    assert len(data.records(Question, "train")) == 12
    with pytest.raises(DataError, match=r"no v2_OpenEnded_mscoco_val2014_questions\.json here.*split val needs it"):
        data.records(Question, "train+val")
    (tmp_path / V2_ANNOTATIONS).unlink()
    with pytest.raises(DataError, match=r"no v2_mscoco_train2014_annotations\.json here or in a folder"):
        Vqa(tmp_path, 2).records(Question, "train")


@pytest.mark.parametrize("folders", [("questions", "annotations"), ("Questions", "Annotations"), ("v2_zip", "other")])
def test_files_may_lie_in_folders(tmp_path: Path, folders: tuple[str, str]) -> None:
    files.write_vqa(tmp_path)
    expected = Vqa(tmp_path, 2).records(Question, "train")
    for folder, kind in zip(folders, ("questions", "annotations"), strict=True):
        (tmp_path / folder).mkdir()
        for path in tmp_path.glob(f"*_{kind}.json"):
            path.rename(tmp_path / folder / path.name)
    assert Vqa(tmp_path, 2).records(Question, "train") == expected


@pytest.mark.parametrize(("abstract", "outer"), [(False, "images"), (False, "Images/mscoco"), (True, "images")])
def test_images_are_found_where_they_usually_lie(tmp_path: Path, abstract: bool, outer: str) -> None:
    files.write_vqa(tmp_path, 1, abstract=abstract)
    folders = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(folders) == 3
    data = Vqa(tmp_path, 1, abstract=abstract)
    for image in ("9", "42", "1"):  # before anything is read: of train, val and test
        assert data.open_image(image).size == files.SIZE
    (tmp_path / outer).mkdir(parents=True)
    for folder in folders:
        folder.rename(tmp_path / outer / folder.name)
    splits = ("train", "val", "test") if abstract else ("train", "val", "test", "test-dev")
    for split in splits:
        for image in images_of(data.records(Question, split)):
            assert data.open_image(image).mode == "RGB"
        assert data.missing_images(split) == []
        data.require_images(split)


def test_abstract_scenes_in_the_official_codes_folders(tmp_path: Path) -> None:
    files.write_vqa(tmp_path, 1, abstract=True)
    (tmp_path / "Images" / "abstract_v002").mkdir(parents=True)
    (tmp_path / "scene_img_abstract_v002_val2015").rename(tmp_path / "Images" / "abstract_v002" / "val2015")
    assert Vqa(tmp_path, 1, abstract=True).open_image("42").size == files.SIZE


def test_images_are_needed_when_they_are_opened_only(tmp_path: Path) -> None:
    files.write_vqa(tmp_path, images_per_split=7)
    for number in range(9, 9 + 6 * 16, 16):
        (tmp_path / "train2014" / f"COCO_train2014_{number:012d}.jpg").unlink()
    data = Vqa(tmp_path, 2)
    assert len(data.records(Question, "train")) == 21
    assert data.missing_images("train") == ["9", "25", "41", "57", "73", "89"]
    with pytest.raises(
        DataError,
        match=r"6 of the 7 images of split train are not there \(9, 25, 41, 57, 73, 89\); looked for "
        r".*train2014/COCO_train2014_000000000009\.jpg",
    ):
        data.require_images("train")
    with pytest.raises(
        ImageError, match=r"has no image '9'; looked for .*/train2014/COCO_train2014_000000000009\.jpg, .*images/"
    ) as error:
        data.open_image("9")
    assert "val2014" not in str(error.value)  # it is known to be one of train's
    with pytest.raises(ImageError, match=r"has no image '5'; .*train2014.*val2014.*test2015"):
        data.open_image("5")
    with pytest.raises(ImageError, match=r"expected the number of an image, as in '9', got 'a\.jpg'"):
        data.open_image("a.jpg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: items[1:], r"questions\.json: .*annotations without a question: 1 \(9000\)"),
        (lambda items: [*items, *items], r"got 12 more than once \(9000, 9001, 9002, 25000, 25001, \.\.\.\)"),
        (altered(0, image_id=10), r"about another image than their annotation: 1 \(9000\)"),
        (altered(0, image_id="9"), r"questions\.json: question 9000: expected \"image_id\" to be a whole number"),
        (altered(0, question_id="9"), r'question "9": expected "question_id" to be a whole number, got "9"'),
        (altered(0, question_id=True), r"expected \"question_id\" to be a whole number, got true"),
        (altered(0, question_id=...), r'expected each of "questions" to have a "question_id", got \{.* at 0'),
        (altered(0, question=...), r'question 9000: expected "question" to be a string, got nothing'),
        (altered(0, question=["what"]), r'question 9000: expected "question" to be a string, got \["what"\]'),
    ],
)
def test_questions_that_are_not_as_expected(tmp_path: Path, change: Any, message: str) -> None:
    files.write_vqa(tmp_path, with_images=False)
    rewrite(tmp_path / V2_QUESTIONS, change)
    with pytest.raises(DataError, match=message):
        Vqa(tmp_path, 2).records(Question, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: [], r'expected an object with a list "annotations" of at least one entry'),
        (lambda items: {}, r'expected an object with a list "annotations"'),
        (lambda items: [*items, items[2]], r"every question_id once, got 1 more than once \(\d+\)"),
        (
            altered(0, answer_type="colour"),
            r"\"answer_type\" to be 'yes/no' or 'number' or 'other', got 'colour'",
        ),
        (altered(0, question_type=...), r'expected "question_type" to be a string, got nothing'),
        (altered(0, multiple_choice_answer=3), r'expected "multiple_choice_answer" to be a string, got 3'),
        (altered(0, answers=[]), r'expected "answers" to be a list of objects with an "answer" each'),
        (altered(0, answers=[{"answer": 3}]), r'at least one, got \[\{"answer": 3\}\]'),
        (altered(0, answers=...), r'annotations\.json: question \d+: expected "answers" .* got nothing'),
    ],
)
def test_annotations_that_are_not_as_expected(tmp_path: Path, change: Any, message: str) -> None:
    files.write_vqa(tmp_path, with_images=False)
    rewrite(tmp_path / V2_ANNOTATIONS, change)
    with pytest.raises(DataError, match=message):
        Vqa(tmp_path, 2).records(Question, "train")


def test_many_without_an_annotation_are_counted_and_the_first_named(tmp_path: Path) -> None:
    files.write_vqa(tmp_path, images_per_split=9, with_images=False)
    rewrite(tmp_path / V2_ANNOTATIONS, lambda items: [item for item in items if item["image_id"] > 40])
    with pytest.raises(
        DataError,
        match=r"annotations\.json for each question, got questions without an annotation: 6 "
        r"\(9000, 9001, 9002, 25000, 25001, \.\.\.\); take both files from the same release",
    ):
        Vqa(tmp_path, 2).records(Question, "train")


@pytest.mark.parametrize("text", ["", "[1, 2", "\xff", "[" * 100_000])
def test_what_is_no_json(tmp_path: Path, text: str) -> None:
    files.write_vqa(tmp_path, with_images=False)
    (tmp_path / V2_QUESTIONS).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"train2014_questions\.json: expected a JSON file"):
        Vqa(tmp_path, 2).records(Question, "train")


@pytest.mark.parametrize("choices", [..., [], "red", [1]])
def test_multiple_choice_questions_without_choices(tmp_path: Path, choices: Any) -> None:
    files.write_vqa(tmp_path, 1, with_images=False)
    rewrite(tmp_path / "MultipleChoice_mscoco_val2014_questions.json", altered(1, multiple_choices=choices))
    with pytest.raises(DataError, match=r'question 421: expected "multiple_choices" to be a list of strings'):
        Vqa(tmp_path, 1, task="multiple-choice").records(Question, "val")


def test_empty_answers_are_answers(tmp_path: Path) -> None:
    files.write_vqa(tmp_path, with_images=False)
    given = [{"answer_id": i, "answer": "" if i < 7 else "a"} for i in range(1, 11)]
    changed = {"answers": given, "multiple_choice_answer": ""}
    rewrite(tmp_path / V2_ANNOTATIONS, lambda items: [item | changed for item in items])
    question = Vqa(tmp_path, 2).records(Question, "train")[0]
    assert question.answers == ("",) * 6 + ("a",) * 4
    assert question.answer == ""


def test_equal_strings_are_one_string(tmp_path: Path) -> None:
    files.write_vqa(tmp_path, images_per_split=30, with_images=False)
    answers = [answer for question in Vqa(tmp_path, 2).records(Question, "train") for answer in question.answers]
    assert len(answers) == 900
    assert len({id(answer) for answer in answers}) == len(set(answers))


@pytest.mark.data
def test_the_real_vqa_2(real_data: Path) -> None:
    if not (real_data / "vqa2").is_dir():
        pytest.skip("no folder vqa2 in SACCADE_DATA")
    data = Vqa(real_data / "vqa2", 2)
    assert len(data.records(Question, "train")) == 443_757
    assert len(data.records(Question, "val")) == 214_354
    assert {len(question.answers) for question in data.records(Question, "train+val")} == {10}
