"""A run and a split to metrics.json and predictions.jsonl."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from torch import nn

from saccade import checkpoint
from saccade.build import build_store, limited, readable, task_of
from saccade.data import create_dataset
from saccade.data.batches import deal, ordered_batches, prefetch
from saccade.data.records import Corpus
from saccade.data.scenes import Scenes
from saccade.data.scenes_truth import is_true
from saccade.data.vqa import Vqa
from saccade.data.vqa_results import write_results
from saccade.errors import DataError, RecipeError, StoreError
from saccade.features.tuning import Tuning
from saccade.metrics.java import check_java, java_metrics
from saccade.models import set_look
from saccade.progress import SILENT, Report
from saccade.serial import write_json, write_text
from saccade.tasks import CaptioningTask, Task
from saccade.tasks.captioning import coco_references, coco_results
from saccade.types import Regions

RESULTS = "results.json"


@dataclass(frozen=True)
class Captioning:
    """How captions are searched for and scored where it is not as the recipe says; see `saccade.decoding.Search`.

    `java` adds METEOR and SPICE, which need a Java program and the extra packages of saccade[java].
    """

    beam: int | None = None
    length_penalty: float | None = None
    look: str | None = None
    java: bool = False


def evaluate(
    run: Path,
    *,
    split: str = "test",
    out: Path | None = None,
    root: str | None = None,
    weights: str | None = None,
    batch_size: int = 256,
    captioning: Captioning = Captioning(),
    accelerator: str = "auto",
    report: Report = SILENT,
) -> dict[str, Any]:
    """Evaluate a run on a split of its data set; writes `metrics.json` and `predictions.jsonl` into `out`.

    For VQA also `results.json`, which the official server takes; there are no metrics where the answers are secret. For
    captions `results.json` and `references.json` in COCO's formats.

    `out` is `<run>/<split>` by default; `root` names the folder of the corpus, and `weights` the file of the backbone's
    weights, where they have moved since training.
    """
    if batch_size < 1:
        raise RecipeError(f"batch_size: expected at least 1 question, got {batch_size}")
    loaded = checkpoint.load(run)
    task = _as_asked(loaded, captioning)
    out = out or run / split
    checkpoint.check_writable(out)
    recipe = loaded.recipe
    if weights is not None:
        recipe = dataclasses.replace(recipe, features=dataclasses.replace(recipe.features, weights=weights))
    data = create_dataset(recipe.data.name, recipe.data.root if root is None else root, limit=recipe.data.limit)
    texts = limited(data, split, recipe.data.limit, task_of(recipe))
    if not texts:
        raise DataError(f"the {split} split of {recipe.data.name} is empty")
    fabric = Fabric(accelerator=accelerator, devices=1, precision=recipe.train.precision)
    fabric.launch()
    read: Callable[[Sequence[str]], Regions]
    if loaded.backbone is None:
        store = build_store(recipe, data, report, fabric.device)
        texts = readable(texts, store, report)
        if store.weights_hash != loaded.facts.weights_hash:
            raise StoreError(
                f"{store.path}: made with other backbone weights than the run was trained on; delete it to extract anew"
            )
        read = store.read
    else:
        read = Tuning(loaded.facts.spec, data.open_image, fabric.device, state=loaded.backbone).look
    examples = task.examples(texts)
    torch.manual_seed(recipe.train.seed)  # hard attention may be told to draw where it looks
    predictions = predict(fabric, loaded.model.to(fabric.device), task, examples, read, batch_size, report=report)
    counts = {what: number for what, number in task.counts(texts).items() if what != "answers"}
    metrics = {"split": split, **counts, **(measure(task, data, predictions) if task.known(examples) else {})}
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(data, Vqa):
        write_results(out / RESULTS, {p.question.id: p.answers[0][0] for p in predictions})
    if isinstance(task, CaptioningTask):
        write_json(out / RESULTS, coco_results(predictions))
        write_json(out / "references.json", coco_references(predictions))
    write_text(
        out / "predictions.jsonl", "".join(json.dumps(p.to_dict(), ensure_ascii=False) + "\n" for p in predictions)
    )
    write_json(out / checkpoint.METRICS, metrics)
    if captioning.java:  # last, so that a program that fails costs nothing of what was decoded
        results = {prediction.image: prediction.caption for prediction in predictions}
        metrics |= java_metrics(results, {prediction.image: prediction.references for prediction in predictions})
        write_json(out / checkpoint.METRICS, metrics)
    return metrics


def _as_asked(loaded: checkpoint.LoadedRun, captioning: Captioning) -> Task:
    """The run's task, captions searched for as asked."""
    if captioning.look is not None:
        set_look(loaded.model, captioning.look)
    if not isinstance(loaded.task, CaptioningTask):
        if captioning != Captioning():
            raise RecipeError("beam, length penalty, look and java are for runs that write captions")
        return loaded.task
    if captioning.java:
        check_java()
    search = loaded.task.searching(beam=captioning.beam, length_penalty=captioning.length_penalty)
    return CaptioningTask(loaded.task.vocabulary, loaded.task.config, search)


def measure(task: Task, data: Corpus, predictions: Sequence[Any]) -> dict[str, float]:
    """The task's metrics, and whether captions of generated scenes are true of them."""
    found = dict(task.metrics(predictions))
    if isinstance(task, CaptioningTask) and isinstance(data, Scenes):
        found["truth"] = sum(is_true(p.caption, data.scene(p.image)) for p in predictions) / len(predictions)
    return found


def predict(
    fabric: Fabric,
    model: nn.Module,
    task: Task,
    examples: Sequence[Any],
    read: Callable[[Sequence[str]], Regions],
    batch_size: int,
    *,
    attention: bool = True,
    report: Report = SILENT,
) -> list[Any]:
    """The model's prediction for every example of the task, in order; processes share the work and all get all of it.

    With `attention` each prediction says also where the model looked, for the texts whose boxes are known.
    """
    batches = ordered_batches([example.image for example in examples], batch_size)
    shares = [deal(batch, fabric.global_rank, fabric.world_size) for batch in batches]
    shares = [share for share in shares if share]
    loaded = prefetch(lambda share: task.gather([examples[i] for i in share], read), shares)
    model.eval()
    found: list[tuple[int, Any]] = []
    with torch.inference_mode():
        for done, (share, batch) in enumerate(zip(shares, loaded, strict=True), start=1):
            batch = batch.to(fabric.device)  # noqa: PLW2901
            with fabric.autocast():
                predictions = task.predict(model, batch, attention=attention)
            found += zip(share, predictions, strict=True)
            report.advance("evaluate", done, len(shares), "batches")
    if fabric.world_size > 1:
        gathered: list[Any] = [None] * fabric.world_size
        torch.distributed.all_gather_object(gathered, found)
        found = [item for part in gathered for item in part]
    return [prediction for _, prediction in sorted(found, key=lambda item: item[0])]
