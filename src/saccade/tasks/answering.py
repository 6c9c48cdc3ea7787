"""Answering questions about images: questions to batches, batches to a loss, logits to answers, answers to metrics.

Blind to which model answers: anything that maps (Regions, Words) to Answers will do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from saccade.data.records import Question
from saccade.errors import DataError
from saccade.tasks.looking import Look, looking_metrics, looks_of
from saccade.tasks.scoring import SCORING
from saccade.text import Vocabulary
from saccade.types import Answers, Grouping, Regions, Words

if TYPE_CHECKING:
    from saccade.recipe import AnsweringConfig

Reader = Callable[[Sequence[str]], Regions]


@dataclass(frozen=True, eq=False)
class Batch:
    """Questions ready for a model; `targets` are class ids [B] when hard, scores [B, C] when soft."""

    regions: Regions
    words: Words
    targets: Tensor
    questions: tuple[Question, ...]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(self.regions.to(device), self.words.to(device), self.targets.to(device), self.questions)


@dataclass(frozen=True)
class Prediction:
    """What a model answered to a question, what that earned, and where it looked (per step; empty without boxes)."""

    question: Question
    answers: tuple[tuple[str, float], ...]
    accuracy: float
    looks: tuple[Look, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for predictions.jsonl."""
        (answer, probability), *_ = self.answers
        return {
            "id": self.question.id,
            "image": self.question.image,
            "question": self.question.text,
            "type": self.question.kind,
            "answer": answer,
            "probability": round(probability, 6),
            "answers": list(self.question.answers),
            "accuracy": self.accuracy,
        }


class AnsweringTask:
    """Classification over the answers of the training split; words and answers are kept with the run."""

    def __init__(self, vocabulary: Vocabulary, answers: tuple[str, ...], config: AnsweringConfig) -> None:
        self.vocabulary, self.answers, self.config = vocabulary, answers, config
        self._class = {answer: i for i, answer in enumerate(answers)}
        self._scoring = SCORING[config.scoring]
        self._scores = lru_cache(maxsize=None)(self._scoring.scores)  # the same few answers come again and again

    @classmethod
    def build(cls, questions: Sequence[Question], config: AnsweringConfig) -> AnsweringTask:
        """The task whose words and answers are those of the training questions given.

        An answer counts once a question, the one that most annotators gave; ties go to the one given first.
        """
        vocabulary = Vocabulary.build((question.text for question in questions), min_count=config.min_word_count)
        scoring = SCORING[config.scoring]
        counts = Counter(_best(scoring.scores(question.answers)) for question in questions)
        ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))
        return cls(vocabulary, tuple(ranked[: config.answers]), config)

    def trainable(self, questions: Sequence[Question]) -> list[Question]:
        """The questions that a loss can learn from: with hard targets, those whose answer is a class."""
        if self.config.targets == "soft":
            return list(questions)
        return [q for q in questions if _best(self._scores(q.answers)) in self._class]

    def collate(self, questions: Sequence[Question], read: Reader, *, grouped: bool) -> Batch:
        """The questions as a batch, their images' regions read from the store: once an image when grouped."""
        if grouped:
            rows = {image: row for row, image in enumerate(dict.fromkeys(q.image for q in questions))}
            grouping = Grouping.of(torch.tensor([rows[q.image] for q in questions]))
            regions = read(list(rows)).grouped(grouping)
        else:
            regions = read([q.image for q in questions])
        words = self.vocabulary.encode([q.text for q in questions], max_words=self.config.max_words)
        return Batch(regions, words, self._targets(questions), tuple(questions))

    def loss(self, output: Answers, batch: Batch) -> Float[Tensor, ""]:
        """The summed loss of the batch: cross-entropy, or with soft targets binary cross-entropy over all classes."""
        logits = output.logits.float()
        if self.config.targets == "hard":
            return F.cross_entropy(logits, batch.targets, reduction="sum")
        return F.binary_cross_entropy_with_logits(logits, batch.targets, reduction="sum")

    def top(self, logits: Float[Tensor, "texts answers"], count: int) -> list[tuple[tuple[str, float], ...]]:
        """The most probable answers of each row, best first."""
        logits = logits.float()
        probabilities = logits.softmax(1) if self.config.targets == "hard" else logits.sigmoid()
        best = probabilities.topk(min(count, len(self.answers)), dim=1)
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [tuple((self.answers[i], p) for i, p in zip(*row, strict=True)) for row in rows]

    def decode(self, output: Answers, batch: Batch) -> list[Prediction]:
        """Each question's answer, scored."""
        looks = looks_of(output.attention, batch.regions, batch.questions)
        return [
            Prediction(question, answers, self._scoring.accuracy(answers[0][0], question.answers), look)
            for question, answers, look in zip(batch.questions, self.top(output.logits, 1), looks, strict=True)
        ]

    def metrics(self, predictions: Sequence[Prediction], *, further: bool = True) -> dict[str, float]:
        """Accuracy over all and by question type, the corpus's further metrics, the attention's where boxes are."""
        if not predictions:
            raise DataError("there is nothing to score: no predictions")
        found = {"accuracy": _mean([p.accuracy for p in predictions])}
        kinds = sorted({p.question.kind for p in predictions} - {""})
        for kind in kinds:
            found[f"accuracy_{metric_key(kind)}"] = _mean([p.accuracy for p in predictions if p.question.kind == kind])
        if further:
            answers = [p.answers[0][0] for p in predictions]
            found |= self._scoring.further(answers, [p.question.answers for p in predictions])
        looked = [(p.question.kind, p.looks) for p in predictions if p.looks]
        found |= looking_metrics([looks for _, looks in looked])
        for kind in kinds:
            of_kind = looking_metrics([looks for k, looks in looked if k == kind], steps=False)
            found |= {f"{name}_{metric_key(kind)}": value for name, value in of_kind.items()}
        return found

    def _targets(self, questions: Sequence[Question]) -> Tensor:
        scores = [self._scores(question.answers) for question in questions]
        if self.config.targets == "hard":
            return torch.tensor([self._class.get(_best(row), -100) for row in scores])  # -100: left out of the loss
        targets = torch.zeros(len(questions), len(self.answers))
        for target, row in zip(targets, scores, strict=True):
            for answer, score in row.items():
                if answer in self._class:
                    target[self._class[answer]] = score
        return targets


def metric_key(kind: str) -> str:
    """A question type as it stands in metric names: lower case, anything else but letters and digits an underscore."""
    return "_".join("".join(c if c.isalnum() else " " for c in kind.lower()).split())


def _best(scores: Mapping[str, float]) -> str:
    return max(scores, key=scores.__getitem__)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
