"""Own sentences with phrases: every key and value of a line, and phrases found by their words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from saccade.data import create_dataset
from saccade.data.own import OwnData
from saccade.data.own_columns import choose_columns, read_columns, to_record
from saccade.data.own_phrases import locate
from saccade.data.records import SPLITS, Caption, Phrase, Question
from saccade.data.scenes import Scenes, write_scenes
from saccade.errors import DataError, RecipeError

BOX = [0.1, 0.2, 0.5, 0.9]
CUP = {"image": "a.png", "sentence": "A red cup, a blue cup.", "phrases": [{"words": [0, 3], "boxes": [BOX]}]}


def write(root: Path, split: str, *records: dict[str, Any]) -> Path:
    for record in records:
        Image.new("RGB", (5, 3)).save(root / record["image"])
    (root / f"{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    return root


def with_phrase(**phrase: Any) -> dict[str, Any]:
    return {**CUP, "phrases": [phrase]}


def read(root: Path, *records: dict[str, Any]) -> list[Caption]:
    write(root, "val", {**CUP, "image": "val.png"})
    write(root, "test", {**CUP, "image": "test.png"})
    return list(OwnData(write(root, "train", *records)).records(Caption, "train"))


def test_a_line_becomes_a_caption_with_phrases(tmp_path: Path) -> None:
    phrases = [
        {"words": [0, 3], "boxes": [BOX, [0, 0, 1, 1]], "type": "cup"},
        {"phrase": "blue cup", "boxes": [BOX], "types": ["cup", " thing ", "cup"]},
        {"phrase": "a", "boxes": []} | {"words": [3, 4]},
    ]
    del phrases[2]["phrase"]
    caption, again, bare = read(
        tmp_path,
        {"image": "a.png", "sentence": "  A red  cup, a blue\ncup. ", "phrases": phrases},
        {**CUP, "phrases": []},
        {"image": "b.png", "captions": ["a cup"]},
    )
    assert (caption.id, caption.text) == ("a.png#0", "A red cup, a blue cup.")
    assert caption.phrases == (
        Phrase((0, 3), (tuple(BOX), (0.0, 0.0, 1.0, 1.0)), ("cup",)),
        Phrase((4, 6), (tuple(BOX),), ("cup", "thing")),
        Phrase((3, 4), (), absent="no box"),
    )
    assert (again.id, again.phrases) == ("a.png#1", ())  # a second sentence about the image, without phrases
    assert (bare.id, bare.phrases) == ("b.png#0", ())  # captions are mixed with sentences


def test_sentences_are_captions(tmp_path: Path) -> None:
    read(tmp_path, CUP, {**CUP, "phrases": [{"words": [4, 6], "boxes": [BOX], "type": "cup"}]})
    data = create_dataset("own", tmp_path)
    assert isinstance(data, OwnData)
    assert data.holds == "captions"
    assert {split: len(data.records(Caption, split)) for split in SPLITS} == {"train": 2, "val": 1, "test": 1}
    assert data.counts("train") == {
        "captions": 2,
        "images": 1,
        "phrases": 2,
        "phrases_with_box": 2,
        "phrases_with_box_cup": 1,
        "phrases_without_box": 0,
    }
    with pytest.raises(DataError, match=r"expected questions.*this folder holds captions"):
        data.records(Question, "train")


WRONG = [
    ({"image": "none.png"}, r"no such image file: 'none\.png'; looked for"),
    ({"phrases": {}}, r'expected "phrases" to be a list of objects like \{"words"'),
    ({"phrases": [[0, 3]]}, r'phrase 1: expected an object like \{"words": .*got \[0, 3\]'),
    ({"sentence": " "}, '"sentence" to be a string that is not empty, got " "'),
    ({"sentence": "?!"}, '"sentence" to have a word in it'),
    ({"captions": ["a cup"]}, "got \"captions\" beside 'sentence', 'phrases'"),
    ({"question": "what?"}, r"got \"sentence\" beside 'question'; .*a line of sentences is like .*\"phrases\""),
    ({"type": "cup"}, "got \"sentence\" beside 'type'"),
    ({"sentences": ["a cup"]}, "no key named 'sentences'; did you mean 'sentence'"),
    ({"phrase": "a cup"}, r'expected "phrases", a list with one object per phrase, got "phrase"; write "phrases"'),
]
WRONG_PHRASES = [
    ({"words": [0, 3]}, "expected \"boxes\", an empty list where there are none, got 'words'"),
    ({"boxes": [BOX]}, r"""expected "words" or "phrase", one of them, got 'boxes'; as in"""),
    ({}, r"""expected "words" or "phrase", one of them, got no keys"""),
    ({"words": [0, 3], "phrase": "A red cup", "boxes": [BOX]}, """one of them, got 'words', 'phrase', 'boxes'"""),
    ({"words": [0, 3], "box": [BOX]}, "no key named 'box'; did you mean 'boxes'"),
    ({"words": [0, 3], "boxes": BOX}, r"expected a box to be four numbers \[x1, y1, x2, y2\], got 0.1"),
    ({"words": [0, 3], "boxes": [[0, 0, 100, 50]]}, r"box .* in fractions of width and height.*got \[0, 0, 100, 50\]"),
    ({"words": [0, 3], "boxes": [[-0.1, 0, 0.5, 0.5]]}, r"fractions of width and height, from 0 to 1.*-0\.1"),
    ({"words": [0, 3], "boxes": [[0.5, 0, 0.5, 1]]}, "x1 < x2"),
    ({"words": [3, 0], "boxes": [BOX]}, r"expected \"words\" to be the place of the first word.*got \[3, 0\]"),
    ({"words": [3, 3], "boxes": [BOX]}, r"got \[3, 3\]"),
    ({"words": [4, 7], "boxes": [BOX]}, r'at most \[0, 6\] for the 6 words of "A red cup.*got \[4, 7\]'),
    ({"words": [-1, 3], "boxes": [BOX]}, r"got \[-1, 3\]"),
    ({"words": [0, True], "boxes": [BOX]}, r"got \[0, true\]"),
    ({"words": [0, 1, 2], "boxes": [BOX]}, r"got \[0, 1, 2\]"),
    ({"words": "red cup", "boxes": [BOX]}, 'got "red cup"'),
    ({"phrase": " ", "boxes": [BOX]}, '"phrase" to be a string that is not empty'),
    (
        {"phrase": "a red cap", "boxes": [BOX]},
        r'expected a phrase of the sentence, got "a red cap"; the nearest in "A red cup, a blue cup\." is "A red cup"',
    ),
    ({"phrase": "ed cup", "boxes": [BOX]}, 'got "ed cup"; the nearest in .* is "red cup"'),
    ({"phrase": "a very long phrase that is in no sentence", "boxes": []}, 'the nearest in .* is "A red cup'),
    (
        {"phrase": "cup", "boxes": [BOX]},
        r'once, got "cup", which .* has 2 times: say which with "words": \[2, 3\] or "words": \[5, 6\]',
    ),
    ({"words": [0, 3], "boxes": [BOX], "type": "a", "types": ["b"]}, 'expected "type" or "types", got both'),
    ({"words": [0, 3], "boxes": [BOX], "types": []}, '"types" to be a list with at least one string'),
    ({"words": [0, 3], "boxes": [BOX], "type": 3}, '"type" to be a string that is not empty, got 3'),
]


@pytest.mark.parametrize(("changed", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_wrong_line_is_named(tmp_path: Path, changed: Any, message: str) -> None:
    write(tmp_path, "train", CUP)
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write(json.dumps({**CUP, **changed}))
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path))}/train.jsonl:2: .*{message}"):
        OwnData(tmp_path)


@pytest.mark.parametrize("missing", ["image", "sentence", "phrases"])
def test_every_key_is_needed(tmp_path: Path, missing: str) -> None:
    write(tmp_path, "train", CUP)
    line = {key: value for key, value in CUP.items() if key != missing}
    (tmp_path / "train.jsonl").write_text(json.dumps(line))
    with pytest.raises(DataError, match=rf'1: expected the key {missing!r}, got .*; as in \{{"image.*"sentence"'):
        OwnData(tmp_path)


@pytest.mark.parametrize(("phrase", "message"), WRONG_PHRASES, ids=[message[:40] for _, message in WRONG_PHRASES])
def test_a_wrong_phrase_is_named(tmp_path: Path, phrase: Any, message: str) -> None:
    good = {"words": [3, 4], "boxes": []}
    write(tmp_path, "train", CUP, {**CUP, "phrases": [good, phrase]})
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path))}/train.jsonl:2: phrase 2: .*{message}"):
        OwnData(tmp_path)


def test_a_phrase_said_twice_is_refused(tmp_path: Path) -> None:
    phrases = [{"words": [4, 6], "boxes": [BOX]}, {"phrase": "blue cup", "boxes": [[0, 0, 1, 1]]}]
    write(tmp_path, "train", {**CUP, "phrases": phrases})
    with pytest.raises(DataError, match=r"phrase 2: .*got the words \[4, 6\] again; put all boxes into one list"):
        OwnData(tmp_path)


def test_sentences_and_questions_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path, "train", CUP, {"image": "a.png", "question": "what?", "answers": ["a cup"]})
    with pytest.raises(DataError, match=r"2: expected captions, as the lines before have them, got questions"):
        OwnData(tmp_path)


LOCATED = {
    ("a dog", "A dog , a cat"): (0, 2),
    ("the two-door car", "near the two-door car."): (1, 4),
    ("tan , two-door", "A tan , two-door car"): (1, 4),
    ("man's hat", "the man's hat!"): (1, 3),
    ("\u201cStop\u201d sign", "the \u201cSTOP\u201d sign"): (1, 3),
    ("cafe\u0301", "a caf\u00e9"): (1, 2),
    ("\u0441\u043e\u0431\u0430\u043a\u0430", "\u0421\u043e\u0431\u0430\u043a\u0430."): (0, 1),
}


@pytest.mark.parametrize(("phrase", "text"), LOCATED)
def test_phrases_are_located_by_their_words(phrase: str, text: str) -> None:
    assert locate(phrase, text) == LOCATED[phrase, text]


@pytest.mark.parametrize("phrase", ["do", "og", "dog,cat", "cat dog"])
def test_parts_of_words_are_no_phrases(phrase: str) -> None:
    with pytest.raises(DataError, match="expected a phrase of the sentence"):
        locate(phrase, "a dog , a cat")


def test_overlapping_places_count() -> None:
    with pytest.raises(DataError, match=r'2 times: say which with "words": \[0, 2\] or "words": \[1, 3\]'):
        locate("very very", "very very very big")


def test_columns_of_sentences() -> None:
    said = read_columns(["image=i", "sentence=s", "phrases=p"])
    assert choose_columns(said, ["i", "s", "p", "captions", "question"], "x") == said
    there = {"image": "image", "sentence": "sentence", "phrases": "phrases"}
    assert choose_columns({}, ["image", "sentence", "phrases"], "x") == there
    assert choose_columns({"phrases": "p"}, ["image", "sentence", "p"], "x") == {**there, "phrases": "p"}
    with pytest.raises(RecipeError, match="expected questions, captions or sentences, got sentence beside question"):
        read_columns(["image=i", "sentence=s", "question=q"])
    with pytest.raises(DataError, match=r"no column 'sentence' for sentence; .*sentence=COLUMN phrases=COLUMN"):
        choose_columns({"phrases": "p"}, ["image", "p"], "x")
    # A column of that name beside questions changes nothing for them.
    kept = choose_columns({}, ["image", "question", "answers", "sentence", "phrases"], "x")
    assert sorted(kept) == ["answers", "image", "question"]


def test_rows_of_phrases_are_lists_of_objects() -> None:
    columns = {"phrases": "phrases"}
    listed = [{"words": [0, 3], "phrase": None, "boxes": [BOX]}, {"words": None, "phrase": "a cup", "boxes": []}]
    kept = [{"words": [0, 3], "boxes": [BOX]}, {"phrase": "a cup", "boxes": []}]
    assert to_record(columns, {"phrases": listed}) == {"phrases": kept}
    turned = {key: [each[key] for each in listed] for key in ("words", "phrase", "boxes")}
    assert to_record(columns, {"phrases": turned}) == {"phrases": kept}
    assert to_record(columns, {"phrases": {"words": [], "boxes": []}}) == {"phrases": []}
    for odd in ({"words": [1], "boxes": []}, {"words": 1}, "text"):
        assert to_record(columns, {"phrases": odd}) == {"phrases": odd}


def test_rows_with_phrases(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    pictures = [Image.new("RGB", (5, 3), (number, 0, 0)) for number in range(30)]
    phrases = [[{"words": [0, 3], "boxes": [BOX]}, {"words": [3, 6], "boxes": []}]] * 30
    rows = datasets.Dataset.from_dict({"pic": pictures, "sentence": [CUP["sentence"]] * 30, "phrases": phrases})
    rows.cast_column("pic", datasets.Image()).save_to_disk(str(tmp_path / "rows"))
    data = OwnData(tmp_path / "rows", columns=("image=pic", "sentence=sentence"))
    caption = data.records(Caption, "train")[0]
    assert caption.phrases == (Phrase((0, 3), (tuple(BOX),)), Phrase((3, 6), (), absent="no box"))
    assert sum(data.counts(split)["phrases"] for split in SPLITS) == 60


def test_phrases_of_written_scenes_are_own_data(tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    write_scenes(out, images=10)
    for split in SPLITS:
        (out / f"phrases_{split}.jsonl").replace(out / f"{split}.jsonl")
    scenes, data = Scenes(train=8, val=1, test=1), OwnData(out)
    for split in SPLITS:
        written = [(caption.text, caption.phrases) for caption in data.records(Caption, split)]
        sentences = [scenes.phrases(image) for image in scenes.images(split)]
        assert written == [(sentence.text, sentence.phrases) for sentence in sentences]
