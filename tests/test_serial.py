"""Dataclasses to JSON and back, with the errors of a hand-edited file."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from saccade.errors import RecipeError, RunError, StoreError, UnknownNameError
from saccade.recipe import recipe_from_dict, recipe_to_dict
from saccade.recipes import RECIPES
from saccade.serial import locked, read_json, temporary_name, write_json, write_text


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str) -> None:
    assert recipe_from_dict(json.loads(json.dumps(recipe_to_dict(RECIPES[name])))) == RECIPES[name]


def changed(path: str, value: object) -> dict:
    data = recipe_to_dict(RECIPES["r-dan-scenes"])
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
        ("optim.name", "lion", r"expected 'sgd' or 'adam' or 'adamw' or 'adamax' or 'rmsprop' or 'graves', got 'lion'"),
        ("train.group_by_image", 1, "expected bool, got 1"),
        ("train.epochs", True, "expected int, got True"),
        ("optim.betas", [0.9], "expected"),
        ("task.answers", 0, r"task\.answers: expected a whole number above 0, got 0"),
        ("task.kind", "guessing", r"no task named 'guessing'.* Known: answering, captioning, grounding, matching"),
        ("task.beam", 3, r"no field of recipe\.json\.task named 'beam'"),
        ("train.epochs", 0, r"train\.epochs: expected a whole number above 0, got 0"),
    ],
)
def test_a_wrong_field_is_named(path: str, value: object, message: str) -> None:
    with pytest.raises((RecipeError, UnknownNameError), match=message):
        recipe_from_dict(changed(path, value))


def test_a_missing_required_field_is_named() -> None:
    data = recipe_to_dict(RECIPES["r-dan-scenes"])
    del data["model"]
    with pytest.raises(RecipeError, match="model"):
        recipe_from_dict(data)


def test_files_are_written_whole_and_read_back(tmp_path) -> None:
    write_json(tmp_path / "a.json", {"é": 1})
    assert read_json(tmp_path / "a.json") == {"é": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(RunError, match="not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(RunError, match="is missing"):
        read_json(tmp_path / "b.json")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_threads_that_write_one_file_leave_one_whole_text(tmp_path) -> None:
    texts = [str(number) * 10_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "a.txt", text), texts * 5))
    assert (tmp_path / "a.txt").read_text() in texts
    assert names(tmp_path) == ["a.txt"]


def test_a_text_that_cannot_be_written_leaves_nothing(tmp_path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "half an emoji: \ud83d")
    assert names(tmp_path) == []


HOLDER = """
import sys
from pathlib import Path
from saccade.errors import StoreError
from saccade.serial import locked
with locked(Path(sys.argv[1]), StoreError("busy")):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks on Windows")
def test_one_process_at_a_time_holds_a_folder(tmp_path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="wait for it"), locked(tmp_path, StoreError("wait for it")):
            pytest.fail("held twice")
        other.kill()
    with locked(tmp_path, StoreError("the lock outlived its process")):
        pass


def test_whoever_locks_a_folder_removes_what_killed_processes_left(tmp_path) -> None:
    temporary_name(tmp_path / "a.json").write_text("{")
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / ".step-1.tmp").mkdir()
    with locked(tmp_path, StoreError("busy")):
        assert names(tmp_path) == [".step-1.tmp", "a.json"]
