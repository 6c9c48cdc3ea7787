"""A run is resumed on the data that it was started on: other words and other classes are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from saccade.data.scenes import write_scenes
from saccade.errors import RunError
from saccade.recipe import Recipe
from saccade.recipes import get_recipe
from saccade.train import train


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_scenes(tmp_path / "data", images=12)
    return tmp_path / "data"


def recipe(folder: Path) -> Recipe:
    small = get_recipe("ibowimg-scenes").smoke()
    places = {"name": "own", "root": str(folder), "store": str(folder.parent / "store")}
    return dataclasses.replace(
        small,
        data=dataclasses.replace(small.data, **places),
        train=dataclasses.replace(small.train, epochs=1, accelerator="cpu"),
        optim=dataclasses.replace(small.optim, schedule="constant"),
    )


def longer(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, epochs=2))


def rewrite(folder: Path, change) -> None:
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    (folder / "train.jsonl").write_text("\n".join(json.dumps(change(line)) for line in lines))


@pytest.mark.parametrize(
    ("key", "message"),
    [("question", r"words were \d+ and are 1, .*new: 'please'"), ("answers", "answers were .*, new: 'perhaps'")],
)
def test_other_words_or_answers_are_refused_and_nothing_is_lost(folder, tmp_path, key, message) -> None:
    run = tmp_path / "run"
    train(recipe(folder), run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    kept = (folder / "train.jsonl").read_text()
    rewrite(folder, lambda line: line | ({"question": "please"} if key == "question" else {"answers": ["perhaps"]}))
    with pytest.raises(RunError, match=f"cannot be resumed, for the data changed: {message}.*--overwrite"):
        train(longer(recipe(folder)), run, resume=True)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (folder / "train.jsonl").write_text(kept)
    assert train(longer(recipe(folder)), run, resume=True)["epoch"] in (1, 2)
