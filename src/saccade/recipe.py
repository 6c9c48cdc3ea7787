"""Recipe: everything that decides a training run, as one frozen, typed, nested dataclass.

Each field's docstring is its help on the command line, where every field can be set: `--optim.lr 0.05`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal

import tyro

from saccade.data.own_columns import read_columns
from saccade.errors import RecipeError, RunError
from saccade.features.spec import IMPORTED, FeatureSpec
from saccade.limits import COUNT, NOT_NEGATIVE, PART, PIXELS, POSITIVE, Limit, check_limits, optional
from saccade.serial import check_types, from_dict, to_dict
from saccade.tasks import AnsweringConfig, TaskConfig, task_config

# Of the run directory. 1: written before there was a number; the task's kind followed from its fields.
FORMAT = 2
RECIPE_FILE = "recipe.json"  # in the run directory


@dataclass(frozen=True)
class Card:
    """What a reader of the recipe wants to know and no program reads."""

    about: str
    """One line: which experiment of which paper, or what for."""
    published: str = ""
    """The published number and its conditions."""
    measured: str = ""
    """The number reached with this recipe, and how long it took on what."""


@dataclass(frozen=True)
class DataConfig:
    """The corpus."""

    name: str
    """Data set, one of `saccade list datasets`."""
    root: str = ""
    """Folder with the corpus's files; data that is generated needs none. own: also a data set of the hub, as
    hub:OWNER/NAME, .parquet files, or WebDataset shards, as shards-{000..010}.tar."""
    columns: tuple[str, ...] = ()
    """own: which columns of rows hold what: image=COLUMN question=COLUMN answers=COLUMN (and type=, boxes=, id=), or
    image=COLUMN captions=COLUMN."""
    missing: Literal["error", "skip"] = "error"
    """What becomes of images that the corpus speaks of and that are not there; skip: they are left out, counted and
    named, with what is said about them."""
    train: Literal["train", "train+val"] = "train"
    """Splits to train on; with train+val there is nothing to validate on, and the last epoch's weights are kept."""
    genome: str = ""
    """vqa2: folder of Visual Genome's questions, to train on those about the same images as well."""
    limit: int | None = None
    """Use the first so many images of each split only."""
    store: str = ""
    """Folder of the region features, extracted there when missing; by default one below `stores`."""

    def __post_init__(self) -> None:
        """Refuse what names no column."""
        try:
            read_columns(self.columns)
        except RecipeError as error:
            raise RecipeError(f"data.{error}") from None


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser, its schedule and clipping."""

    name: Literal["sgd", "adam", "adamw", "adamax", "rmsprop", "graves"] = "sgd"
    """Optimiser; adamw shrinks weights apart from the gradient (Loshchilov and Hutter 2019); graves is the RMSProp of
    Graves (2013): centred, decay 0.95, with momentum."""
    lr: float = 0.1
    """Base learning rate."""
    bias_lr: float = 1.0
    """Biases learn so many times as fast."""
    embedding_lr: float = 1.0
    """Word embeddings learn so many times as fast."""
    momentum: float = 0.9
    """Momentum of sgd and graves."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of adam, adamw and adamax."""
    weight_decay: float = 0.0
    """L2 penalty on the parameters."""
    decay: Literal["all", "weights", "not-embeddings"] = "all"
    """Which parameters the penalty is on; weights: all but biases."""
    decay_inside_clip: bool = False
    """Whether the penalty's gradient is clipped with that of the loss; else the optimiser adds it afterwards."""
    schedule: Literal["constant", "step", "cosine", "steps", "epochs"] = "constant"
    """How the learning rate moves after the warm-up: see `milestones`, `period` and `rates`."""
    warmup_epochs: float = 0.0
    """Raise the rate linearly over the first so many epochs."""
    milestones: tuple[int, ...] = ()
    """step: the epochs after which the rate is multiplied by `factor`."""
    factor: float = 0.1
    """step and steps: that factor."""
    period: int = 1
    """steps: the rate is multiplied by `factor` after every so many optimiser steps."""
    rates: tuple[float, ...] = ()
    """epochs: multiples of the base rate in each epoch; the last goes on."""
    loss_weight: float = 1.0
    """Multiplies the loss before gradients are clipped."""
    clip: float | None = None
    """Clip gradients at this norm or value."""
    clip_by: Literal["norm", "value", "parameter"] = "norm"
    """norm: the global L2 norm; value: each element; parameter: the L2 norm of each parameter's gradient."""


@dataclass(frozen=True)
class TrainConfig:
    """The loop."""

    epochs: int = 60
    """Passes over the training records: questions, captions."""
    batch_size: int = 128
    """Records in one optimiser step, over all processes and accumulated parts together."""
    accumulate: int = 1
    """Compute each step's gradient in so many parts, to save memory; the result is the same."""
    group_by_image: bool = False
    """Let the texts about an image share a batch, so that what depends on the image alone is computed once.

    Sentences to match are then not held against others of their image."""
    metric: str = "accuracy"
    """The validation metric that chooses the best weights, val_loss among them; of equals the lower loss wins, so that
    the loss chooses as long as the metric is 0."""
    patience: int | None = None
    """Stop when no epoch was better than the best one for so many."""
    average: float = 0.0
    """Validate and keep the running mean of the weights, of which a step leaves that share; by default the weights."""
    seed: int = 0
    """The source of all randomness."""
    start_from: str = ""
    """Run to start from, a folder or hub:OWNER/NAME: words and answers by their text, other weights by name and shape.

    On the command line the sizes of its model, its features and how it trained its backbone are then the defaults."""
    finetune_from: int | None = None
    """Train the backbone too after so many epochs, on images that are read and augmented anew for each batch."""
    finetune_lr: float = 1e-5
    """Learning rate of the backbone where that of the model is optim.lr."""
    finetune_stages: int | None = None
    """Train the backbone's last so many stages alone, those of its strides; by default the whole of it."""
    finetune_size: int | None = None
    """Side of the augmented images in pixels; by default features.image_size, with which all others are read.

    Crops show things larger in training than they are when testing, which a smaller side makes up for, about seven
    eighths of the other (Touvron et al., "Fixing the train-test resolution discrepancy", 2019): set both together."""
    augment: Literal["none", "crop", "mirror", "maps"] = "crop"
    """How images are augmented when the backbone is trained; mirror is crop and mirrors half of them.

    maps does nearly the same to the maps in front of the last stages, where these alone are trained: they are computed
    once, so that an epoch costs no more than without augmentation."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic, in Lightning Fabric's terms."""
    accelerator: str = "auto"
    """cpu, cuda, mps or auto."""
    devices: int = 1
    """Processes on each machine, one per device; under torchrun, by default as many as it started."""
    num_nodes: int = 1
    """Machines, on each of which torchrun starts the same command; under torchrun, by default as many as there are."""
    strategy: str = "auto"
    """Lightning Fabric's strategy for several processes: ddp, ddp_spawn, ddp_fork."""
    logger: str = "auto"
    """Where the log goes beside log.jsonl: tensorboard, csv, wandb, mlflow, comet or none; auto is tensorboard where
    that is installed."""
    save_every: int = 500
    """Steps between two saves of the state to resume from; it is saved after each epoch too."""


# Of every number in a recipe but those of its task, which has its own. Those of a model's sizes stand with the model.
LIMITS = {
    "data.limit": optional(COUNT),
    "features.image_size": PIXELS,
    "optim.lr": POSITIVE,
    "optim.bias_lr": NOT_NEGATIVE,
    "optim.embedding_lr": NOT_NEGATIVE,
    "optim.momentum": PART,
    "optim.betas": PART,
    "optim.weight_decay": NOT_NEGATIVE,
    "optim.warmup_epochs": NOT_NEGATIVE,
    "optim.milestones": COUNT,
    "optim.factor": POSITIVE,
    "optim.period": COUNT,
    "optim.rates": NOT_NEGATIVE,
    "optim.loss_weight": POSITIVE,
    "optim.clip": optional(POSITIVE),
    "train.epochs": COUNT,
    "train.batch_size": COUNT,
    "train.accumulate": COUNT,
    "train.patience": Limit(least=0, whole=True, optional=True),
    "train.average": PART,
    "train.seed": Limit(least=0, most=2**63 - 1, whole=True),
    "train.finetune_from": Limit(least=0, whole=True, optional=True),
    "train.finetune_lr": POSITIVE,
    "train.finetune_stages": optional(COUNT),
    "train.finetune_size": optional(PIXELS),
    "train.devices": COUNT,
    "train.num_nodes": COUNT,
    "train.save_every": COUNT,
}


@dataclass(frozen=True)
class Recipe:
    """One training run: model, data, features, task, optimiser and loop."""

    name: str
    """The recipe's name: <model>-<dataset>."""
    model: str
    """Model, one of `saccade list models`."""
    data: DataConfig
    features: FeatureSpec
    task: TaskConfig = field(default_factory=AnsweringConfig)
    """What the texts are, and how they become batches and predictions."""
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    sizes: dict[str, Any] = field(default_factory=dict)
    """Sizes of the model that differ from the paper's."""
    card: tyro.conf.Suppress[Card] = Card("")

    def __post_init__(self) -> None:
        """Refuse values that no run can have."""
        check_types(self)
        for group in ("data", "features", "task", "optim", "train"):
            check_types(getattr(self, group), where=group)
        check_limits({name: (limit, reduce(getattr, name.split("."), self)) for name, limit in LIMITS.items()})
        if self.optim.schedule == "epochs" and not self.optim.rates:
            raise RecipeError("optim.rates: the schedule epochs needs the multiple of each epoch")

    def check_training(self) -> None:
        """Refuse, with RecipeError, what older recipes may say and no new training may."""
        if self.optim.warmup_epochs > self.train.epochs:
            raise RecipeError(
                f"optim.warmup_epochs: expected at most train.epochs, {self.train.epochs}, got "
                f"{self.optim.warmup_epochs}: lower it, or train longer"
            )
        if self.train.patience == 0:
            raise RecipeError(f"train.patience: expected {optional(COUNT)}, got 0")

    def smoke(self) -> Recipe:
        """The same path in seconds: two epochs over a few images, a small untrained backbone where none is shipped.

        Imported features are kept where their store is named. A store of a backbone that is replaced is not touched.
        """
        features, store = self.features, self.data.store
        if features.backbone != "scenes-cnn" and not (features.backbone == IMPORTED and store):
            store = ""
            features = dataclasses.replace(
                features,
                backbone="test_resnet",
                weights="random",
                image_size=96,
                layer=-1,
                regions="grid" if features.regions == "boxes" else features.regions,
                detector_weights="random",
                detector_threshold=0.0,
                width=None,
                backbone_args=(),
            )
        return dataclasses.replace(
            self,
            data=dataclasses.replace(self.data, limit=min(self.data.limit or 24, 24), store=store),
            features=features,
            task=self.task.smoke(),
            optim=dataclasses.replace(self.optim, warmup_epochs=min(self.optim.warmup_epochs, 1.0)),
            train=dataclasses.replace(
                self.train,
                epochs=min(self.train.epochs, 2),
                batch_size=min(self.train.batch_size, 16),
                finetune_size=None,
            ),
        )


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as recipe.json has it: its fields, and the version of the run directory's format."""
    return {"format": FORMAT, **to_dict(recipe)}


def recipe_from_dict(values: Mapping[str, Any], *, where: str = "recipe.json") -> Recipe:
    """The recipe of those values, of this format or an earlier one.

    Raises RunError for a later format, UnknownNameError for a field that there is not, RecipeError for a value that
    cannot be.
    """
    values = dict(values)
    version = values.pop("format", 1)
    if not isinstance(version, int) or version > FORMAT:
        raise RunError(f"{where}: written in format {version!r}, this Saccade reads up to {FORMAT}: upgrade it")
    fields = values.get("task")
    if isinstance(fields, Mapping):
        values["task"] = task_config(fields, where=f"{where}.task")
    return from_dict(Recipe, values, where=where)
