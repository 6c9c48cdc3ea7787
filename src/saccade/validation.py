"""The validation split's metrics and loss, in one pass where the loss allows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from saccade.choice import VAL_LOSS, AnyTask, check_metric, learnable
from saccade.data.batches import deal, prefetch
from saccade.data.records import Corpus
from saccade.devices import RunningSum
from saccade.evaluate import predict_all
from saccade.gathering import gather_rows
from saccade.recipe import Recipe
from saccade.tasks.base import Reader
from saccade.types import Regions


def validate(
    fabric: Fabric,
    model: nn.Module,
    task: AnyTask,
    records: Sequence[Any],
    data: Corpus,
    read: Reader,
    recipe: Recipe,
) -> dict[str, float | None]:
    """The mean loss of the records that have one (None where it is not finite), and the metrics of all of them.

    The loss is that of training without what training adds to it: dropout, label smoothing, and the penalties of the
    papers. PyTorch's own random state stays as it was. Processes share the work, and all get all of it.
    """
    config = recipe.train
    learnt = learnable(task, records)
    both = _WithLoss(task, learnt if task.separable else [], config.batch_size, fabric.device)
    with _own_random_state(fabric.device, config.seed):
        predictions = predict_all(
            fabric,
            model,
            cast("AnyTask", both),
            task.examples(records),
            read,
            config.batch_size,
            options=recipe.task.options(),
            seed=config.seed,
            arithmetic=fabric.autocast,
            attention=False,
        )
        loss = both.mean(fabric) if task.separable else _mean_compared(fabric, model, task, learnt, read, recipe)
    metrics = task.metrics(predictions, data)
    check_metric(config.metric, metrics, loss=bool(learnt))
    known = {} if not learnt else {VAL_LOSS: loss if loss is not None and math.isfinite(loss) else None}
    return {**known, **metrics}


@dataclass(frozen=True, eq=False)
class _Both:
    """A batch to predict, and those of the losses of the records about its images."""

    examples: Any
    records: tuple[Any, ...]

    def to(self, device: torch.device | str) -> _Both:
        """The same batches on another device."""
        return _Both(self.examples.to(device), tuple(batch.to(device) for batch in self.records))


class _WithLoss:
    """The task as `predict_all` calls it, which sums up the loss meanwhile: regions are read once for both."""

    def __init__(self, task: AnyTask, records: Sequence[Any], batch_size: int, device: torch.device) -> None:
        self._task, self._size, self._sum, self._count = task, batch_size, RunningSum(device), 0
        self._records: dict[str, list[Any]] = {}
        for record in records:
            self._records.setdefault(record.image, []).append(record)

    def stack(self, examples: Sequence[Any], read: Reader) -> _Both:
        """The examples, and the records about their images in batches of the training's size."""
        images = list(dict.fromkeys(example.image for example in examples))
        held = partial(_rows, images, read(images))
        records = [record for image in images for record in self._records.get(image, ())]
        self._count += len(records)
        parts = [records[start : start + self._size] for start in range(0, len(records), self._size)]
        return _Both(
            self._task.stack(examples, held), tuple(self._task.collate(part, held, grouped=True) for part in parts)
        )

    def predict(self, model: nn.Module, batch: _Both, options: Any, **how: Any) -> list[Any]:
        """The predictions for the examples."""
        for records in batch.records:
            self._sum.add(self._task.loss(model, records, lambda rows: rows))
        return self._task.predict(model, batch.examples, options, **how)

    def mean(self, fabric: Fabric) -> float | None:
        """The mean loss over the records of all processes."""
        count = fabric.all_reduce(torch.tensor(self._count, device=fabric.device), reduce_op="sum")
        total = self._sum.over(fabric)
        return total / int(cast("Tensor", count)) if count else None


def _rows(held: Sequence[str], regions: Regions, images: Sequence[str]) -> Regions:
    """The regions of some of the images that are held."""
    if list(images) == held:
        return regions
    places = {image: row for row, image in enumerate(held)}
    rows = torch.tensor([places[image] for image in images], device=regions.mask.device)
    boxes = None if regions.boxes is None else regions.boxes[rows]
    return replace(regions, features=regions.features[rows], mask=regions.mask[rows], boxes=boxes)


def _mean_compared(
    fabric: Fabric, model: nn.Module, task: AnyTask, records: Sequence[Any], read: Reader, recipe: Recipe
) -> float | None:
    """The mean loss of texts that are compared with each other, in the batches of the first epoch: always the same."""
    config, total = recipe.train, RunningSum(fabric.device)
    batches = task.batches(records, config, 0) if records else []
    # An empty share, as a last small batch has, is some texts that count as none: all processes must gather.
    shares = [deal(batch, fabric.global_rank, fabric.world_size) for batch in batches]
    work = [(share or batch[0], bool(share)) for share, batch in zip(shares, batches, strict=True)]

    def load(part: tuple[list[int], bool]) -> Any:
        return task.collate([records[i] for i in part[0]], read, grouped=config.group_by_image)

    with torch.no_grad():  # inference tensors cannot be gathered as those that gradients flow through
        for (_, kept), batch in zip(work, prefetch(load, work), strict=True):
            with fabric.autocast():
                loss = task.loss(model, batch.to(fabric.device), partial(gather_rows, fabric, kept=kept))
            total.add(loss / fabric.world_size)
    return total.over(fabric) / len(records) if records else None


@contextmanager
def _own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    """What is drawn inside is drawn from the seed, and what is drawn after it as if nothing had been."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
