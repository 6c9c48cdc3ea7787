"""Answering questions about images: questions to batches, batches to a loss, logits to answers, answers to metrics.

Blind to which model answers: anything that maps (Regions, Words) to Answers will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from saccade.data.batches import Batch as Indices
from saccade.data.batches import shuffled_batches
from saccade.data.records import AnsweringData, Question
from saccade.data.split import count_questions
from saccade.errors import DataError
from saccade.metrics.names import metric_keys
from saccade.metrics.vqa import answer_list, best_choice
from saccade.tasks.looking import Look, looking_metrics, looks_of
from saccade.tasks.scoring import SCORING
from saccade.tasks.targets import Targets
from saccade.text import Vocabulary
from saccade.types import Answers, Grouping, Regions, Words

if TYPE_CHECKING:
    from saccade.recipe import AnsweringConfig, TrainConfig

Reader = Callable[[Sequence[str]], Regions]


@dataclass(frozen=True, eq=False)
class Batch:
    """Questions ready for a model; `targets` are class ids [B] when hard, scores [B, C] otherwise."""

    regions: Regions
    words: Words
    targets: Tensor
    questions: tuple[Question, ...]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(self.regions.to(device), self.words.to(device), self.targets.to(device), self.questions)


@dataclass(frozen=True)
class Prediction:
    """What a model answered to a question, what that earned, and where it looked (per step; empty without boxes).

    ``accuracy`` is None for a question without annotators.
    """

    question: Question
    answers: tuple[tuple[str, float], ...]
    accuracy: float | None
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
        self._scoring = SCORING[config.scoring]
        self._targets = Targets(answers, self._scoring, config.targets)

    @classmethod
    def build(cls, questions: Sequence[Question], config: AnsweringConfig) -> AnsweringTask:
        """The task whose words and answers are those of the training questions given.

        A question counts for one answer: the corpus's own label, or the one that most annotators gave; ties go to the
        one given first. Raises DataError when no answer is frequent enough.
        """
        vocabulary = Vocabulary.build((question.text for question in questions), min_count=config.min_word_count)
        labels = (SCORING[config.scoring].label(question, config.targets) for question in questions)
        answers = answer_list(labels, most=config.answers, at_least=config.min_answer_count)
        if not answers:
            raise DataError(f"no answer is that of {config.min_answer_count} questions: lower --task.min-answer-count")
        return cls(vocabulary, answers, config)

    @staticmethod
    def texts(data: object, split: str) -> Sequence[Question]:
        """The questions of a split; raises DataError for a data set without any."""
        if not isinstance(data, AnsweringData):
            raise DataError("the data set has no questions: choose another data set, or a recipe that writes captions")
        return data.questions(split)

    @property
    def num_answers(self) -> int:
        """How many answers a model chooses among."""
        return len(self.answers)

    def check(self, questions: Sequence[Question]) -> None:
        """Refuse, with DataError, a question without words."""
        wordless = next((q for q in questions if not self.vocabulary.words(q.text)), None)
        if wordless is not None:
            raise DataError(f"question {wordless.id!r} about {wordless.image}: expected words, got {wordless.text!r}")

    def batches(self, questions: Sequence[Question], config: TrainConfig, epoch: int) -> list[Indices]:
        """The indices of the questions in each batch of an epoch."""
        images = [question.image for question in questions]
        return shuffled_batches(images, config.batch_size, seed=config.seed, epoch=epoch, grouped=config.group_by_image)

    @staticmethod
    def examples(questions: Sequence[Question]) -> list[Question]:
        """What is answered and scored: every question."""
        return list(questions)

    @staticmethod
    def counts(questions: Sequence[Question]) -> dict[str, int]:
        """How many there are of what."""
        return count_questions(questions)

    def gather(self, questions: Sequence[Question], read: Reader) -> Batch:
        """The questions as a batch to answer."""
        return self.collate(questions, read, grouped=True)

    def predict(self, model: nn.Module, batch: Batch, *, attention: bool) -> list[Prediction]:
        """The answer to each question; with `attention` also where the model looked."""
        return self.decode(model(batch.regions, batch.words, attention=attention), batch)

    def trainable(self, questions: Sequence[Question]) -> list[Question]:
        """The questions that a loss can learn from: with a softmax, those whose answer is a class."""
        return [question for question in questions if self._targets.learnable(question)]

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
        """The summed loss of the batch: cross-entropy, or binary cross-entropy over all classes."""
        logits = output.logits.float()
        if self._softmax:
            return F.cross_entropy(logits, batch.targets, reduction="sum")
        return F.binary_cross_entropy_with_logits(logits, batch.targets, reduction="sum")

    def top(self, logits: Float[Tensor, "texts answers"], count: int) -> list[tuple[tuple[str, float], ...]]:
        """The most probable answers of each row, best first."""
        probabilities = self._probabilities(logits)
        best = probabilities.topk(min(count, len(self.answers)), dim=1)
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [tuple((self.answers[i], p) for i, p in zip(*row, strict=True)) for row in rows]

    def decode(self, output: Answers, batch: Batch) -> list[Prediction]:
        """Each question's answer, scored."""
        looks = looks_of(output.attention, batch.regions, batch.questions)
        found = []
        for i, (question, answers) in enumerate(zip(batch.questions, self.top(output.logits, 1), strict=True)):
            chosen = self._choose(question.choices, output.logits[i]) if question.choices else answers
            accuracy = self._scoring.accuracy(chosen[0][0], question.answers) if question.answers else None
            found.append(Prediction(question, chosen, accuracy, looks[i]))
        return found

    @staticmethod
    def known(questions: Sequence[Question]) -> bool:
        """Whether the answers are known, so that there are metrics."""
        return bool(questions) and all(question.answers for question in questions)

    def metrics(self, predictions: Sequence[Prediction], *, further: bool = True) -> dict[str, float]:
        """Accuracy over all and by question type, the corpus's further metrics, the attention's where boxes are."""
        if not predictions:
            raise DataError("there is nothing to score: no predictions")
        accuracies = [(p.question.kind, p.accuracy) for p in predictions if p.accuracy is not None]
        if len(accuracies) < len(predictions):
            raise DataError(f"{len(predictions) - len(accuracies)} of {len(predictions)} questions have no answers")
        found = {"accuracy": _mean([accuracy for _, accuracy in accuracies])}
        steps = {look.step.replace(" ", "_") for p in predictions for look in p.looks}
        keys = metric_keys({p.question.kind for p in predictions} - {""}, reserved=steps)
        for kind, key in keys.items():
            found[f"accuracy_{key}"] = _mean([accuracy for k, accuracy in accuracies if k == kind])
        if further:
            answers = [p.answers[0][0] for p in predictions]
            found |= self._scoring.further(answers, [p.question.answers for p in predictions])
        looked = [(p.question.kind, p.looks) for p in predictions if p.looks]
        found |= looking_metrics([looks for _, looks in looked])
        for kind, key in keys.items():
            of_kind = looking_metrics([looks for k, looks in looked if k == kind], steps=False)
            found |= {f"{name}_{key}": value for name, value in of_kind.items()}
        return found

    def _choose(self, choices: Sequence[str], logits: Float[Tensor, " answers"]) -> tuple[tuple[str, float], ...]:
        """The most probable of a question's choices; those that are no class have probability 0."""
        probabilities = self._probabilities(logits[None])[0].tolist()
        choice = best_choice(choices, self._targets.classes, probabilities, self._scoring.normal)
        number = self._targets.classes.get(choice, self._targets.classes.get(self._scoring.normal(choice)))
        return ((choice, 0.0 if number is None else probabilities[number]),)

    @property
    def _softmax(self) -> bool:
        return self.config.targets in ("hard", "annotators")

    def _probabilities(self, logits: Float[Tensor, "texts answers"]) -> Float[Tensor, "texts answers"]:
        return logits.float().softmax(1) if self._softmax else logits.float().sigmoid()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
