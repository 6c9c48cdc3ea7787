from __future__ import annotations

import re
from pathlib import Path
from string import punctuation

import pytest
from tests.data.caption_files import draw, entity_xml, write_entities

from saccade.data.captioned import count_captions
from saccade.data.entities import FlickrEntities, read_sentences
from saccade.data.flickr import Flickr8k
from saccade.data.records import SPLITS, Caption, Corpus, Phrase, images_of
from saccade.errors import DataError

SPLIT = {"train": ["11", "13", "17"], "val": ["19"], "test": ["23"]}


def boxed(caption: Caption) -> list[Phrase]:
    return [phrase for phrase in caption.phrases if phrase.boxes]


def test_sentences_lose_their_brackets_and_phrases_get_boxes(tmp_path: Path) -> None:
    data = FlickrEntities(write_entities(tmp_path, SPLIT))
    assert isinstance(data, Corpus)
    assert data.official_test
    assert data.counts("train") == {
        "captions": 15,
        "images": 3,
        "phrases": 21,
        "phrases_with_box": 15,
        "phrases_with_box_animals": 3,
        "phrases_with_box_clothing": 6,
        "phrases_with_box_people": 9,
        "phrases_without_box": 6,
        "phrases_without_box_not_visual": 3,
        "phrases_without_box_scene": 3,
    }
    dress, girl, pink, day, whose = data.records(Caption, "val")
    assert (dress.id, dress.image, dress.text) == ("19.jpg#0", "19.jpg", "A child in a pink dress .")
    child, clothing = (0.0, 0.0, 0.25, 1.0), ((0.1, 0.1, 0.2, 0.3), (0.5, 0.0, 1.0, 0.5))
    assert [(phrase.words, phrase.boxes) for phrase in dress.phrases] == [((0, 2), (child,)), ((3, 6), clothing)]
    assert (girl.text, [phrase.words for phrase in boxed(girl)]) == ("The girl climbs in the yard .", [(0, 2)])
    assert [phrase.words for phrase in pink.phrases] == [(2, 3)]
    assert (day.text, boxed(day)) == ("It is a day .", [])
    assert (whose.text, [phrase.words for phrase in whose.phrases]) == ("A child's day", [(0, 2)])
    assert data.open_image("19.jpg").size == (7, 5)


def test_phrases_have_their_types_their_entity_and_why_they_have_no_box(tmp_path: Path) -> None:
    path = write_entities(tmp_path, SPLIT) / "Annotations" / "19.xml"
    path.write_text(entity_xml({"18": [(1, 1, 100, 200)], "21": []}, boxless=["19"]))
    sentences = read_sentences(tmp_path, "19")
    assert [[(p.kinds, p.entity, p.absent, len(p.boxes)) for p in each.phrases] for each in sentences] == [
        [(("people",), "18", "", 1), (("clothing",), "19", "no box", 0)],
        [(("people",), "18", "", 1), (("scene",), "21", "scene", 0)],
        [(("clothing",), "19", "no box", 0)],
        [(("notvisual",), "", "not visual", 0)],  # "0" is no entity: two phrases of that number have nothing in common
        [(("people", "animals"), "18", "", 1)],
    ]
    path.write_text(entity_xml({"18": []}))
    dress, girl, *_ = read_sentences(tmp_path, "19")
    assert [p.absent for p in dress.phrases + girl.phrases] == ["scene", "not annotated", "scene", "not annotated"]


def test_what_is_said_of_an_entity_in_several_places_is_taken_together(tmp_path: Path) -> None:
    path = write_entities(tmp_path, SPLIT) / "Annotations" / "19.xml"
    xml = entity_xml({"18": [(1, 1, 100, 200)], "19": [], "21": []}, boxless=["18", "19"])
    path.write_text(xml.replace("<name>21</name>", "<name>21</name><name>18</name>"))
    dress, girl, *_ = read_sentences(tmp_path, "19")
    assert [(len(p.boxes), p.absent) for p in dress.phrases] == [(1, ""), (0, "scene")]
    assert [(len(p.boxes), p.absent) for p in girl.phrases] == [(1, ""), (0, "scene")]


LOCATED = {
    "[/EN#1/people A dog] beside [/EN#2/people a dog] .": [(0, 2), (3, 5)],
    "A dog and [/EN#1/animals a dog] and a dog": [(3, 5)],
    "[/EN#1/other A tan , two-door car] , [/EN#2/other red]-haired": [(0, 5), (6, 7)],
    'the "[/EN#1/other Stop]" sign, [/EN#2/people child] ren': [(1, 2), (3, 4)],
    "[/EN#1/people  Two  men ] in\t[/EN#2/other hats]": [(0, 2), (3, 4)],
    "a [/EN#1/clothing red][/EN#2/people man]": [(1, 2), (1, 2)],
}


@pytest.mark.parametrize("line", LOCATED)
def test_words_are_located_where_the_bracket_stands(tmp_path: Path, line: str) -> None:
    path = write_entities(tmp_path, SPLIT) / "Sentences" / "19.txt"
    path.write_text("\n".join([line] * 5))
    sentence = read_sentences(tmp_path, "19")[0]
    assert [phrase.words for phrase in sentence.phrases] == LOCATED[line]


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
    ("A child [/EN#18/people  ] .", "1: expected words in every phrase, got none behind /people in 'A child"),
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


COUNTED = {
    "train": {
        "captions": 32_640,
        "images": 6_528,
        "phrases": 101_591,
        "phrases_with_box": 84_714,
        "phrases_with_box_animals": 9_949,
        "phrases_with_box_bodyparts": 3_590,
        "phrases_with_box_clothing": 10_195,
        "phrases_with_box_instruments": 297,
        "phrases_with_box_other": 17_409,
        "phrases_with_box_people": 28_878,
        "phrases_with_box_scene": 12_652,
        "phrases_with_box_vehicles": 2_234,
        "phrases_without_box": 16_877,
        "phrases_without_box_no_box": 9_873,
        "phrases_without_box_not_visual": 5_518,
        "phrases_without_box_scene": 1_486,
    },
    "val": {
        "captions": 1_125,
        "images": 225,
        "phrases": 3_501,
        "phrases_with_box": 2_961,
        "phrases_with_box_animals": 326,
        "phrases_with_box_bodyparts": 128,
        "phrases_with_box_clothing": 370,
        "phrases_with_box_instruments": 12,
        "phrases_with_box_other": 601,
        "phrases_with_box_people": 1_052,
        "phrases_with_box_scene": 428,
        "phrases_with_box_vehicles": 65,
        "phrases_without_box": 540,
        "phrases_without_box_no_box": 287,
        "phrases_without_box_not_visual": 192,
        "phrases_without_box_scene": 61,
    },
}


@pytest.mark.data
@pytest.mark.parametrize("split", COUNTED)
def test_the_counts_of_the_official_splits(real_data: Path, split: str) -> None:
    root = real_data / "flickr30k_entities"
    captions = [
        Caption(f"{number}#{place}", number, sentence.text, sentence.phrases)
        for number in (root / f"{split}.txt").read_text().split()
        for place, sentence in enumerate(read_sentences(root, number))
    ]
    assert count_captions(captions) == COUNTED[split]


@pytest.mark.data
def test_the_words_of_every_phrase_are_those_in_its_bracket(real_data: Path) -> None:
    root, phrases, twice = real_data / "flickr30k_entities", 0, 0
    for number in (root / "train.txt").read_text().split():
        lines = (root / "Sentences" / f"{number}.txt").read_text(encoding="utf-8").splitlines()
        for line, sentence in zip(lines, read_sentences(root, number), strict=True):
            written = [" ".join(each.split()) for each in re.findall(r"\[/EN#\S+ ([^\]]+)\]", line)]
            for text, phrase in zip(written, sentence.phrases, strict=True):
                words = " ".join(sentence.text.split()[slice(*phrase.words)])
                assert words.strip(punctuation) == text.strip(punctuation), line
                twice += len(re.findall(rf"(?<!\S){re.escape(text)}(?!\S)", sentence.text)) > 1
                phrases += 1
    assert (phrases, twice) == (101_591, 485)


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
