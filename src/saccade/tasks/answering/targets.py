"""What a loss learns from: a class for each question, or a score for each of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from saccade.data.records import Question
from saccade.tasks.answering.scoring import Scoring, TargetKind

NO_CLASS = -100  # what cross-entropy leaves out
REMEMBERED = 1 << 16  # the same few answers come again and again


class Targets:
    """Targets over the given classes, of the kind that a recipe names; `classes` has each one's number."""

    def __init__(self, classes: Sequence[str], scoring: Scoring, kind: TargetKind) -> None:
        self.classes = {answer: i for i, answer in enumerate(classes)}
        self._scoring, self._kind = scoring, kind
        self._row = lru_cache(REMEMBERED)(self._scored)

    def learnable(self, question: Question) -> bool:
        """Whether a loss learns from the question: a softmax needs a class; a sigmoid learns which are wrong, too."""
        if self._kind == "hard":
            return self._scoring.label(question, self._kind) in self.classes
        return self._kind != "annotators" or bool(self._row(question.answers))

    def __call__(self, questions: Sequence[Question]) -> Tensor:
        """Class ids [B] when hard (NO_CLASS where there is none), scores [B, C] otherwise; 0 without annotators."""
        if self._kind == "hard":
            labels = [self._scoring.label(question, self._kind) if question.answers else None for question in questions]
            return torch.tensor([NO_CLASS if label is None else self.classes.get(label, NO_CLASS) for label in labels])
        targets = torch.zeros(len(questions), len(self.classes))
        for target, question in zip(targets, questions, strict=True):
            for i, score in self._row(question.answers).items():
                target[i] = score
        return targets

    def _scored(self, answers: tuple[str, ...]) -> Mapping[int, float]:
        """The score of each class that an annotator named."""
        scores = self._scoring.scores(answers, self._kind) if answers else {}
        return {self.classes[answer]: score for answer, score in scores.items() if answer in self.classes}
