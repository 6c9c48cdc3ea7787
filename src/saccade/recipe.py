"""Recipe: everything that decides a training run, as one frozen, typed, nested dataclass.

Each field's docstring is its help on the command line, where every field can be set: `--optim.lr 0.05`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import tyro

from saccade.errors import RecipeError
from saccade.features.spec import FeatureSpec


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
    """Folder with the corpus's files; data that is generated needs none."""
    train: Literal["train", "train+val"] = "train"
    """Splits to train on; with train+val there is nothing to validate on, and the last epoch's weights are kept."""
    genome: str = ""
    """vqa2: folder of Visual Genome's questions, to train on those about the same images as well."""
    limit: int | None = None
    """Use the first so many images of each split only."""
    store: str = ""
    """Folder of the region features, extracted there when missing; by default one below `stores`."""


@dataclass(frozen=True)
class AnsweringConfig:
    """How questions and answers become classes and scores."""

    answers: int = 2000
    """Keep the so many most frequent answers of the training split as classes."""
    min_answer_count: int = 1
    """Of these, keep the answers that so many training questions have."""
    targets: Literal["hard", "annotators", "soft", "ban"] = "hard"
    """hard: softmax, the annotators' most frequent answer; annotators: softmax, the share of annotators with each
    answer, which is the mean of sampling one of them; soft: a sigmoid per class, the official scores; ban: the same
    from the answers as they were written, by the table of BAN's authors."""
    scoring: Literal["exact", "vqa", "daquar"] = "vqa"
    """exact: answers as they are written, spaces and case apart; vqa: the official VQA accuracy; daquar: exact answer
    sets and WUPS."""
    min_word_count: int = 1
    """Words rarer than this in the training questions are unknown."""
    max_words: int = 50
    """Questions are cut after so many words."""
    glove: str = ""
    """Text file of GloVe word vectors to start from, for the models that take some."""


@dataclass(frozen=True)
class CaptioningConfig:
    """How captions become words to predict, and how captions are found when validating."""

    words: int = 10_000
    """Keep the so many most frequent words of the training captions, counting those for padding, unknown and end."""
    min_word_count: int = 1
    """Of these, keep the words that the training captions have so many times."""
    max_words: int = 99
    """Captions of more words are not trained on."""
    batches: Literal["length", "padded"] = "length"
    """length: the captions of a batch have the same number of words, as in the paper; padded: any captions."""
    label_smoothing: float = 0.0
    """Share of each target's probability that is spread over all words."""
    beam: int = 1
    """Hypotheses kept when decoding; 1 takes the most probable word each time."""
    max_length: int = 30
    """Most words of a decoded caption."""
    min_length: int = 1
    """Fewest words of a decoded caption."""
    length_penalty: float = 0.0
    """Hypotheses are ranked by their log-probability over their length to this power; 0 ranks by the sum."""


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser, its schedule and clipping."""

    name: Literal["sgd", "adam", "adamax", "rmsprop", "graves"] = "sgd"
    """Optimiser; graves is the RMSProp of Graves (2013): centred, decay 0.95, with momentum."""
    lr: float = 0.1
    """Base learning rate."""
    bias_lr: float = 1.0
    """Biases learn so many times as fast."""
    embedding_lr: float = 1.0
    """Word embeddings learn so many times as fast."""
    momentum: float = 0.9
    """Momentum of sgd and graves."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of adam and adamax."""
    weight_decay: float = 0.0
    """L2 penalty on the parameters."""
    decay: Literal["all", "weights", "not-embeddings"] = "all"
    """Which parameters the penalty is on; weights: all but biases."""
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
    """Passes over the training questions or captions."""
    batch_size: int = 128
    """Questions or captions in one optimiser step, over all processes and accumulated parts together."""
    accumulate: int = 1
    """Compute each step's gradient in so many parts, to save memory; the result is the same."""
    group_by_image: bool = False
    """Let the texts about an image share a batch, so that what depends on the image alone is computed once."""
    metric: str = "accuracy"
    """The validation metric that chooses the best weights."""
    patience: int | None = None
    """Stop when the metric has not risen for so many epochs."""
    average: float = 0.0
    """Validate and keep the running mean of the weights, of which a step leaves that share; by default the weights."""
    seed: int = 0
    """The source of all randomness."""
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
    augment: Literal["none", "crop", "mirror"] = "crop"
    """How images are augmented when the backbone is trained; mirror is crop and mirrors half of them."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic, in Lightning Fabric's terms."""
    accelerator: str = "auto"
    """cpu, cuda, mps or auto."""
    devices: int = 1
    """Processes, one per device."""
    strategy: str = "auto"
    """Lightning Fabric's strategy for several processes: ddp, ddp_spawn, ddp_fork."""
    save_every: int = 500
    """Steps between two saves of the state to resume from; it is saved after each epoch too."""


@dataclass(frozen=True)
class Recipe:
    """One training run: model, data, features, task, optimiser and loop."""

    name: str
    """The recipe's name: <model>-<dataset>."""
    model: str
    """Model, one of `saccade list models`."""
    data: DataConfig
    features: FeatureSpec
    task: tyro.conf.AvoidSubcommands[AnsweringConfig | CaptioningConfig] = AnsweringConfig()
    """What the texts are, questions with answers or captions, and how they become batches and predictions."""
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    sizes: dict[str, Any] = field(default_factory=dict)
    """Sizes of the model that differ from the paper's."""
    card: tyro.conf.Suppress[Card] = Card("")

    def __post_init__(self) -> None:
        """Refuse values that no run can have."""
        for what, value in {"train.epochs": self.train.epochs, "train.batch_size": self.train.batch_size,
                            "train.accumulate": self.train.accumulate, "train.devices": self.train.devices,
                            "train.save_every": self.train.save_every, "optim.lr": self.optim.lr,
                            "optim.period": self.optim.period, **_counts(self.task)}.items():  # fmt: skip
            if value <= 0:
                raise RecipeError(f"{what}: expected a number above 0, got {value}")
        if not 0 <= self.train.average < 1:
            raise RecipeError(f"train.average: expected at least 0 and less than 1, got {self.train.average}")
        if self.data.limit is not None and self.data.limit <= 0:
            raise RecipeError(f"data.limit: expected a number above 0, got {self.data.limit}")
        if self.optim.schedule == "epochs" and not self.optim.rates:
            raise RecipeError("optim.rates: the schedule epochs needs the multiple of each epoch")

    def smoke(self) -> Recipe:
        """The same path in seconds: two epochs over a few images, a small untrained backbone where none is shipped."""
        features = self.features
        if features.backbone != "scenes-cnn":
            features = dataclasses.replace(
                features,
                backbone="test_resnet",
                weights="random",
                image_size=96,
                layer=-1,
                regions="grid",
                width=None,
                backbone_args=(),
            )
        return dataclasses.replace(
            self,
            data=dataclasses.replace(self.data, limit=min(self.data.limit or 24, 24)),
            features=features,
            task=_smoke_task(self.task),
            train=dataclasses.replace(
                self.train,
                epochs=min(self.train.epochs, 2),
                batch_size=min(self.train.batch_size, 16),
                finetune_size=None,
            ),
        )


def _counts(task: AnsweringConfig | CaptioningConfig) -> dict[str, int]:
    """The task's numbers that must be above 0, by dotted name."""
    names = ("answers", "words", "max_words", "beam", "max_length")
    return {f"task.{name}": getattr(task, name) for name in names if hasattr(task, name)}


def _smoke_task(task: AnsweringConfig | CaptioningConfig) -> AnsweringConfig | CaptioningConfig:
    if isinstance(task, CaptioningConfig):
        return dataclasses.replace(task, min_word_count=1, max_length=min(task.max_length, 12))
    return dataclasses.replace(task, glove="", min_answer_count=1)
