from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.errors import DataError
from saccade.metrics import vqa
from saccade.metrics.vqa import normalize_answer, soft_scores, vqa_accuracy, vqa_scores

spec = importlib.util.spec_from_file_location("official_vqa", Path(__file__).with_name("official_vqa.py"))
assert spec is not None
assert spec.loader is not None
official = importlib.util.module_from_spec(spec)
spec.loader.exec_module(official)

WORDS = [*official.CONTRACTIONS, *official.CONTRACTIONS.values(), *official.NUMBERS, "none", "a", "an", "The", "A"]
WORDS += [
    "yes",
    "No",
    "t-shirt",
    "1,000",
    "1,5",
    "2.5",
    ".5",
    "5.",
    "3.",
    "U.S.A.",
    "12:30",
    "they’re",
    "½",
    "٣,٤",
    "left",
]
WORDS += [
    ".",
    "...",
    "." * 40,
    ",",
    ", ",
    "?",
    "!",
    "(",
    ")",
    "/",
    "\\",
    "_",
    "-",
    "'",
    '"',
    "\n",
    "\t",
    "  ",
    "&",
    "%",
]
GLUE = [" ", " ", " ", "", ",", "-", ".", "/", ", ", "\n", "\t", " ,"]


def difficult(draw: random.Random) -> str:
    text = ""
    for _ in range(draw.choice([0, 1, 1, 2, 3, 5])):
        word = draw.choice(WORDS)
        text += draw.choice([word, word, word.upper(), word.title()]) + draw.choice(GLUE)
    return text


def test_2000_difficult_questions_score_as_the_official_rules_say() -> None:
    draw, earned = random.Random(0), 0
    for _ in range(2000):
        few = [difficult(draw) for _ in range(draw.choice([1, 2, 3, 5]))]
        answers = [draw.choice(few) for _ in range(10)]
        respelt = draw.choice(answers).upper()
        prediction = draw.choice([draw.choice(answers), respelt, official.normalize(respelt), difficult(draw)])
        expected = official.accuracy(prediction, answers)
        assert vqa_accuracy(prediction, answers) == pytest.approx(expected, abs=1e-12), (prediction, answers)
        earned += expected > 0
    assert 500 < earned < 1900  # else the comparison is empty


def test_2000_difficult_strings_normalise_as_the_official_rules_say() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        text = difficult(draw)
        assert normalize_answer(text) == official.normalize(text), text


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab1, .-'/?\n\tATHEone0"), max_size=30))
def test_any_string_normalises_as_the_official_rules_say(text: str) -> None:
    assert normalize_answer(text) == official.normalize(text)


def test_the_contraction_table_is_the_official_one_where_it_can_match() -> None:
    reachable = {k: v for k, v in official.CONTRACTIONS.items() if k == k.lower() and k != v}
    assert reachable == vqa.CONTRACTIONS


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The cat", "cat"),
        ("two dogs", "2 dogs"),
        ("None", "0"),
        ("dont", "don't"),
        ("1,000", "1000"),
        ("black, white", "black white"),
        ("black,white", "black white"),
        ("t-shirt", "t shirt"),
        ("t - shirt-like", "t shirtlike"),  # a mark that touches a space anywhere is dropped everywhere
        ("2.5", "2.5"),
        ("5.", "5"),
        ("U.S.A.", "usa"),
        ("12:30", "12:30"),
        ("twenty one", "twenty 1"),
        ("\ta\nb ", "b"),
        ("A", ""),
        ("." * 40, "." * 8),
    ],
)
def test_normal_forms(text: str, normal: str) -> None:
    assert normalize_answer(text) == normal == official.normalize(text)


def test_unanimous_annotators_are_compared_as_they_wrote() -> None:
    assert vqa_accuracy("yes!", ["yes"] * 10) == 0.0
    assert vqa_accuracy("yes!", ["yes"] * 9 + ["no"]) == 1.0
    assert vqa_accuracy("the Wok ", ["the Wok"] * 10) == 1.0


@pytest.mark.parametrize(("matches", "share"), list(enumerate([0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1, 1])))
def test_ten_annotators_score_as_the_table(matches: int, share: float) -> None:
    answers = ["red"] * matches + ["blue"] * (10 - matches)
    assert vqa_accuracy("red", answers) == pytest.approx(share, abs=1e-12)
    assert vqa.SOFT_SCORES[min(matches, 4)] == share


@pytest.mark.parametrize(
    ("annotators", "shares"),
    [(1, [0, 1]), (2, [0, 1 / 2, 1]), (3, [0, 1 / 3, 2 / 3, 1]), (4, [0, 1 / 4, 1 / 2, 3 / 4, 1])],
)
def test_fewer_annotators_still_give_one_when_they_all_agree(annotators: int, shares: list[float]) -> None:
    for matches, share in enumerate(shares):
        answers = ["red"] * matches + ["blue"] * (annotators - matches)
        assert vqa_accuracy("red", answers) == pytest.approx(share, abs=1e-12)


@given(st.lists(st.sampled_from(["red", "2", "two", "the red", "Red.", "blue"]), min_size=1, max_size=10))
def test_soft_scores_are_what_their_answer_would_earn(answers: list[str]) -> None:
    scores = soft_scores(answers)
    assert all(vqa_accuracy(answer, answers) == score for answer, score in scores.items())
    assert set(scores) == (set(answers) if len(set(answers)) == 1 else {normalize_answer(a) for a in answers})


def test_scores_by_type() -> None:
    scores = vqa_scores(
        ["yes", "2", "red", "no"],
        [["yes"] * 10, ["3"] * 10, ["red"] * 10, ["yes"] * 10],
        answer_types=["yes/no", "number", "other", "yes/no"],
        question_types=["is the", "how many", "", "is the"],
    )
    assert scores == {
        "accuracy": 0.5,
        "accuracy_yes_no": 0.5,
        "accuracy_number": 0.0,
        "accuracy_other": 1.0,
        "accuracy_is_the": 0.5,
        "accuracy_how_many": 0.0,
    }


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(DataError, match="at least one annotator"):
        vqa_accuracy("red", [])
    with pytest.raises(DataError, match="got 1 predictions, 2 answers"):
        vqa_scores(["red"], [["red"], ["blue"]])
    with pytest.raises(DataError, match="got 1 predictions, 1 answers, 0 answer types"):
        vqa_scores(["red"], [["red"]], answer_types=[])
    with pytest.raises(DataError, match="got 0 predictions"):
        vqa_scores([], [])
