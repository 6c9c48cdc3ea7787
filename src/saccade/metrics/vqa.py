"""VQA accuracy, equal to the official evaluation (GT-Vision-Lab/VQA, `vqaEval.py`, master, run under Python 3).

Followed to the letter, oddities included, as they decide published numbers. Of the versions in circulation this is the
last one, which normalises the prediction and the annotators' answers alike, and neither of them where all annotators
gave the same string; earlier versions always normalised the prediction and spared the annotators the number words and
articles.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from saccade.errors import DataError

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
COMMA_IN_NUMBER = re.compile(r"\d,\d")
# Meant to spare the decimal points, it spares a period before a digit ("1.5", ".5") and strips one behind ("5.").
PERIOD = re.compile(r"\.(?!\d)")
# `re.UNICODE` is passed where `sub` takes its count, and its value is 32: later periods stay.
MOST_PERIODS = 32
NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"}
NUMBERS |= {"seven": "7", "eight": "8", "nine": "9", "ten": "10"}
ARTICLES = frozenset({"a", "an", "the"})
# The words whose apostrophes are restored: each is also found with any one of its apostrophes missing.
CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()  # noqa: SIM905
CONTRACTIONS = {
    word[:i] + word[i + 1 :]: word for word in CONTRACTED for i, letter in enumerate(word) if letter == "'"
} | {"somebody'd": "somebodyd"}  # the official table has this one the wrong way round

# The share earned by the number of annotators, of ten, who agree.
SOFT_SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)


def normalize_answer(text: str) -> str:
    """The answer as the official evaluation compares it: lower case, digits for number words, no articles.

    >>> normalize_answer("The two dogs, (1,000) dont bark.")
    "2 dogs 1000 don't bark"
    """
    return _preprocessed(_trim(text))


def preprocess_answer(text: str) -> str:
    """The answer as BAN's authors prepare it (`preprocess_answer` in their compute_softscore.py).

    That is the official normal form but for the spaces around the answer, which are not trimmed first.

    >>> preprocess_answer("t-shirt- "), normalize_answer("t-shirt- ")
    ('tshirt', 't shirt')
    """
    return _process_words(_process_punctuation(text))


# Millions of answers are a few thousand strings.
_preprocessed = lru_cache(maxsize=1 << 16)(preprocess_answer)


def vqa_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """The share, from 0 to 1, that the prediction earns from the annotators' answers: officially ten of them.

    The mean over the annotators of min(matches among the others / 3, 1). Fewer than four annotators, which the official
    data never has, leave fewer than three others: then the others must all match, and a lone annotator's answer is
    matched itself. So an answer that everybody gave is worth 1 however many they were.

    Raises DataError when there is no answer.

    >>> round(vqa_accuracy("no", ["yes"] * 8 + ["no"] * 2), 12)
    0.6
    """
    prediction, answers = _comparable(prediction, answers)
    return agreement_share(answers.count(prediction), len(answers))


def agreement_share(matches: int, annotators: int) -> float:
    """What an answer earns that so many of the annotators gave: the rule of `vqa_accuracy`, however it compares.

    >>> agreement_share(1, 1), agreement_share(1, 2), round(agreement_share(2, 10), 12)
    (1.0, 0.5, 0.6)
    """
    if annotators == 1:
        return float(matches)
    needed = min(3, annotators - 1)
    # The annotators left out one by one: so many of them had agreed, the rest had not.
    agreeing, disagreeing = min(1.0, (matches - 1) / needed), min(1.0, matches / needed)
    return (matches * agreeing + (annotators - matches) * disagreeing) / annotators


def soft_scores(answers: Sequence[str]) -> dict[str, float]:
    """What each distinct answer would earn as a prediction, in order of appearance; the answers are as compared.

    With ten annotators the scores are those of `SOFT_SCORES`.

    >>> soft_scores(["2", "two", "3"])
    {'2': 0.6666666666666666, '3': 0.3333333333333333}
    """
    counts = Counter(_comparable("", answers)[1])
    return {answer: agreement_share(count, len(answers)) for answer, count in counts.items()}


def ban_scores(answers: Sequence[str]) -> dict[str, float]:
    """What BAN and the bottom-up attention code train on: `SOFT_SCORES` of how often each string occurs.

    Strings are counted as they are given, in order of appearance. Their code gives the annotators' raw ones, so that a
    spelling that is no class earns nothing; with ten answers in normal form the scores are those of `soft_scores`.

    >>> ban_scores(["red"] * 7 + ["Red", "dark red", "dark red"])
    {'red': 1.0, 'Red': 0.3, 'dark red': 0.6}
    """
    return {answer: SOFT_SCORES[min(count, len(SOFT_SCORES) - 1)] for answer, count in Counter(answers).items()}


def answer_list(labels: Iterable[str], *, most: int | None = None, at_least: int = 1) -> tuple[str, ...]:
    """The answers that become classes: the `most` most frequent of those that occur `at_least` so many times.

    `labels` has one answer per question, compared as given; "" is an answer like any other. The most frequent comes
    first, equally frequent ones in alphabetical order. Of the official multiple_choice_answers of train+val, BAN's
    3,129 answers are `at_least=9` of VQA v2's after `preprocess_answer`, SMem's 1,031 are `at_least=23` of v1's as they
    are, r-DAN's 2,000 are `most=2000`.

    >>> answer_list(["no", "yes", "2", "yes", "no", ""], at_least=2), answer_list(["b", "c", "a", "c"], most=2)
    (('no', 'yes'), ('c', 'a'))
    """
    counts = Counter(labels)
    ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))
    return tuple(answer for answer in ranked if counts[answer] >= at_least)[:most]


def best_choice(
    choices: Sequence[str],
    classes: Mapping[str, int],
    scores: Sequence[float],
    normal: Callable[[str], str] = normalize_answer,
) -> str:
    """The most probable of the answers offered, as it is offered; the first of them when none is a class.

    `classes` says which of `scores` belongs to which answer. A choice that is no class as it is written is looked up
    in its `normal` form; the first of equals is taken. Raises DataError without choices.

    >>> best_choice(["red", "Two", "blue"], {"red": 0, "2": 1, "green": 2}, [0.1, 0.3, 0.6])
    'Two'
    """
    if not choices:
        raise DataError("expected a multiple-choice question to offer answers, got none")
    places = [classes.get(choice, classes.get(normal(choice))) for choice in choices]
    known = [(choice, scores[place]) for choice, place in zip(choices, places, strict=True) if place is not None]
    return max(known, key=lambda pair: pair[1])[0] if known else choices[0]


def _comparable(prediction: str, answers: Sequence[str]) -> tuple[str, list[str]]:
    """Both sides as they are compared: normalised, unless all annotators wrote the same string."""
    if not answers:
        raise DataError("expected the answer of at least one annotator, got none")
    prediction, trimmed = _trim(prediction), [_trim(answer) for answer in answers]
    if len(set(trimmed)) == 1:
        return prediction, trimmed
    return normalize_answer(prediction), [normalize_answer(answer) for answer in trimmed]


def _trim(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _process_punctuation(text: str) -> str:
    """Each mark dropped where it touches a space anywhere in the text, or a number has a comma; else made a space."""
    drop_all = COMMA_IN_NUMBER.search(text) is not None
    result = text
    for mark in PUNCTUATION:
        drop = drop_all or f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if drop else " ")
    return PERIOD.sub("", result, count=MOST_PERIODS)


def _process_words(text: str) -> str:
    words = (NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)
