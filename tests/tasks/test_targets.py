"""Targets: each kind on the same annotators, and which questions a loss learns from."""

from __future__ import annotations

import pytest
import torch

from saccade.data.records import Question
from saccade.tasks.answering.scoring import SCORING
from saccade.tasks.answering.targets import NO_CLASS, Targets

CLASSES = ("red", "2", "dark red")
ANSWERS = ("red",) * 6 + ("Red",) * 2 + ("dark red", "blue")


def asked(*answers: str, answer: str | None = None) -> Question:
    return Question(id="1", image="a", text="what color", answers=answers, answer=answer)


def targets(kind: str) -> Targets:
    return Targets(CLASSES, SCORING["vqa"], kind)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("soft", [1.0, 0.0, 0.3]),  # "Red" is "red" once normalised: eight of ten
        ("ban", [1.0, 0.0, 0.3]),  # six are enough as they are written
        ("annotators", [0.8, 0.0, 0.1]),  # "blue" is no class, so the shares need not sum to 1
    ],
)
def test_scores_of_each_class(kind: str, expected: list[float]) -> None:
    torch.testing.assert_close(targets(kind)([asked(*ANSWERS)]), torch.tensor([expected]))


def test_bans_targets_take_the_answers_as_written() -> None:
    question = asked(*["Red"] * 9, "dark red")
    assert targets("ban")([question]).tolist() == [[0.0, 0.0, pytest.approx(0.3)]]
    assert targets("soft")([question])[0, 0] == 1.0


def test_a_hard_target_is_the_corpuss_own_label_or_the_most_frequent_answer() -> None:
    questions = [asked(*ANSWERS), asked(*ANSWERS, answer="two"), asked("blue"), asked()]
    assert targets("hard")(questions).tolist() == [0, 1, NO_CLASS, NO_CLASS]


def test_a_softmax_learns_from_questions_with_a_class_a_sigmoid_from_all() -> None:
    inside, outside = asked(*ANSWERS), asked(*["blue"] * 10)
    learnt = {kind: [targets(kind).learnable(q) for q in (inside, outside)] for kind in ("hard", "annotators", "soft")}
    assert learnt == {"hard": [True, False], "annotators": [True, False], "soft": [True, True]}


def test_questions_without_annotators_have_no_target() -> None:
    assert not targets("soft")([asked()]).any()
