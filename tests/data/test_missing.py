"""Images that are not there: named, or left out where that is said, with what is about them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.data.caption_files import write_flickr8k
from tests.data.test_corpora import daquar
from tests.data.vqa_files import write_vqa
from tests.test_build import Heard

from saccade.build import build
from saccade.corpus import limited, open_data
from saccade.data import create_dataset
from saccade.data.records import SPLITS, ChecksImages, Question, images_of
from saccade.data.scenes import write_scenes
from saccade.errors import DataError
from saccade.evaluate import evaluate
from saccade.recipe import DataConfig, Recipe
from saccade.recipes import get_recipe
from saccade.train import train

pytestmark = pytest.mark.filterwarnings("ignore:scenes-cnn knows nothing but generated scenes")
CPU = torch.device("cpu")


def recipe(name: str, root: Path, store: Path, *, missing: Any = "skip", base: str = "r-dan-scenes") -> Recipe:
    found = get_recipe(base).smoke()
    return dataclasses.replace(
        found,
        data=DataConfig(name, str(root), store=str(store), missing=missing),
        train=dataclasses.replace(found.train, accelerator="cpu", finetune_from=None, metric=found.task.task().metric),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_scenes(tmp_path / "own", images=30)
    for number in (0, 5, 24, 27):
        (tmp_path / "own" / "images" / f"{number:05}.png").unlink()
    return tmp_path / "own"


def test_own_data_trains_and_evaluates_without_them(folder: Path, tmp_path: Path) -> None:
    mine = recipe("own", folder, tmp_path / "store")
    with pytest.raises(DataError, match=r"no such image file: 'images/00000.png'; looked for .* --data.missing skip"):
        build(recipe("own", folder, tmp_path / "store", missing="error"), Heard(), CPU)
    heard = Heard()
    setup = build(mine, heard, CPU)
    about = "images are not there, left out with the questions about them"
    assert f"train: 2 of 24 {about}: images/00000.png, images/00005.png" in heard.lines
    assert f"val: 1 of 3 {about}: images/00024.png" in heard.lines
    assert len(images_of(setup.train)) == 22
    assert set(setup.store.ids) == {f"images/{n:05}.png" for n in range(30)} - {
        f"images/{n:05}.png" for n in (0, 5, 24, 27)
    }
    train(mine, tmp_path / "run")
    assert evaluate(tmp_path / "run", accelerator="cpu")["images"] == 2


WRITERS: dict[str, Callable[[Path], object]] = {"flickr8k": write_flickr8k, "daquar": daquar, "vqa2": write_vqa}


@pytest.mark.parametrize("name", WRITERS)
def test_other_corpora_leave_them_out_too(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    root.mkdir()
    WRITERS[name](root)
    data = create_dataset(name, root)
    gone = data.images("train")[0]
    kept = {image: data.open_image(image) for split in data.splits for image in data.images(split) if image != gone}
    [path] = [each for each in root.rglob("*") if each.suffix in (".jpg", ".png") and _is(each, gone)]
    path.unlink()
    assert isinstance(data, ChecksImages)
    assert data.missing_images("train") == [gone]
    with pytest.raises(DataError, match=rf"1 of the \d+ images of split train are not there \({gone}\); looked for .*"):
        data.require_images("train")
    base = "sat-soft-scenes" if name == "flickr8k" else "r-dan-scenes"
    skipping = recipe(name, root, tmp_path / "store", base=base)
    opened = open_data(skipping)
    assert gone not in images_of(limited(opened, "train", skipping))
    setup = build(skipping, heard := Heard(), CPU)
    assert any(f"left out with the {setup.task.noun} about them: {gone}" in line for line in heard.lines)
    assert set(setup.store.ids) == set(kept)


def _is(path: Path, image: str) -> bool:
    return path.stem == Path(image).stem or (image.isdecimal() and path.stem.endswith(f"_{int(image):012d}"))


def test_features_from_files_need_no_images(tmp_path: Path) -> None:
    write_vqa(tmp_path / "vqa")
    for path in (tmp_path / "vqa").rglob("*.jpg"):
        path.unlink()
    imported = recipe("vqa2", tmp_path / "vqa", tmp_path / "store")
    imported = dataclasses.replace(imported, features=get_recipe("ban-vqa2").features)
    assert limited(open_data(imported), "train", imported)


def test_nothing_left_is_an_error(folder: Path, tmp_path: Path) -> None:
    for number in (25, 26):
        (folder / "images" / f"{number:05}.png").unlink()
    with pytest.raises(DataError, match="none of the 3 images of split val is there"):
        build(recipe("own", folder, tmp_path / "store"), Heard(), CPU)


def test_an_image_that_comes_back_is_in_its_split_again(tmp_path: Path) -> None:
    """Held out with the missing ones counted, so that what else is in which split does not change."""
    lines = [{"image": f"{n}.png", "question": "what", "answers": ["red"]} for n in range(60)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for n in range(60):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{n}.png")
    before = {split: list(create_dataset("own", tmp_path).images(split)) for split in SPLITS}
    (tmp_path / f"{before['val'][0][:-4]}.png").unlink()
    data = create_dataset("own", tmp_path, missing="skip")
    assert {split: list(data.images(split)) for split in SPLITS} == before
    assert isinstance(data, ChecksImages)
    assert data.missing_images("val") == before["val"][:1]
    assert data.records(Question, "val")
