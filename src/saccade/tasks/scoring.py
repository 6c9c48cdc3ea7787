"""How a corpus counts an answer as right: its classes, what each earns, and which further metrics it reports."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from saccade.errors import DataError, SaccadeWarning
from saccade.metrics.vqa import normalize_answer, soft_scores, vqa_accuracy
from saccade.metrics.wups import Wups, normalize_answer_set

OFFICIAL_ANNOTATORS = 10


@runtime_checkable
class Scoring(Protocol):
    """The rules of one corpus. Answers are the annotators', prediction and classes are strings as compared."""

    def scores(self, answers: Sequence[str]) -> Mapping[str, float]:
        """What each distinct answer earns as a prediction, in order of appearance; the keys become the classes."""
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

    def scores(self, answers: Sequence[str]) -> Mapping[str, float]:
        """The official leave-one-out average of each answer."""
        return soft_scores([normalize_answer(answer) for answer in answers])

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

    def scores(self, answers: Sequence[str]) -> Mapping[str, float]:
        """One class, the set of answers, in normal form."""
        return {normalize_answer_set(answers[0]): 1.0}

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
