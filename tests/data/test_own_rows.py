"""Rows of Hugging Face's datasets as own data: every way they lie on disk gives the same records and images."""

from __future__ import annotations

import gc
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.hub_server import serve

from saccade.data import create_dataset
from saccade.data.own import OwnData
from saccade.data.own_columns import choose_columns, read_columns, to_record
from saccade.data.records import SPLITS, Caption, Corpus, Question
from saccade.errors import DataError, ImageError, RecipeError, SaccadeWarning, UnknownNameError

datasets = pytest.importorskip("datasets")

SAID = ("image=picture", "question=asked", "answers=said")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that are made of files go into a folder of the test."""
    folder = str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)


def picture(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(pixels)


def png(number: int) -> bytes:
    stream = io.BytesIO()
    picture(number).save(stream, "PNG")
    return stream.getvalue()


def rows(count: int, start: int = 0, **changed: Any) -> Any:
    """So many rows of questions, two about each image."""
    values = {
        "picture": [picture(start + n // 2) for n in range(count)],
        "asked": [f"what is it {n}?" for n in range(count)],
        "said": [["red", "dark red"]] * count,
    }
    return datasets.Dataset.from_dict(values | changed, features=features(**changed))


def features(**changed: Any) -> Any:
    known = {
        "picture": datasets.Image(),
        "asked": datasets.Value("string"),
        "said": datasets.List(datasets.Value("string")),
    }
    return None if changed else datasets.Features(known)


def saved(folder: Path) -> str:
    datasets.DatasetDict({"train": rows(4), "validation": rows(2, 5), "test": rows(2, 7)}).save_to_disk(str(folder))
    return str(folder)


def parquet(folder: Path) -> str:
    for name, found in {"train": rows(4), "dev": rows(2, 5), "test": rows(2, 7)}.items():
        (folder / "data").mkdir(parents=True, exist_ok=True)
        found.to_parquet(str(folder / "data" / f"{name}-00000-of-00001.parquet"))
    return str(folder)


def folder_of_images(folder: Path) -> str:
    starts = {"train": (0, 4), "validation": (5, 2), "test": (7, 2)}
    for name, (start, count) in starts.items():
        (folder / name).mkdir(parents=True)
        lines = []
        for number in range(start, start + count // 2):
            picture(number).save(folder / name / f"{number}.png")
        for n in range(count):
            line = {"file_name": f"{start + n // 2}.png", "asked": f"what is it {n}?", "said": ["red", "dark red"]}
            lines.append(json.dumps(line) + "\n")
        (folder / name / "metadata.jsonl").write_text("".join(lines))
    return str(folder)


@pytest.fixture
def hub(tmp_path_factory) -> Iterator[str]:
    """The address of a hub with the data set somebody/things."""
    folder = tmp_path_factory.mktemp("hub")
    parquet(folder)
    with serve(folder) as address:
        yield address


@pytest.mark.parametrize("write", [saved, parquet, folder_of_images])
def test_every_layout_gives_the_same_records(tmp_path: Path, write: Callable[[Path], str]) -> None:
    said = SAID[1:] if write is folder_of_images else SAID
    data = create_dataset("own", write(tmp_path / "rows"), columns=said)
    assert isinstance(data, Corpus)
    for split, start, count in (("train", 0, 4), ("val", 5, 2), ("test", 7, 2)):
        found = data.records(Question, split)
        assert [(q.text, q.answers) for q in found] == [(f"what is it {n}?", ("red", "dark red")) for n in range(count)]
        assert [q.id for q in found] == [f"{split}-{n}" for n in range(count)]
        images = data.images(split)
        assert len(images) == count // 2
        for number, image in enumerate(images, start):
            assert np.array_equal(np.asarray(data.open_image(image)), np.asarray(picture(number)))
        data.require_images(split)  # type: ignore[attr-defined]
    with pytest.raises(ImageError, match="no row is about an image 'x'"):
        data.open_image("x")


# The reader of datasets leaves its file to the garbage collector, which must come now: another test would be blamed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_folder_of_images_may_have_its_lines_in_a_csv(tmp_path: Path) -> None:
    for split, numbers in {"train": range(4), "validation": range(4, 6), "test": range(6, 8)}.items():
        (tmp_path / split).mkdir()
        for number in numbers:
            picture(number).save(tmp_path / split / f"{number}.png")
        lines = (f"{number}.png,what is it {number}?,red\n" for number in numbers)
        (tmp_path / split / "metadata.csv").write_text("file_name,asked,said\n" + "".join(lines))
    data = create_dataset("own", tmp_path, columns=SAID[1:])
    found = data.records(Question, "val")
    assert [(q.text, q.answers) for q in found] == [(f"what is it {n}?", ("red",)) for n in (4, 5)]
    assert np.array_equal(np.asarray(data.open_image(found[0].image)), np.asarray(picture(4)))
    gc.collect()


def test_without_splits_images_are_held_out_by_content(tmp_path: Path) -> None:
    """Each picture is in two rows that are far apart: never in two splits."""
    numbers = [n % 70 for n in range(140)]
    many = rows(140, picture=[picture(n) for n in numbers])
    many.save_to_disk(str(tmp_path / "rows"))
    data = OwnData(tmp_path / "rows", columns=SAID)
    images = {split: set(data.images(split)) for split in SPLITS}
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 70
    assert all(images.values())
    assert sum(data.counts(split)["questions"] for split in SPLITS) == 140
    many.shuffle(seed=3).flatten_indices().save_to_disk(str(tmp_path / "shuffled"))
    again = OwnData(tmp_path / "shuffled", columns=SAID)
    assert {split: set(again.images(split)) for split in SPLITS} == images


@pytest.mark.parametrize("kind", ["bytes", "struct", "path", "absolute"])
def test_images_are_bytes_objects_of_them_or_paths(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "rows"
    (folder / "images").mkdir(parents=True)
    for number in range(2):
        (folder / "images" / f"{number}.png").write_bytes(png(number))
    cells: dict[str, list[Any]] = {
        "bytes": [png(0), png(1)],
        "struct": [{"bytes": png(0), "path": "0.png"}, {"bytes": png(1), "path": None}],
        "path": ["0.png", "images/1.png"],
        "absolute": [str(folder / "images" / f"{number}.png") for number in range(2)],
    }
    found = datasets.Dataset.from_dict({"image": cells[kind], "captions": ["a cup", "a bus"]})
    datasets.DatasetDict({"train": found, "val": found}).save_to_disk(str(folder))
    with pytest.warns(SaccadeWarning, match=r"2 images are in two splits .*the first in train and val"):
        data = OwnData(folder, columns=("captions=captions",))
    for number, image in enumerate(data.images("train")):
        assert np.array_equal(np.asarray(data.open_image(image)), np.asarray(picture(number)))
    names = {"struct": "0.png", "path": "0.png", "absolute": "images/0.png"}
    assert data.images("train")[0] == names.get(kind, data.images("train")[0])


def test_two_pictures_of_one_name_are_two_images(tmp_path: Path) -> None:
    splits = {"train": [0, 1, 0], "validation": [2], "test": [3]}
    found = {
        split: datasets.Dataset.from_dict(
            {
                "image": [{"bytes": png(number), "path": "1.png"} for number in numbers],
                "captions": [["a cup"]] * len(numbers),
            }
        )
        for split, numbers in splits.items()
    }
    datasets.DatasetDict(found).save_to_disk(str(tmp_path / "rows"))
    data = OwnData(tmp_path / "rows")
    images = [image for split in SPLITS for image in data.images(split)]
    assert images[0] == "1.png"
    assert len(images) == len(set(images)) == 4
    assert all(image.startswith("1~") and image.endswith(".png") for image in images[1:])
    for number, image in enumerate(images):
        assert np.array_equal(np.asarray(data.open_image(image)), np.asarray(picture(number)))
    assert [caption.image for caption in data.records(Caption, "train")] == [images[0], images[1], images[0]]


def test_one_picture_of_two_names_is_one_image(tmp_path: Path) -> None:
    cells = [{"bytes": png(0), "path": "a.png"}, {"bytes": png(0), "path": "b.png"}, {"bytes": png(1), "path": None}]
    found = datasets.Dataset.from_dict({"image": cells, "captions": ["a cup", "a bus", "a car"]})
    other = datasets.Dataset.from_dict({"image": [png(2)], "captions": ["a dog"]})
    datasets.DatasetDict({"train": found, "val": other, "test": other}).save_to_disk(str(tmp_path / "rows"))
    with pytest.warns(SaccadeWarning, match="1 images are in two splits"):
        data = OwnData(tmp_path / "rows")
    assert [(said.image, said.id) for said in data.records(Caption, "train")][:2] == [
        ("a.png", "a.png#0"),
        ("a.png", "a.png#1"),
    ]
    assert len(data.images("train")) == 2


def test_answers_may_be_one_string_a_number_a_class_or_parts_of_objects(tmp_path: Path) -> None:
    label = datasets.ClassLabel(names=["no", "yes"])
    columns = {
        "text": (["red", "blue"], datasets.Value("string"), [("red",), ("blue",)]),
        "number": ([2, 10], datasets.Value("int64"), [("2",), ("10",)]),
        "label": ([1, 0], label, [("yes",), ("no",)]),
        "labels": ([[1, 0], [0]], datasets.List(label), [("yes", "no"), ("no",)]),
        "vqa": (
            [[{"answer": "a", "n": 1}, {"answer": "b", "n": 2}], [{"answer": "c", "n": 1}]],
            datasets.List({"answer": datasets.Value("string"), "n": datasets.Value("int64")}),
            [("a", "b"), ("c",)],
        ),
    }
    values = {"image": [png(0), png(1)], "question": ["what", "who"]} | {n: v for n, (v, _, _) in columns.items()}
    known = {"image": datasets.Value("binary"), "question": datasets.Value("string")}
    known |= {name: feature for name, (_, feature, _) in columns.items()}
    train = datasets.Dataset.from_dict(values, features=datasets.Features(known))
    datasets.DatasetDict({"train": train}).save_to_disk(str(tmp_path / "rows"))
    for name, (_, _, expected) in columns.items():
        column = "vqa.answer" if name == "vqa" else name
        data = OwnData(tmp_path / "rows", columns=(f"answers={column}", "type=label"))
        found = sorted(
            (question.text, question.answers, question.kind)
            for split in SPLITS
            if data.counts(split)["questions"]
            for question in data.records(Question, split)
        )
        kinds = ("yes", "no")
        assert found == sorted(zip(("what", "who"), expected, kinds, strict=True))


def test_a_wrong_row_is_named_and_so_are_columns_that_there_are(tmp_path: Path) -> None:
    root = saved(tmp_path / "rows")
    with pytest.raises(
        DataError, match=r"no column 'image' for image; the columns are picture, asked, said: say --data"
    ):
        OwnData(root)
    with pytest.raises(DataError, match=r"no column 'sayd' for answers; the columns are picture, asked, said"):
        OwnData(root, columns=("image=picture", "question=asked", "answers=sayd"))
    rows(4, asked=["what", "who", "", "?!"]).save_to_disk(str(tmp_path / "wrong"))
    with pytest.raises(DataError, match=r'wrong, split train, row 2: expected "question" to be a string that is not'):
        OwnData(tmp_path / "wrong", columns=SAID)
    heard: list[DataError] = []
    OwnData(tmp_path / "wrong", columns=SAID, refuse=heard.append)
    assert [str(error).partition(": ")[0][-6:] for error in heard] == [" row 2", " row 3"]
    rows(2, picture=["https://example.org/a.png", "b.png"]).save_to_disk(str(tmp_path / "urls"))
    OwnData(tmp_path / "urls", columns=SAID, refuse=heard.append)
    assert "got an address, 'https://example.org/a.png': fetch the images first" in str(heard[2])
    assert "no such image file: 'b.png'; looked for" in str(heard[3])


def test_pairs_of_keys_and_columns_are_checked() -> None:
    assert read_columns(["image=a=b", "captions=c"]) == {"image": "a=b", "captions": "c"}
    wrong = [(["image"], "expected key=column, as in image=picture, got 'image'"), (["image="], "expected key=column")]
    wrong += [(["image=a", "image=b"], "image is said twice, 'a' and 'b'")]
    wrong += [(["captions=a", "question=b"], "expected questions or captions, got captions beside question")]
    for said, message in wrong:
        with pytest.raises(RecipeError, match=message):
            read_columns(said)
    with pytest.raises(UnknownNameError, match="no key for a column named 'anwsers'; did you mean 'answers'"):
        read_columns(["anwsers=x"])
    assert choose_columns({}, ["image", "captions", "question"], "x") == {"image": "image", "captions": "captions"}
    assert to_record({"answers": "a.b", "image": "i"}, {"a": {"b": None}, "i": "x"}) == {"image": "x"}


def test_columns_are_for_rows(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"data.columns is for rows; the lines of train.jsonl have their keys"):
        create_dataset("own", tmp_path, columns=SAID)
    with pytest.raises(DataError, match=r"data\.columns names the columns of own rows; scenes has files of its own"):
        create_dataset("scenes", columns=SAID)


def test_what_cannot_be_loaded_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"no such folder; --data.root names .*hub:OWNER/NAME"):
        OwnData(tmp_path / "nowhere")
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be loaded as a data set \("):
        OwnData(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="expected a data set of the hub as hub:OWNER/NAME"):
        OwnData("hub:name")
    datasets.DatasetDict({"extra": rows(2), "more": rows(2)}).save_to_disk(str(tmp_path / "rows"))
    with pytest.raises(DataError, match="expected a split train, got extra, more"):
        OwnData(tmp_path / "rows", columns=SAID)
    root = saved(tmp_path / "saved")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r'need the package datasets: pip install "saccade-attention\[datasets\]"'):
        OwnData(root, columns=SAID)


def test_a_data_set_of_the_hub(tmp_path: Path, hub: str) -> None:
    """In a process of its own, for the hub's address is read when its client is loaded."""
    script = (
        "from saccade.data.own import OwnData\n"
        "data = OwnData('hub:somebody/things', columns=('image=picture', 'question=asked', 'answers=said'))\n"
        "print([data.counts(split)['questions'] for split in data.splits], data.open_image(data.images('val')[0]).size)"
    )
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[4, 2, 2] (7, 5)\n", done.stderr
