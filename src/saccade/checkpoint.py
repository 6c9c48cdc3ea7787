"""The run directory: all that is needed to use a model anywhere, resume its training, and notice damage. No pickle.

    recipe.json  features.json                  written once, before training; recipe.json has the format's number
    tokenizer.json  answers.json                so are the files of the task: words, and what else it learnt
    model.safetensors                           the best weights so far, and the hashes of all these files
    metrics.json  log.jsonl  resume/step-*/     results, one line per epoch, the state to go on from

Each file is written under a temporary name and renamed, so a run killed at any moment leaves whole files only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from saccade.build import FeatureFacts, build_model, differing_fields
from saccade.errors import RunError
from saccade.recipe import Recipe, recipe_from_dict, recipe_to_dict
from saccade.serial import from_dict, read_json, to_dict, write_json, write_text
from saccade.tasks import Task

RECIPE, FEATURES = "recipe.json", "features.json"
MODEL, METRICS, LOG, RESUME = "model.safetensors", "metrics.json", "log.jsonl", "resume"
AVERAGE = "average.safetensors"
ALWAYS = (RECIPE, FEATURES)  # beside the files of the task
# What may differ between a run and its resumption without making it another run.
# The number of epochs is not among them under a cosine schedule, which depends on it.
RESUMABLE = ("epochs", "patience", "save_every", "devices", "accelerator", "strategy")


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


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A run directory read back, its model in evaluation mode; `backbone` are weights trained along with it."""

    path: Path
    recipe: Recipe
    task: Task[Any, Any, Any]
    facts: FeatureFacts
    model: nn.Module
    backbone: dict[str, Tensor] | None = None


def check_writable(path: Path) -> None:
    """Raise RunError when no folder can be made at this path: to be asked before the work that would be lost."""
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise RunError(f"{path} cannot be made: {existing} is a file; name another folder with --out")
    if not os.access(existing, os.W_OK):
        raise RunError(f"{path} cannot be made: no permission to write to {existing}; name another folder with --out")


def changes(path: Path, recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """The fields, with both values, that make the recipe of the run at this path another one than this."""
    saved = read_recipe(path)
    free = {f"train.{field}" for field in RESUMABLE}
    free -= {"train.epochs"} if recipe.optim.schedule == "cosine" else set()
    return {name: pair for name, pair in differing_fields(saved, recipe).items() if name not in free}


def prepare(path: Path, recipe: Recipe, *, resume: bool, overwrite: bool) -> None:
    """Make the path ready for a run of the recipe, or for the rest of one.

    Raises RunError when it cannot be written, when it holds a run already and neither `resume` nor `overwrite` is said,
    or when the run to resume is not there or was started with another recipe.
    """
    check_writable(path)
    if not (path / RECIPE).exists():
        # A hidden file may be our own: the first one of a run that was killed while it was written.
        if path.exists() and any(not each.name.startswith(".") for each in path.iterdir()):
            raise RunError(f"{path} holds other files and no run; name an empty folder with --out")
        if resume:
            raise RunError(f"{path} holds no run to resume; leave out --resume to start one")
    elif resume:
        if changed := changes(path, recipe):
            raise RunError(
                f"{path} was started with another recipe, so it cannot be resumed; they differ in "
                + ", ".join(f"{name} ({before!r}, now {now!r})" for name, (before, now) in changed.items())
            )
        if _epochs_logged(path) > 1 and not any((path / RESUME).glob("step-*")):
            raise RunError(f"{path} cannot be resumed, for its folder {RESUME} is gone; --overwrite starts anew")
    elif overwrite:
        shutil.rmtree(path)
    else:
        raise RunError(
            f"{path} holds a run already; go on with --resume, start anew with --overwrite, or name another --out"
        )


def read_recipe(path: Path) -> Recipe:
    """The recipe of the run at this path."""
    return recipe_from_dict(read_json(path / RECIPE), where=RECIPE)


def create(path: Path, recipe: Recipe, task: Task[Any, Any, Any], facts: FeatureFacts) -> None:
    """Make the run directory with all that is known before training."""
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / RECIPE, recipe_to_dict(recipe))
    for name, text in task.files().items():
        write_text(path / name, text)
    write_json(path / FEATURES, to_dict(facts))


def resumed_task(path: Path, recipe: Recipe, found: Task[Any, Any, Any], facts: FeatureFacts) -> Task[Any, Any, Any]:
    """The task of a run that is resumed, which must have learnt the same from its data as is found in them today.

    Raises RunError where words or classes differ, or the regions are made with other weights: labels would be wrong.
    """
    saved = _load_task(path, recipe, list(found.files()))
    for what, kept in saved.content().items():
        now = found.content()[what]
        if list(kept) != list(now):
            gone, new = ([each for each in a if each not in set(b)] for a, b in ((kept, now), (now, kept)))
            raise RunError(
                f"{path} cannot be resumed, for the data changed: {what} were {len(kept):,} and are {len(now):,}"
                f"{_named('gone', gone)}{_named('new', new)}; restore the data, or start anew with --overwrite"
            )
    before = from_dict(FeatureFacts, read_json(path / FEATURES), where=FEATURES)
    if (before.weights_hash, before.region_size) != (facts.weights_hash, facts.region_size):
        raise RunError(
            f"{path} cannot be resumed, for its regions were made with other weights of {before.spec.backbone} than "
            "those at hand: name the right ones, or start anew with --overwrite"
        )
    return saved


def _named(how: str, names: Sequence[str]) -> str:
    return f", {how}: {', '.join(map(repr, names[:5]))}{', ...' if len(names) > 5 else ''}" if names else ""


def load(path: Path) -> LoadedRun:
    """Read a run back; raises RunError when a file is missing, altered, or does not fit the others."""
    if not path.is_dir():
        raise RunError(f"{path}: no such run directory; `saccade train RECIPE --out {path}` makes one")
    if not any((path / name).exists() for name in (MODEL, *ALWAYS)):
        raise RunError(f"{path} is no run directory: expected the files {', '.join((MODEL, *ALWAYS))} in it")
    weights, files = _load_weights(path)  # first, for it tells altered files from wrong ones
    recipe = read_recipe(path)
    facts = from_dict(FeatureFacts, read_json(path / FEATURES), where=FEATURES)
    task = _load_task(path, recipe, files)
    model, backbone = build_model(recipe, task, facts), None
    if recipe.train.finetune_from is not None:
        backbone, weights = _under("backbone.", weights), _under("model.", weights)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"{path / MODEL} does not fit {RECIPE}: {' '.join(str(error).split())[:300]}") from None
    return LoadedRun(path, recipe, task, facts, model.eval(), backbone)


def _load_task(path: Path, recipe: Recipe, names: Sequence[str]) -> Task[Any, Any, Any]:
    """The task from its files in a run directory."""
    try:
        files = {name: (path / name).read_text(encoding="utf-8") for name in names if name not in ALWAYS}
        return recipe.task.task().from_files(files, recipe.task)
    except (FileNotFoundError, KeyError) as error:
        name = Path(error.filename).name if isinstance(error, FileNotFoundError) else error.args[0]
        raise RunError(f"{path / name} is missing: the run directory is incomplete, train it again") from None
    except (RunError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: {error}") from None


def save_model(path: Path, model: nn.Module, task: Task[Any, Any, Any]) -> None:
    """Write the best weights, together with the hashes of the files that give them meaning."""
    weights = _cpu(model.state_dict())
    names = [*ALWAYS, *task.files()]
    hashes = {name: _file_hash(path / name) for name in names} | {"weights": _weights_hash(weights)}
    temporary = path / f".{MODEL}.tmp"
    temporary.write_bytes(save(weights, metadata=hashes))  # unlike save_file, with the permissions of other files
    temporary.replace(path / MODEL)


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
    target, temporary = folder / f"step-{progress.step:09d}", folder / f".step-{progress.step:09d}.tmp"
    for stale in (temporary, target):
        shutil.rmtree(stale, ignore_errors=True)
    temporary.mkdir(parents=True)
    state = optimizer.state_dict()
    tensors = {f"{i}.{name}": value for i, entry in state["state"].items() for name, value in entry.items()}
    save_file(_cpu(model.state_dict()), temporary / MODEL)
    if average is not None:
        save_file(_cpu(average.state_dict()), temporary / AVERAGE)
    save_file(
        _cpu({name: value for name, value in tensors.items() if value is not None}), temporary / "optimizer.safetensors"
    )
    write_json(
        temporary / "state.json",
        {"progress": asdict(progress), "groups": state["param_groups"], "precision": precision},
    )
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
        record = read_json(saved[-1] / "state.json")
        model.load_state_dict(load_file(saved[-1] / MODEL))
        if average is not None:
            average.load_state_dict(load_file(saved[-1] / AVERAGE))
        tensors = load_file(saved[-1] / "optimizer.safetensors")
    except (RunError, SafetensorError, FileNotFoundError, RuntimeError) as error:
        raise RunError(f"{saved[-1]} is damaged ({error}): delete {path / RESUME} to start the run again") from None
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in record["groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return Progress(**record["progress"]), record["precision"]


def append_log(path: Path, record: dict[str, Any]) -> None:
    """Add a line to log.jsonl."""
    with (path / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def cut_log(path: Path, step: int) -> None:
    """Drop what log.jsonl says of later steps: they will be taken again."""
    if not (path / LOG).exists():
        return
    kept = []
    for line in (path / LOG).read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:  # the line that was being written when the run was killed
            break
    write_text(path / LOG, "".join(kept))


def _epochs_logged(path: Path) -> int:
    return (path / LOG).read_text(encoding="utf-8").count("\n") if (path / LOG).exists() else 0


def _load_weights(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The weights, and the names of the files that give them meaning, all as they were when the weights were saved."""
    file = path / MODEL
    if not file.exists():
        raise RunError(f"{file} is missing: training has not finished an epoch; go on with `--resume`")
    try:
        with safe_open(file, framework="pt") as opened:
            hashes = opened.metadata() or {}
        weights = load_file(file)
    except SafetensorError as error:
        raise RunError(f"{file} is damaged ({error}): restore it or train again") from None
    if hashes.pop("weights", None) != _weights_hash(weights):
        raise RunError(f"{file} was altered: its weights are not those that were saved; restore it or train again")
    for name in {**dict.fromkeys(ALWAYS), **hashes}:
        if not (path / name).exists():
            raise RunError(f"{path / name} is missing: the run directory is incomplete; restore it or train again")
        if hashes.get(name) != _file_hash(path / name):
            raise RunError(f"{path / name} was altered since the model was saved; restore it or train again")
    return weights, list(hashes)


def _under(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _weights_hash(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].dtype} {tuple(weights[name].shape)}".encode())
        digest.update(weights[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
