from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.data.caption_files import captions_about, coco_entry, karpathy_entry, write_karpathy

from saccade.data.karpathy import Karpathy
from saccade.data.records import SPLITS, Caption, Corpus, images_of
from saccade.errors import DataError, ImageError

FLICKR = [karpathy_entry(2, "train"), karpathy_entry(3, "val"), karpathy_entry(5, "train"), karpathy_entry(7, "test")]
COCO = [coco_entry(9, "train"), coco_entry(42, "restval"), coco_entry(73, "val"), coco_entry(74, "test")]


@pytest.mark.parametrize("folder", ["", "images", "Flicker8k_Dataset", "flickr30k-images"])
@pytest.mark.parametrize("corpus", ["flickr8k", "flickr30k"])
def test_flickr_in_karpathys_splits(tmp_path: Path, corpus: Any, folder: str) -> None:
    data = Karpathy(write_karpathy(tmp_path, corpus, FLICKR, folder), corpus)
    assert isinstance(data, Corpus)
    assert data.official_test
    assert images_of(data.records(Caption, "train")) == ["2.jpg", "5.jpg"]
    assert data.counts("test") == {"captions": 5, "images": 1}
    first, *_, last = data.records(Caption, "val")
    assert (first.id, first.image, first.text) == ("3.jpg#0", "3.jpg", "A yellow picture .")
    assert last.id == "3.jpg#4"
    assert data.open_image("3.jpg").getpixel((0, 0))[2] < 30


@pytest.mark.parametrize("folder", ["", "images"])
def test_cocos_restval_is_trained_on_or_left_out(tmp_path: Path, folder: str) -> None:
    write_karpathy(tmp_path, "coco", COCO, folder)
    data = Karpathy(tmp_path, "coco")
    assert [list(data.images(split)) for split in SPLITS] == [["9", "42"], ["73"], ["74"]]
    assert images_of(data.records(Caption, "train")) == ["9", "42"]
    assert data.open_image("42").size == (7, 5)
    assert images_of(Karpathy(tmp_path, "coco", restval=False).records(Caption, "train")) == ["9"]


def test_captions_beyond_five_are_discarded(tmp_path: Path) -> None:
    said = ["a\n red  picture. ", *captions_about(0, 6)]
    entries = [karpathy_entry(2, "train", said), *FLICKR[1:]]
    write_karpathy(tmp_path, "flickr8k", entries)
    texts = [" ".join(text.split()) for text in said]
    for most, count in ((5, 5), (3, 3), (None, 7)):
        captions = Karpathy(tmp_path, "flickr8k", most=most).records(Caption, "train")
        of_image = [caption for caption in captions if caption.image == "2.jpg"]
        assert [caption.text for caption in of_image] == texts[:count]


WRONG = [
    (3, 'expected an object with a "filename", got 3'),
    ({"split": "train"}, 'expected an object with a "filename"'),
    (karpathy_entry(11, "dev"), 'expected "split" to be train, val, test or restval, got "dev"'),
    ({"filename": "a.jpg", "split": "val"}, 'a.jpg: expected a list "sentences", got null'),
    (karpathy_entry(11, "val", ["fine", " "]), 'expected sentence 1 to have a "raw" that is not empty'),
    ({**karpathy_entry(11, "val"), "sentences": [{"tokens": ["a"]}]}, "expected sentence 0 to have"),
    ({**karpathy_entry(11, "val"), "filepath": 3}, 'expected "filepath" to be a folder, got 3'),
    (karpathy_entry(2, "val"), r"expected every image once, got '2\.jpg' again"),
]


@pytest.mark.parametrize(("entry", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_wrong_entry_is_named(tmp_path: Path, entry: Any, message: str) -> None:
    write_karpathy(tmp_path, "flickr8k", [*FLICKR, entry], None)
    with pytest.raises(DataError, match=rf"dataset_flickr8k\.json: image 4: (11\.jpg: )?{message}"):
        Karpathy(tmp_path, "flickr8k")


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no dataset_coco\.json here"):
        Karpathy(tmp_path, "coco")
    path = tmp_path / "dataset_coco.json"
    path.write_text('{"images": ')
    with pytest.raises(DataError, match=r"dataset_coco\.json: expected a JSON file"):
        Karpathy(tmp_path, "coco")
    path.write_text(json.dumps({"annotations": []}))
    with pytest.raises(DataError, match='expected an object with a list "images"'):
        Karpathy(tmp_path, "coco")


def test_images_without_captions_or_files_are_named(tmp_path: Path) -> None:
    write_karpathy(tmp_path, "flickr8k", [*FLICKR, karpathy_entry(11, "val", [])], None)
    with pytest.raises(DataError, match=r"expected captions for every image, 1 have none \(11\.jpg\)"):
        Karpathy(tmp_path, "flickr8k")
    data = Karpathy(write_karpathy(tmp_path, "flickr8k", FLICKR, None), "flickr8k")
    with pytest.raises(DataError, match=r"2 of the 2 images of split train are not there \(2\.jpg, 5\.jpg\)"):
        data.require_images("train")
    with pytest.raises(ImageError, match=r"has no image '99\.jpg'"):
        data.open_image("99.jpg")
    only_train = Karpathy(write_karpathy(tmp_path, "flickr8k", FLICKR[:1]), "flickr8k")
    with pytest.raises(DataError, match="split test has no images"):
        only_train.records(Caption, "test")
