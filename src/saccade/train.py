"""Training: one loop for one and many devices, read top to bottom."""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

from saccade import checkpoint, provenance, starting
from saccade.build import Setup, build, build_model
from saccade.data.batches import deal, prefetch
from saccade.devices import RunningSum, launch, make_fabric
from saccade.errors import RecipeError, RunError, SaccadeWarning
from saccade.features.tuning import Together
from saccade.gathering import gather_rows, share_gradients
from saccade.loggers import NONE, Log, check_logger, logged
from saccade.optim import build_average, build_optimizer, learning_rate, penalty
from saccade.progress import SILENT, Forecast, Report
from saccade.recipe import Recipe
from saccade.serial import read_json, write_json
from saccade.sharing import processes_of
from saccade.state import Progress, append_log, cut_log, epoch_line, load_resume, save_progress, save_resume
from saccade.tasks.base import Reader
from saccade.validation import validate


def train(
    recipe: Recipe, out: Path, *, resume: bool = False, overwrite: bool = False, report: Report = SILENT
) -> dict[str, Any]:
    """Train a recipe into a run directory; returns the validation metrics of the best epoch.

    Raises RunError when `out` holds a run already and neither `resume` nor `overwrite` is said, or when the run to
    resume was started with another recipe.
    """
    config = recipe.train
    recipe.check_training()
    check_logger(config.logger)
    try:
        fabric = make_fabric(config.accelerator, config.devices, config.num_nodes, config.strategy, config.precision)
    except RecipeError as error:
        raise RecipeError(f"train.{error}") from None
    if not resume:
        starting.check(recipe, out)
    with ExitStack() as held:
        if fabric.is_global_zero:
            held.enter_context(checkpoint.prepared(out, recipe, resume=resume, overwrite=overwrite))
        # Bound, not passed: Fabric looks through the arguments of what it launches and refuses frozen dataclasses.
        launch(fabric, partial(_run, recipe=recipe, out=out, report=report))
    metrics: dict[str, Any] = read_json(out / checkpoint.METRICS)
    return metrics


def _run(fabric: Fabric, *, recipe: Recipe, out: Path, report: Report) -> None:
    with fabric.rank_zero_first():  # the first process downloads what is named, the others find it there
        other = starting.opened(recipe, out)
    shown = report if fabric.is_global_zero else SILENT
    setup = build(recipe, shown, fabric.device, fabric.autocast, processes_of(fabric))
    if (out / checkpoint.FEATURES).exists():
        setup = replace(setup, task=checkpoint.resumed_task(out, recipe, setup.task, setup.facts))
    torch.manual_seed(recipe.train.seed)
    model = build_model(recipe, setup.task, setup.facts)
    setup.task.prepare(model, setup.train, shown)
    if setup.tuning is not None:
        model = Together(model, setup.tuning.backbone)
    taken = None if other is None else starting.take(model, other, recipe, setup.task, setup.facts)
    optimizer = build_optimizer(recipe.optim, model, recipe.train.finetune_lr)
    # A run's companions are written once: a resumed run keeps its own.
    if fabric.is_global_zero:
        if not (out / checkpoint.FEATURES).exists():
            checkpoint.create(out, recipe, setup.task, setup.facts)
        provenance.record(out, recipe, setup.data)
        if taken is not None:
            starting.write(out, taken)
            report.say(str(taken))
            for warning in taken.warnings:
                warnings.warn(warning, SaccadeWarning, stacklevel=2)
    fabric.barrier()
    # A backbone that has learnt with its model already has nothing to wait for.
    if starting.continues_backbone(out) if taken is None else taken.backbone:
        recipe = replace(recipe, train=replace(recipe.train, finetune_from=0))
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
    average = build_average(model, recipe.train.average) if recipe.train.average else None
    progress, precision = load_resume(out, model, optimizer, average)
    if setup.tuning is not None:
        setup.tuning.check_kept()
    if precision:  # none before the first save, and none where nothing is scaled
        fabric.strategy.precision.load_state_dict(precision)
    loop = _Loop(fabric, recipe, out, setup, model, optimizer, progress, shown, average)
    if fabric.is_global_zero:
        cut_log(out, progress.epoch)
    loop.fit(wrapped, wrapped_optimizer)


class _Loop:
    """The state of one process's training and the steps through it."""

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        out: Path,
        setup: Setup,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        report: Report,
        average: AveragedModel | None = None,
    ) -> None:
        self.fabric, self.recipe, self.out, self.setup = fabric, recipe, out, setup
        self.model, self.optimizer, self.progress, self.report = model, optimizer, progress, report
        self.tuning, self.tuned = setup.tuning, False
        self._began = progress.epoch
        self.average, self.kept = average, model if average is None else average.module
        self.records = setup.task.trainable(setup.train)

    def fit(self, wrapped: Any, optimizer: Any) -> None:
        """Epochs until the last, or until none was better than the best for `patience` of them."""
        config, progress = self.recipe.train, self.progress
        logger = config.logger if self.fabric.is_global_zero else NONE
        with logged(logger, self.out, self.recipe, progress.step) as log:
            while progress.epoch < config.epochs and not self._out_of_patience():
                started, first = time.perf_counter(), progress.examples
                self._epoch(wrapped, optimizer)
                self._finish_epoch(time.perf_counter() - started, progress.examples - first, log)

    def _epoch(self, wrapped: Any, optimizer: Any) -> None:
        fabric, progress, config = self.fabric, self.progress, self.recipe.train
        self.setup.task.begin(progress.epoch)
        batches = self.setup.task.batches(self.records, config, progress.epoch)
        wrapped.train()
        total = RunningSum(fabric.device, progress.loss_sum / fabric.world_size)
        todo = batches[progress.batch :]
        shares = [share for batch in todo for share in self._shares(batch)]
        self._tune()
        forecast = self._forecast(len(batches))
        # A backbone in training is run here and now, with the random state of the step; else batches are read ahead.
        loaded = map(self._collate, shares) if self.tuned else prefetch(self._collate, shares)
        for batch in todo:
            for group in self.optimizer.param_groups:
                group["lr"] = group["times"] * learning_rate(self.recipe, progress.step, len(batches))
            torch.manual_seed(_step_seed(config.seed, progress.step, fabric.global_rank))
            size = sum(map(len, batch))
            self._step(wrapped, optimizer, loaded, size, total)
            progress.step += 1
            progress.batch += 1
            progress.examples += size
            self.report.advance(f"epoch {progress.epoch + 1}/{config.epochs}", progress.batch, len(batches), "batches")
            forecast.done(progress.batch)
            if progress.step % config.save_every == 0 and progress.batch < len(batches):
                self._sum_loss(total)
                self._save()
        self._sum_loss(total)

    def _forecast(self, batches: int) -> Forecast:
        """What says how long the rest will take: in the first epoch, and in that from which the backbone learns too."""
        config, epoch = self.recipe.train, self.progress.epoch
        to_come, said = config.epochs - epoch, epoch not in (self._began, config.finetune_from)
        what = f"training, {to_come} epochs{' of backbone and model' if self.tuned else ''} without validation"
        return Forecast(SILENT if said else self.report, what, to_come * batches)

    def _tune(self) -> None:
        """Let the backbone learn too, from the epoch on that the recipe says."""
        start = self.recipe.train.finetune_from
        if self.tuning is not None and start is not None and self.progress.epoch >= start and not self.tuned:
            self.tuning.unfreeze()
            self.tuned = True

    def _shares(self, batch: list[list[int]]) -> list[tuple[list[int], float]]:
        """This process's parts of a batch, each with the weight of its loss.

        An empty part, as a last small batch has, is some questions at weight 0: all processes must take each step.
        """
        world, accumulate = self.fabric.world_size, self.recipe.train.accumulate
        parts = [deal(batch, part * world + self.fabric.global_rank, world * accumulate) for part in range(accumulate)]
        return [(part, 1.0) if part else (batch[0], 0.0) for part in parts]

    def _step(
        self, wrapped: Any, optimizer: Any, loaded: Iterator[tuple[Any, float]], size: int, total: RunningSum
    ) -> None:
        """One optimiser step on the mean loss of the whole batch, however divided; adds this process's sum to total."""
        fabric, task, accumulate = self.fabric, self.setup.task, self.recipe.train.accumulate
        for part in range(accumulate):
            collated, weight = next(loaded)
            batch = collated.to(fabric.device)
            with fabric.no_backward_sync(wrapped, enabled=part < accumulate - 1):
                loss = task.loss(wrapped, batch, partial(gather_rows, fabric, kept=weight > 0))
                loss = loss * (weight if task.separable else 1 / fabric.world_size)
                # Processes average their gradients: each weighs its share of the loss by their number.
                share = loss * (self.recipe.optim.loss_weight * fabric.world_size / size)
                fabric.backward(share if part else share + penalty(self.optimizer))  # which is the step's, not a part's
            total.add(loss)
        if self.tuning is not None and self.tuned:
            share_gradients(fabric, self.tuning.learning)
        self._clip(wrapped, optimizer)
        optimizer.step()
        optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def _clip(self, wrapped: Any, optimizer: Any) -> None:
        clip, by = self.recipe.optim.clip, self.recipe.optim.clip_by
        if clip is None:
            return
        if by == "parameter":
            # The optimiser itself, not Fabric's: the scaler would not know it again and divide once more when it steps.
            self.fabric.strategy.precision.unscale_gradients(self.optimizer)
            for parameter in self.model.parameters():
                nn.utils.clip_grad_norm_(parameter, clip)
            return
        limit = {"max_norm": clip} if by == "norm" else {"clip_val": clip}
        self.fabric.clip_gradients(wrapped, optimizer, error_if_nonfinite=False, **limit)

    def _collate(self, share: tuple[list[int], float]) -> tuple[Any, float]:
        indices, weight = share
        records = [self.records[i] for i in indices]
        return self.setup.task.collate(
            records, self._training_reader(), grouped=self.recipe.train.group_by_image
        ), weight

    def _training_reader(self) -> Reader:
        """From images to the regions that are learnt from."""
        return self.tuning.read_augmented if self.tuning is not None and self.tuned else self.setup.store.read

    def _sum_loss(self, total: RunningSum) -> None:
        self.progress.loss_sum = total.over(self.fabric)
        if not math.isfinite(self.progress.loss_sum):
            raise RunError(
                f"the loss is no longer finite at step {self.progress.step}: lower --optim.lr or clip with --optim.clip"
            )

    def _finish_epoch(self, seconds: float, records: int, log: Log) -> None:
        """Save the state to resume from, validate, log, keep the weights if they are the best."""
        progress, config = self.progress, self.recipe.train
        if records:  # none if it was resumed here, since validation had failed
            self._save()
        validated = self._validate()
        record = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "loss": progress.loss_sum / len(self.records),
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": round(seconds, 3),
            "records_per_second": round(records / seconds, 1),
            **validated,
        }
        better = progress.keep_better(config.metric, record)
        progress.epoch, progress.batch, progress.loss_sum, progress.examples = progress.epoch + 1, 0, 0.0, 0
        if self.fabric.is_global_zero:
            append_log(self.out, record)
            if better:
                checkpoint.save_model(self.out, self.kept, self.setup.task)
                split = {"split": "val"} if validated else {"loss": record["loss"]}
                write_json(self.out / checkpoint.METRICS, {**split, "epoch": progress.epoch, **validated})
            log(record, progress.step)
            save_progress(self.out, progress)
        self.fabric.barrier()
        self.report.say(epoch_line(record, config, self.setup.task.noun))

    def _validate(self) -> dict[str, float | None]:
        """The loss and the metrics of the validation split; none where that is trained on."""
        setup, model, read = self.setup, self.kept, self.setup.store.read
        if not setup.val:
            return {}
        if isinstance(model, Together):
            if self.tuning is not None and self.tuned:
                read = partial(self.tuning.read_plain, backbone=model.backbone)
            model = model.model
        return validate(self.fabric, model, setup.task, setup.val, setup.data, read, self.recipe)

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            precision = self.fabric.strategy.precision.state_dict()
            save_resume(self.out, self.progress, self.model, self.optimizer, precision, self.average)
        self.fabric.barrier()

    def _out_of_patience(self) -> bool:
        patience = self.recipe.train.patience
        return patience is not None and self.progress.epoch - 1 - self.progress.best_epoch >= patience > 0


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=7).digest(), "little")
