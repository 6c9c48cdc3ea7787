"""Scoring a result file by itself, without a model: the metrics that the official evaluation prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade.data.vqa_json import ANSWER_TYPES, match, read_annotations, read_questions
from saccade.data.vqa_results import answers_to
from saccade.metrics.vqa import vqa_accuracy

ANSWER_TYPE_KEYS = dict(zip(ANSWER_TYPES, ("accuracy_yes_no", "accuracy_number", "accuracy_other"), strict=True))


def score_vqa(results: Path | str, questions: Path | str, annotations: Path | str) -> dict[str, Any]:
    """The official VQA accuracy of a result file, open-ended or multiple-choice, as fractions of 1, not rounded.

    `accuracy` over all questions; `accuracy_yes_no`, `accuracy_number` and `accuracy_other` over those of an answer
    type, where there are some; and `question_types`, an object with the accuracy over those of each official question
    type, by alphabet. GT-Vision-Lab/VQA's `vqaEval.py` gives the same as percentages with two decimals.

    Raises DataError for a result file that does not fit the questions, questions that do not fit the annotations, and
    files that are not as expected.
    """
    asked = read_questions(Path(questions))
    annotated = match(asked, read_annotations(Path(annotations)), Path(questions), Path(annotations))
    predictions = answers_to(asked, results)
    shares = [vqa_accuracy(predictions[annotation.id], annotation.answers) for annotation in annotated]
    by_answer_type = _means([annotation.answer_type for annotation in annotated], shares)
    return {
        "accuracy": sum(shares) / len(shares),
        **{key: by_answer_type[name] for name, key in ANSWER_TYPE_KEYS.items() if name in by_answer_type},
        "question_types": _means([annotation.question_type for annotation in annotated], shares),
    }


def _means(types: Sequence[str], shares: Sequence[float]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for name, share in zip(types, shares, strict=True):
        groups.setdefault(name, []).append(share)
    return {name: sum(groups[name]) / len(groups[name]) for name in sorted(groups)}
