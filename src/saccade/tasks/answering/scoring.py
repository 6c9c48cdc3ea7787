"""How a corpus counts an answer as right: its classes, what each earns, and which further metrics it reports."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from saccade.data.records import Question
from saccade.errors import DataError, SaccadeWarning
from saccade.metrics.vqa import ban_scores, normalize_answer, preprocess_answer, soft_scores, vqa_accuracy
from saccade.metrics.wups import Wups, normalize_answer_set

OFFICIAL_ANNOTATORS = 10

TargetKind = Literal["hard", "annotators", "soft", "ban"]


@runtime_checkable
class Scoring(Protocol):
    """The rules of one corpus. Answers are the annotators', prediction and classes are strings as compared."""

    def scores(self, answers: Sequence[str], kind: TargetKind = "soft") -> Mapping[str, float]:
        """The target of each distinct answer, in order of appearance; "soft" is what it earns as a prediction."""
        ...

    def label(self, question: Question, kind: TargetKind = "hard") -> str:
        """The one class that a question has with hard targets."""
        ...

    def accuracy(self, prediction: str, answers: Sequence[str]) -> float:
        """What the prediction earns, from 0 to 1."""
        ...

    def further(self, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, float]:
        """Metrics beside accuracy, where the corpus has some."""
        ...


class VQAScoring:
    """The official VQA accuracy. With fewer than the official ten annotators, answers are compared normalised always.

    (The official rule leaves answers on which all agree as they were written, so that "Red" would never be matched.)
    """

    def scores(self, answers: Sequence[str], kind: TargetKind = "soft") -> Mapping[str, float]:
        """The official leave-one-out average, the share of annotators, or the table of BAN's authors."""
        if kind == "ban":
            return ban_scores(answers)
        normal = [normalize_answer(answer) for answer in answers]
        if kind == "annotators":
            return {answer: count / len(normal) for answer, count in Counter(normal).items()}
        return soft_scores(normal)

    def label(self, question: Question, kind: TargetKind = "hard") -> str:
        """The corpus's own single answer where it has one, else the first of those that most annotators gave."""
        if question.answer is not None:
            return preprocess_answer(question.answer) if kind == "ban" else normalize_answer(question.answer)
        scores = self.scores(question.answers)
        return max(scores, key=scores.__getitem__)

    def accuracy(self, prediction: str, answers: Sequence[str]) -> float:
        """The official accuracy."""
        if len(answers) < OFFICIAL_ANNOTATORS:
            answers = [normalize_answer(answer) for answer in answers]
        return vqa_accuracy(prediction, answers)

    def further(self, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, float]:  # noqa: ARG002
        """None."""
        return {}


class DaquarScoring:
    """DAQUAR's: the whole set of answers must be right; WUPS besides, where WordNet is at hand."""

    def scores(self, answers: Sequence[str], kind: TargetKind = "soft") -> Mapping[str, float]:  # noqa: ARG002
        """One class, the set of answers, in normal form, whatever the kind."""
        return {normalize_answer_set(answers[0]): 1.0}

    def label(self, question: Question, kind: TargetKind = "hard") -> str:  # noqa: ARG002
        """The set of answers, in normal form."""
        return normalize_answer_set(question.answers[0])

    def accuracy(self, prediction: str, answers: Sequence[str]) -> float:
        """1 when prediction and answer are the same set."""
        return float(normalize_answer_set(prediction) == normalize_answer_set(answers[0]))

    def further(self, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, float]:
        """WUPS at 0.9 and 0.0; a warning and nothing without WordNet."""
        try:
            wups = Wups()
        except DataError as error:
            warnings.warn(f"WUPS left out: {error}", SaccadeWarning, stacklevel=2)
            return {}
        truths = [answer for answer, *_ in answers]
        return {f"wups_{threshold}": wups.mean(predictions, truths, threshold=threshold) for threshold in (0.9, 0.0)}


SCORING: Mapping[str, Scoring] = {"vqa": VQAScoring(), "daquar": DaquarScoring()}
