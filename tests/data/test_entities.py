from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.data.caption_files import draw, entity_xml, write_entities

from saccade.data.entities import FlickrEntities, read_sentences
from saccade.data.flickr import Flickr8k
from saccade.data.records import SPLITS, Caption, Corpus, images_of
from saccade.errors import DataError

SPLIT = {"train": ["11", "13", "17"], "val": ["19"], "test": ["23"]}


def test_sentences_lose_their_brackets_and_phrases_get_boxes(tmp_path: Path) -> None:
    data = FlickrEntities(write_entities(tmp_path, SPLIT))
    assert isinstance(data, Corpus)
    assert data.official_test
    assert data.counts("train") == {"captions": 15, "images": 3}
    dress, girl, pink, day, whose = data.records(Caption, "val")
    assert (dress.id, dress.image, dress.text) == ("19.jpg#0", "19.jpg", "A child in a pink dress .")
    child, clothing = (0.0, 0.0, 0.25, 1.0), ((0.1, 0.1, 0.2, 0.3), (0.5, 0.0, 1.0, 0.5))
    assert [(phrase.words, phrase.boxes) for phrase in dress.phrases] == [((0, 2), (child,)), ((3, 6), clothing)]
    assert (girl.text, [phrase.words for phrase in girl.phrases]) == ("The girl climbs in the yard .", [(0, 2)])
    assert [phrase.words for phrase in pink.phrases] == [(2, 3)]
    assert (day.text, day.phrases) == ("It is a day .", ())
    assert (whose.text, [phrase.words for phrase in whose.phrases]) == ("A child's day", [(0, 2)])
    assert data.open_image("19.jpg").size == (7, 5)


@pytest.mark.parametrize(
    "folder", ["e/images", "e/flickr30k-images", "flickr8k/Flicker8k_Dataset", "Flicker8k_Dataset"]
)
def test_images_have_either_name_in_several_places(tmp_path: Path, folder: str) -> None:
    write_entities(tmp_path / "e", SPLIT, None)
    for numbers in SPLIT.values():
        for number in numbers:
            draw(tmp_path / folder / f"{number}_0123456789.jpg")
    assert images_of(FlickrEntities(tmp_path / "e").records(Caption, "train")) == [
        f"{number}_0123456789.jpg" for number in SPLIT["train"]
    ]


def test_without_test_images_validation_is_the_test(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(100, 131)]
    data = FlickrEntities(write_entities(tmp_path, {"train": numbers, "val": ["7"]}))
    assert not data.official_test
    images = {split: images_of(data.records(Caption, split)) for split in SPLITS}
    assert images["test"] == ["7.jpg"]
    assert len(images["val"]) == 3
    assert sorted(images["train"] + images["val"]) == [f"{number}.jpg" for number in numbers]


def test_what_is_missing(tmp_path: Path) -> None:
    write_entities(tmp_path, SPLIT)
    for number in SPLIT["train"][:2]:
        (tmp_path / "images" / f"{number}.jpg").unlink()
    with pytest.raises(DataError, match=r"2 of the 3 images of split train are not there \(11, 13\)"):
        FlickrEntities(tmp_path).require_images("train")
    (tmp_path / "Sentences" / "13.txt").unlink()
    with pytest.raises(DataError, match=r"Sentences/13\.txt: image 13 has no captions"):
        FlickrEntities(tmp_path).records(Caption, "train")
    (tmp_path / "val.txt").unlink()
    with pytest.raises(DataError, match=r"no val\.txt here"):
        FlickrEntities(tmp_path)


SENTENCES = [
    (
        "[/EN#18/people A child in a dress .",
        r"1: expected phrases as in \[/EN#18/people A child\], got '\[/EN#18/people A",
    ),
    ("A [child] .", r"1: expected phrases as in .* got '\[child\] \.'"),
    ("A child] .", r"1: expected phrases as in .* got '\] \.'"),
    ("[/EN#18/people  ]", "1: expected a caption, got an empty one"),
    ("One .\nTwo .\nThree .", r" expected 5 lines with a caption each, got 3"),
]


@pytest.mark.parametrize(("text", "message"), SENTENCES, ids=[text[:12] for text, _ in SENTENCES])
def test_a_wrong_sentence_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write_entities(tmp_path, SPLIT) / "Sentences" / "19.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}:{message}"):
        FlickrEntities(tmp_path).records(Caption, "val")


ANNOTATIONS = [
    (None, "no such file; expected the boxes"),
    ("<annotation><size>", "expected an XML file, whole; it is none"),
    ("<annotation></annotation>", "expected a whole number in <size/width>, got ''"),
    (entity_xml({"1": [(1, 1, 10, 10)]}).replace("<xmax>10", "<xmax>ten"), "whole number in <xmax>, got 'ten'"),
    (entity_xml({"1": [(50, 1, 10, 10)]}), "expected a box inside 400 x 200 pixels, got 50, 1, 10, 10"),
    (entity_xml({"1": [(500, 1, 600, 10)]}), "expected a box inside 400 x 200 pixels"),
]


@pytest.mark.parametrize(("xml", "message"), ANNOTATIONS, ids=[message[:25] for _, message in ANNOTATIONS])
def test_a_wrong_annotation_is_named(tmp_path: Path, xml: str | None, message: str) -> None:
    path = write_entities(tmp_path, SPLIT) / "Annotations" / "19.xml"
    path.unlink()
    if xml is not None:
        path.write_text(xml)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{message}"):
        FlickrEntities(tmp_path).records(Caption, "val")


def test_a_box_that_reaches_beyond_the_edge_is_cut_there(tmp_path: Path) -> None:
    path = write_entities(tmp_path, SPLIT) / "Annotations" / "19.xml"
    path.write_text(entity_xml({"18": [(0, 1, 401, 201)]}))
    assert read_sentences(tmp_path, "19")[0].phrases[0].boxes == ((0.0, 0.0, 1.0, 1.0),)


@pytest.mark.data
def test_the_real_entities(real_data: Path) -> None:
    data = FlickrEntities(real_data / "flickr30k_entities")
    assert {split: data.counts(split)["images"] for split in SPLITS} == {"train": 6_028, "val": 500, "test": 225}
    captions = [caption for split in SPLITS for caption in data.records(Caption, split)]
    assert len(captions) == 5 * (6_528 + 225)
    boxes = [box for caption in captions for phrase in caption.phrases for box in phrase.boxes]
    assert all(0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 for x1, y1, x2, y2 in boxes)
    assert all(
        0 <= phrase.words[0] < phrase.words[1] <= len(caption.text.split())
        for caption in captions
        for phrase in caption.phrases
    )
    assert not any("[" in caption.text or "]" in caption.text for caption in captions)
    # All are photographs of Flickr8k, under the same ids; its development images are among both parts here.
    flickr = Flickr8k(real_data / "flickr8k")
    development = set(images_of(flickr.records(Caption, "test")))
    official = {split: set(images_of(data.records(Caption, split))) for split in SPLITS}
    assert len((official["train"] | official["val"]) & development) == 940
    assert len(official["test"] & development) == 26
