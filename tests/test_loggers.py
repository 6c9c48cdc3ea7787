"""Where the log goes besides: Lightning's loggers by name, which go on with the run they began."""

from __future__ import annotations

import csv
import json
import sys
from types import ModuleType
from typing import Any

import pytest
from tests.runs import LINEAR, log, small

from saccade.errors import RecipeError, UnknownNameError
from saccade.loggers import check_logger
from saccade.train import train


def test_csv_has_a_line_an_epoch_also_of_those_before_a_run_was_resumed(scenes_store, tmp_path) -> None:
    train(small(scenes_store, epochs=2, optim=LINEAR, logger="csv"), tmp_path / "run")
    train(small(scenes_store, epochs=3, optim=LINEAR, logger="csv"), tmp_path / "run", resume=True)
    with (tmp_path / "run" / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    logged = log(tmp_path / "run")
    assert [int(row["step"]) for row in rows] == [record["step"] for record in logged]
    for name in ("loss", "val_loss", "accuracy", "lr"):
        assert [float(row[name]) for row in rows] == [record[name] for record in logged]
    assert not (tmp_path / "run" / "tensorboard").exists()


@pytest.mark.parametrize("logger", ["auto", "tensorboard"])
def test_tensorboard_has_every_number_of_the_log_and_the_recipe(scenes_store, tmp_path, logger) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(small(scenes_store, epochs=1, optim=LINEAR, logger=logger), tmp_path / "run")
    train(small(scenes_store, epochs=2, optim=LINEAR, logger=logger), tmp_path / "run", resume=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = log(tmp_path / "run")
    for name in logged[0]:
        found = {event.step: event.value for event in events.Scalars(name)}
        assert found == pytest.approx({record["step"]: record[name] for record in logged}, rel=1e-5)
    [text, *_] = events.Tensors("recipe/text_summary")
    assert b"r-dan-scenes" in text.tensor_proto.string_val[0]


def test_none_writes_nothing_besides(scenes_store, tmp_path) -> None:
    train(small(scenes_store, epochs=1, optim=LINEAR, logger="none"), tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir() if path.is_dir()} == {"resume"}


class Service:
    """A client of a service: keeps what is logged, under ids that it gives."""

    runs: dict[str, dict[str, Any]] = {}  # noqa: RUF012

    def __init__(self, *, id: str | None, resume: str, save_dir: Any, name: str, project: str) -> None:
        assert resume == "allow"
        self.id = id or f"id-{len(self.runs)}"
        self.run = self.runs.setdefault(self.id, {"name": name, "project": project, "steps": [], "ended": []})
        self.experiment = self

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self.run["recipe"] = params["name"]

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        assert all(isinstance(value, int | float) for value in metrics.values())
        self.run["steps"].append(step)

    def finish(self, exit_code: int) -> None:
        self.run["ended"].append(exit_code)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> type[Service]:
    """wandb and Lightning as if they were installed, the service in place of the logger."""
    Service.runs = {}
    loggers = ModuleType("pytorch_lightning.loggers")
    loggers.WandbLogger = Service  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytorch_lightning", ModuleType("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, "pytorch_lightning.loggers", loggers)
    monkeypatch.setattr("saccade.loggers._is_there", lambda module: module != "lightning.pytorch")
    return Service


def test_a_service_goes_on_with_the_run_that_it_knows(scenes_store, tmp_path, service, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "cats")
    train(small(scenes_store, epochs=1, optim=LINEAR, logger="wandb"), tmp_path / "run")
    train(small(scenes_store, epochs=2, optim=LINEAR, logger="wandb"), tmp_path / "run", resume=True)
    steps = [record["step"] for record in log(tmp_path / "run")]
    expected = {"name": "run", "project": "cats", "steps": steps, "ended": [0, 0], "recipe": "r-dan-scenes"}
    assert service.runs == {"id-0": expected}
    assert json.loads((tmp_path / "run" / "logger.json").read_text()) == {"wandb": "id-0"}


def test_a_service_is_told_of_a_failure(scenes_store, tmp_path, service, monkeypatch) -> None:
    monkeypatch.setattr("saccade.train._Loop._epoch", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(small(scenes_store, epochs=1, optim=LINEAR, logger="wandb"), tmp_path / "run")
    assert service.runs["id-0"]["ended"] == [1]
    assert not (tmp_path / "run").exists()


def test_a_service_that_refuses_is_named(scenes_store, tmp_path, service, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no API key")

    monkeypatch.setattr(service, "__init__", refuse)
    with pytest.raises(RecipeError, match=r"train\.logger: wandb could not be started: no API key"):
        train(small(scenes_store, epochs=1, optim=LINEAR, logger="wandb"), tmp_path / "run")


def test_loggers_that_are_not_there_are_refused(monkeypatch) -> None:
    with pytest.raises(
        UnknownNameError, match=r"named 'wandbb'; did you mean 'wandb'\? Known: auto, comet, csv, mlflow"
    ):
        check_logger("wandbb")
    monkeypatch.setattr("saccade.loggers._is_there", lambda module: module == "wandb")
    with pytest.raises(RecipeError, match=r'wandb needs pytorch_lightning.*pip install "saccade-attention\[wandb\]"'):
        check_logger("wandb")
    with pytest.raises(RecipeError, match=r'tensorboard needs tensorboard.*pip install "saccade-attention\[log\]"'):
        check_logger("tensorboard")
    check_logger("csv")
    check_logger("auto")
