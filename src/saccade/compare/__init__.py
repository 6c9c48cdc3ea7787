"""Several recipes with several seeds each on the same data: trained or reused, evaluated, put into one table.

    <entry>/seed-<n>/                                a run directory for each entry and seed
    comparison.md  comparison.csv  comparison.json   the table so far, written anew after each run

Killed at any moment and started again with the same arguments, it goes on and comes to the same table.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from saccade import checkpoint
from saccade.build import check_model, differing_fields
from saccade.choice import VAL_LOSS, is_better
from saccade.compare.table import CSV, JSON, MARKDOWN, Comparison, Difference, Result, Row
from saccade.corpus import limited, open_data
from saccade.data.records import SPLITS
from saccade.devices import torchrun_processes
from saccade.errors import DataError, RecipeError, RunError, UnknownNameError
from saccade.evaluate import evaluate
from saccade.loggers import check_logger
from saccade.progress import SILENT, Report
from saccade.provenance import place_of
from saccade.recipe import DataConfig, Recipe, TrainConfig
from saccade.serial import read_json
from saccade.state import read_log
from saccade.train import train

# The fields that must be alike for numbers to be comparable.
ALIKE = ("data.", "features.", "task.kind")
# Strategies that hand a function to their processes; the others start the whole program anew in each.
STRATEGIES = ("ddp_spawn", "ddp_fork")
# A folder is named after so much of its entry's label.
NAME_LENGTH = 60


@dataclass(frozen=True)
class Entry:
    """A recipe to compare, and what the tables call it."""

    label: str
    recipe: Recipe


@dataclass(frozen=True)
class _Run:
    """An entry with one of its seeds, and the folder for that."""

    label: str
    recipe: Recipe
    folder: Path
    finished: bool


@dataclass(frozen=True)
class _Ground:
    """What a run's numbers rest on beside its recipe, as it was when they were made."""

    folder: Path
    weights_hash: str
    records: int
    images: int

    def check(self, first: _Ground) -> None:
        """Refuse to put two runs into one table when the files that both their recipes name changed in between."""
        for field in dataclasses.fields(self)[1:]:
            before, now = getattr(first, field.name), getattr(self, field.name)
            if before != now:
                raise RunError(
                    f"{first.folder} and {self.folder} cannot be compared, for data or backbone changed between "
                    f"them: {field.name} {before}, {now}; delete the older one to make it again"
                )


def compare(
    entries: Sequence[Entry],
    out: Path,
    *,
    seeds: int = 3,
    split: str = "test",
    root: str | None = None,
    report: Report = SILENT,
) -> Comparison:
    """Train each entry with so many seeds, its recipe's and those after it; evaluate every run; write the tables.

    Runs in `out` that are finished are reused, unfinished ones resumed, and evaluations newer than their model kept.
    `root` is the folder of the corpus in place of the recipes' own. Before anything is trained it raises RecipeError
    for entries that cannot be compared, and RunError for a folder that holds a run of another recipe.
    """
    if root is not None:
        entries = [Entry(entry.label, _with(entry.recipe, data={"root": root})) for entry in entries]
    _check_entries(entries, seeds, split)
    checkpoint.check_writable(out)
    # What is there comes first, so that a table written early is no shorter than the one that was there.
    runs = sorted(_runs(entries, out, seeds), key=lambda run: (not run.finished, not _kept_metrics(run.folder, split)))
    if not all(run.finished for run in runs):
        _check_work(entries, split)
    results: dict[str, list[Result]] = {entry.label: [] for entry in entries}
    first: _Ground | None = None
    for number, run in enumerate(runs, start=1):
        state = "finished" if run.finished else "resumed" if _exists(run.folder) else "started"
        report.say(f"run {number} of {len(runs)}: {run.label}, seed {run.recipe.train.seed}, {state}")
        result, ground, new = _result(run, split, report)
        first = first or ground
        ground.check(first)
        results[run.label].append(result)
        if new or number == len(runs):
            _gather(results, len(runs), entries[0].recipe).write(out)
    return _gather(results, len(runs), entries[0].recipe)


def _result(run: _Run, split: str, report: Report) -> tuple[Result, _Ground, bool]:
    """The run trained and evaluated as far as it is not, what that was done on, and whether it was evaluated anew."""
    config, metric = run.recipe.train, _metric(run.recipe)
    if not run.finished:
        train(run.recipe, run.folder, resume=_exists(run.folder), report=report)
    kept = _kept_metrics(run.folder, split)
    metrics = kept or evaluate(run.folder, split=split, accelerator=config.accelerator, report=report)
    if metric not in metrics:
        raise _nothing_to_score(split, run.recipe.data)
    loaded = checkpoint.load(run.folder)
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    seconds = math.fsum(line["seconds"] for line in read_log(run.folder))
    ground = _Ground(run.folder, loaded.facts.weights_hash, metrics[loaded.task.noun], metrics["images"])
    return Result(config.seed, metrics, parameters, seconds), ground, kept is None


def _gather(results: dict[str, list[Result]], runs: int, recipe: Recipe) -> Comparison:
    rows = (
        Row(label, tuple(sorted(found, key=lambda result: result.seed))) for label, found in results.items() if found
    )
    return Comparison(tuple(rows), runs, _metric(recipe), recipe.task.task().noun)


def _metric(recipe: Recipe) -> str:
    """What the table is about: the metric that chooses the epochs or, where the loss does, the task's."""
    return recipe.task.task().metric if recipe.train.metric == VAL_LOSS else recipe.train.metric


def _runs(entries: Sequence[Entry], out: Path, seeds: int) -> list[_Run]:
    """Seed by seed, so that tables written early have all entries."""
    runs = []
    names = _folder_names([entry.label for entry in entries])
    for i in range(seeds):
        for entry, name in zip(entries, names, strict=True):
            recipe = _with(entry.recipe, train={"seed": entry.recipe.train.seed + i})
            folder = out / name / f"seed-{recipe.train.seed}"
            runs.append(_Run(entry.label, recipe, folder, _is_finished(folder, recipe)))
    return runs


def _folder_names(labels: Sequence[str]) -> list[str]:
    """A name for each label: readable, its own, and not decided by the order of the labels."""
    names = []
    for label in labels:
        words = "".join(c if c.isalnum() or c in "._" else " " for c in label.lower()).split()
        names.append("-".join(words)[:NAME_LENGTH].strip("-."))
    taken = Counter([*names, MARKDOWN, CSV, JSON])
    return [
        name if name and taken[name] == 1 else f"{name}-{hashlib.sha256(label.encode()).hexdigest()[:8]}".strip("-")
        for name, label in zip(names, labels, strict=True)
    ]


def _check_entries(entries: Sequence[Entry], seeds: int, split: str) -> None:
    """Refuse what would make no table, or one whose numbers mean different things."""
    if not entries:
        raise RecipeError("nothing to compare: expected at least one recipe")
    if seeds < 1:
        raise RecipeError(f"seeds: expected at least 1, got {seeds}")
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    for a, b in combinations(entries, 2):
        differing = differing_fields(a.recipe, b.recipe)
        if not differing.keys() - {"name"}:
            raise RecipeError(
                f"{a.label!r} and {b.label!r} are the same recipe: leave one out, or change a field of it"
            )
        if a.label == b.label:
            raise RecipeError(f"two recipes are labelled {a.label!r}, and differ in {_listed(differing)}: rename one")
        alike = (*ALIKE, *(f"task.{field}" for field in a.recipe.task.ALIKE))
        unlike = {name: pair for name, pair in differing.items() if name.startswith(alike)}
        if unlike:
            raise RecipeError(
                f"{a.label!r} and {b.label!r} cannot be compared, for they differ in {_listed(unlike)}: give them the "
                "same"
            )


def _check_work(entries: Sequence[Entry], split: str) -> None:
    """Refuse now what would fail after hours of training: an impossible model, a split with nothing to score by."""
    if torchrun_processes() > 1:
        raise RecipeError(
            "torchrun would make the comparison in each of its processes: start it without, and several processes in "
            f"each run with --train.devices and --train.strategy {' or '.join(STRATEGIES)}"
        )
    for entry in entries:
        entry.recipe.check_training()
        check_logger(entry.recipe.train.logger)
        check_model(entry.recipe)
        config = entry.recipe.train
        processes = config.devices * config.num_nodes
        if processes > 1 and config.strategy not in STRATEGIES:
            raise RecipeError(
                f"{entry.label!r} trains in {processes} processes with the strategy {config.strategy!r}, which "
                f"would start the comparison in each: set --train.strategy to {' or '.join(STRATEGIES)}"
            )
    recipe = entries[0].recipe
    data = open_data(recipe)
    if not recipe.task.task().scorable(limited(data, split, recipe)):
        raise _nothing_to_score(split, recipe.data)


def _nothing_to_score(split: str, data: DataConfig) -> DataError:
    return DataError(f"the {split} split of {data.name} has no right answers to score by: compare on another --split")


def _is_finished(folder: Path, recipe: Recipe) -> bool:
    """Whether the folder holds the recipe's run with all its epochs; raises RunError when it holds another one."""
    if not _exists(folder):
        return False
    advice = "name another --out, or delete that folder to train anew"
    if differing := checkpoint.changes(folder, recipe):
        raise RunError(f"{folder} holds a run of another recipe: {_listed(differing, 'now ')}; {advice}")
    log = read_log(folder)
    last, best = _last_and_best(log, recipe.train)
    if len(log) > last > 0:
        raise RunError(f"{folder} holds a run of {len(log)} epochs where the recipe now ends after {last}; {advice}")
    metrics = folder / checkpoint.METRICS
    # Weights and then metrics are written after the line in the log: they must have come to the same best epoch.
    return last > 0 and metrics.exists() and read_json(metrics).get("epoch") == best


def _last_and_best(log: Sequence[Mapping[str, Any]], config: TrainConfig) -> tuple[int, int]:
    """The epoch after which training ends with these records, and the best by then, from 1; (0, best) if it goes on.

    The rule of the loop in train.py.
    """
    best = 0
    for epoch, record in enumerate(log, start=1):
        if is_better(config.metric, record, log[best - 1] if best else None):
            best = epoch
        if epoch >= config.epochs or 0 < (config.patience or 0) <= epoch - best:
            return epoch, best
    return 0, best


def _kept_metrics(folder: Path, split: str) -> dict[str, Any] | None:
    """What an evaluation found before; None unless it is one of this split, made after the weights were written."""
    file, model = place_of(folder, split) / checkpoint.METRICS, folder / checkpoint.MODEL
    if not file.exists() or not model.exists() or file.stat().st_mtime_ns <= model.stat().st_mtime_ns:
        return None
    metrics: dict[str, Any] = read_json(file)
    return metrics if metrics.get("split") == split else None


def _exists(folder: Path) -> bool:
    return (folder / checkpoint.RECIPE).exists()


def _with(recipe: Recipe, **groups: dict[str, Any]) -> Recipe:
    """The recipe with other values in some of its groups of fields."""
    changed = {name: dataclasses.replace(getattr(recipe, name), **values) for name, values in groups.items()}
    return dataclasses.replace(recipe, **changed)


def _listed(differing: dict[str, tuple[Any, Any]], second: str = "") -> str:
    return ", ".join(f"{name} ({a!r}, {second}{b!r})" for name, (a, b) in differing.items())


__all__ = ["Comparison", "Difference", "Entry", "Result", "Row", "compare"]
