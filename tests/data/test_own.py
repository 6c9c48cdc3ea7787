from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from saccade.data.own import OwnData
from saccade.data.records import SPLITS, Caption, Corpus, Question, images_of
from saccade.errors import DataError, ImageError, SaccadeWarning, UnknownNameError

GOOD = {"image": "a.png", "question": "what color", "answers": ["red"]}


def write(root: Path, split: str, *records: Any) -> Path:
    """Records as lines of the split's file; bytes and strings as they are. Every image named exists."""
    lines = []
    for record in records:
        named = isinstance(record, dict) and isinstance(record.get("image"), str)
        if named and "missing" not in (name := record["image"]) and len(name) < 256:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (5, 3), "red").save(path, "PNG")
        text = record if isinstance(record, (bytes, str)) else json.dumps(record, ensure_ascii=False)
        lines.append(text if isinstance(text, bytes) else text.encode())
    root.mkdir(exist_ok=True)
    (root / f"{split}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return root


def ask(image: str, question: str = "what color", *answers: str) -> dict[str, Any]:
    return {"image": image, "question": question, "answers": list(answers or ("red",))}


def caption(image: str, *captions: str) -> dict[str, Any]:
    return {"image": image, "captions": list(captions or ("a cup",))}


def three(root: Path, **changed: Any) -> Path:
    for split in SPLITS:
        write(root, split, ask(f"{split}.png") | (changed if split == "train" else {}))
    return root


def test_a_line_becomes_a_question(tmp_path: Path) -> None:
    three(
        tmp_path, type="color", boxes=[[0, 0.5, 0.25, 1]], id=7, answers=[" red", "dark red"], question="what color ? "
    )
    data = OwnData(tmp_path)
    (question,) = data.records(Question, "train")
    assert (question.id, question.image, question.text) == ("7", "train.png", "what color ?")
    assert question.answers == ("red", "dark red")
    assert question.kind == "color"
    assert question.boxes == ((0.0, 0.5, 0.25, 1.0),)
    assert data.records(Question, "val")[0].id == "val-1"
    assert data.open_image("train.png").size == (5, 3)
    assert data.counts("train") == {"questions": 1, "images": 1, "answers": 2}


def test_byte_order_mark_windows_lines_and_blank_lines(tmp_path: Path) -> None:
    three(tmp_path)
    line = json.dumps(ask("é.png", "quelle couleur?"), ensure_ascii=False).encode()
    Image.new("RGB", (5, 3)).save(tmp_path / "é.png")
    (tmp_path / "train.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n" + line + b"\r\n\n\n")
    assert [(q.id, q.image) for q in OwnData(tmp_path).records(Question, "train")] == [
        ("train-1", "é.png"),
        ("train-3", "é.png"),
    ]


def test_images_beside_the_files_or_in_images(tmp_path: Path) -> None:
    three(tmp_path)
    write(tmp_path, "train", ask("images/deep/a.png"), ask("./b.png"))
    (tmp_path / "train.jsonl").write_text(
        "\n".join(json.dumps(ask(name)) for name in ("deep/a.png", "images/deep/a.png", "./x/../b.png"))
    )
    data = OwnData(tmp_path)
    assert images_of(data.records(Question, "train")) == ["deep/a.png", "images/deep/a.png", "b.png"]
    assert data.open_image("deep/a.png").size == (5, 3)
    with pytest.raises(ImageError, match=r"about an image 'c\.png'"):
        data.open_image("c.png")


WRONG = [
    ("not json", "expected one JSON object.*it is no JSON"),
    ('{"image": "a.png"} {}', "it is no JSON"),
    ("[1, 2]", r"expected a JSON object like .*got \[1, 2\]"),
    (b"\xff\xfe", "expected UTF-8"),
    ({"image": "a.png", "question": "q"}, "expected the key 'answers', got 'image', 'question'"),
    ({}, "expected the key 'image', got none"),
    ({**GOOD, "anwsers": ["red"]}, "no key named 'anwsers'; did you mean 'answers'"),
    ({"image": "a.png", "question": "q", "answer": "red"}, '"answers", a list.*got "answer"'),
    ({**GOOD, "answers": "red"}, r'got a string; write \["red"\]'),
    ({**GOOD, "answers": []}, "at least one string"),
    ({**GOOD, "answers": ["red", 2]}, 'each of "answers" to be a string that is not empty, got 2'),
    ({**GOOD, "answers": [" "]}, 'each of "answers" to be a string that is not empty'),
    ({**GOOD, "question": "  "}, '"question" to be a string that is not empty'),
    ({**GOOD, "question": 3}, '"question" to be a string that is not empty, got 3'),
    ({**GOOD, "type": None}, '"type" to be a string'),
    ({**GOOD, "id": 1.5}, '"id" to be a string or a whole number, got 1.5'),
    ({**GOOD, "boxes": "all"}, "list of"),
    ({**GOOD, "boxes": [[0, 0, 1]]}, r"four numbers .*got \[0, 0, 1\]"),
    ({**GOOD, "boxes": [[0, 0, True, 1]]}, "four numbers"),
    ({**GOOD, "boxes": [[0, 0, 100, 50]]}, "fractions of width and height"),
    ({**GOOD, "boxes": [[0.5, 0, 0.5, 1]]}, "x1 < x2"),
    ({**GOOD, "boxes": [[float("nan"), 0, 0.5, 1]]}, "x1 < x2"),
    ({**GOOD, "image": "missing.png"}, r"no such image file: 'missing\.png'; looked for .*images"),
    ('{"image": "../a.png", "question": "q", "answers": ["r"]}', "a path inside the folder, got '../a.png'"),
    ('{"image": "x/../../a.png", "question": "q", "answers": ["r"]}', "a path inside the folder"),
    ('{"image": "/etc/passwd", "question": "q", "answers": ["r"]}', "a path inside the folder"),
    ('{"image": "images", "question": "q", "answers": ["r"]}', "no such image file"),
    ("[" * 100_000, "it is no JSON"),
    ({"image": "a.png"}, r"expected the key 'question', got 'image'; as in .*\"question\".* or .*\"captions\""),
    (
        {"image": "a.png", "captions": ["a cup"]},
        "expected questions, as the lines before have them, got captions; .*own",
    ),
    (rb'{"image": "a.png", "question": "what \ud83d", "answers": ["red"]}', r"whole characters, .*what \\ud83d"),
    (rb'{"image": "a.png", "question": "what", "answers": ["red", "\ude00\ud83d"]}', "expected whole characters"),
    (rb'{"image": "a\udce9.png", "question": "what", "answers": ["red"]}', "expected whole characters"),
    (rb'{"image": "a.png", "question": "what", "answers": ["red"], "type": "\ud800"}', "expected whole characters"),
    (rb'{"image": "a.png", "question": "what", "answers": ["red"], "\ud800": 1}', "expected whole characters"),
    ({**GOOD, "question": "... ?"}, r'"question" to have a word in it, at least a letter or a digit, got "\.\.\. \?"'),
    ({**GOOD, "question": "\u0301"}, '"question" to have a word in it'),
    ('{"image": "a.png", "question": "q", "answers": ["r"], "answers": ["s"]}', 'every key once .*"answers" again'),
    ('{"image": "a.png", "image": "a.png", "question": "q", "answers": ["r"]}', 'every key once .*"image" again'),
    ({**GOOD, "image": "a" * 300 + ".png"}, "no such image file"),
    ({**GOOD, "captions": ["a cup"]}, "got \"captions\" beside 'question', 'answers'; a folder holds either"),
]
WRONG_CAPTIONS = [
    ({"image": "a.png", "captions": []}, r'"captions" to be a list with at least one string, got \[\]'),
    ({"image": "a.png", "captions": ["a cup", " "]}, 'each of "captions" to be a string that is not empty, got " "'),
    ({"image": "a.png", "captions": [3]}, 'each of "captions" to be a string that is not empty, got 3'),
    ({"image": "a.png", "captions": "a cup"}, r'got a string; write \["a cup"\]'),
    ({"image": "a.png", "caption": "a cup"}, '"captions", a list with one string per caption, got "caption"'),
    ({"captions": ["a cup"]}, r"expected the key 'image', got 'captions'; as in .*\"captions\""),
    ({"image": "a.png", "captions": ["a cup"], "id": 3}, "got \"captions\" beside 'id'"),
    ({"image": "missing.png", "captions": ["a cup"]}, "no such image file"),
    ({"image": "a.png", "captions": ["a cup", "?!"]}, r'each of "captions" to have a word in it, .*symbol, got "\?!"'),
    (rb'{"image": "a.png", "captions": ["a cup \ud83d"]}', "expected whole characters, got half of one in"),
    (
        '{"image": "a.png", "captions": ["a cup"], "captions": ["cup"]}',
        'expected every key once on a line, got "captions"',
    ),
    (GOOD, "expected captions, as the lines before have them, got questions"),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_wrong_line_is_named(tmp_path: Path, line: Any, message: str) -> None:
    (tmp_path / "images").mkdir()
    three(tmp_path)
    write(tmp_path, "train", GOOD, "", line)
    with pytest.raises(DataError, match=f"(?s)^{re.escape(str(tmp_path))}/train.jsonl:3: .*{message}") as caught:
        OwnData(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("line", "message"), WRONG_CAPTIONS, ids=[message[:40] for _, message in WRONG_CAPTIONS])
def test_a_wrong_line_of_captions_is_named(tmp_path: Path, line: Any, message: str) -> None:
    write(tmp_path, "train", caption("a.png"), line)
    with pytest.raises(DataError, match=f"(?s)^{re.escape(str(tmp_path))}/train.jsonl:2: .*{message}"):
        OwnData(tmp_path)


def test_a_line_becomes_captions(tmp_path: Path) -> None:
    write(tmp_path, "train", caption("a.png", " a red  cup\n", "a cup"), caption("b.png"), caption("a.png", "red"))
    for split in ("val", "test"):
        write(tmp_path, split, caption(f"{split}.png"))
    data = OwnData(tmp_path)
    assert isinstance(data, Corpus)
    assert isinstance(data, Corpus)
    assert data.holds == "captions"
    assert [(said.id, said.image, said.text) for said in data.records(Caption, "train")] == [
        ("a.png#0", "a.png", "a red cup"),
        ("a.png#1", "a.png", "a cup"),
        ("b.png#0", "b.png", "a cup"),
        ("a.png#2", "a.png", "red"),
    ]
    assert data.counts("train") == {"captions": 4, "images": 2}
    assert data.open_image("val.png").size == (5, 3)


def test_captions_are_held_out_by_image(tmp_path: Path) -> None:
    write(tmp_path, "train", *[caption(f"{n}.png", "one", "two", "three") for n in range(60)])
    data = OwnData(tmp_path)
    images = {split: set(images_of(data.records(Caption, split))) for split in SPLITS}
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 60
    assert sum(data.counts(split)["captions"] for split in SPLITS) == 180


def test_a_folder_of_one_kind_asked_for_the_other(tmp_path: Path) -> None:
    questions, captions = three(tmp_path / "questions"), tmp_path / "captions"
    for split in SPLITS:
        write(captions, split, caption(f"{split}.png"))
    with pytest.raises(
        DataError, match=r'captions": .*; this folder holds questions: train a recipe that answers, such as'
    ):
        OwnData(questions).records(Caption, "train")
    with pytest.raises(
        DataError, match=r'question": .*; this folder holds captions: train a recipe that captions, such'
    ):
        OwnData(captions).records(Question, "test")
    write(captions, "val", ask("val.png"))
    with pytest.raises(
        DataError, match=r"val\.jsonl:1: expected captions, as the lines before have them, got questions"
    ):
        OwnData(captions)


def test_an_id_occurs_once(tmp_path: Path) -> None:
    write(tmp_path, "train", {**GOOD, "id": 1}, {**GOOD, "id": "1"})
    with pytest.raises(DataError, match=r"train\.jsonl:2: .*'1' again"):
        OwnData(tmp_path)


def test_without_files_the_layout_is_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'no train\.jsonl here; expected one with a line like \{"image".*images/'):
        OwnData(tmp_path)
    write(tmp_path, "train")
    with pytest.raises(DataError, match=r"train\.jsonl: holds no questions and no captions"):
        OwnData(tmp_path)


def test_missing_splits_are_held_out_by_image(tmp_path: Path) -> None:
    records = [ask(f"{n}.png", f"question {k}") for n in range(60) for k in range(3)]
    write(tmp_path, "train", *records)
    data = OwnData(tmp_path)
    images = {split: set(images_of(data.records(Question, split))) for split in SPLITS}
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 60
    assert all(images.values())
    assert sum(data.counts(split)["questions"] for split in SPLITS) == 180
    write(tmp_path, "test", ask("other.png"))
    with_test = OwnData(tmp_path)
    assert images_of(with_test.records(Question, "test")) == ["other.png"]
    assert set(images_of(with_test.records(Question, "val"))) == images["val"]


def test_two_names_of_one_image_are_held_out_together(tmp_path: Path) -> None:
    write(tmp_path, "train", *[ask(f"images/{n}.png") for n in range(40)])
    with (tmp_path / "train.jsonl").open("a") as file:
        file.writelines(json.dumps(ask(f"{n}.png")) + "\n" for n in range(40))
    data = OwnData(tmp_path)
    for split in SPLITS:
        images = images_of(data.records(Question, split))
        assert {f"images/{image}" for image in images if "/" not in image} == {i for i in images if "/" in i}


def test_too_few_images_to_hold_out(tmp_path: Path) -> None:
    write(tmp_path, "train", GOOD)
    data = OwnData(tmp_path)
    empty = [split for split in SPLITS if data.counts(split)["questions"] == 0]
    assert len(empty) == 2
    with pytest.raises(DataError, match=f"left none for {empty[0]}"):
        data.records(Question, empty[0])


def test_an_image_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    three(tmp_path)
    write(tmp_path, "val", ask("val.png"), ask("train.png"))
    with pytest.raises(DataError, match=r"image 'train\.png' is in train\.jsonl and in val\.jsonl"):
        OwnData(tmp_path)


def test_an_unknown_split(tmp_path: Path) -> None:
    data = OwnData(three(tmp_path))
    with pytest.raises(UnknownNameError, match="no split named 'tset'; did you mean 'test'"):
        data.records(Question, "tset")


def test_the_written_scenes_are_own_data(tmp_path: Path) -> None:
    from saccade.data.scenes import write_scenes

    written = write_scenes(tmp_path / "scenes", images=5)
    data = OwnData(tmp_path / "scenes")
    counts = [data.counts(split) for split in SPLITS]
    assert sum(count["questions"] for count in counts) == written["questions"]
    assert sum(count["images"] for count in counts) == 5


def test_emoji_are_whole_characters_and_words_of_captions(tmp_path: Path) -> None:
    write(
        tmp_path,
        "train",
        rb'{"image": "a.png", "captions": ["\ud83d\ude00"]}',
        caption("a.png", "\U0001f600 \u2764\ufe0f"),
    )
    for split in ("val", "test"):
        write(tmp_path, split, caption(f"{split}.png"))
    texts = [said.text for said in OwnData(tmp_path).records(Caption, "train")]
    assert texts == ["\U0001f600", "\U0001f600 \u2764\ufe0f"]


@pytest.mark.parametrize("kind", [Question, Caption])
def test_images_are_those_of_the_records_that_a_folder_holds(tmp_path: Path, kind: type[Question | Caption]) -> None:
    line = ask if kind is Question else caption
    for split in SPLITS:
        write(
            tmp_path,
            split,
            line(f"{split}.png"),
            line("images/b.png") if split == "train" else "",
            line(f"{split}.png"),
        )
    data = OwnData(tmp_path)
    assert data.images("train") == images_of(data.records(kind, "train")) == ["train.png", "images/b.png"]
    assert data.splits == SPLITS


@pytest.mark.parametrize(("written", "stored"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")])
def test_a_name_is_found_in_either_normal_form(tmp_path: Path, written: Any, stored: Any) -> None:
    name = "images/caf\u00e9.png"
    three(tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (7, 2)).save(tmp_path / unicodedata.normalize(stored, name))
    line = ask(unicodedata.normalize(written, name))
    (tmp_path / "train.jsonl").write_text(json.dumps(line), encoding="utf-8")
    data = OwnData(tmp_path)
    assert list(data.images("train")) == [line["image"]]  # as the line has it
    assert data.open_image(line["image"]).size == (7, 2)


def test_an_image_named_in_two_normal_forms_is_one_image(tmp_path: Path) -> None:
    three(tmp_path)
    Image.new("RGB", (7, 2)).save(tmp_path / "caf\u00e9.png")
    for split, name in {"train": "caf\u00e9.png", "val": "cafe\u0301.png"}.items():
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(ask(name)))
    with pytest.raises(DataError, match=r"is in train\.jsonl and in val\.jsonl"):
        OwnData(tmp_path)


@pytest.mark.parametrize("kind", ["questions", "captions"])
def test_texts_without_spaces_between_words_are_told_once_a_file(tmp_path: Path, kind: str) -> None:
    line = ask if kind == "questions" else caption
    unspaced, spaced = "\u4e00\u53ea\u72d7\u5728\u8349\u5730\u4e0a", "\u4e00 \u53ea \u72d7 \u5728 \u8349\u5730 \u4e0a"
    write(tmp_path, "train", line("a.png", unspaced), line("a.png", spaced), line("a.png", unspaced))
    for split in ("val", "test"):
        write(tmp_path, split, line(f"{split}.png", spaced))
    with pytest.warns(SaccadeWarning) as warned:
        OwnData(tmp_path)
    (message,) = [str(warning.message) for warning in warned]
    assert message.startswith(f"{tmp_path / 'train.jsonl'}: 2 of 3 {kind} ")
    assert f'as in "{unspaced}"' in message
    assert "separate words by spaces" in message
