"""WebDataset shards as own data."""

from __future__ import annotations

import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.test_own_rows import picture, png

from saccade.data.own import OwnData
from saccade.data.own_shards import find_shards
from saccade.data.records import SPLITS, Caption, Question
from saccade.errors import DataError


def shard(path: Path, members: dict[str, bytes | str | dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            value = json.dumps(content) if isinstance(content, dict) else content
            data = value.encode() if isinstance(value, str) else value
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def asked(number: int, **changed: Any) -> dict[str, bytes | str | dict[str, Any]]:
    record = {"question": f"what is {number}", "answers": ["red"], "meta": {"type": "color"}}
    return {f"{number:03}.png": png(number), f"{number:03}.json": record | changed}


def test_samples_become_questions_by_the_names_of_files(tmp_path: Path) -> None:
    shard(tmp_path / "train-000.tar", {**asked(0), "notes": b"", **asked(1, answers="blue")})
    shard(tmp_path / "train-001.tar", asked(2))
    shard(tmp_path / "val" / "000.tar", asked(3))
    shard(tmp_path / "test-000.tar", asked(4, answers=3))
    data = OwnData(tmp_path, columns=("type=meta.type",))
    questions = data.records(Question, "train")
    assert [(q.text, q.answers, q.kind, q.image) for q in questions] == [
        ("what is 0", ("red",), "color", "000.png"),
        ("what is 1", ("blue",), "color", "001.png"),
        ("what is 2", ("red",), "color", "002.png"),
    ]
    assert [q.id for q in questions] == ["train-000/000", "train-000/001", "train-001/002"]
    assert data.records(Question, "test")[0].answers == ("3",)
    images = [image for split in SPLITS for image in data.images(split)] * 20
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(data.open_image, images))
    for number, image in enumerate(opened):
        assert np.array_equal(np.asarray(image), np.asarray(picture(number % 5)))


def test_captions_in_texts_are_held_out_by_content(tmp_path: Path) -> None:
    """Every shard counts its samples from 0, and every picture comes twice."""
    for number in range(4):
        members: dict[str, bytes | str | dict[str, Any]] = {}
        for n in range(25):
            members |= {f"{n}.jpg": png((25 * number + n) % 50), f"{n}.txt": f"a thing {n}\n"}
        shard(tmp_path / f"shards-{number:03}.tar", members)
    data = OwnData(tmp_path / "shards-{000..003}.tar", columns=("captions=txt",))
    images = {split: set(data.images(split)) for split in SPLITS}
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 50
    said = [caption for split in SPLITS for caption in data.records(Caption, split)]
    assert len(said) == 100
    assert {caption.text for caption in said} == {f"a thing {n}" for n in range(25)}
    assert OwnData(tmp_path, columns=("captions=txt",)).counts("train") == data.counts("train")


def test_several_captions_in_a_list_and_endings_with_dots(tmp_path: Path) -> None:
    members = {
        "a/x.left.JPG": png(1),
        "a/x.right.jpg": png(2),
        "a/x.json": {"said": [{"text": "a cup"}, {"text": "cup"}]},
    }
    for split in SPLITS:
        shard(tmp_path / f"{split}.tar", {name.replace("x", split): value for name, value in members.items()})
    with pytest.warns(UserWarning, match="are in two splits"):
        data = OwnData(tmp_path, columns=("image=right.jpg", "captions=json.said.text"))
    said = [(caption.text, caption.image) for caption in data.records(Caption, "val")]
    assert said == [("a cup", "a/train.right.jpg"), ("cup", "a/train.right.jpg")]
    assert np.array_equal(np.asarray(data.open_image(data.images("test")[0])), np.asarray(picture(2)))


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    wrong = {
        **asked(0),
        "1.json": {"question": "q", "answers": ["a"]},
        **asked(2, question="?"),
        "3.png": b"",
        "3.json": "[",
    }
    shard(tmp_path / "train.tar", wrong)
    heard: list[DataError] = []
    OwnData(tmp_path, refuse=heard.append)
    place = f"{tmp_path}/train.tar, sample "
    assert [str(error).removeprefix(place).partition(":")[0] for error in heard] == ["1", "002", "3"]
    assert "expected the key 'image', got 'question', 'answers'" in str(heard[0])
    assert "3.json is no JSON" in str(heard[2])
    with pytest.raises(
        DataError, match=r"no column 'caption' for captions; the columns are png, json, question, answers"
    ):
        OwnData(tmp_path, columns=("captions=caption",))
    whole = (tmp_path / "train.tar").read_bytes()
    (tmp_path / "train.tar").write_bytes(whole[:700])
    with pytest.raises(DataError, match=r"train\.tar: expected a whole tar file, uncompressed \("):
        OwnData(tmp_path)
    with tarfile.open(tmp_path / "train.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.jpg"))
    with pytest.raises(DataError, match="expected a whole tar file, uncompressed"):
        OwnData(tmp_path)


def test_a_missing_shard_of_a_range_is_named(tmp_path: Path) -> None:
    shard(tmp_path / "s-09.tar", asked(0))
    assert find_shards(str(tmp_path / "s-{09..09}.tar")) == [tmp_path / "s-09.tar"]
    with pytest.raises(DataError, match=r"2 of the 3 shards are not there \(.*s-08\.tar, .*s-10\.tar\)"):
        find_shards(str(tmp_path / "s-{08..10}.tar"))
