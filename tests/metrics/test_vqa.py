from __future__ import annotations

import random
import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics import official_vqa as official

from saccade.errors import DataError
from saccade.metrics import vqa
from saccade.metrics.vqa import (
    answer_list,
    ban_scores,
    best_choice,
    normalize_answer,
    preprocess_answer,
    soft_scores,
    vqa_accuracy,
)

# A word is drawn from one of these kinds, so that each kind is met often however few words it has.
KINDS = [
    [*official.CONTRACTIONS, *official.CONTRACTIONS.values()],
    [*official.NUMBERS, "none", "twenty"],
    ["a", "an", "The", "A", "than"],
    ["1,000", "1,5", "100,978", "2.5", ".5", "5.", "12:30", "½", "٣,٤", "2", "10"],
    ["yes", "No", "t-shirt", "U.S.A.", "they’re", "left", "dog"],
    [*official.MARKS, ".", "...", "." * 40, ", ", "'", "\n", "\t", "  ", "&", "%", ":"],
]
GLUE = [" ", " ", " ", "", ",", "-", ".", "/", ", ", "\n", "\t", " ,"]

APOSTROPHES = "|".join(map(re.escape, official.CONTRACTIONS))
DIFFICULTIES = {
    "article": re.compile(r"\b(a|an|the)\b", re.I),
    "number word": re.compile(rf"\b(none|{'|'.join(official.NUMBERS)})\b", re.I),
    "contraction": re.compile(rf"(?<!\S)({APOSTROPHES})(?!\S)", re.I),
    "comma in a number": re.compile(r"\d,\d"),
    "period": re.compile(r"\."),
    "punctuation": re.compile("|".join(map(re.escape, official.MARKS))),
    "upper case": re.compile("[A-Z]"),
    "white space": re.compile(r"\s\s|[\t\n]"),
}


def difficult(draw: random.Random) -> str:
    text = ""
    for _ in range(draw.choice([0, 1, 1, 2, 3, 5])):
        word = draw.choice(draw.choice(KINDS))
        text += draw.choice([word, word, word.upper(), word.title()]) + draw.choice(GLUE)
    return text


def test_2000_difficult_questions_score_as_the_official_rules_say() -> None:
    draw, earned, met = random.Random(0), 0, Counter()
    for _ in range(2000):
        few = [difficult(draw) for _ in range(draw.choice([1, 2, 3, 5]))]
        answers = [draw.choice(few) for _ in range(10)]
        respelt = draw.choice(answers).upper()
        prediction = draw.choice([draw.choice(answers), respelt, official.normalize(respelt), difficult(draw)])
        expected = official.accuracy(prediction, answers)
        assert vqa_accuracy(prediction, answers) == pytest.approx(expected, abs=1e-12), (prediction, answers)
        earned += expected > 0
        met.update(name for name, pattern in DIFFICULTIES.items() if any(map(pattern.search, [prediction, *answers])))
    assert 500 < earned < 1900  # else the comparison is empty
    assert len(met) == len(DIFFICULTIES)
    assert min(met.values()) > 200


def test_2000_difficult_strings_normalise_as_the_official_rules_say() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        text = difficult(draw)
        assert normalize_answer(text) == official.normalize(text), text
        # BAN's `preprocess_answer`: the two official steps, then once more without commas, of which none is left.
        prepared = official.process_digits_and_articles(official.process_punctuation(text)).replace(",", "")
        assert preprocess_answer(text) == prepared, text


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


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(DataError, match="at least one annotator"):
        vqa_accuracy("red", [])


@given(st.lists(st.sampled_from(["red", "2", "two", "the red", "Red.", "blue"]), min_size=10, max_size=10))
def test_ban_counts_strings_as_they_are_given(answers: list[str]) -> None:
    raw = ban_scores(answers)
    table = {1: 0.3, 2: 0.6, 3: 0.9}
    assert raw == {answer: table.get(answers.count(answer), 1.0) for answer in answers}
    assert list(raw) == list(dict.fromkeys(answers))
    normal = [normalize_answer(answer) for answer in answers]
    assert ban_scores(normal) == pytest.approx(soft_scores(normal), abs=1e-12)


def test_a_spelling_that_is_no_class_earns_nothing_from_ban() -> None:
    answers = ["two"] * 6 + ["2"] * 2 + ["a 2", "3"]
    classes = answer_list(["2", "3", "4"])
    assert {c: ban_scores(answers).get(c, 0.0) for c in classes} == {"2": 0.6, "3": 0.3, "4": 0.0}
    assert soft_scores(answers) == pytest.approx({"2": 1.0, "3": 0.3}, abs=1e-12)


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"])), st.integers(0, 7), st.integers(1, 4))
def test_the_answer_list_is_the_most_frequent(labels: list[str], most: int, at_least: int) -> None:
    kept = answer_list(labels, most=most, at_least=at_least)
    everything = answer_list(labels)
    counts = Counter(labels)
    assert sorted(everything) == sorted(counts)
    assert [counts[answer] for answer in everything] == sorted(counts.values(), reverse=True)
    assert kept == tuple(answer for answer in everything if counts[answer] >= at_least)[:most]
    assert everything == answer_list(sorted(labels)) == answer_list(labels[::-1])
    assert all(a < b for a, b in pairwise(everything) if counts[a] == counts[b])


def test_the_papers_answer_lists() -> None:
    labels = ["Yes"] * 5 + ["yes"] * 4 + ["no"] * 9 + ["8"] * 8 + [""] * 10 + ["two"] * 5 + ["2"] * 6
    assert answer_list(map(preprocess_answer, labels), at_least=9) == ("2", "", "no", "yes")  # BAN
    assert answer_list(labels, at_least=9) == ("", "no")  # SMem: raw
    assert answer_list(labels, most=2) == ("", "no")  # r-DAN
    assert answer_list([], most=3) == ()


def test_the_best_choice() -> None:
    classes, scores = {"yes": 0, "2": 1, "red": 2, "t shirt": 3}, [0.4, 0.3, 0.2, 0.1]
    assert best_choice(("red", "Two"), classes, scores) == "Two"
    assert best_choice(("t-shirt", "unheard of"), classes, scores) == "t-shirt"
    assert best_choice(("unheard of", "nor this"), classes, scores) == "unheard of"
    assert best_choice(("blue", "red", "two", "2"), classes, scores) == "two"
    assert best_choice(("no", "red"), {"no": 0, "red": 1}, [-7.5, -2.5]) == "red"  # logits do as well
    with pytest.raises(DataError, match="to offer answers, got none"):
        best_choice((), classes, scores)
