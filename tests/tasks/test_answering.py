"""Answering: classes from training alone, targets, scoring, metrics; grouped batches equal plain ones."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
import torch.nn.functional as F

from saccade.data.records import Question
from saccade.errors import DataError, SaccadeWarning
from saccade.metrics.wups import normalize_answer_set
from saccade.tasks import AnsweringConfig
from saccade.tasks.answering.task import AnsweringTask, AnswerPrediction
from saccade.types import Answers, AttentionMap, Regions

CELLS = torch.tensor([[0, 0, 0.5, 1], [0.5, 0, 1, 1]])


def question(text: str, *answers: str, image: str = "a", kind: str = "", boxes: tuple = ()) -> Question:
    return Question(id=f"{image} {text}", image=image, text=text, answers=answers, kind=kind, boxes=boxes)


TRAIN = [
    question("what color is it", "red", kind="color", image="a"),
    question("what color is that", "red", kind="color", image="b"),
    question("is it big", "yes", kind="yes/no", image="a"),
    question("how many", "two", kind="number", image="c"),
    question("what is it", "cat", kind="other", image="b"),
]


def build(**config) -> AnsweringTask:
    return AnsweringTask.build(TRAIN, AnsweringConfig(**config))


def read(images: list[str]) -> Regions:
    """Two regions an image, told apart by the image's letter."""
    features = torch.stack([torch.full((2, 3), float(ord(image[0]))) for image in images])
    boxes = CELLS.expand(len(images), 2, 4)
    return Regions(features, torch.ones(len(images), 2, dtype=torch.bool), boxes, (1, 2))


def loss(task: AnsweringTask, logits: torch.Tensor, batch) -> torch.Tensor:
    return task.loss(lambda *_, attention: Answers(logits, ()), batch, lambda rows: rows)


def saying(task: AnsweringTask, *answers: str) -> Answers:
    """Logits that give those answers."""
    wanted = torch.tensor([task.answers.index(answer) for answer in answers])
    return Answers(5.0 * F.one_hot(wanted, len(task.answers)).float(), ())


# Classes


def test_classes_are_normalised_answers_by_falling_count_then_by_name() -> None:
    assert build().answers == ("red", "2", "cat", "yes")
    assert build(answers=2).answers == ("red", "2")


def test_classes_and_words_do_not_depend_on_the_order_of_the_questions() -> None:
    turned = AnsweringTask.build(TRAIN[::-1], AnsweringConfig())
    assert turned.answers == build().answers
    assert len(turned.vocabulary) == len(build().vocabulary)
    assert torch.equal(turned.vocabulary.encode(["is it a cat"]).ids, build().vocabulary.encode(["is it a cat"]).ids)


def test_a_question_counts_once_for_what_most_annotators_say() -> None:
    task = AnsweringTask.build([question("what is it", *["dog"] * 3, *["cat"] * 7)], AnsweringConfig())
    assert task.answers == ("cat",)


def test_of_two_answers_given_as_often_the_first_is_the_class() -> None:
    for answers in (("blue", "red"), ("red", "blue"), ("red", "blue", "blue", "red")):
        assert AnsweringTask.build([question("what", *answers)], AnsweringConfig()).answers == (answers[0],)


def test_rare_words_are_unknown() -> None:
    vocabulary = build(min_word_count=2).vocabulary
    assert {word for word in ("what", "color", "is", "it", "big", "how") if word in vocabulary} == {
        *("what", "color", "is", "it")
    }


# Targets and losses


def test_hard_targets_are_the_classes_of_the_most_frequent_answers() -> None:
    task = build()
    batch = task.collate(TRAIN, read, grouped=False)
    assert [task.answers[i] for i in batch.targets.tolist()] == ["red", "red", "yes", "2", "cat"]


def test_the_hard_loss_is_the_summed_cross_entropy() -> None:
    task = build()
    batch = task.collate(TRAIN[:3], read, grouped=False)
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    by_hand = sum(
        math.log(sum(math.exp(z) for z in row)) - row[target]
        for row, target in zip(logits.tolist(), batch.targets.tolist(), strict=True)
    )
    assert float(loss(task, logits, batch)) == pytest.approx(by_hand, rel=1e-5)


def test_soft_targets_are_the_official_scores_and_their_loss_is_binary() -> None:
    annotated = question("what color", *["red"] * 2, *["blue"] * 1, *["green"] * 7)
    train = [annotated, question("what", "red"), question("what now", "blue")]
    task = AnsweringTask.build(train, AnsweringConfig(targets="soft"))
    assert set(task.answers) == {"red", "blue", "green"}
    batch = task.collate([annotated], read, grouped=False)
    scores = dict(zip(task.answers, batch.targets[0].tolist(), strict=True))
    # Leave one annotator out in turn: of ten subsets, min(matches / 3, 1) on average.
    assert scores == pytest.approx({"red": 0.6, "blue": 0.3, "green": 1.0})
    logits = torch.tensor([[0.3, -2.0, 1.0]])
    by_hand = sum(
        -t * math.log(1 / (1 + math.exp(-z))) - (1 - t) * math.log(1 - 1 / (1 + math.exp(-z)))
        for z, t in zip(logits[0].tolist(), batch.targets[0].tolist(), strict=True)
    )
    assert float(loss(task, logits, batch)) == pytest.approx(by_hand, rel=1e-5)


def test_a_question_outside_the_classes_is_not_learnt_from_and_counts_as_wrong() -> None:
    task = build()
    strange = question("what is it", "axolotl")
    assert task.trainable([*TRAIN, strange]) == TRAIN
    batch = task.collate([strange, TRAIN[0]], read, grouped=False)
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(2))
    alone = task.collate(TRAIN[:1], read, grouped=False)
    assert torch.equal(loss(task, logits, batch), loss(task, logits[1:], alone))
    for answer in task.answers:
        assert task.decode(saying(task, answer, "red"), batch)[0].accuracy == 0
    assert task.metrics(task.decode(saying(task, "cat", "red"), batch)) == {"accuracy": 0.5, "accuracy_color": 1.0}


def test_soft_targets_learn_from_every_question() -> None:
    task = build(targets="soft")
    strange = question("what is it", "axolotl")
    assert task.trainable([strange]) == [strange]
    assert not task.collate([strange], read, grouped=False).targets.any()


def test_probabilities_sum_to_one_when_hard_and_stand_alone_when_soft() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0, 1.0]])
    hard, soft = (dict(build(targets=targets).top(logits, 9)[0]) for targets in ("hard", "soft"))
    assert sum(hard.values()) == pytest.approx(1)
    assert list(hard) == list(soft) == ["red", "yes", "2", "cat"]
    assert soft["red"] == pytest.approx(1 / (1 + math.exp(-2)))


# Batches


@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_a_grouped_batch_holds_what_a_plain_one_does(targets) -> None:
    task = build(targets=targets)
    asked: list[list[str]] = []

    def reading(images: list[str]) -> Regions:
        asked.append(images)
        return read(images)

    plain, grouped = (task.collate(TRAIN, reading, grouped=each) for each in (False, True))
    assert asked == [["a", "b", "a", "c", "b"], ["a", "b", "c"]]
    assert grouped.regions.features.shape[0] == 3
    for name in ("features", "mask", "boxes"):
        assert torch.equal(grouped.regions.per_text(getattr(grouped.regions, name)), getattr(plain.regions, name))
    assert torch.equal(grouped.words.ids, plain.words.ids)
    assert torch.equal(grouped.targets, plain.targets)
    assert grouped.questions == plain.questions


def test_questions_are_cut_at_the_limit() -> None:
    assert build(max_words=2).collate(TRAIN, read, grouped=False).words.ids.shape == (5, 2)


# Scoring and metrics


def test_vqa_scoring_is_the_official_one() -> None:
    task = build()
    ten = question("what color", *["red"] * 2, *["dark red"] * 8)
    [prediction] = task.decode(saying(task, "red"), task.collate([ten], read, grouped=False))
    assert prediction.accuracy == pytest.approx(0.6)
    written = [question("how many", "Two."), question("what", "the cat"), question("what", "Red")]
    batch = task.collate(written, read, grouped=False)
    assert [p.accuracy for p in task.decode(saying(task, "2", "cat", "red"), batch)] == [1, 1, 1]


def test_daquar_wants_the_whole_set_of_answers_in_any_order() -> None:
    train = [question("what is there", "lamp, book"), question("what else", "chair")]
    task = AnsweringTask.build(train, AnsweringConfig(scoring="daquar"))
    assert len(task.answers) == 2
    both, chair = (next(a for a in task.answers if word in a) for word in ("lamp", "chair"))
    asked = [question("what", "book, lamp"), question("what", "lamp"), question("what", "chair")]
    batch = task.collate(asked, read, grouped=False)
    assert [p.accuracy for p in task.decode(saying(task, both, both, chair), batch)] == [1, 0, 1]


def test_metrics_have_a_key_per_type_and_are_means() -> None:
    task = build()
    predictions = task.decode(saying(task, "red", "cat", "yes", "red", "cat"), task.collate(TRAIN, read, grouped=True))
    assert task.metrics(predictions) == {
        "accuracy": pytest.approx(3 / 5),
        "accuracy_color": 0.5,
        "accuracy_yes_no": 1.0,
        "accuracy_number": 0.0,
        "accuracy_other": 1.0,
    }


def test_where_the_model_looked_is_measured_for_the_questions_with_boxes() -> None:
    task = build()
    left = (0.0, 0.0, 0.5, 1.0)
    asked = [
        question("what color is it", "red", kind="color", boxes=(left,)),
        question("is it big", "yes", kind="yes/no", image="b"),
        question("how many", "2", kind="number", image="b", boxes=(left,)),
    ]
    weights = [[[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]], [[0.75, 0.25], [0.5, 0.5], [0.0, 1.0]]]
    maps = tuple(AttentionMap(torch.tensor(w), ("regions",), f"step {i}") for i, w in enumerate(weights, 1))
    words = AttentionMap(torch.full((3, 4), 0.25), ("words",), "step 1")
    for grouped in (False, True):
        batch = task.collate(asked, read, grouped=grouped)
        output = dataclasses.replace(saying(task, "red", "yes", "2"), attention=(*maps, words))
        predictions = task.decode(output, batch)
        assert [len(p.attention) for p in predictions] == [2, 0, 2]
        metrics = task.metrics(predictions)
        assert metrics["attention_mass"] == pytest.approx((0.75 + 0.0) / 2)
        assert metrics["attention_mass_step_1"] == pytest.approx((0.5 + 0.2) / 2)
        assert metrics["pointing_accuracy"] == pytest.approx(0.5)
        assert metrics["pointing_accuracy_color"] == 1
        assert metrics["attention_mass_number"] == pytest.approx(0)
        assert metrics["attention_entropy_number"] == pytest.approx(0)
        assert "pointing_accuracy_yes_no" not in metrics


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(DataError, match="no predictions"):
        build().metrics([])


def test_without_wordnet_wups_is_left_out_with_a_warning_and_accuracy_stays(monkeypatch) -> None:
    from saccade.metrics import wordnet

    def missing() -> None:
        raise DataError("no WordNet here; install wordnet-base")

    monkeypatch.setattr(wordnet, "find_wordnet", missing)
    task = build(scoring="daquar")
    predictions = [AnswerPrediction(TRAIN[0], (("red", 0.9),), 1.0), AnswerPrediction(TRAIN[4], (("dog", 0.9),), 0.0)]
    with pytest.warns(SaccadeWarning, match="WUPS left out: no WordNet here; install wordnet-base"):
        assert task.metrics(predictions) == {"accuracy": 0.5, "accuracy_color": 1.0, "accuracy_other": 0.0}


@pytest.mark.wordnet
def test_with_wordnet_near_answers_earn_something() -> None:
    from saccade.metrics.wordnet import find_wordnet

    try:
        find_wordnet()
    except DataError as error:
        pytest.skip(str(error))
    task = build(scoring="daquar")
    predictions = [AnswerPrediction(TRAIN[0], (("red", 0.9),), 1.0), AnswerPrediction(TRAIN[4], (("dog", 0.9),), 0.0)]
    metrics = task.metrics(predictions)
    assert 0.5 < metrics["wups_0.9"] < metrics["wups_0.0"] < 1


def test_a_prediction_as_plain_values() -> None:
    prediction = AnswerPrediction(TRAIN[2], (("yes", 0.123456789),), 1.0)
    assert json.loads(json.dumps(prediction.to_dict())) == {
        "id": "a is it big",
        "image": "a",
        "question": "is it big",
        "type": "yes/no",
        "answer": "yes",
        "probability": 0.123457,
        "answers": ["yes"],
        "accuracy": 1.0,
    }


def test_types_that_differ_by_a_sign_have_a_number_each() -> None:
    asked = [question("what color", "red", kind="color+"), question("what color", "cat", kind="color-")]
    task = build()
    predictions = task.decode(saying(task, "red", "red"), task.collate(asked, read, grouped=False))
    metrics = task.metrics(predictions)
    assert metrics == {"accuracy": 0.5, "accuracy_color_plus": 1.0, "accuracy_color_minus": 0.0}


def test_exact_answers_are_compared_as_they_are_written() -> None:
    train = [question("what is it", answer) for answer in ("-5", "5", "Red  car", "red car", "10")]
    task = AnsweringTask.build(train, AnsweringConfig(scoring="exact"))
    assert sorted(task.answers) == ["-5", "10", "5", "red car"]
    batch = task.collate(
        [*train[:3], dataclasses.replace(question("what", "5"), choices=("5", "-5"))], read, grouped=False
    )
    predictions = task.decode(saying(task, "5", "5", "red car", "-5"), batch)
    assert [p.accuracy for p in predictions] == [0, 1, 1, 0]
    assert predictions[3].answers[0][0] == "-5"


@pytest.mark.wordnet
def test_wups_compares_what_accuracy_compares_and_every_annotator_counts() -> None:
    from saccade.metrics.wordnet import find_wordnet

    try:
        find_wordnet()
    except DataError as error:
        pytest.skip(str(error))
    train = [question("what", answer) for answer in ("Red", "C#", "Tape  dispenser,XL ,")]
    task = AnsweringTask.build(train, AnsweringConfig(scoring="daquar"))
    predictions = task.decode(
        saying(task, *map(normalize_answer_set, ("Red", "C#", "XL, Tape dispenser"))),
        task.collate(train, read, grouped=False),
    )
    assert task.metrics(predictions) == {"accuracy": 1.0, "wups_0.9": 1.0, "wups_0.0": 1.0}
    several = [question("what", "Red", "XYZZY", "red", "c#")]
    predictions = task.decode(saying(task, "red"), task.collate(several, read, grouped=False))
    metrics = task.metrics(predictions)
    assert metrics["accuracy"] == 0.5 == metrics["wups_0.9"]
