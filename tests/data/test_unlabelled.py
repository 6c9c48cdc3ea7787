"""Images and texts without labels: every form they come in, and every wrong line with its number."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from saccade.data.unlabelled import Unlabelled
from saccade.errors import DataError, ImageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "images/b.png", "images/c/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), "red").save(tmp_path / name)
    return tmp_path


def read(path: Path, content: str | bytes = "", **options) -> list[tuple[str, str, dict]]:
    if content:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(each.image, each.text, each.columns) for each in Unlabelled(path, **options)]


ASKED = {"column": "question"}


def test_a_folder_and_an_image_are_images(folder) -> None:
    names = ["a.png", "images/b.png", "images/c/d.jpg"]
    assert read(folder) == [(name, "", {"image": name}) for name in names]
    assert read(folder / "images" / "b.png") == [("b.png", "", {"image": "b.png"})]
    assert Unlabelled(folder).open_image("images/c/d.jpg").size == (4, 3)
    assert Unlabelled(folder / "images" / "b.png").open_image("b.png").size == (4, 3)


def test_every_text_is_asked_about_every_image_one_image_after_the_other(folder) -> None:
    found = read(folder, **ASKED, texts=("cafe\u0301?", "b"))
    assert [each[:2] for each in found[:3]] == [("a.png", "caf\u00e9?"), ("a.png", "b"), ("images/b.png", "caf\u00e9?")]
    assert found[1][2] == {"image": "a.png", "question": "b"}
    assert len(found) == 6


def test_the_lines_of_a_file_keep_their_columns_in_order(folder) -> None:
    lines = [{"id": 7, "image": " b.png ", "question": "what", "answers": ["x"]}, {"image": "a.png", "question": "é"}]
    text = "\ufeff" + "\r\n\r\n".join(json.dumps(line) for line in lines)
    assert read(folder / "x.jsonl", text, **ASKED) == [("b.png", "what", lines[0]), ("a.png", "é", lines[1])]
    assert read(folder / "x.jsonl") == [("b.png", "", lines[0]), ("a.png", "", lines[1])]  # what is not read is carried
    found = read(folder / "y.jsonl", '{"image": "a.png", "n": 1}', **ASKED, texts=("what",))
    assert found == [("a.png", "what", {"image": "a.png", "question": "what", "n": 1})]
    assert list(found[0][2]) == ["image", "question", "n"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_as_programs_write_them(folder, separator) -> None:
    table = f"\ufeffimage{separator} shelf {separator}question\r\n" + separator.join(
        ["a.png", '"x\r\ny, ""z"";"', '"what, or; which?"\r\n', "images/b.png", "", "where\r\n"]
    ).replace(f"\r\n{separator}", "\r\n")
    found = read(folder / "x.csv", table + f"\r\n{separator}{separator}\r\n", **ASKED)
    assert found[0] == (
        "a.png", "what, or; which?", {"image": "a.png", "shelf": 'x\r\ny, "z";', "question": "what, or; which?"}
    )  # fmt: skip
    assert found[1] == ("images/b.png", "where", {"image": "images/b.png", "shelf": "", "question": "where"})
    assert len(found) == 2


def test_images_are_found_beside_the_file_in_images_in_a_root_or_by_a_whole_path(folder, tmp_path_factory) -> None:
    (folder / "x.jsonl").write_text("{}")
    asked = Unlabelled(folder / "x.jsonl")
    assert asked.find("a.png") == folder / "a.png"
    assert asked.find("b.png") == folder / "images" / "b.png"
    assert asked.find(str(folder / "a.png")) == folder / "a.png"
    assert asked.find("e.png") is None
    with pytest.raises(ImageError, match=r"e\.png: no such image file in "):
        asked.open_image("e.png")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.jsonl"
    elsewhere.write_text("{}")
    assert Unlabelled(elsewhere, root=folder).find("a.png") == folder / "a.png"
    assert Unlabelled(elsewhere).find("a.png") is None


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("x.jsonl", '\n{"image": "a.png"}', 2, "expected a question about each image: .*, or --question TEXT"),
        (
            "x.jsonl",
            '{"image": "a.png", "question": "x"}\n{"image":',
            2,
            'expected one JSON object .*"question": "..."',
        ),
        ("x.jsonl", '["a.png"]', 1, "expected a JSON object like"),
        ("x.jsonl", '{"question": "x"}', 1, 'expected the key "image", got "question"'),
        ("x.jsonl", '{"image": "a.png", "question": "x", "question": "y"}', 1, "expected every key once"),
        ("x.jsonl", '{"image": 3, "question": "x"}', 1, 'expected "image" to be a string that is not empty, got 3'),
        ("x.jsonl", '{"image": "a.png", "question": " "}', 1, 'expected "question" to be a string that is not empty'),
        ("x.jsonl", '{"image": "a.png", "question": "?"}', 1, "no word"),
        ("x.jsonl", '{"image": "a.png", "question": "\\ud83d"}', 1, "expected whole characters"),
        ("x.jsonl", b'{"image": "a.png", "question": "\xe9"}', 1, "expected UTF-8 text"),
        ("x.csv", "picture,question\na.png,x\n", 1, 'expected a header with a column "image", got "picture,question"'),
        ("x.csv", "image,question,image\n", 1, 'expected every column once, got "image" again'),
        ("x.csv", "image,question\na.png,x\na.png,x,y\n", 3, "expected 2 cells, as the header has, got 3; a text with"),
        ("x.csv", "image,question\na.png\n", 2, "expected 2 cells, as the header has, got 1"),
        ("x.csv", 'image,question\na.png,"x\ny"\na.png,"x', 4, "expected CSV, this is none"),
        ("x.csv", "image,question\na.png,x\na.png,\n", 3, 'expected "question" to be a string that is not empty'),
        ("x.csv", "image\na.png\n", 2, "expected a question about each image"),
        ("x.csv", "image,question\na.png,é\n".encode("latin-1"), 2, "expected UTF-8 text"),
        ("x.csv", "image,question\na.png,x\n".encode("utf-16"), 1, "expected UTF-8 text"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(folder, name, content, line, message) -> None:
    def check(text: str) -> None:
        if text == "?":
            raise DataError("no word")

    with pytest.raises(DataError, match=f"{name}:{line}: .*{message}"):
        read(folder / name, content, **ASKED, check=check)


def test_texts_are_asked_where_the_lines_have_none(folder) -> None:
    (folder / "x.csv").write_text("image,question\na.png,x\n")
    with pytest.raises(DataError, match=r"x\.csv:2: has a question of its own: leave out --question"):
        read(folder / "x.csv", **ASKED, texts=("y",))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "no such image file, folder of images, or file of lines"),
        ("none.jsonl", "no such file"),
        ("none.png", "no such image file"),
        ("x.json", r"expected a folder of images, an image, or a file of lines that ends in \.jsonl, .*\.csv"),
    ],
)
def test_what_is_no_input_is_refused(folder, name, message) -> None:
    (folder / "x.json").write_text("[]")
    with pytest.raises((DataError, ImageError), match=f"{name}: {message}"):
        Unlabelled(folder / name)


def test_a_root_is_a_folder_and_for_lines_alone(folder) -> None:
    (folder / "x.jsonl").write_text("{}")
    with pytest.raises(DataError, match="no such folder; --root names"):
        Unlabelled(folder / "x.jsonl", root=folder / "none")
    for name in ("images", "a.png"):
        with pytest.raises(DataError, match="--root is for the images of JSON Lines and CSV"):
            Unlabelled(folder / name, root=folder)


def test_other_lines_and_other_images_have_another_hash(folder) -> None:
    images = Unlabelled(folder).sha256
    assert Unlabelled(folder / "images").sha256 != images == Unlabelled(folder).sha256
    Image.new("RGB", (4, 3)).save(folder / "e.png")
    assert Unlabelled(folder).sha256 != images
    (folder / "x.csv").write_text("image\na.png\n")
    table = Unlabelled(folder / "x.csv").sha256
    (folder / "x.csv").write_text("image\nb.png\n")
    assert Unlabelled(folder / "x.csv").sha256 != table


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_memory_does_not_grow_with_the_lines(folder, name) -> None:
    line, header = {"x.jsonl": ('{"image": "a.png", "q": "%s"}\n', ""), "x.csv": ("a.png,%s\n", "image,q\n")}[name]
    (folder / name).write_text(header + line % ("x" * 200) * 5_000)
    asked = Unlabelled(folder / name)
    tracemalloc.start()
    count = sum(1 for _ in asked)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 5_000
    assert peak < 200_000 < (folder / name).stat().st_size / 5
