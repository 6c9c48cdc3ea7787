"""The run directory beside training: what is read back, damage to the state to resume from, the log's last line."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from saccade import checkpoint
from saccade.checkpoint import load, save_model
from saccade.errors import DataError, RunError
from saccade.optim import build_average, build_optimizer
from saccade.recipe import OptimConfig, recipe_to_dict
from saccade.serial import temporary_name
from saccade.state import Progress, cut_log, load_resume, save_resume
from saccade.tasks import Task


def test_a_run_is_read_back_ready_to_predict(trained_run) -> None:
    run = load(trained_run)
    assert run.recipe.name == "r-dan-scenes"
    assert not run.model.training
    assert list(run.task.answers) == json.loads((trained_run / "answers.json").read_text())
    assert run.facts.grid == (12, 12)
    assert run.facts.spec == run.recipe.features


def test_a_run_can_be_moved(trained_run, tmp_path) -> None:
    shutil.copytree(trained_run, tmp_path / "elsewhere" / "run")
    ours, theirs = load(trained_run).model.state_dict(), load(tmp_path / "elsewhere" / "run").model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_training_leaves_beside_the_run_is_not_needed(trained_run, tmp_path) -> None:
    copied_companions(trained_run, tmp_path)
    shutil.copy(trained_run / checkpoint.MODEL, tmp_path)
    load(tmp_path)


def test_weights_of_another_recipe_do_not_fit(trained_run, tmp_path) -> None:
    """The hashes agree, as they would in a run put together by a program."""
    shutil.copytree(trained_run, tmp_path / "run")
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    recipe["sizes"]["hidden_size"] = 17
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe))
    save_model(tmp_path / "run", load(trained_run).model, load(trained_run).task)
    with pytest.raises(RunError, match=r"model\.safetensors does not fit recipe\.json: .*size mismatch") as raised:
        load(tmp_path / "run")
    assert "\n" not in str(raised.value)


def test_answers_that_are_no_list_are_refused(trained_run, tmp_path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "run" / "answers.json").write_text('{"red": 1}')
    save_model(tmp_path / "run", load(trained_run).model, load(trained_run).task)
    with pytest.raises(RunError, match=r"answers\.json: expected a list of texts"):
        load(tmp_path / "run")


@pytest.mark.parametrize("name", ["model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["missing", "cut"])
def test_a_damaged_state_to_resume_from_is_named(tmp_path, name, how) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = build_optimizer(OptimConfig(name="adam"), model)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    average = build_average(model, 0.9)
    save_resume(tmp_path, Progress(step=5), model, optimizer, {}, average)
    [saved] = (tmp_path / "resume").iterdir()
    if how == "missing":
        (saved / name).unlink()
    else:
        (saved / name).write_bytes((saved / name).read_bytes()[:20])
    with pytest.raises(RunError, match=r"step-000000005.*") as raised:
        load_resume(tmp_path, model, optimizer, average)
    assert f"delete {tmp_path / 'resume'} to start the run again" in str(raised.value)


def test_only_the_newest_state_is_kept_and_an_unfinished_one_is_ignored(tmp_path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = build_optimizer(OptimConfig(), model)
    for step in (5, 12):
        save_resume(tmp_path, Progress(step=step), model, optimizer, {})
    assert [path.name for path in (tmp_path / "resume").iterdir()] == ["step-000000012"]
    (tmp_path / "resume" / ".step-000000020.tmp").mkdir()
    assert load_resume(tmp_path, model, optimizer)[0].step == 12


def test_a_run_without_a_saved_state_starts_at_the_beginning(tmp_path) -> None:
    model = torch.nn.Linear(3, 2)
    assert load_resume(tmp_path, model, build_optimizer(OptimConfig(), model)) == (Progress(), {})


def test_the_log_loses_later_epochs_and_a_line_half_written(tmp_path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n{"ep')
    cut_log(tmp_path, 2)
    assert log.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
    cut_log(tmp_path / "none", 2)
    assert not (tmp_path / "none").exists()


def test_places_that_cannot_be_made_are_known_beforehand(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    checkpoint.check_writable(tmp_path / "a" / "b" / "c")
    monkeypatch.chdir(tmp_path)
    checkpoint.check_writable(Path("runs/new"))
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="is a file; name another folder with --out"):
            checkpoint.check_writable(path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RunError, match="no permission to write"):
        checkpoint.check_writable(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


class Tied(torch.nn.Module):
    """Words are said by the table that reads them; a part of it has a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(5, 3)
        self.out = torch.nn.Linear(3, 5)
        self.out.weight = self.words.weight
        self.register_buffer("first", self.words.weight.detach()[:2])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(self.words(ids))


def test_tied_weights_are_saved_once_and_resumed_under_each_name(tmp_path) -> None:
    model, other = Tied(), Tied()
    optimizer = build_optimizer(OptimConfig(name="adam"), model)
    model(torch.arange(5)).sum().backward()
    optimizer.step()
    average = build_average(model, 0.9)
    save_resume(tmp_path, Progress(step=5), model, optimizer, {}, average)
    [saved] = (tmp_path / "resume").iterdir()
    assert load_file(saved / "model.safetensors").keys() == {"words.weight", "out.bias", "first"}
    restored, mean = build_optimizer(OptimConfig(name="adam"), other), build_average(other, 0.9)
    load_resume(tmp_path, other, restored, mean)
    assert other.out.weight is other.words.weight
    for ours, theirs in ((model, other), (average, mean)):
        assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert [len(group["params"]) for group in restored.param_groups] == [2]


def copied_companions(run: Path, folder: Path) -> Task:
    """The files that give a model's weights their meaning, in another folder; the run's task."""
    task = load(run).task
    for name in (*checkpoint.ALWAYS, *task.files()):
        shutil.copy(run / name, folder)
    return task


def test_the_best_weights_may_be_tied_and_must_fit_under_each_name(trained_run, tmp_path, monkeypatch) -> None:
    task = copied_companions(trained_run, tmp_path)
    model = Tied()
    save_model(tmp_path, model, task)
    monkeypatch.setattr(checkpoint, "build_model", lambda *_: Tied())
    loaded = load(tmp_path).model.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())
    untied = torch.nn.ModuleDict({"words": torch.nn.Embedding(5, 3), "out": torch.nn.Linear(3, 5)})
    monkeypatch.setattr(checkpoint, "build_model", lambda *_: untied)
    with pytest.raises(RunError, match=r"does not fit recipe\.json.*[Uu]nexpected key.*first"):
        load(tmp_path)


@pytest.mark.parametrize("tied", ['{"out.weight": "first"}', '{"out.weight": "nothing"}', "[", "[]"])
def test_altered_ties_are_noticed(trained_run, tmp_path, monkeypatch, tied) -> None:
    save_model(tmp_path, Tied(), copied_companions(trained_run, tmp_path))
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors, tmp_path / "model.safetensors", metadata=metadata | {"tied": tied})
    with pytest.raises(RunError, match=r"altered|damaged"):
        load(tmp_path)


def prepared(path: Path, run: Path, **flags: bool) -> AbstractContextManager[None]:
    """The path made ready for the recipe of a run that was trained."""
    recipe = checkpoint.read_recipe(run)
    return checkpoint.prepared(path, recipe, **{"resume": False, "overwrite": False} | flags)


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks on Windows")
@pytest.mark.parametrize("flags", [{"resume": True}, {"overwrite": True}])
def test_a_folder_in_which_another_trains_is_refused_and_stays_as_it_is(trained_run, tmp_path, flags) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    with prepared(tmp_path / "run", trained_run, resume=True):
        with pytest.raises(
            RunError, match=r"another process is training in .*run: wait for it to end, or name another"
        ):
            prepared(tmp_path / "run", trained_run, **flags).__enter__()
        assert sorted(tmp_path.rglob("*")) == before
    with prepared(tmp_path / "run", trained_run, **flags):
        pass


def test_overwriting_keeps_the_folder_locked_and_takes_only_a_run_away(trained_run, tmp_path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    with prepared(tmp_path / "run", trained_run, overwrite=True):
        assert list((tmp_path / "run").iterdir()) == []
        if sys.platform != "win32":
            with pytest.raises(RunError, match="another process"):
                prepared(tmp_path / "run", trained_run).__enter__()
    (tmp_path / "mine" / ".git").mkdir(parents=True)
    with prepared(tmp_path / "mine", trained_run, overwrite=True):
        assert (tmp_path / "mine" / ".git").exists()


def test_what_a_killed_process_left_is_removed_and_an_empty_folder_not_left(trained_run, tmp_path) -> None:
    shutil.copytree(trained_run, run := tmp_path / "run")
    temporary_name(run / "recipe.json").write_text("{")
    temporary_name(run / "resume" / "step-000000099").mkdir()
    with prepared(run, trained_run, resume=True):
        assert list(run.rglob(".*")) == []
    (tmp_path / "runs").mkdir()
    with pytest.raises(DataError), prepared(tmp_path / "runs" / "a" / "new", trained_run):
        raise DataError("nothing to train on")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_goes_on_where_its_files_moved_to_but_not_on_others(trained_run, tmp_path) -> None:
    saved, task = checkpoint.read_recipe(trained_run), load(trained_run).task
    own = replace(
        saved, data=replace(saved.data, root="old", store="old"), features=replace(saved.features, weights="old.pth")
    )
    (tmp_path / "recipe.json").write_text(json.dumps(recipe_to_dict(own)))
    moved = replace(
        own, data=replace(own.data, root="new", store=""), features=replace(own.features, weights="new.pth")
    )
    assert checkpoint.changes(tmp_path, moved, moved=True) == {}
    assert checkpoint.changes(tmp_path, moved).keys() == {"data.root", "data.store", "features.weights"}
    for weights in ("random", "pretrained"):
        other = replace(own, features=replace(own.features, weights=weights))
        assert checkpoint.changes(tmp_path, other, moved=True) == {"features.weights": ("old.pth", weights)}
    facts = load(trained_run).facts
    elsewhere = replace(facts, spec=replace(facts.spec, weights="new.pth"))
    assert checkpoint.resumed_task(trained_run, saved, task, elsewhere).content() == task.content()
    for other in (replace(facts, weights_hash="0"), replace(facts, grid=None), replace(facts, region_size=7)):
        with pytest.raises(RunError, match=r"was started on other features, so it cannot be resumed: .*now"):
            checkpoint.resumed_task(trained_run, saved, task, other)
