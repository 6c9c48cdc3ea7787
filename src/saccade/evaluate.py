"""A run and a split to metrics.json, predictions.jsonl and the result files of its task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric

from saccade import checkpoint
from saccade.build import FeatureFacts
from saccade.checkpoint import LoadedRun
from saccade.clusters import ray_cluster
from saccade.corpus import build_store, limited, open_data, readable, require_images
from saccade.data.batches import deal, ordered_batches, prefetch
from saccade.data.records import Corpus, KeepsFiles, images_of
from saccade.devices import autocast, launch, make_fabric
from saccade.errors import DataError, RecipeError, StoreError, first
from saccade.features.devices import find_device
from saccade.features.extract import Extractor, Loaded
from saccade.features.files import ImageFiles
from saccade.features.making import unreadable
from saccade.features.proposals import box_digests
from saccade.features.spec import IMPORTED
from saccade.features.store import FeatureStore, read_manifest
from saccade.features.writer import differences
from saccade.progress import SILENT, Report
from saccade.provenance import choose_place, place_of
from saccade.recipe import Recipe
from saccade.serial import read_json, to_dict, write_json, write_text
from saccade.sharing import Workers, processes_of
from saccade.tasks import Task
from saccade.tasks.base import Predicts, Reader

PREDICTIONS = "predictions.jsonl"


def evaluate(
    run: Path,
    *,
    split: str = "test",
    out: Path | None = None,
    root: str | None = None,
    store: Path | None = None,
    weights: str | None = None,
    batch_size: int = 256,
    options: Mapping[str, Any] | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    strategy: str = "auto",
    ray: str | None = None,
    report: Report = SILENT,
) -> dict[str, Any]:
    """Evaluate a run on a split of its data set; returns what `metrics.json` holds.

    That and `predictions.jsonl` are written into `out`, by default `<run>/<split>` (or `<run>/<split>-of-<corpus>` for
    another corpus than the run's own), and what the task exports: VQA's `results.json`, which the official server takes
    (there are no metrics where the answers are secret), or captions' `results.json` and `references.json` in COCO's
    formats. Predictions are written before they are scored.

    `root` names the folder of the corpus, where it has moved since training or is another one, and `weights` the file
    of the backbone's weights. `store` is a finished store of the features, made as the run's were; by default it is the
    one that training on that corpus makes, and images that it lacks are added. `options` are the task's, those not
    named as the recipe says. `ray` is a cluster, as `ray_cluster` takes it, that shares the work in place of `devices`.

    Raises RecipeError for options that the task or its model does not have, StoreError for a store that does not fit
    the run or lacks an image, RunError for an `out` that has the metrics of another corpus.
    """
    if batch_size < 1:
        raise RecipeError(f"batch_size: expected at least 1 example, got {batch_size}")
    if ray is not None and devices > 1:
        raise RecipeError(f"devices: the Ray cluster has workers of its own: leave {devices} out")
    # Of a cluster this process but reads the data and writes what is found.
    fabric = make_fabric(accelerator if ray is None else "cpu", devices, strategy=strategy)
    work = partial(
        _evaluate,
        run=run,
        split=split,
        out=out,
        root=root,
        store=store,
        weights=weights,
        batch_size=batch_size,
        options=dict(options or {}),
        report=report,
    )
    if ray is None:
        launch(fabric, work)
    else:
        with ray_cluster(ray, {"auto": None, "gpu": "cuda"}.get(accelerator, accelerator)) as cluster:
            launch(fabric, partial(work, cluster=cluster))
    metrics: dict[str, Any] = read_json((out or place_of(run, split, root=root)) / checkpoint.METRICS)
    return metrics


def _evaluate(
    fabric: Fabric,
    *,
    run: Path,
    split: str,
    out: Path | None,
    root: str | None,
    store: Path | None,
    weights: str | None,
    batch_size: int,
    options: dict[str, Any],
    report: Report,
    cluster: Workers | None = None,
) -> None:
    report = report if fabric.is_global_zero else SILENT
    loaded = checkpoint.load(run)
    recipe, task = loaded.recipe, loaded.task
    chosen = recipe.task.options(**options)
    task.check_options(loaded.model, chosen)
    checkpoint.check_writable(out or run / split)
    if weights is not None:
        recipe = replace(recipe, features=replace(recipe.features, weights=weights))
    data = open_data(recipe, root)
    records = limited(data, split, recipe)
    if not records:
        raise DataError(f"the {split} split of {recipe.data.name} is empty")
    place = choose_place(run, recipe, data, split, root=root, out=out)
    if not place.own:
        report.say(f"{root} is another corpus than the run was trained on: its metrics go to {place.folder}")
        recipe = replace(recipe, data=replace(recipe.data, root=place.corpus.root, store=""))
    arithmetic = partial(autocast, recipe.train.precision, fabric.device)
    workers = cluster or processes_of(fabric)
    read, failed = region_reader(loaded, recipe, data, split, images_of(records), store, report, fabric.device, workers)
    records = readable(records, failed, report, task.noun)
    examples = task.examples(records)
    if cluster is not None:
        predictor = BatchPredictor(run, read, chosen, recipe.train.seed, recipe.train.precision, cluster.device)
        predictions = predict_on(cluster, predictor, examples, batch_size, report)
    else:
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
        place.claim()
        _write(place.folder, task, predictions, data)
        counts = {what: number for what, number in task.counts(records).items() if what in (task.noun, "images")}
        _score(place.folder, task, {"split": split, **counts}, records, predictions, data, chosen)
    fabric.barrier()


def region_reader(
    loaded: LoadedRun,
    recipe: Recipe,
    data: Corpus,
    split: str,
    images: Sequence[str],
    store: Path | None,
    report: Report,
    device: torch.device,
    workers: Workers,
) -> tuple[Reader, Mapping[str, str]]:
    """From images to regions as the run was trained on them, and which images cannot be read, for which reasons."""
    if loaded.backbone is not None:
        if store is not None:
            raise RecipeError(
                f"store: {loaded.path} trained its backbone along, so that its regions are made from the images and no "
                "store has them: leave it out"
            )
        extractor = Extractor(
            loaded.facts.spec,
            device=device,
            state=loaded.backbone,
            autocast=partial(autocast, recipe.train.precision, device),
        )
        require_images(recipe, data, (split,), report)
        look = data.open_image if extractor.proposals is None else partial(_load, extractor, data)
        return partial(extractor.read, open_image=data.open_image), unreadable(images, look)
    if store is not None:
        named = named_store(store, loaded.facts, data, images)
        return named.read, named.failed
    if recipe.features.backbone == IMPORTED and not recipe.data.store:
        raise StoreError(
            f"{recipe.data.root} is another corpus than the run was trained on, and the features of that came from "
            f"files: name the store of its own (it may be {loaded.recipe.data.store}) with --store DIR"
        )
    built = build_store(recipe, data, report, device, (split,), workers=workers)
    if built.weights_hash != loaded.facts.weights_hash:
        raise StoreError(
            f"{built.path}: made with other backbone weights than the run was trained on; delete it to extract anew"
        )
    return built.read, built.failed


def _load(extractor: Extractor, data: Corpus, image: str) -> Loaded:
    """An image with its proposals, of which there may be none."""
    return extractor.load(data.open_image(image), image)


def named_store(path: Path, facts: FeatureFacts, data: Corpus, images: Sequence[str]) -> FeatureStore:
    """The finished store in a folder, which must hold the images, made from their files as a run's features were.

    Features from files are known by their kind and size alone. Raises StoreError saying what is otherwise.
    """
    store, there = FeatureStore.open(path, reading=facts.spec), read_manifest(path)
    hashed = there["weights_hash"] if facts.spec.backbone == IMPORTED else facts.weights_hash
    differ = differences(there, {"spec": to_dict(facts.spec), "weights_hash": hashed})
    for name, before, now in (("size", store.region_size, facts.region_size), ("grid", store.grid, facts.grid)):
        differ += [f"{name} is {before} there and {now} here"] if before != now else []
    if differ:
        raise StoreError(
            f"{path} holds features made otherwise than the run was trained on: {'; '.join(differ)}; name another store"
        )
    if missing := [image for image in images if image not in store and image not in store.failed]:
        raise StoreError(
            f"{path} lacks {len(missing):,} of the {len(images):,} images ({first(missing)}): name a store that has "
            "them, or none, to extract them"
        )
    if isinstance(data, KeepsFiles):
        files, hashes = ImageFiles(data.image_file, path, box_digests(facts.spec)), store.file_hashes()
        if other := [image for image in images if files.changed(image, hashes[image], failed=False)]:
            raise StoreError(
                f"{path} was made from other files of {len(other):,} of the {len(images):,} images ({first(other)}), "
                "of another corpus or since replaced: name another store, or none, to extract them"
            )
    return store


def _write(out: Path, task: Task[Any, Any, Any], predictions: Sequence[Any], data: Corpus) -> None:
    """The predictions and what the task exports of them."""
    for name, value in task.exports(predictions, data).items():
        write_text(out / name, json.dumps(value, ensure_ascii=False) + "\n")
    lines = (json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n" for prediction in predictions)
    write_text(out / PREDICTIONS, "".join(lines))


def _score(
    out: Path,
    task: Task[Any, Any, Any],
    counted: dict[str, Any],
    records: Sequence[Any],
    predictions: Sequence[Any],
    data: Corpus,
    options: Any,
) -> None:
    """The metrics, those that take long last; what was counted alone where the answers are secret."""
    scored = task.scorable(records)
    metrics = counted | (task.metrics(predictions, data) if scored else {})
    write_json(out / checkpoint.METRICS, metrics)
    if further := task.further_metrics(predictions, options) if scored else {}:
        write_json(out / checkpoint.METRICS, metrics | further)


def predict_all(
    fabric: Fabric,
    model: torch.nn.Module,
    task: Predicts,
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


@dataclass
class BatchPredictor:
    """What predicts with a run's model, for `Workers.run`: takes numbered batches of examples."""

    run: Path
    read: Reader
    options: Any
    seed: int
    precision: str
    device: str | None

    def __call__(self) -> Callable[[Iterable[tuple[int, list[Any]]]], Iterator[list[Any]]]:
        """From batches to their predictions, by the run as it lies in its folder."""
        loaded, device = checkpoint.load(self.run), find_device(self.device)
        loaded.model.to(device).eval()
        return partial(map, partial(self._predict, loaded, device))

    def _predict(self, loaded: LoadedRun, device: torch.device, numbered: tuple[int, list[Any]]) -> list[Any]:
        number, examples = numbered
        generator = torch.Generator(device).manual_seed(self.seed + number)
        batch = loaded.task.stack(examples, self.read).to(device)
        with torch.inference_mode(), autocast(self.precision, device):
            found: list[Any] = loaded.task.predict(
                loaded.model, batch, self.options, attention=True, generator=generator
            )
        return found


def predict_on(
    cluster: Workers, predictor: BatchPredictor, examples: Sequence[Any], batch_size: int, report: Report = SILENT
) -> list[Any]:
    """The prediction for every example, in order; the batches are shared by a cluster, whoever of it dies."""
    batches = [deal(batch, 0, 1) for batch in ordered_batches([example.image for example in examples], batch_size)]
    done = count(1)
    found = cluster.run(
        predictor,
        [(number, [examples[i] for i in batch]) for number, batch in enumerate(batches)],
        meanwhile=lambda: report.advance("evaluate", next(done), len(batches), "batches"),
    )
    pairs = [pair for batch, made in zip(batches, found, strict=True) for pair in zip(batch, made, strict=True)]
    return [prediction for _, prediction in sorted(pairs, key=lambda pair: pair[0])]
