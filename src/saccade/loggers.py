"""Where else the log of a training goes: TensorBoard, a CSV file, or a service, by Lightning's loggers and their names.

log.jsonl is always written; what stands here comes besides.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent
from typing import Any

from lightning_fabric.loggers.csv_logs import CSVLogger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from saccade.errors import RecipeError, look_up
from saccade.recipe import Recipe, recipe_to_dict
from saccade.serial import read_json, write_json
from saccade.state import read_log

AUTO, NONE = "auto", "none"
LOGGER_IDS = "logger.json"  # under which id the service of that name knows the run
PROJECT = "saccade"
LIGHTNING = ("pytorch_lightning", "lightning.pytorch")

Log = Callable[[Mapping[str, Any], int], None]


@dataclass(frozen=True)
class _Kind:
    """How a logger is made and ended, and what it needs."""

    make: Callable[[Path, Recipe, str | None, int], Any]
    """From the run's folder and recipe, the id that an earlier part of the run was logged under, and its steps."""
    needs: tuple[str, ...] = ()
    """Modules that must be installed."""
    install: str = ""
    """What installs them."""
    id: Callable[[Any], str] | None = None
    """The id of its run, where one is needed to go on."""
    end: Callable[[Any, str], None] = lambda logger, status: logger.finalize(status)


def _tensorboard(out: Path, recipe: Recipe, known: str | None, steps: int) -> Any:  # noqa: ARG001
    """Events that a run which was killed logged beyond the step it goes on from are no longer shown.

    The recipe is a text: hyperparameters are shown only beside a last metric, which is not known yet.
    """
    logger = TensorBoardLogger(out, "tensorboard", "", default_hp_metric=False, purge_step=steps + 1 if steps else None)
    logger.experiment.add_text("recipe", indent(json.dumps(recipe_to_dict(recipe), indent=2), "    "), steps)
    return logger


def _csv(out: Path, recipe: Recipe, known: str | None, steps: int) -> Any:  # noqa: ARG001
    """The file is written anew: Lightning's logger does not go on with one."""
    shutil.rmtree(out / "csv", ignore_errors=True)
    logger = CSVLogger(out, "csv", "", flush_logs_every_n_steps=1)
    for record in read_log(out):
        logger.log_metrics(_numbers(record), record["step"])
    return logger


def _wandb(out: Path, recipe: Recipe, known: str | None, steps: int) -> Any:  # noqa: ARG001
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    return _of_lightning("WandbLogger")(name=out.name, save_dir=out, project=project, id=known, resume="allow")


def _mlflow(out: Path, recipe: Recipe, known: str | None, steps: int) -> Any:  # noqa: ARG001
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{out / 'mlflow.db'}"
    return _of_lightning("MLFlowLogger")(experiment, out.name, tracking_uri=where, run_id=known)


def _comet(out: Path, recipe: Recipe, known: str | None, steps: int) -> Any:  # noqa: ARG001
    project = os.environ.get("COMET_PROJECT_NAME", PROJECT)
    return _of_lightning("CometLogger")(
        project=project, name=out.name, experiment_key=known, offline_directory=str(out / "comet")
    )


def _of_lightning(name: str) -> Any:
    package = next(package for package in LIGHTNING if _is_there(package))
    return getattr(importlib.import_module(f"{package}.loggers"), name)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package in which it would be
        return False


LOGGERS: Mapping[str, _Kind] = {
    "tensorboard": _Kind(_tensorboard, ("tensorboard",), "log"),
    "csv": _Kind(_csv),
    "wandb": _Kind(
        _wandb, ("wandb",), "wandb", lambda logger: str(logger.experiment.id), lambda logger, status:
        logger.experiment.finish(exit_code=int(status != "success")),
    ),
    "mlflow": _Kind(_mlflow, ("mlflow",), "mlflow", lambda logger: str(logger.run_id)),
    "comet": _Kind(
        _comet, ("comet_ml",), "comet", lambda logger: str(logger.experiment.get_key()), lambda logger, _:
        logger.experiment.end(),
    ),
}  # fmt: skip


def check_logger(name: str) -> None:
    """Raise RecipeError for a logger that there is not, or that is not installed."""
    if name in (AUTO, NONE):
        return
    kind = look_up({**LOGGERS, **dict.fromkeys((AUTO, NONE), LOGGERS["csv"])}, name, "train.logger")
    missing = [module for module in kind.needs if not _is_there(module)]
    if kind.id is not None and not any(map(_is_there, LIGHTNING)):
        missing.append(LIGHTNING[0])
    if missing:
        raise RecipeError(
            f"train.logger: {name} needs {' and '.join(missing)}, not installed here: pip install "
            f'"saccade-attention[{kind.install}]"'
        )


@contextmanager
def logged(name: str, out: Path, recipe: Recipe, steps: int) -> Iterator[Log]:
    """A function that logs an epoch's record at its step, in the run of the same logger that was begun earlier if any.

    `auto` is TensorBoard where that is installed. `steps` are those taken before.
    """
    if name == AUTO:
        name = "tensorboard" if _is_there("tensorboard") else NONE
    if name == NONE:
        yield lambda _record, _step: None
        return
    kind, ids = LOGGERS[name], read_json(out / LOGGER_IDS) if (out / LOGGER_IDS).exists() else {}
    try:
        logger = kind.make(out, recipe, ids.get(name), steps)
        found = None if kind.id is None else kind.id(logger)
    except Exception as error:  # the service's client raises what it likes: no key, no connection
        raise RecipeError(f"train.logger: {name} could not be started: {error}") from error
    if found is not None:
        write_json(out / LOGGER_IDS, {**ids, name: found})
    status = "failed"
    try:
        if kind.id is not None:  # files of this run's folder have it beside them
            logger.log_hyperparams(recipe_to_dict(recipe))
        yield lambda record, step: logger.log_metrics(_numbers(record), step)
        status = "success"
    finally:
        kind.end(logger, status)


def _numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if isinstance(value, int | float)}
