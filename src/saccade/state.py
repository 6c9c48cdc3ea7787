"""The state to go on from, and the log: what training writes as it goes and reads when it is resumed.

    resume/step-*/   model.safetensors  average.safetensors  optimizer.safetensors  state.json
    log.jsonl        one line per epoch

A state is written under a temporary name and renamed, so a run killed at any moment leaves whole ones only.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from saccade.choice import VAL_LOSS, is_better
from saccade.errors import RunError
from saccade.metrics.units import format_metric
from saccade.recipe import TrainConfig
from saccade.serial import read_json, temporary_name, write_json, write_text
from saccade.tensors import load_tensors, save_tensors

LOG, RESUME = "log.jsonl", "resume"
MODEL, AVERAGE, OPTIMIZER, STATE = "model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json"


@dataclass
class Progress:
    """Where a training run stands: the next batch, what the epoch has summed, and the best epoch so far."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    examples: int = 0
    best: float | None = None
    best_epoch: int = -1
    best_loss: float | None = None
    """The best epoch's validation loss; None in states that were saved before there was one."""

    def keep_better(self, metric: str, record: Mapping[str, Any]) -> bool:
        """Whether the epoch's record is better than the best so far, which it is from now on."""
        before = None if self.best_epoch < 0 else {metric: self.best, VAL_LOSS: self.best_loss}
        if better := is_better(metric, record, before):
            self.best, self.best_loss, self.best_epoch = record.get(metric), record.get(VAL_LOSS), self.epoch
        return better


def save_resume(
    path: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: dict[str, Any],
    average: nn.Module | None = None,
) -> None:
    """Write the state to go on from, then remove the one before.

    No random state is needed beside the recipe's seed and the step: each step's generator is seeded from those two.
    """
    folder = path / RESUME
    target = folder / f"step-{progress.step:09d}"
    temporary = temporary_name(target)
    temporary.mkdir(parents=True)
    state = optimizer.state_dict()
    tensors = {f"{i}.{name}": value for i, entry in state["state"].items() for name, value in entry.items()}
    save_tensors(temporary / MODEL, model.state_dict())
    if average is not None:
        save_tensors(temporary / AVERAGE, average.state_dict())
    save_tensors(temporary / OPTIMIZER, {name: value for name, value in tensors.items() if value is not None})
    write_json(
        temporary / STATE,
        {"progress": asdict(progress), "groups": state["param_groups"], "precision": precision},
    )
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    for other in folder.iterdir():
        if other != target:
            shutil.rmtree(other)


def load_resume(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None = None
) -> tuple[Progress, dict[str, Any]]:
    """Put the newest saved state into model, optimiser and average; returns where the run stood, the precision's state.

    A run that was killed before its first save starts from the beginning.
    """
    saved = sorted((path / RESUME).glob("step-*"))
    if not saved:
        return Progress(), {}
    try:
        record = read_json(saved[-1] / STATE)
        model.load_state_dict(load_tensors(saved[-1] / MODEL)[0])
        if average is not None:
            average.load_state_dict(load_tensors(saved[-1] / AVERAGE)[0])
        tensors, _ = load_tensors(saved[-1] / OPTIMIZER)
    except (RunError, SafetensorError, FileNotFoundError, RuntimeError) as error:
        raise RunError(f"{saved[-1]} is damaged ({error}): delete {path / RESUME} to start the run again") from None
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in record["groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return Progress(**record["progress"]), record["precision"]


def save_progress(path: Path, progress: Progress) -> None:
    """Write where the run stands now that no step was taken since the state was saved."""
    file = path / RESUME / f"step-{progress.step:09d}" / STATE
    write_json(file, read_json(file) | {"progress": asdict(progress)})


def epoch_line(record: Mapping[str, Any], config: TrainConfig, noun: str) -> str:
    """What is told of an epoch while it is trained: its record in the log, in the units of all tables.

    >>> record = {"epoch": 2, "loss": 1.25, "val_loss": 1.5, "cider": 0.4567, "records_per_second": 1234.5}
    >>> epoch_line(record, TrainConfig(epochs=9, metric="cider"), "captions")
    'epoch 2/9: loss 1.250, val loss 1.500, val cider 0.457, 1,234 captions/s'
    """
    told = [f"loss {format_metric('loss', record['loss'])}"]
    validated = {VAL_LOSS: "val loss"}
    validated.setdefault(config.metric, f"val {config.metric}")
    shown = {key: "not finite" if record[key] is None else format_metric(key, record[key]) for key in record}
    told += [f"{name} {shown[key]}" for key, name in validated.items() if key in record]
    told += [] if config.metric in record else ["no validation"]
    return f"epoch {record['epoch']}/{config.epochs}: {', '.join(told)}, {record['records_per_second']:,.0f} {noun}/s"


def append_log(path: Path, record: dict[str, Any]) -> None:
    """Add a line to log.jsonl."""
    with (path / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """What log.jsonl says of each epoch, but for a line that was being written when the run was killed."""
    records = []
    for line in (path / LOG).read_text(encoding="utf-8").splitlines() if (path / LOG).exists() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def cut_log(path: Path, epochs: int) -> None:
    """Drop what log.jsonl says of later epochs: they will be finished again."""
    if (path / LOG).exists():
        kept = [record for record in read_log(path) if record["epoch"] <= epochs]
        write_text(path / LOG, "".join(json.dumps(record) + "\n" for record in kept))


def epochs_logged(path: Path) -> int:
    """How many epochs log.jsonl tells of."""
    return len(read_log(path))
