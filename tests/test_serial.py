"""Dataclasses to JSON and back, with the errors of a hand-edited file."""

from __future__ import annotations

import json

import pytest

from saccade.errors import RecipeError, RunError, UnknownNameError
from saccade.recipe import Recipe
from saccade.recipes import RECIPES
from saccade.serial import from_dict, read_json, to_dict, write_json


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str) -> None:
    assert from_dict(Recipe, json.loads(json.dumps(to_dict(RECIPES[name])))) == RECIPES[name]


def changed(path: str, value: object) -> dict:
    data = to_dict(RECIPES["r-dan-scenes"])
    *folders, last = path.split(".")
    inner = data
    for folder in folders:
        inner = inner[folder]
    inner[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("optim.lrr", 1.0, r"no field of recipe\.json\.optim named 'lrr'; did you mean 'lr'\?"),
        ("optim.lr", "fast", r"recipe\.json\.optim\.lr: expected float, got 'fast'"),
        ("optim.name", "lion", r"expected 'sgd' or 'adam' or 'adamax' or 'rmsprop' or 'graves', got 'lion'"),
        ("train.group_by_image", 1, "expected bool, got 1"),
        ("train.epochs", True, "expected int, got True"),
        ("optim.betas", [0.9], "expected"),
        ("train.epochs", 0, r"train\.epochs: expected a number above 0, got 0"),
    ],
)
def test_a_wrong_field_is_named(path: str, value: object, message: str) -> None:
    with pytest.raises((RecipeError, UnknownNameError), match=message):
        from_dict(Recipe, changed(path, value), where="recipe.json")


def test_a_missing_required_field_is_named() -> None:
    data = to_dict(RECIPES["r-dan-scenes"])
    del data["model"]
    with pytest.raises(RecipeError, match="model"):
        from_dict(Recipe, data)


def test_files_are_written_whole_and_read_back(tmp_path) -> None:
    write_json(tmp_path / "a.json", {"é": 1})
    assert read_json(tmp_path / "a.json") == {"é": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(RunError, match="not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(RunError, match="is missing"):
        read_json(tmp_path / "b.json")
