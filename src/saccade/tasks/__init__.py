"""The tasks: what training and evaluation need to know of questions, of captions; blind to models and devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from saccade.data.batches import Batch
from saccade.tasks.answering import AnsweringTask, Reader
from saccade.tasks.captioning import CaptioningTask
from saccade.text import Vocabulary


@runtime_checkable
class Task(Protocol):
    """What a task does with its own records.

    Texts are what a corpus holds, questions or captions; examples are what is predicted and scored, questions or
    images; a batch has `regions`, `words` where it is to be learnt from, and `to`.
    """

    vocabulary: Vocabulary

    @property
    def num_answers(self) -> int | None:
        """How many answers a model chooses among; None where it chooses among words alone."""

    def trainable(self, texts: Sequence[Any]) -> list[Any]:
        """The texts that a loss can learn from."""

    def check(self, texts: Sequence[Any]) -> None:
        """Refuse texts that cannot be read, with DataError."""

    def counts(self, texts: Sequence[Any]) -> dict[str, int]:
        """How many there are of what."""

    def batches(self, texts: Sequence[Any], config: Any, epoch: int) -> list[Batch]:
        """The indices of the texts in each batch of an epoch, by the recipe's TrainConfig."""

    def collate(self, texts: Sequence[Any], read: Reader, *, grouped: bool) -> Any:
        """The texts as a batch to learn from."""

    def loss(self, output: Any, batch: Any) -> Tensor:
        """The summed loss of the batch."""

    def examples(self, texts: Sequence[Any]) -> list[Any]:
        """What is predicted and scored."""

    def known(self, examples: Sequence[Any]) -> bool:
        """Whether the right answers are known, so that there are metrics."""

    def gather(self, examples: Sequence[Any], read: Reader) -> Any:
        """The examples as a batch to predict."""

    def predict(self, model: nn.Module, batch: Any, *, attention: bool) -> list[Any]:
        """A prediction for each example of a batch."""

    def metrics(self, predictions: Sequence[Any]) -> dict[str, float]:
        """What the predictions score."""


TaskType = type[AnsweringTask] | type[CaptioningTask]

__all__ = ["AnsweringTask", "CaptioningTask", "Task", "TaskType"]
