"""Scorings: what is the same answer to each, and what several annotators earn."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.data.records import Question
from saccade.metrics.vqa import vqa_accuracy
from saccade.tasks.answering import scoring
from saccade.tasks.answering.scoring import SCORING, merged_answers

EXACT, DAQUAR, VQA = SCORING["exact"], SCORING["daquar"], SCORING["vqa"]


def asked(*answers: str, answer: str | None = None) -> Question:
    return Question(id="1", image="a", text="what", answers=answers, answer=answer)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("-5", "5", False),
        ("C#", "C", False),
        ("two", "2", False),
        ("the cat", "cat", False),
        (" Red\tcar ", "red car", True),
        ("Caf\u00e9", "cafe\u0301", True),
        ("STRASSE", "Straße", True),
        ("5.", "5", False),
        ("किताब", "कातिब", False),
    ],
)
def test_exact_compares_answers_as_they_are_written(first: str, second: str, same: bool) -> None:
    assert (EXACT.normal(first) == EXACT.normal(second)) == same
    assert EXACT.accuracy(first, [second]) == float(same)
    assert EXACT.label(asked(first)) == EXACT.normal(first)


@given(st.lists(st.sampled_from(["red", "blue", "green", "grey"]), min_size=1, max_size=11), st.sampled_from("rb"))
def test_exact_shares_among_annotators_are_those_of_vqa(answers: list[str], first: str) -> None:
    prediction = {"r": "red", "b": "blue"}[first]
    assert EXACT.accuracy(prediction, answers) == pytest.approx(vqa_accuracy(prediction, answers), abs=1e-12)
    assert EXACT.scores(answers) == pytest.approx(
        {a: vqa_accuracy(a, answers) for a in dict.fromkeys(answers)}, abs=1e-12
    )


def test_the_class_of_a_question_is_its_label_or_what_most_annotators_wrote() -> None:
    assert EXACT.label(asked("b", "A", "a", "c")) == "a"
    assert EXACT.label(asked("b", "A", "a", answer="-5")) == "-5"
    assert EXACT.scores(["a", "A", "b"], "annotators") == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3)}
    assert EXACT.scores(["A", "a", "b"], "ban") == {"a": 0.6, "b": 0.3}


def test_every_annotator_of_an_answer_set_counts() -> None:
    answers = ["lamp, book", "Book,lamp", "chair"]
    assert DAQUAR.scores(answers) == {"book, lamp": pytest.approx(2 / 3), "chair": pytest.approx(1 / 3)}
    assert DAQUAR.label(asked("chair", "lamp, book", "Book,lamp")) == "book, lamp"
    assert DAQUAR.accuracy("Chair", answers) == pytest.approx(1 / 3)
    for kind in ("hard", "soft", "annotators", "ban"):
        assert DAQUAR.scores(["Chair"], kind) == {"chair": 1.0}


def test_answers_that_a_scoring_makes_equal_or_empty_are_listed() -> None:
    answers = ["-5", "5", "5", "the two", "2", "two", "Red", "red ", "?", "a", "C-", "c"]
    assert merged_answers(answers, VQA) == {
        "5": ("-5", "5"),
        "2": ("the two", "2", "two"),
        "": ("?", "a"),
        "c": ("C-", "c"),
    }
    assert merged_answers(answers, EXACT) == {}
    assert merged_answers(["", " "], EXACT) == {"": ("",)}
    assert merged_answers(["a, b", "b,a", "B,A"], DAQUAR) == {"a, b": ("a, b", "b,a")}


def test_the_examples_in_the_docstrings_run() -> None:
    failed, attempted = doctest.testmod(scoring)
    assert attempted > 0
    assert failed == 0
