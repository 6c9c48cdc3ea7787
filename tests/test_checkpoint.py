"""The run directory beside training: what is read back, damage to the state to resume from, the log's last line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from saccade import checkpoint
from saccade.checkpoint import load, save_model
from saccade.errors import RunError
from saccade.optim import build_average, build_optimizer
from saccade.recipe import OptimConfig
from saccade.state import Progress, cut_log, load_resume, save_resume


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
    for name in (*checkpoint.ALWAYS, *load(trained_run).task.files(), checkpoint.MODEL):
        shutil.copy(trained_run / name, tmp_path)
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
    with pytest.raises(RunError, match=r"answers\.json: expected a list of answers"):
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
