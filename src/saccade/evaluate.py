"""A run and a split to metrics.json, predictions.jsonl and the result files of its task."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric

from saccade import checkpoint
from saccade.build import build_store, limited, open_data, readable, require_images
from saccade.checkpoint import LoadedRun
from saccade.data.batches import deal, ordered_batches, prefetch
from saccade.data.records import Corpus, images_of
from saccade.devices import autocast, launch, make_fabric
from saccade.errors import DataError, RecipeError, StoreError
from saccade.features.extract import Extractor, unreadable
from saccade.progress import SILENT, Report
from saccade.recipe import Recipe
from saccade.serial import read_json, write_json, write_text
from saccade.tasks import Task
from saccade.tasks.base import Reader

PREDICTIONS = "predictions.jsonl"


def evaluate(
    run: Path,
    *,
    split: str = "test",
    out: Path | None = None,
    root: str | None = None,
    weights: str | None = None,
    batch_size: int = 256,
    options: Mapping[str, Any] | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    strategy: str = "auto",
    report: Report = SILENT,
) -> dict[str, Any]:
    """Evaluate a run on a split of its data set; returns what `metrics.json` holds.

    That and `predictions.jsonl` are written into `out`, `<run>/<split>` by default, and what the task exports: VQA's
    `results.json`, which the official server takes (there are no metrics where the answers are secret), or captions'
    `results.json` and `references.json` in COCO's formats. Predictions are written before they are scored.

    `root` names the folder of the corpus, and `weights` the file of the backbone's weights, where they have moved since
    training. `options` are the task's, those not named as the recipe says. Raises RecipeError for options that the task
    or its model does not have.
    """
    if batch_size < 1:
        raise RecipeError(f"batch_size: expected at least 1 example, got {batch_size}")
    fabric = make_fabric(accelerator, devices, strategy=strategy)
    out = out or run / split
    work = partial(
        _evaluate,
        run=run,
        split=split,
        out=out,
        root=root,
        weights=weights,
        batch_size=batch_size,
        options=dict(options or {}),
        report=report,
    )
    launch(fabric, work)
    metrics: dict[str, Any] = read_json(out / checkpoint.METRICS)
    return metrics


def _evaluate(
    fabric: Fabric,
    *,
    run: Path,
    split: str,
    out: Path,
    root: str | None,
    weights: str | None,
    batch_size: int,
    options: dict[str, Any],
    report: Report,
) -> None:
    report = report if fabric.is_global_zero else SILENT
    loaded = checkpoint.load(run)
    recipe, task = loaded.recipe, loaded.task
    chosen = recipe.task.options(**options)
    task.check_options(loaded.model, chosen)
    checkpoint.check_writable(out)
    if weights is not None:
        recipe = dataclasses.replace(recipe, features=dataclasses.replace(recipe.features, weights=weights))
    data = open_data(recipe, root)
    records = limited(data, split, recipe)
    if not records:
        raise DataError(f"the {split} split of {recipe.data.name} is empty")
    arithmetic = partial(autocast, recipe.train.precision, fabric.device)
    with fabric.rank_zero_first():  # the first process extracts the features, the others find them made
        read, failed = _reader(loaded, recipe, data, split, images_of(records), report, fabric.device)
    records = readable(records, failed, report, task.noun)
    examples = task.examples(records)
    predictions = predict_all(
        fabric,
        loaded.model.to(fabric.device),
        task,
        examples,
        read,
        batch_size,
        options=chosen,
        seed=recipe.train.seed,
        arithmetic=arithmetic,
        report=report,
    )
    if fabric.is_global_zero:
        counts = {what: number for what, number in task.counts(records).items() if what in (task.noun, "images")}
        _write(out, task, predictions, data)
        scored = task.scorable(records)
        metrics = {"split": split, **counts, **(task.metrics(predictions, data) if scored else {})}
        write_json(out / checkpoint.METRICS, metrics)
        if further := task.further_metrics(predictions, chosen) if scored else {}:
            write_json(out / checkpoint.METRICS, metrics | further)
    fabric.barrier()


def _reader(
    loaded: LoadedRun,
    recipe: Recipe,
    data: Corpus,
    split: str,
    images: Sequence[str],
    report: Report,
    device: torch.device,
) -> tuple[Reader, Mapping[str, str]]:
    """From images to regions as the run was trained on them, and which images cannot be read, for which reasons."""
    if loaded.backbone is not None:
        extractor = Extractor(
            loaded.facts.spec,
            device=device,
            state=loaded.backbone,
            autocast=partial(autocast, recipe.train.precision, device),
        )
        require_images(recipe, data, (split,), report)
        return partial(extractor.read, open_image=data.open_image), unreadable(images, data.open_image)
    store = build_store(recipe, data, report, device)
    if store.weights_hash != loaded.facts.weights_hash:
        raise StoreError(
            f"{store.path}: made with other backbone weights than the run was trained on; delete it to extract anew"
        )
    return store.read, store.failed


def _write(out: Path, task: Task[Any, Any, Any], predictions: Sequence[Any], data: Corpus) -> None:
    """The predictions and what the task exports of them."""
    out.mkdir(parents=True, exist_ok=True)
    for name, value in task.exports(predictions, data).items():
        write_text(out / name, json.dumps(value, ensure_ascii=False) + "\n")
    lines = (json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n" for prediction in predictions)
    write_text(out / PREDICTIONS, "".join(lines))


def predict_all(
    fabric: Fabric,
    model: torch.nn.Module,
    task: Task[Any, Any, Any],
    examples: Sequence[Any],
    read: Reader,
    batch_size: int,
    *,
    options: Any,
    seed: int,
    arithmetic: Callable[[], AbstractContextManager[Any]],
    attention: bool = True,
    report: Report = SILENT,
) -> list[Any]:
    """The model's prediction for every example of the task, in order; processes share the work and all get all of it.

    With `attention` each prediction says also where the model looked, for the examples whose boxes are known.
    """
    batches = ordered_batches([example.image for example in examples], batch_size)
    shares = [deal(batch, fabric.global_rank, fabric.world_size) for batch in batches]
    shares = [share for share in shares if share]
    loaded = prefetch(lambda share: task.stack([examples[i] for i in share], read), shares)
    generator = torch.Generator(fabric.device).manual_seed(seed + fabric.global_rank)
    model.eval()
    found: list[tuple[int, Any]] = []
    with torch.inference_mode():
        for done, (share, batch) in enumerate(zip(shares, loaded, strict=True), start=1):
            with arithmetic():
                predictions = task.predict(
                    model, batch.to(fabric.device), options, attention=attention, generator=generator
                )
            found += zip(share, predictions, strict=True)
            report.advance("evaluate", done, len(shares), "batches")
    if fabric.world_size > 1:
        gathered: list[Any] = [None] * fabric.world_size
        torch.distributed.all_gather_object(gathered, found)
        found = [item for part in gathered for item in part]
    return [prediction for _, prediction in sorted(found, key=lambda item: item[0])]
