"""Learning curves of runs, finished or not: what their logs say, as curves to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from saccade.checkpoint import RECIPE, read_recipe
from saccade.choice import VAL_LOSS, is_better
from saccade.errors import RunError, UnknownNameError, look_up
from saccade.explain import Chart, Facts, page, save_bytes
from saccade.explain.curves import Band, Curve, Curves, Plot
from saccade.metrics.units import format_metric, unit_of
from saccade.recipe import Recipe
from saccade.state import LOG, read_log

LOSS = "loss"
SEED = "seed-"  # how `compare` names the folders of an entry's runs
NOT_PLOTTED = ("epoch",)


@dataclass(frozen=True)
class Logged:
    """A run's recipe and its log; ``kept`` is the epoch whose weights it keeps so far."""

    path: Path
    recipe: Recipe
    records: tuple[dict[str, Any], ...]
    kept: int


@dataclass(frozen=True)
class Group:
    """Runs that one colour is for: one, or those that differ in their seed."""

    label: str
    runs: tuple[Logged, ...]


def plot_runs(paths: Sequence[Path], out: Path, metrics: Sequence[str] = ()) -> list[Group]:
    """Draw the curves of the runs into a .png file or a self-contained .html page; returns what was drawn.

    Shown are the loss, and the metrics that are named, by default those that chose the epochs. A folder of runs stands
    for all in it; runs of one entry of a comparison, which differ in their seed, share a colour. Raises RunError for a
    folder without runs or epochs, UnknownNameError for a metric that no log has or another suffix.
    """
    make = look_up({".png": _png, ".html": _html, ".htm": _html}, out.suffix.lower(), "format of curves")
    groups = read_groups(paths)
    save_bytes(make(groups, curves_of(groups, metrics)), out)
    return groups


def read_groups(paths: Sequence[Path]) -> list[Group]:
    """The runs at these paths, those of a folder of runs by entry; a label that two would have names the folder too."""
    found: list[tuple[Path, list[Logged]]] = []
    for path in paths:
        if (path / RECIPE).exists():
            found.append((path, [read_run(path)]))
            continue
        folders = sorted({file.parent for depth in ("*", "*/*") for file in path.glob(f"{depth}/{RECIPE}")})
        runs = [read_run(folder) for folder in folders if read_log(folder)]
        if not runs:
            raise RunError(f"{path} holds no run with a finished epoch: expected run directories, or folders of them")
        for place, together in groupby(runs, key=lambda run: _entry(run.path)):
            found.append((place, list(together)))
    names = [place.name for place, _ in found]
    return [Group(place.name if names.count(place.name) == 1 else str(place), tuple(runs)) for place, runs in found]


def read_run(path: Path) -> Logged:
    """A run's log; raises RunError where no epoch was finished yet."""
    records = read_log(path)
    if not records:
        raise RunError(f"{path / LOG} tells of no epoch: wait until one is finished, or name another run")
    recipe = read_recipe(path)
    best: dict[str, Any] | None = None
    for record in records:
        best = record if is_better(recipe.train.metric, record, best) else best
    assert best is not None
    return Logged(path, recipe, tuple(records), best["epoch"])


def _entry(run: Path) -> Path:
    return run.parent if run.name.startswith(SEED) else run


def curves_of(groups: Sequence[Group], metrics: Sequence[str] = ()) -> Curves:
    """The plots of the loss and the metrics; raises UnknownNameError for one that no log has."""
    known = sorted({name for group in groups for run in group.runs for record in run.records for name in record})
    chosen = [run.recipe.train.metric for group in groups for run in group.runs]
    wanted = list(dict.fromkeys(metrics or (metric for metric in chosen if metric in known)))
    for name in wanted:
        if name not in known or name in NOT_PLOTTED:
            raise UnknownNameError("metric in the logs", name, set(known) - set(NOT_PLOTTED))
    wanted = [name for name in wanted if name not in (LOSS, VAL_LOSS)]
    plots = [_loss(groups), *(_metric(groups, name) for name in wanted)]
    notes = "ring: the epoch whose weights are kept"
    if VAL_LOSS in known:
        notes = f"solid: validation, dashed: training; {notes}"
    return Curves(tuple(plots), tuple(group.label for group in groups), notes)


def _loss(groups: Sequence[Group]) -> Plot:
    nouns = {run.recipe.task.task().noun for group in groups for run in group.runs}
    unit = f"nats per {next(iter(nouns)).removesuffix('s') if len(nouns) == 1 else 'record'}"
    curves, bands = _curves(groups, VAL_LOSS)
    training, _ = _curves(groups, LOSS, dashed=True)
    return Plot("loss", unit, (*training, *curves), bands)


def _metric(groups: Sequence[Group], name: str) -> Plot:
    curves, bands = _curves(groups, name)
    unit = {"share": "%", "rank": "rank", "count": "count"}.get(unit_of(name).kind, "")
    return Plot(name, UNITS_OF_TRAINING.get(name, unit), curves, bands)


UNITS_OF_TRAINING = {"seconds": "s", "records_per_second": "1/s"}


def _curves(groups: Sequence[Group], name: str, *, dashed: bool = False) -> tuple[tuple[Curve, ...], tuple[Band, ...]]:
    """The curves of every group, of several runs their mean over the epochs that all have and the band of them."""
    curves, bands = [], []
    for color, group in enumerate(groups):
        runs = [(points, run.kept) for run in group.runs if (points := _points(run, name))]
        if len(runs) == 1 or dashed:
            curves += [Curve(color, points, dashed, None if dashed else kept, len(runs) > 1) for points, kept in runs]
        elif runs:
            curves += [Curve(color, points, kept=kept, faint=True) for points, kept in runs]
            by_epoch = [dict(points) for points, _ in runs]
            shared = sorted(set.intersection(*map(set, by_epoch)))
            values = [(epoch, [each[epoch] for each in by_epoch]) for epoch in shared]
            if values:
                curves.append(Curve(color, tuple((epoch, sum(each) / len(each)) for epoch, each in values)))
                bands.append(Band(color, tuple((epoch, min(each), max(each)) for epoch, each in values)))
    return tuple(curves), tuple(bands)


def _points(run: Logged, name: str) -> tuple[tuple[int, float], ...]:
    """The values by epoch, shares as percentages."""
    scale = 100 if unit_of(name).kind == "share" else 1
    return tuple((record["epoch"], scale * record[name]) for record in run.records if record.get(name) is not None)


def _png(groups: Sequence[Group], curves: Curves) -> bytes:  # noqa: ARG001
    return curves.draw("png")


def _html(groups: Sequence[Group], curves: Curves) -> bytes:
    """The picture, and of every run in words where it stands."""
    kept = {}
    for group in groups:
        for run in group.runs:
            best = next(record for record in run.records if record["epoch"] == run.kept)
            names = dict.fromkeys((run.recipe.train.metric, VAL_LOSS, LOSS))
            numbers = ", ".join(f"{name} {format_metric(name, best[name])}" for name in names if name in best)
            label = group.label if len(group.runs) == 1 else f"{group.label}, {run.path.name}"
            kept[label] = f"epoch {run.kept} of {len(run.records)} kept: {numbers}"
    named = ", ".join(plot.name for plot in curves.plots)
    chart = Chart("", curves.svg(), f"{named} by epoch of {', '.join(curves.labels)}")
    return page("Learning curves", [chart, Facts("Runs", kept)]).encode("utf-8")
