from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from saccade.data.daquar import Daquar
from saccade.data.records import SPLITS, Question, images_of
from saccade.errors import DataError, ImageError, UnknownNameError


def write(root: Path, name: str, *pairs: tuple[str, str], images: str = "images", suffix: str = ".png") -> Path:
    (root / name).write_text("\n".join(line for pair in pairs for line in pair))
    for question, _ in pairs:
        path = root / images / f"image{question.split('image')[-1].split()[0]}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 3)).save(path)
    return root


def many(count: int) -> list[tuple[str, str]]:
    return [(f"what is on the desk in the image{n} ?", "book, lamp" if n % 3 else "chair") for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("line", "image", "text"),
    [
        ("what is on the desk in the image3 ?", "image3", "what is on the desk"),
        ("what is left of the image10 ?", "image10", "what is left"),
        ("how many chairs are there on the image888 ?", "image888", "how many chairs are there"),
        ("how many cupboards are in image12 ?", "image12", "how many cupboards are"),
        ("how many drawers are visible in th eimage999 ?", "image999", "how many drawers are visible"),
        ("what is on the table image108 ?", "image108", "what is on the table"),
        ("what is at the corner of the image9 in the image29 ?", "image29", "what is at the corner of the image"),
        ("what is the image5 in this image6?", "image6", "what is the image"),
    ],
)
def test_the_image_is_taken_out_of_the_question(tmp_path: Path, line: str, image: str, text: str) -> None:
    (tmp_path / "qa.894.raw.train.txt").write_text(f"{line}\nbook\n\n")
    data = Daquar(tmp_path)
    (question,) = [q for split in SPLITS for q in data._questions[split]]
    assert (question.id, question.image, question.text, question.answers) == ("train-1", image, text, ("book",))


def test_a_set_of_answers_is_one_answer(tmp_path: Path) -> None:
    write(tmp_path, "qa.894.raw.train.txt", *many(1))
    write(tmp_path, "qa.894.raw.test.txt", ("what is in the image9 ?", " Book ,tape_dispenser,  night  stand"))
    assert Daquar(tmp_path).records(Question, "test")[0].answers == ("book, tape_dispenser, night stand",)


def test_splits_are_disjoint_by_image(tmp_path: Path) -> None:
    write(tmp_path, "qa.894.raw.train.txt", *many(80), *many(80))
    data = Daquar(tmp_path)
    assert not data.official_test
    images = {split: set(images_of(data.records(Question, split))) for split in SPLITS}
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 80
    assert sum(data.counts(split)["questions"] for split in SPLITS) == 160

    write(tmp_path, "qa.894.raw.test.txt", ("what is in the image900 ?", "bed"))
    official = Daquar(tmp_path)
    assert official.official_test
    assert images_of(official.records(Question, "test")) == ["image900"]
    assert set(images_of(official.records(Question, "val"))) == images["val"]
    assert set(images_of(official.records(Question, "train"))) == images["train"] | images["test"]


def test_the_reduced_classes_and_the_official_folder(tmp_path: Path) -> None:
    write(tmp_path, "qa.37.raw.train.txt", *many(30), images="nyu_depth_images", suffix=".jpg")
    data = Daquar(tmp_path, classes=37)
    assert data.open_image(data.records(Question, "train")[0].image).size == (5, 3)
    with pytest.raises(DataError, match=r"no qa\.894\.raw\.train\.txt here"):
        Daquar(tmp_path)


def test_missing_images_are_counted_and_named(tmp_path: Path) -> None:
    write(tmp_path, "qa.894.raw.train.txt", *many(40))
    for n in range(1, 41, 2):
        (tmp_path / "images" / f"image{n}.png").unlink()
    data = Daquar(tmp_path)
    assert data.counts("train")["questions"] > 20
    with pytest.raises(
        DataError,
        match=r"1\d of the [23]\d images of split train are not there \(image\d+, .*, \.\.\.\); "
        r"looked for image\d+ in images/, nyu_depth_images/, the folder itself, as \.png",
    ):
        data.require_images("train")
    with pytest.raises(ImageError, match="has no image 'image1'"):
        data.open_image("image1")
    with pytest.raises(ImageError, match="has no image ''"):
        data.open_image("")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("what is in the image1 ?\nbook\nwhat in the image2 ?", r"train\.txt:3: .*last question alone"),
        ("what is this ?\nbook", r"train\.txt:1: expected a question that names its image"),
        ("what is in the image1 ?\n\nwhat in the image2 ?\nbook", r"train\.txt:2: expected an answer"),
        ("", "last question alone"),
        ("what in the image1 ?\nbook\nin the image2 ?\nbook", r"train\.txt:3: expected a question to have a word"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "qa.894.raw.train.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        Daquar(tmp_path)


def test_an_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no split named 'dev'"):
        Daquar(write(tmp_path, "qa.894.raw.train.txt", *many(3))).records(Question, "dev")


@pytest.mark.data
def test_the_real_daquar(real_data: Path) -> None:
    data = Daquar(real_data / "daquar")
    assert not data.official_test
    counts = {split: data.counts(split) for split in SPLITS}
    assert counts == {
        "train": {"questions": 5378, "images": 632, "answers": 834},
        "val": {"questions": 731, "images": 83, "answers": 238},
        "test": {"questions": 686, "images": 79, "answers": 218},
    }
    questions = [question for split in SPLITS for question in data.records(Question, split)]
    assert len({question.answers for question in questions}) == 968
    assert sum("," in question.answers[0] for question in questions) == 646
    assert not any("image1" in question.text for question in questions)
    assert data.open_image("image3").mode == "RGB"
