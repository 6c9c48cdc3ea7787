"""A run and a split to metrics.json and predictions.jsonl."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from torch import nn

from saccade import checkpoint
from saccade.build import build_store, limited, readable
from saccade.data import create_dataset
from saccade.data.batches import deal, ordered_batches, prefetch
from saccade.data.records import Question, images_of
from saccade.data.vqa import Vqa
from saccade.data.vqa_results import write_results
from saccade.errors import DataError, RecipeError, StoreError
from saccade.progress import SILENT, Report
from saccade.serial import write_json, write_text
from saccade.tasks.answering import AnsweringTask, Prediction
from saccade.types import Regions


def evaluate(
    run: Path,
    *,
    split: str = "test",
    out: Path | None = None,
    root: str | None = None,
    weights: str | None = None,
    batch_size: int = 256,
    accelerator: str = "auto",
    report: Report = SILENT,
) -> dict[str, Any]:
    """Evaluate a run on a split of its data set; writes `metrics.json` and `predictions.jsonl` into `out`.

    For VQA also `results.json`, which the official server takes; there are no metrics where the answers are secret.

    `out` is `<run>/<split>` by default; `root` names the folder of the corpus, and `weights` the file of the backbone's
    weights, where they have moved since training.
    """
    if batch_size < 1:
        raise RecipeError(f"batch_size: expected at least 1 question, got {batch_size}")
    loaded = checkpoint.load(run)
    out = out or run / split
    checkpoint.check_writable(out)
    recipe = loaded.recipe
    if weights is not None:
        recipe = dataclasses.replace(recipe, features=dataclasses.replace(recipe.features, weights=weights))
    data = create_dataset(recipe.data.name, recipe.data.root if root is None else root, limit=recipe.data.limit)
    questions = limited(data, split, recipe.data.limit)
    if not questions:
        raise DataError(f"the {split} split of {recipe.data.name} has no questions")
    fabric = Fabric(accelerator=accelerator, devices=1, precision=recipe.train.precision)
    fabric.launch()
    store = build_store(recipe, data, report, fabric.device)
    questions = readable(questions, store, report)
    if store.weights_hash != loaded.facts.weights_hash:
        raise StoreError(
            f"{store.path}: made with other backbone weights than the run was trained on; delete it to extract again"
        )
    predictions = predict(
        fabric, loaded.model.to(fabric.device), loaded.task, questions, store.read, batch_size, report=report
    )
    metrics = {
        "split": split,
        "questions": len(questions),
        "images": len(images_of(questions)),
        **(loaded.task.metrics(predictions) if all(question.answers for question in questions) else {}),
    }
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(data, Vqa):
        write_results(out / "results.json", {p.question.id: p.answers[0][0] for p in predictions})
    write_text(
        out / "predictions.jsonl", "".join(json.dumps(p.to_dict(), ensure_ascii=False) + "\n" for p in predictions)
    )
    write_json(out / checkpoint.METRICS, metrics)
    return metrics


def predict(
    fabric: Fabric,
    model: nn.Module,
    task: AnsweringTask,
    questions: Sequence[Question],
    read: Callable[[Sequence[str]], Regions],
    batch_size: int,
    *,
    attention: bool = True,
    report: Report = SILENT,
) -> list[Prediction]:
    """The model's answer to every question, in order; several processes share the work and all get all of it.

    With `attention` each prediction says also where the model looked, for the questions whose boxes are known.
    """
    batches = ordered_batches([question.image for question in questions], batch_size)
    shares = [deal(batch, fabric.global_rank, fabric.world_size) for batch in batches]
    shares = [share for share in shares if share]
    loaded = prefetch(lambda share: task.collate([questions[i] for i in share], read, grouped=True), shares)
    model.eval()
    found: list[tuple[int, Prediction]] = []
    with torch.inference_mode():
        for done, (share, batch) in enumerate(zip(shares, loaded, strict=True), start=1):
            batch = batch.to(fabric.device)  # noqa: PLW2901
            with fabric.autocast():
                answers = model(batch.regions, batch.words, attention=attention)
            found += zip(share, task.decode(answers, batch), strict=True)
            report.advance("evaluate", done, len(shares), "batches")
    if fabric.world_size > 1:
        gathered: list[Any] = [None] * fabric.world_size
        torch.distributed.all_gather_object(gathered, found)
        found = [item for part in gathered for item in part]
    return [prediction for _, prediction in sorted(found, key=lambda item: item[0])]
