"""The state to go on from, and the log: what training writes as it goes and reads when it is resumed.

    resume/step-*/   model.safetensors  average.safetensors  optimizer.safetensors  state.json
    log.jsonl        one line per epoch

A state is written under a temporary name and renamed, so a run killed at any moment leaves whole ones only.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from saccade.errors import RunError
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


def append_log(path: Path, record: dict[str, Any]) -> None:
    """Add a line to log.jsonl."""
    with (path / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def cut_log(path: Path, epochs: int) -> None:
    """Drop what log.jsonl says of later epochs: they will be finished again."""
    if not (path / LOG).exists():
        return
    kept = []
    for line in (path / LOG).read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["epoch"] <= epochs:
                kept.append(line + "\n")
        except json.JSONDecodeError:  # the line that was being written when the run was killed
            break
    write_text(path / LOG, "".join(kept))


def epochs_logged(path: Path) -> int:
    """How many lines log.jsonl has."""
    return (path / LOG).read_text(encoding="utf-8").count("\n") if (path / LOG).exists() else 0
