"""How a corpus counts an answer as right: its classes, what each earns, and which further metrics it reports."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable
from unicodedata import normalize

from saccade.data.records import Question
from saccade.errors import DataError, SaccadeWarning
from saccade.metrics.vqa import (
    agreement_share,
    ban_scores,
    normalize_answer,
    preprocess_answer,
    soft_scores,
    vqa_accuracy,
)
from saccade.metrics.wups import Wups, normalize_answer_items, normalize_answer_set

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

    def normal(self, answer: str) -> str:
        """The answer as it is compared: the class on which it falls."""
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

    def normal(self, answer: str) -> str:
        """Lower case, digits for number words, no articles, punctuation dropped."""
        return normalize_answer(answer)


class ExactScoring:
    """Answers as their owner wrote them, spaces and case apart: "-5" and "5" are two.

    Several annotators earn an answer what they do by the rule of VQA, without its normalisation.
    """

    def scores(self, answers: Sequence[str], kind: TargetKind = "soft") -> Mapping[str, float]:
        """What each distinct answer earns, the share of annotators, or the table of BAN's authors."""
        normal = [self.normal(answer) for answer in answers]
        if kind == "ban":
            return ban_scores(normal)
        counts = Counter(normal)
        if kind == "annotators":
            return {answer: count / len(normal) for answer, count in counts.items()}
        return {answer: agreement_share(count, len(normal)) for answer, count in counts.items()}

    def label(self, question: Question, kind: TargetKind = "hard") -> str:  # noqa: ARG002
        """The corpus's own single answer where it has one, else the first of those that most annotators gave."""
        if question.answer is not None:
            return self.normal(question.answer)
        return _most_frequent(map(self.normal, question.answers))

    def accuracy(self, prediction: str, answers: Sequence[str]) -> float:
        """The mean over the annotators left out one by one of min(matches among the others / 3, 1)."""
        return agreement_share([self.normal(answer) for answer in answers].count(self.normal(prediction)), len(answers))

    def further(self, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, float]:  # noqa: ARG002
        """None."""
        return {}

    def normal(self, answer: str) -> str:
        """The answer in composed characters (NFC), case folded, with single spaces."""
        return normalize("NFC", " ".join(normalize("NFC", answer).casefold().split()))


class DaquarScoring:
    """DAQUAR's: the whole set of answers must be right; WUPS besides, where WordNet is at hand.

    With several annotators each counts the same, as in the average consensus of Malinowski, Rohrbach and Fritz 2015.
    """

    def scores(self, answers: Sequence[str], kind: TargetKind = "soft") -> Mapping[str, float]:
        """The share of annotators with each set of answers, in normal form; BAN's table for kind "ban"."""
        normal = [self.normal(answer) for answer in answers]
        if kind == "ban" and len(normal) > 1:
            return ban_scores(normal)
        return {answer: count / len(normal) for answer, count in Counter(normal).items()}

    def label(self, question: Question, kind: TargetKind = "hard") -> str:  # noqa: ARG002
        """The first of the sets of answers that most annotators gave, in normal form."""
        return _most_frequent(map(self.normal, question.answers))

    def accuracy(self, prediction: str, answers: Sequence[str]) -> float:
        """The share of annotators whose answer is the same set as the prediction."""
        return [self.normal(answer) for answer in answers].count(self.normal(prediction)) / len(answers)

    def further(self, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, float]:
        """WUPS at 0.9 and 0.0, of words as the accuracy compares them; a warning and nothing without WordNet."""
        try:
            wups = Wups()
        except DataError as error:
            warnings.warn(f"WUPS left out: {error}", SaccadeWarning, stacklevel=2)
            return {}
        said = [normalize_answer_items(prediction) for prediction in predictions]
        truths = [[normalize_answer_items(answer) for answer in given] for given in answers]
        return {f"wups_{threshold}": wups.mean(said, truths, threshold=threshold) for threshold in (0.9, 0.0)}

    def normal(self, answer: str) -> str:
        """The set of answers, each once, in lower case and alphabetical order."""
        return normalize_answer_set(answer)


SCORING: Mapping[str, Scoring] = {"exact": ExactScoring(), "vqa": VQAScoring(), "daquar": DaquarScoring()}


def merged_answers(answers: Iterable[str], scoring: Scoring) -> Mapping[str, tuple[str, ...]]:
    """The classes on which answers fall that differ by more than spaces and case, with these; and the empty class.

    The first spelling of each is shown, in the order of the answers.

    >>> merged_answers(["-5", "5", "red", "Red", "?"], SCORING["vqa"])
    {'5': ('-5', '5'), '': ('?',)}
    """
    spellings: dict[str, dict[str, str]] = {}
    for answer in answers:
        spellings.setdefault(scoring.normal(answer), {}).setdefault(SCORING["exact"].normal(answer), answer)
    return {name: tuple(each.values()) for name, each in spellings.items() if len(each) > 1 or not name}


def _most_frequent(answers: Iterable[str]) -> str:
    """The answer given most often, of equals the first."""
    (most, _), *_ = Counter(answers).most_common(1)
    return most
