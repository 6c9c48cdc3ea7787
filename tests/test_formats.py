"""Run directories of an earlier format load, evaluate and resume.

`runs_of_format_1` holds one of each task as 7b119b8 wrote it, before recipe.json had a format: two smoke recipes after
one of two epochs, `train r-dan-scenes` and `train sat-soft-scenes` with `--smoke --sizes.hidden-size 8 --optim.schedule
constant --train.epochs 1` (captions: `--sizes.embedding-size 8 --sizes.attention-size 8 --train.finetune-from None`);
what `evaluate` then printed; and the log of the same run resumed to two epochs.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from saccade import Predictor, checkpoint
from saccade.errors import RunError
from saccade.evaluate import evaluate
from saccade.train import train

RUNS = Path(__file__).parent / "runs_of_format_1"
KINDS = ("answering", "captioning")


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path, scenes_store: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run of a kind, which finds its features."""
    monkeypatch.setattr("saccade.corpus.store_path", lambda _: Path(scenes_store))
    return Path(shutil.copytree(RUNS / request.param, tmp_path / request.param))


@pytest.mark.parametrize("run", KINDS, indirect=True)
def test_it_evaluates_to_the_numbers_of_then(run: Path) -> None:
    expected = json.loads((RUNS / f"{run.name}.evaluated.json").read_text())
    found = evaluate(run, accelerator="cpu")
    assert found.pop("split") == expected.pop("split") == "test"
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("run", KINDS, indirect=True)
def test_it_is_resumed_to_the_epochs_of_then(run: Path) -> None:
    recipe = checkpoint.read_recipe(run)
    train(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, epochs=2)), run, resume=True)
    logs = [run / checkpoint.LOG, RUNS / f"{run.name}.resumed.jsonl"]
    found, expected = ([json.loads(line) for line in path.read_text().splitlines()] for path in logs)
    assert len(found) == len(expected) == 2
    for ours, theirs in zip(found, expected, strict=True):
        assert {k: ours[k] for k in ("epoch", "step", "loss")} == pytest.approx(
            {k: theirs[k] for k in ("epoch", "step", "loss")}, rel=1e-5
        )


@pytest.mark.parametrize("run", ["captioning"], indirect=True)
def test_it_is_used_on_an_image(run: Path, scene: Path) -> None:
    [reply] = Predictor.from_pretrained(run, device="cpu")(scene)
    assert reply.caption


@pytest.mark.parametrize("run", ["answering"], indirect=True)
def test_a_run_of_a_later_format_is_refused(run: Path) -> None:
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps({"format": 99, **recipe}))
    with pytest.raises(RunError, match="written in format 99, this Saccade reads up to 2: upgrade it"):
        checkpoint.read_recipe(run)
