"""What a task is: all that training, evaluation and serving need to know of texts, and nothing of models or devices.

A task is known by four types: its record (what a corpus holds), its example (what is predicted and scored), its output
(what a model's `forward` returns, by which a model's task is told) and its prediction. Nothing outside this folder asks
which task it is.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

from saccade.data.batches import shuffled_batches
from saccade.data.records import Record, images_of
from saccade.errors import RecipeError
from saccade.limits import COUNT, check_limits

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn

    from saccade.data.batches import Indices
    from saccade.data.records import Caption, Corpus
    from saccade.progress import Report
    from saccade.recipe import Recipe, TrainConfig
    from saccade.tasks.attending import Attended
    from saccade.tasks.reply import OpenedImage
    from saccade.types import Regions, Without

AnyRecord = TypeVar("AnyRecord", bound=Record)
AnyExample = TypeVar("AnyExample", bound="HasImage")
AnyPrediction = TypeVar("AnyPrediction", bound="Predicted")

# From the ids of images to their regions.
Reader = Callable[[Sequence[str]], "Regions"]
# From the ids of images to where their regions lie, [regions, 4] of each.
BoxReader = Callable[[Sequence[str]], "list[npt.NDArray[np.float32]]"]
# From the rows of this process to those of all processes, in which gradients flow back to each.
Gather = Callable[["Tensor"], "Tensor"]
# The metadata of an option that is of use only where predictions are scored.
SCORING = {"scoring": True}


class HasImage(Protocol):
    """What is about an image."""

    @property
    def image(self) -> str:
        """The image's id."""


class PlainValues(Protocol):
    """What goes into a JSON file: a prediction, a reply."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


class Predicted(PlainValues, Protocol):
    """What a model said, and what is known of what would have been right."""

    def said(self) -> dict[str, Any]:
        """What the model said alone, as plain values."""


class Predicts(Protocol):
    """What batches examples and predicts them: a task, or what asks its model for something else."""

    def stack(self, examples: Sequence[Any], read: Reader) -> Batch:
        """The examples as a batch to predict."""

    def predict(
        self, model: Any, batch: Any, options: Any, *, attention: bool, generator: torch.Generator
    ) -> Sequence[Any]:
        """A prediction for each example of a batch."""


class Batch(Protocol):
    """Tensors of some texts or images, ready for a model."""

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""


@dataclasses.dataclass(frozen=True)
class TaskConfig(ABC):
    """What a recipe decides about its texts: a frozen dataclass for each task, told by its `kind` in recipe.json.

    It loads no PyTorch, for recipes are listed and parsed without.
    """

    Options: ClassVar[type]
    # The fields that must be alike for the numbers of two recipes to be comparable.
    ALIKE: ClassVar[tuple[str, ...]] = ()

    kind: str
    """The name of the task."""

    @staticmethod
    @abstractmethod
    def task() -> type[Task[Any, Any, Any]]:
        """The task that this configures."""

    def check(self) -> None:  # noqa: B027 - most have something to refuse, some have nothing
        """Refuse, with RecipeError, values that cannot be."""

    def smoke(self) -> Self:
        """The same in seconds, on a few images."""
        return self

    @classmethod
    def options(cls, **said: Any) -> Any:
        """The task's options with those that are said, None being none; raises RecipeError for one it does not have."""
        known = {field.name for field in dataclasses.fields(cls.Options)}
        said = {name: value for name, value in said.items() if value is not None}
        if foreign := said.keys() - known:
            names = ", ".join(sorted(known)) or "none"
            noun = cls.task().noun
            raise RecipeError(f"{', '.join(sorted(foreign))}: no option of a run about {noun}; it has {names}")
        return cls.Options(**said)

    def __post_init__(self) -> None:
        self.check()


def check_above_zero(**values: float) -> None:
    """Raise RecipeError naming the field of the task's config that is not a whole number above 0."""
    check_limits({f"task.{name}": (COUNT, value) for name, value in values.items()})


class Task(ABC, Generic[AnyRecord, AnyExample, AnyPrediction]):
    """What a task does with its own records.

    ``noun`` is what its records are called ("questions"), ``text`` what the text is that a run reads about each image
    ("question"; "" where it wants images alone), ``columns`` what a prediction's `said` may name, and ``usage`` how a
    run is used. ``metric`` tells which epoch and which model is best unless a recipe says otherwise. ``separable`` is
    whether the loss of a batch is the sum of the losses of its parts: only then is a batch dealt out over parts and
    processes; else the loss compares the texts of a batch with each other, and `gather` hands it those of all
    processes.
    """

    Config: ClassVar[type[TaskConfig]]
    Record: ClassVar[type[Record]]
    Output: ClassVar[type]
    noun: ClassVar[str]
    text: ClassVar[str] = ""
    columns: ClassVar[tuple[str, ...]]
    usage: ClassVar[str]
    metric: ClassVar[str]
    separable: ClassVar[bool] = True

    config: Any

    @classmethod
    @abstractmethod
    def build(cls, records: Sequence[AnyRecord], config: Any) -> Self:
        """The task whose words and classes are those of the training records given, and of no others."""

    @abstractmethod
    def files(self) -> dict[str, str]:
        """What is kept with a run beside its recipe, by file name: all that `from_files` needs."""

    @classmethod
    @abstractmethod
    def from_files(cls, files: Mapping[str, str], config: Any) -> Self:
        """The task of a run; raises RunError for a file that is not as expected."""

    @abstractmethod
    def content(self) -> dict[str, Sequence[str]]:
        """What the task learnt from its records, by name: words, classes. A resumed run must find the same."""

    @abstractmethod
    def entries(self) -> dict[str, Sequence[str]]:
        """What the sizes that a model is told of the data count, num_words and num_answers: the text of each number."""

    def sizes(self) -> dict[str, int]:
        """Those sizes."""
        return {size: len(texts) for size, texts in self.entries().items()}

    def remarks(self, records: Sequence[AnyRecord]) -> list[str]:  # noqa: ARG002
        """What is worth saying about the training records when training starts."""
        return []

    def remarks_on_regions(self, records: Sequence[AnyRecord], boxes: BoxReader) -> list[str]:  # noqa: ARG002
        """What is worth saying, before training, about where the regions of some records' images lie."""
        return []

    def further(self, recipe: Recipe, records: Sequence[AnyRecord], report: Report) -> Sequence[AnyRecord]:  # noqa: ARG002
        """Training records from elsewhere, beside those of the corpus."""
        return ()

    def ready(self, model: nn.Module) -> None:
        """Refuse now what `prepare` would fail on after the work; the model is one for the smallest data."""

    def prepare(self, model: nn.Module, records: Sequence[AnyRecord], report: Report) -> None:
        """Let a fresh model start from what is known already, such as word vectors; nothing by default."""

    def check(self, records: Sequence[AnyRecord]) -> None:
        """Refuse, with DataError, records that cannot be read."""

    def trainable(self, records: Sequence[AnyRecord]) -> list[AnyRecord]:
        """The records that a loss can learn from; raises DataError when there are none."""
        return list(records)

    @classmethod
    def counts(cls, records: Sequence[AnyRecord]) -> dict[str, int]:
        """How many there are of what."""
        return {cls.noun: len(records), "images": len(images_of(records))}

    def begin(self, epoch: int) -> None:
        """Hear, before the batches of an epoch, which one begins, counted from 0."""

    def batches(self, records: Sequence[AnyRecord], config: TrainConfig, epoch: int) -> list[Indices]:
        """The indices of the records in each batch of an epoch."""
        images = [record.image for record in records]
        return shuffled_batches(images, config.batch_size, seed=config.seed, epoch=epoch, grouped=config.group_by_image)

    @abstractmethod
    def collate(self, records: Sequence[AnyRecord], read: Reader, *, grouped: bool) -> Batch:
        """The records as a batch to learn from, their images' regions read once an image when grouped."""

    @abstractmethod
    def loss(self, model: Any, batch: Any, gather: Gather) -> Tensor:
        """The summed loss of the batch, from the model called on it."""

    @abstractmethod
    def examples(self, records: Sequence[AnyRecord]) -> list[AnyExample]:
        """What is predicted and scored."""

    @abstractmethod
    def example(self, image: str, text: str) -> AnyExample:
        """What is predicted of an image and the text about it, of which nothing else is known."""

    def check_text(self, text: str) -> None:
        """Refuse, with DataError, a text that cannot be read."""

    def unread(self, text: str) -> list[str]:  # noqa: ARG002
        """The words of a text that were never seen in training and say nothing to the model."""
        return []

    @classmethod
    def scorable(cls, records: Sequence[AnyRecord]) -> bool:
        """Whether what is right is known of the records, so that there are metrics."""
        return bool(records)

    @abstractmethod
    def stack(self, examples: Sequence[AnyExample], read: Reader) -> Batch:
        """The examples as a batch to predict."""

    def check_options(self, model: Any, options: Any) -> None:
        """Refuse now what would fail after the work: options that do not fit the model, a program that is missing."""

    @abstractmethod
    def predict(
        self, model: Any, batch: Any, options: Any, *, attention: bool, generator: torch.Generator
    ) -> list[AnyPrediction]:
        """A prediction for each example of a batch; with `attention` also where the model looked, where that is known.

        What is drawn is drawn with the generator.
        """

    def attend(self, model: Any, regions: Regions, sentences: Sequence[Caption]) -> list[Attended]:  # noqa: ARG002
        """Where the model looked for the phrases with boxes of each sentence, by the map that `attending` names.

        `regions.grouping` says which row of the regions each sentence is about. Raises RecipeError for a model that has
        no such map.
        """
        raise RecipeError(f"a run about {self.noun} says of no phrase where it looked: its task has no `attend`")

    @abstractmethod
    def metrics(self, predictions: Sequence[AnyPrediction], data: Corpus) -> dict[str, float]:
        """What the predictions score; a corpus that knows more about its images is asked for it."""

    def metric_names(self, records: Sequence[AnyRecord], data: Corpus) -> list[str] | None:  # noqa: ARG002
        """The metrics that validation on these records will give, asked for before the work.

        None where that is not known until then, which costs the user an epoch if the metric that chooses is misspelt.
        """
        return None

    def further_metrics(self, predictions: Sequence[AnyPrediction], options: Any) -> dict[str, float]:  # noqa: ARG002
        """Those that a program outside must compute, which may fail: they are asked for when the others are written."""
        return {}

    def exports(self, predictions: Sequence[AnyPrediction], data: Corpus) -> dict[str, Any]:  # noqa: ARG002
        """Result files in the official formats: JSON values by file name."""
        return {}

    @abstractmethod
    def reply(
        self,
        model: Any,
        regions: Regions,
        pictures: Sequence[OpenedImage],
        texts: Sequence[str] | None,
        options: Any,
        generator: torch.Generator,
        without: Sequence[Without] | None = None,
    ) -> list[Any]:
        """A Reply for each picture, about the text of the same place where the task reads texts.

        `regions.grouping` says which row of the regions each picture is, and `without` what is taken away from each
        picture and its text. Raises RecipeError for texts that are missing or not wanted, DataError for one that cannot
        be read, and for what cannot be taken away.
        """
