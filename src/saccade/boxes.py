"""The maps of a run, of whatever task, held against the boxes of the phrases of sentences: metrics.json.

Which map that is `saccade.tasks.attending` says, by the model's axes. It ranks the regions of each image, and is scored
as grounding is, beside the same lines to beat.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from saccade import checkpoint
from saccade.build import FeatureFacts
from saccade.checkpoint import LoadedRun
from saccade.corpus import limited, open_data, readable, real_root
from saccade.data.captioned import count_phrases
from saccade.data.records import Caption, images_of
from saccade.devices import autocast, launch, make_fabric
from saccade.errors import DataError
from saccade.evaluate import PREDICTIONS, predict_all, region_reader
from saccade.limits import COUNT, check_limits, optional
from saccade.metrics.grounding import grounding_metrics, line_metrics
from saccade.progress import SILENT, Report
from saccade.provenance import choose_place_of_boxes, place_of_boxes
from saccade.recipe import DataConfig, Recipe
from saccade.serial import read_json, write_json, write_text
from saccade.sharing import processes_of
from saccade.tasks import Task
from saccade.tasks.attending import Attended, PhraseReader
from saccade.tasks.grounding.lines import Lines
from saccade.types import Regions


def evaluate_boxes(
    run: Path,
    boxes: str,
    *,
    split: str = "test",
    limit: int | None = None,
    out: Path | None = None,
    store: Path | None = None,
    weights: str | None = None,
    batch_size: int = 256,
    accelerator: str = "auto",
    devices: int = 1,
    strategy: str = "auto",
    report: Report = SILENT,
) -> dict[str, Any]:
    """Hold a run's maps against the boxes of a split's phrases; returns what `metrics.json` holds.

    `boxes` is a folder of Flickr30k Entities, or of own sentences with phrases, of which the first `limit` images of
    the split are looked at; the lines to beat are those of its training split. The metrics and `predictions.jsonl` go
    into `out`, by default `<run>/boxes-<split>-of-<folder>`. `store` is a finished store of the features of these
    images, made as the run's were; by default one is made. `weights` names the file of the backbone's weights.

    Raises RecipeError for a model without such a map, StoreError for a store that does not fit the run, DataError for a
    split without phrases that have boxes, RunError for an `out` that has the metrics of another corpus.
    """
    check_limits({"batch_size": (COUNT, batch_size), "limit": (optional(COUNT), limit)})
    config = data_of_boxes(boxes, limit)
    work = partial(
        _evaluate,
        run=run,
        config=config,
        split=split,
        out=out,
        store=store,
        weights=weights,
        batch_size=batch_size,
        report=report,
    )
    launch(make_fabric(accelerator, devices, strategy=strategy), work)
    metrics: dict[str, Any] = read_json((out or place_of_boxes(run, split, config)) / checkpoint.METRICS)
    return metrics


def data_of_boxes(boxes: str, limit: int | None = None) -> DataConfig:
    """The corpus in the folder: Flickr30k Entities', or own sentences."""
    entities = (Path(boxes) / "Sentences").is_dir()
    return DataConfig("flickr30k-entities" if entities else "own", root=boxes, limit=limit)


def _evaluate(
    fabric: Fabric,
    *,
    run: Path,
    config: DataConfig,
    split: str,
    out: Path | None,
    store: Path | None,
    weights: str | None,
    batch_size: int,
    report: Report,
) -> None:
    report = report if fabric.is_global_zero else SILENT
    loaded = checkpoint.load(run)
    checkpoint.check_writable(out or run / split)
    recipe = _recipe_on(loaded.recipe, config)
    if weights is not None:
        recipe = replace(recipe, features=replace(recipe.features, weights=weights))
    data = open_data(recipe)
    every = limited(data, split, recipe, Caption)
    sentences = [each for each in every if any(phrase.boxes for phrase in each.phrases)]
    if not sentences:
        raise DataError(f"none of the {len(every):,} sentences of split {split} has a phrase with a box", config.root)
    _refuse_without_map(loaded, sentences[0])
    place = choose_place_of_boxes(run, config, data, split, sentences, out=out)
    read, failed = region_reader(
        loaded, recipe, data, split, images_of(sentences), store, report, fabric.device, processes_of(fabric)
    )
    found: list[Attended] = predict_all(
        fabric,
        loaded.model.to(fabric.device),
        PhraseReader(loaded.task),
        readable(sentences, failed, report, "sentences"),
        read,
        batch_size,
        options=None,
        seed=recipe.train.seed,
        arithmetic=partial(autocast, recipe.train.precision, fabric.device),
        report=report,
    )
    if fabric.is_global_zero:
        place.claim()
        metrics = _metrics(loaded.task, every, found, Lines.of(data.records(Caption, "train")))
        lines = (json.dumps(each.prediction.to_dict(), ensure_ascii=False) + "\n" for each in found)
        write_text(place.folder / PREDICTIONS, "".join(lines))
        write_json(place.folder / checkpoint.METRICS, {"split": split, **metrics})
    fabric.barrier()


def _recipe_on(recipe: Recipe, config: DataConfig) -> Recipe:
    """The run's recipe on the photographs; of its own corpus it keeps the store that it names."""
    same = recipe.data.name == config.name and real_root(recipe.data) == real_root(config)
    return replace(recipe, data=replace(config, store=recipe.data.store if same else ""))


def _refuse_without_map(loaded: LoadedRun, sentence: Caption) -> None:
    """Raise RecipeError before the work where the model has no map to hold against boxes."""
    with torch.inference_mode():
        loaded.task.attend(loaded.model, _empty_regions(loaded.facts), [sentence])


def _empty_regions(facts: FeatureFacts) -> Regions:
    """The regions of an image without anything in it."""
    rows, columns = facts.grid or (1, 1)
    count = rows * columns
    mask = torch.ones(1, count, dtype=torch.bool)
    return Regions(torch.zeros(1, count, facts.region_size), mask, torch.tensor([0.0, 0, 1, 1]).expand(1, count, 4))


def _metrics(
    task: Task[Any, Any, Any], sentences: Sequence[Caption], found: Sequence[Attended], lines: Lines
) -> dict[str, Any]:
    """What was measured by which map, and what was left out; then as grounding has it, the lines to beat last.

    Raises DataError where the run could read no phrase.
    """
    predictions = [phrase for each in found for phrase in each.prediction.phrases if phrase.phrase.boxes]
    if not predictions:
        raise DataError("the run could read none of the phrases: its words are others")
    grounded = [phrase for each in found for phrase in each.prediction.grounded()]
    windows = [window for each in found for window in each.windows]
    counts = count_phrases(sentences)
    unread = {name: count for name, count in counts.items() if name.startswith("phrases_without_box")}
    return {
        "map": next(each.map for each in found if each.map),
        "sentences": len(sentences),
        "images": len(images_of(sentences)),
        "phrases_left_out": counts["phrases_with_box"] - len(grounded),
        "phrases_of_unknown_words": sum(_unknown(task, each.text) for each in predictions),
        **unread,
        **grounding_metrics(grounded),
        **(line_metrics("fitting_window", grounded, windows) if len(windows) == len(grounded) else {}),
        **lines.metrics(grounded, [each.blind for each in predictions]),
    }


def _unknown(task: Task[Any, Any, Any], phrase: str) -> bool:
    """Whether the run was trained on no word of the phrase."""
    return all(task.unread(word) for word in phrase.split() if any(map(str.isalnum, word)))
