"""What makes training on texts useless: answers that hardly differ or never repeat, captions that are all alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from saccade.data.records import Caption, Question, Record, images_of
from saccade.errors import first
from saccade.metrics.units import percentage
from saccade.metrics.vqa import normalize_answer
from saccade.tasks.answering.scoring import SCORING
from saccade.text import Vocabulary

FEWEST_IMAGES = 100
FEWEST_TO_CHOOSE = 100  # validation texts: with fewer, the standard error of an accuracy is above 5 points
MOSTLY = 0.5  # one answer, or one caption, is so much of the data
UNIQUE = 0.5  # answers that are given once only are so much
BLIND = 0.95  # the question alone tells so many answers
NOTABLE = 0.05  # a share that is worth a word

Splits = Mapping[str, Sequence[Record]]
exact = SCORING["exact"]


def question_remarks(splits: Mapping[str, Sequence[Question]], words: str, min_count: int) -> list[str]:
    """What to mend about questions and answers by split; `words` is the recipe's tokeniser, `min_count` its limit."""
    questions = [question for records in splits.values() for question in records]
    remarks = [
        *_one_answer(questions),
        *_spellings(questions),
        *_unique_answers(questions),
        *_unseen_answers(splits),
        *_blind(splits),
        *_contradictions(questions),
        *unknown_words(splits, words, min_count),
    ]
    return [*few_images(splits), *remarks]


def caption_remarks(splits: Mapping[str, Sequence[Caption]], words: str, min_count: int) -> list[str]:
    """What to mend about captions by split."""
    captions = [caption for records in splits.values() for caption in records]
    counts = Counter(caption.text.casefold() for caption in captions)
    (most, count), *_ = counts.most_common(1)
    remarks = few_images(splits)
    if len(counts) == 1:
        remarks.append(f"all {len(captions):,} captions are the same, {most!r}: nothing can be learnt from the images")
    elif count > MOSTLY * len(captions):
        remarks.append(f"{most!r} is {percentage(count / len(captions))} of the captions: it will be written for all")
    if sum(len(caption.text.split()) for caption in captions) < 2 * len(captions):
        remarks.append("most captions are single words: as answers to a question they would be learnt better")
    return [*remarks, *unknown_words(splits, words, min_count, end=True)]


def few_images(splits: Splits) -> list[str]:
    """Too few images to learn from, or to choose an epoch by."""
    images = {record.image for records in splits.values() for record in records}
    remarks = []
    if len(images) < FEWEST_IMAGES:
        remarks.append(f"{len(images)} images are few: with fewer than {FEWEST_IMAGES} a model learns them by heart")
    val = splits.get("val", ())
    if val and (len(val) < FEWEST_TO_CHOOSE or len(images_of(val)) < FEWEST_IMAGES // 10):
        points = 100 * 0.5 / math.sqrt(len(val))
        remarks.append(
            f"val has {len(val)} {val[0].noun} about {len(images_of(val))} images, too few to tell one epoch from "
            f"another: a share of them is off by {points:.0f} points and more"
        )
    return remarks


def unknown_words(splits: Splits, tokeniser: str, min_count: int, *, end: bool = False) -> list[str]:
    """Words of validation and test that a model will not know, because training has too few of them."""
    train = [record.text for record in splits.get("train", ())]
    if not train:
        return []
    vocabulary = Vocabulary.build(train, tokeniser=tokeniser, end=end)
    seen = Counter(word for text in train for word in vocabulary.words(text))
    remarks = []
    for split, records in splits.items():
        words = Counter(word for record in records for word in vocabulary.words(record.text))
        unknown = Counter({word: count for word, count in words.items() if seen[word] < min_count})
        share = sum(unknown.values()) / max(1, sum(words.values()))
        if split != "train" and share > NOTABLE:
            often = first(map(repr, [word for word, _ in unknown.most_common()]))
            remarks.append(f"{percentage(share)} of the words of {split} are unknown after training: {often}")
    return remarks


def answer_counts(questions: Iterable[Question]) -> dict[str, int]:
    """How many questions have each answer, the most frequent first, as it is written first; spaces and case apart."""
    written: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for question in questions:
        label = exact.label(question)
        written.setdefault(label, next(each for each in question.answers if exact.normal(each) == label))
        counts[label] += 1
    return {written[label]: count for label, count in counts.most_common()}


def baselines(splits: Mapping[str, Sequence[Question]]) -> dict[str, float]:
    """What is right without looking, of validation and test: always the most frequent answer of training, or that to
    the same question; what a model must beat.
    """
    train = splits.get("train", ())
    tested = [question for split, records in splits.items() if split != "train" for question in records]
    if not train or not tested:
        return {}
    usual = Counter(map(exact.label, train)).most_common(1)[0][0]
    to_text: dict[str, Counter[str]] = {}
    for question in train:
        to_text.setdefault(question.text.casefold(), Counter())[exact.label(question)] += 1
    best = {text: counts.most_common(1)[0][0] for text, counts in to_text.items()}
    blind = [best.get(question.text.casefold(), usual) for question in tested]
    return {
        "usual answer": _share(exact.label(question) == usual for question in tested),
        "question alone": _share(
            exact.label(question) == answer for question, answer in zip(tested, blind, strict=True)
        ),
    }


def _one_answer(questions: Sequence[Question]) -> list[str]:
    answer, count = next(iter(answer_counts(questions).items()))
    if count <= MOSTLY * len(questions):
        return []
    share = percentage(count / len(questions))
    return [f"{answer!r} is the answer to {share} of the questions: always saying it is right as often; add others"]


def _spellings(questions: Sequence[Question]) -> list[str]:
    """Answers that differ by case and spaces, which are taken for the same, and by spelling, which are not."""
    spellings: dict[str, dict[str, set[str]]] = {}
    for answer in dict.fromkeys(answer for question in questions for answer in question.answers):
        plain = normalize_answer(answer).rstrip(".!?:;,") or exact.normal(answer)
        spellings.setdefault(plain, {}).setdefault(exact.normal(answer), set()).add(answer)
    cased = [sorted(same) for each in spellings.values() for same in each.values() if len(same) > 1]
    spelt = [sorted(min(same) for same in each.values()) for each in spellings.values() if len(each) > 1]
    remarks = []
    if spelt:
        remarks.append(
            f"{len(spelt):,} answers are spelt in several ways, which count as different answers: {_alike(spelt)}; "
            "write one of them, or train with --task.scoring vqa"
        )
    if cased:
        remarks.append(f"{len(cased):,} answers differ by case or spaces, and are taken for the same: {_alike(cased)}")
    return remarks


def _unique_answers(questions: Sequence[Question]) -> list[str]:
    counts = answer_counts(questions)
    once = sum(count == 1 for count in counts.values())
    if once <= UNIQUE * len(questions):
        return []
    return [
        f"{once:,} of {len(questions):,} questions have an answer that no other has, as {_rarest(counts)}: a model "
        "chooses among the answers of training, so that free sentences are never right; shorten them, or make captions"
    ]


def _unseen_answers(splits: Mapping[str, Sequence[Question]]) -> list[str]:
    known = set(map(exact.label, splits.get("train", ())))
    remarks = []
    for split, records in splits.items():
        unseen = [question for question in records if exact.label(question) not in known]
        if known and len(unseen) > NOTABLE * len(records):
            remarks.append(
                f"{percentage(len(unseen) / len(records))} of the questions of {split} have an answer that train never "
                f"has ({first(dict.fromkeys(question.answers[0] for question in unseen))}): they cannot be right"
            )
    return remarks


def _blind(splits: Mapping[str, Sequence[Question]]) -> list[str]:
    shares = list(baselines(splits).values())
    if not shares or shares[1] < BLIND or shares[0] >= BLIND:
        return []
    return [f"the question alone tells {percentage(shares[1])} of the answers: a model need not look at the images"]


def _contradictions(questions: Sequence[Question]) -> list[str]:
    answers: dict[tuple[str, str], set[str]] = {}
    for question in questions:
        answers.setdefault((question.image, question.text.casefold()), set()).add(exact.label(question))
    several = [pair for pair, found in answers.items() if len(found) > 1]
    if len(several) <= NOTABLE * len(answers):
        return []
    image, text = several[0]
    return [
        f"{len(several):,} questions are asked again about the same image and answered otherwise, as {text!r} about "
        f"{image}: the answers of several people belong into one list"
    ]


def _rarest(answers: Mapping[str, int]) -> str:
    """The last of the answers, cut short."""
    *_, answer = answers
    return repr(answer if len(answer) <= 40 else f"{answer[:37]}...")


def _alike(groups: Sequence[Sequence[str]]) -> str:
    return first(" = ".join(map(repr, group)) for group in groups)


def _share(hits: Iterable[bool]) -> float:
    found = list(hits)
    return sum(found) / len(found)
