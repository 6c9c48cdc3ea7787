"""Which epoch is kept: the best metric, of equals the lowest validation loss, the loss alone while there is none."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from tests.runs import LINEAR, log, small

from saccade.choice import is_better
from saccade.compare import _last_and_best
from saccade.errors import RunError
from saccade.recipe import OptimConfig, Recipe, TrainConfig
from saccade.recipes import RECIPES, get_recipe
from saccade.state import Progress
from saccade.tasks.captioning.task import CaptioningTask
from saccade.train import train


def record(score: float, loss: float | None) -> dict:
    return {"cider": score, "val_loss": loss}


@pytest.mark.parametrize(
    ("new", "best", "better"),
    [
        (record(0.3, 2.0), record(0.2, 1.0), True),  # the metric comes first
        (record(0.2, 0.5), record(0.3, 1.0), False),
        (record(0.2, 0.5), record(0.2, 1.0), True),  # of equals the lower loss
        (record(0.2, 1.0), record(0.2, 1.0), False),  # of wholly equals the first
        (record(2e-9, 3.0), record(1e-9, 2.0), False),  # below a ten-thousandth the metric says nothing
        (record(1e-9, 2.0), record(2e-9, 3.0), True),
        (record(math.nan, 1.0), record(0.0, 2.0), True),
        (record(0.2, math.nan), record(0.2, 9.0), False),
        (record(0.2, None), record(0.2, 9.0), False),
        (record(0.1, None), record(0.1, None), False),  # as logs had it before there was a loss
        ({"cider": 0.3}, {"cider": 0.2}, True),
        ({"loss": 1.0}, {"loss": 0.5}, True),  # nothing to validate on: the last epoch
        (record(0.0, 1.0), None, True),
    ],
)
def test_the_better_epoch(new: dict, best: dict | None, better: bool) -> None:
    assert is_better("cider", new, best) is better


def test_the_loss_alone_chooses_where_it_is_the_metric() -> None:
    assert is_better("val_loss", record(0.1, 1.0), record(0.9, 2.0))
    assert not is_better("val_loss", record(0.9, 2.0), record(0.1, 1.0))


def test_patience_counts_epochs_since_the_better_one() -> None:
    config = TrainConfig(metric="cider", patience=2, epochs=99)
    losses = [5.0, 4.0, 3.0, 3.5, 3.2, 2.0]
    assert _last_and_best([record(0.0, loss) for loss in losses], config) == (5, 3)
    assert _last_and_best([record(0.1, loss) for loss in losses], config) == (5, 3)
    assert _last_and_best([record(0.1 - i / 100, loss) for i, loss in enumerate(losses)], config) == (3, 1)
    assert _last_and_best([{"cider": 0.1}] * 6, config) == (3, 1)


def test_the_state_keeps_what_the_choice_rests_on() -> None:
    progress = Progress()
    for progress.epoch, (score, loss, better) in enumerate([(0.0, 3.0, True), (0.0, 2.0, True), (0.0, 2.5, False)]):
        assert progress.keep_better("cider", record(score, loss)) is better
    assert (progress.best, progress.best_loss, progress.best_epoch) == (0.0, 2.0, 1)
    again = Progress(**json.loads(json.dumps(dataclasses.asdict(progress))))
    assert not again.keep_better("cider", record(0.0, 2.1))
    assert again.keep_better("cider", record(0.0, 1.9))


def test_captions_are_chosen_by_cider_those_of_scenes_by_their_truth() -> None:
    metrics = {(r.data.name, r.train.metric) for r in RECIPES.values() if r.task.kind == "captioning"}
    assert {metric for name, metric in metrics if name != "scenes"} == {"cider"} == {CaptioningTask.metric}
    assert {metric for name, metric in metrics if name == "scenes"} == {"truth"}


def captions(store: str, epochs: int, metric: str = "bleu_4") -> Recipe:
    """A captioner that writes one word for every picture, so that BLEU-4 is 1e-9 or less."""
    recipe = get_recipe("nic-scenes").smoke()
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=store),
        task=dataclasses.replace(recipe.task, beam=1),
        optim=OptimConfig(name="sgd", lr=0.3, clip=1.0),
        train=dataclasses.replace(
            recipe.train, epochs=epochs, metric=metric, average=0.0, finetune_from=None, accelerator="cpu"
        ),
        sizes={"hidden_size": 16, "embedding_size": 12, "dropout": 0.0},
    )


def test_bleu_4_of_next_to_nothing_does_not_keep_the_first_epoch(scenes_store, tmp_path) -> None:
    kept = train(captions(scenes_store, 4), tmp_path / "run")
    records = log(tmp_path / "run")
    assert all(0 <= each["bleu_4"] < 1e-4 for each in records)
    losses = [each["val_loss"] for each in records]
    assert losses == sorted(losses, reverse=True)
    assert kept["epoch"] == 4
    assert kept["val_loss"] == losses[-1]


def test_a_run_that_is_cut_and_resumed_keeps_the_same_epoch(scenes_store, tmp_path) -> None:
    for name, parts in {"whole": [4], "cut": [1, 3, 4]}.items():
        for i, epochs in enumerate(parts):
            train(captions(scenes_store, epochs), tmp_path / name, resume=i > 0)
    whole, cut = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "cut"))
    assert whole == cut
    states = [next((tmp_path / name).glob("resume/*/state.json")).read_text() for name in ("whole", "cut")]
    assert json.loads(states[0])["progress"] == json.loads(states[1])["progress"]
    assert json.loads(states[0])["progress"]["best_loss"] == whole["val_loss"]


def test_a_state_that_was_saved_before_there_was_a_loss_is_gone_on_from(scenes_store, tmp_path) -> None:
    train(small(scenes_store, epochs=1, optim=LINEAR), tmp_path / "run")
    [file] = (tmp_path / "run").glob("resume/*/state.json")
    state = json.loads(file.read_text())
    del state["progress"]["best_loss"]
    state["progress"]["best"] = 1.0
    file.write_text(json.dumps(state))
    train(small(scenes_store, epochs=2, optim=LINEAR), tmp_path / "run", resume=True)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["epoch"] == 1


def test_an_error_before_the_first_save_leaves_nothing_in_the_way(scenes_store, tmp_path, monkeypatch) -> None:
    recipe = small(scenes_store, epochs=1, optim=LINEAR)
    out = tmp_path / "runs" / "run"

    def fail(*_: object, **__: object) -> None:
        raise RunError("out of memory")

    for broken in ("saccade.train._Loop._epoch", "saccade.train.load_resume", "saccade.train._Loop._save"):
        with monkeypatch.context() as patch:
            patch.setattr(broken, fail)
            with pytest.raises(RunError, match="out of memory"):
                train(recipe, out)
        assert not out.parent.exists(), broken
    train(recipe, out)
    with monkeypatch.context() as patch:  # what is trained is kept
        patch.setattr("saccade.train.load_resume", fail)
        with pytest.raises(RunError, match="out of memory"):
            train(recipe, out, resume=True)
    assert (out / "model.safetensors").exists()


def test_what_lay_hidden_in_the_folder_stays(scenes_store, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".keep").touch()
    monkeypatch.setattr("saccade.train._Loop._epoch", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(small(scenes_store, epochs=1, optim=LINEAR), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".keep"]
