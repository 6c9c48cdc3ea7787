"""From recipe to data, features and task: damaged images are left out and counted, stores are shared."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from saccade.build import build, build_store, store_path
from saccade.data import create_dataset
from saccade.data.scenes import write_scenes
from saccade.errors import DataError, StoreError
from saccade.progress import SILENT, Report
from saccade.recipe import Recipe
from saccade.recipes import get_recipe

CPU = torch.device("cpu")


class Heard(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "scenes"
    write_scenes(path, images=20)
    return path


def own(folder, store, **features) -> Recipe:
    recipe = get_recipe("r-dan-scenes")
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, name="own", root=str(folder), store=str(store)),
        features=dataclasses.replace(recipe.features, **features),
    )


def test_a_damaged_image_is_left_out_and_counted(folder, tmp_path) -> None:
    line = json.loads((folder / "train.jsonl").read_text().splitlines()[0])
    image = folder / line["image"]
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    try:
        heard = Heard()
        setup = build(own(folder, tmp_path / "store"), heard, CPU)
    finally:
        image.write_bytes(whole)
    asked = sum(
        json.loads(text)["image"] == line["image"] for text in (folder / "train.jsonl").read_text().splitlines()
    )
    assert f"{asked} questions left out, 1 images could not be read" in heard.lines[-1]
    assert all(question.image in setup.store for question in (*setup.train, *setup.val))


def test_counts_are_told_for_both_splits(folder, tmp_path) -> None:
    heard = Heard()
    setup = build(own(folder, tmp_path / "store"), heard, CPU)
    assert heard.lines[0].startswith(f"training: {len(setup.train)} questions, 16 images, ")
    assert heard.lines[1].startswith(f"validation: {len(setup.val)} questions, 2 images, ")


def test_a_store_of_more_images_serves_and_one_of_fewer_does_not(folder, tmp_path) -> None:
    recipe = own(folder, tmp_path / "store")
    fewer = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, limit=1))
    data = create_dataset("own", folder)
    assert len(build_store(fewer, data, SILENT, CPU)) == 3
    with pytest.raises(StoreError, match="it is of 3 images, these are 20"):
        build_store(recipe, data, SILENT, CPU)
    other = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, store=str(tmp_path / "all")))
    assert len(build_store(other, data, SILENT, CPU)) == 20
    again = dataclasses.replace(fewer, data=dataclasses.replace(fewer.data, store=str(tmp_path / "all")))
    assert len(build_store(again, data, SILENT, CPU)) == 20


def test_position_codes_do_not_make_another_store(folder) -> None:
    paths = {store_path(own(folder, "", positions=positions)) for positions in (True, False)}
    assert len(paths) == 1
    assert store_path(own(folder, "", image_size=64)) not in paths


def test_data_that_needs_a_folder_says_so() -> None:
    with pytest.raises(DataError, match=r"data set own needs its folder: say --data\.root DIR"):
        create_dataset("own")
    with pytest.raises(DataError, match="no such folder"):
        create_dataset("daquar", "nowhere")
