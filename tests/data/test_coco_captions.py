from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.data.caption_files import write_coco

from saccade.data.coco_captions import CocoCaptions
from saccade.data.records import Caption, Corpus, images_of
from saccade.errors import DataError, ImageError


@pytest.mark.parametrize("year", [2014, 2017])
def test_validation_is_the_test_and_training_images_are_held_out(tmp_path: Path, year: int) -> None:
    numbers = {"train": range(100, 153), "val": (42, 73)}
    data = CocoCaptions(write_coco(tmp_path, year, numbers))
    assert isinstance(data, Corpus)
    assert not data.official_test
    assert data.counts("test") == {"captions": 10, "images": 2}
    images = {split: images_of(data.records(Caption, split)) for split in ("train", "val", "test")}
    assert images["test"] == ["42", "73"]
    assert len(images["val"]) == 5
    assert sorted(images["train"] + images["val"]) == [str(number) for number in numbers["train"]]
    assert [caption.id for caption in data.records(Caption, "test")][4:6] == ["42#4", "73#0"]
    assert data.records(Caption, "test")[0].text == "A blue picture ."


def test_an_image_is_found_before_any_captions_are_asked_for(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "train2014").rename(tmp_path / "images" / "train2014")
    data = CocoCaptions(tmp_path)
    assert data.open_image("9").size == data.open_image("73").size == (7, 5)
    with pytest.raises(ImageError, match="has no image '8'"):
        data.open_image("8")


def test_the_year_and_the_number_of_captions(tmp_path: Path) -> None:
    write_coco(write_coco(tmp_path, 2014, captions=6), 2017, {"train": (3, 5), "val": (7,)})
    assert [CocoCaptions(tmp_path, most=most).counts("test")["captions"] for most in (5, 2, None)] == [10, 4, 12]
    assert images_of(CocoCaptions(tmp_path, year=2017).records(Caption, "test")) == ["7"]
    for path in (tmp_path / "annotations").glob("*2014.json"):
        path.rename(tmp_path / path.name)
    assert images_of(CocoCaptions(tmp_path, year=2014).records(Caption, "test")) == ["42", "73"]
    (tmp_path / "captions_val2014.json").unlink()
    assert images_of(CocoCaptions(tmp_path).records(Caption, "test")) == ["7"]
    with pytest.raises(
        DataError, match=r"expected captions_train2014\.json and captions_val2014\.json, here or in ann"
    ):
        CocoCaptions(tmp_path, year=2014)
    with pytest.raises(DataError, match=r"captions_val2014\.json or captions_train2017\.json and"):
        CocoCaptions(tmp_path / "annotations" / "none")


IMAGE = {"id": 1, "file_name": "a.jpg"}
CAPTION = {"image_id": 1, "id": 2, "caption": "A dog."}
WRONG: list[tuple[Any, str]] = [
    ([], 'expected an object with a list "images" of at least one entry'),
    ({"images": [IMAGE]}, 'an object with a list "annotations"'),
    ({"images": [IMAGE, 0], "annotations": [CAPTION]}, 'each of "images" to be an object, got 0'),
    ({"images": [{"id": "1", "file_name": "a"}], "annotations": [CAPTION]}, '"id" to be a whole number, got "1"'),
    ({"images": [{"id": 1}], "annotations": [CAPTION]}, '"file_name" to be a string that is not empty, got null'),
    ({"images": [IMAGE], "annotations": [{**CAPTION, "caption": " \n"}]}, '"caption" to be a string that is not empty'),
    ({"images": [IMAGE], "annotations": [{**CAPTION, "image_id": 5}]}, 'expected image 5 of a caption among "images"'),
    (
        {"images": [IMAGE, {"id": 3, "file_name": "b.jpg"}], "annotations": [CAPTION]},
        r"captions for every image, 1 have none \(3\)",
    ),
]


@pytest.mark.parametrize(("document", "message"), WRONG, ids=[message[-30:] for _, message in WRONG])
def test_a_wrong_file_is_refused(tmp_path: Path, document: Any, message: str) -> None:
    path = write_coco(tmp_path) / "annotations" / "captions_val2014.json"
    path.write_text(json.dumps(document))
    data = CocoCaptions(tmp_path)
    with pytest.raises(DataError, match=rf"captions_val2014\.json: .*{message}"):
        data.records(Caption, "test")


def test_images_that_are_not_there_are_named(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "val2014" / "COCO_val2014_000000000073.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of the 2 images of split test are not there \(73\)"):
        CocoCaptions(tmp_path).require_images("test")
