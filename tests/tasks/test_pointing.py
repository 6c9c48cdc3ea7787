"""Each step's region map against the boxes of its own question."""

from __future__ import annotations

import math

import pytest
import torch

from saccade.data.records import Question
from saccade.errors import StoreError
from saccade.tasks.pointing import MEASURES, Measured, attention_metrics, measure_attention
from saccade.types import AttentionMap, Grouping, Regions

CELLS = torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
TOP_LEFT, BOTTOM = (0.0, 0.0, 0.5, 0.5), (0.0, 0.5, 1.0, 1.0)


def asked(*boxes: tuple) -> list[Question]:
    return [Question(str(i), "a", "what", ("x",), boxes=each) for i, each in enumerate(boxes)]


def regions(images: int, *, boxes: bool = True) -> Regions:
    mask = torch.ones(images, 4, dtype=torch.bool)
    return Regions(torch.zeros(images, 4, 2), mask, CELLS.expand(images, 4, 4) if boxes else None)


def over_regions(name: str, *weights: list[float]) -> AttentionMap:
    return AttentionMap(torch.tensor(weights), ("regions",), name)


def test_each_question_has_a_look_per_step() -> None:
    first = over_regions("step 1", [0.25] * 4, [0.1, 0.2, 0.3, 0.4])
    second = over_regions("step 2", [1.0, 0, 0, 0], [0.5, 0.5, 0, 0])
    one, two = measure_attention((first, second), regions(2), asked((TOP_LEFT,), (BOTTOM,)))
    assert [each.step for each in one] == ["step 1", "step 2"]
    assert one[0].attention_mass == pytest.approx(0.25)
    assert one[0].pointing_accuracy == pytest.approx(0.25)  # four regions share the first place
    assert one[0].attention_entropy == pytest.approx(math.log(4))
    assert (one[1].pointing_accuracy, one[1].attention_mass, one[1].attention_entropy) == (1, 1, 0)
    assert (two[0].pointing_accuracy, two[0].attention_mass) == (1, pytest.approx(0.7))
    assert (two[1].pointing_accuracy, two[1].attention_mass) == (0, 0)


def test_a_question_without_boxes_has_no_looks_and_does_not_shift_the_others() -> None:
    each = over_regions("step 1", [0, 0, 0, 1.0], [1.0, 0, 0, 0], [0, 0, 1.0, 0])
    none, hit, missed = measure_attention((each,), regions(3), asked((), (TOP_LEFT,), (TOP_LEFT,)))
    assert none == ()
    assert (hit[0].attention_mass, missed[0].attention_mass) == (1, 0)


@pytest.mark.parametrize(("axes", "kind"), [(("words", "regions"), "joint"), (("heads", "words", "regions"), "rows")])
def test_a_map_of_words_and_regions_is_summed_over_words_and_heads(axes: tuple, kind: str) -> None:
    rows = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.0] * 4])  # the last word is padding
    weights = torch.stack([rows, rows.flip(0)]) if axes[0] == "heads" else rows / 2
    glimpse = AttentionMap(weights[None], axes, "glimpse 1", kind)
    others = [AttentionMap(weights[None], axes, "hop 1 correlation", "raw")]
    others.append(AttentionMap(torch.full((1, 4, 4), 0.25), ("regions", "regions"), "block 1", "rows"))
    ((look,),) = measure_attention((glimpse, *others), regions(1), asked((TOP_LEFT,)))
    assert look.step == "glimpse 1"
    assert look.attention_mass == pytest.approx(0.4)  # (0.1 + 0.7) / 2
    assert look.pointing_accuracy == 1


def test_maps_over_regions_alone_are_preferred() -> None:
    joint = AttentionMap(torch.full((1, 3, 4), 1 / 12), ("words", "regions"), "hop 1 words")
    ((look,),) = measure_attention((over_regions("hop 1", [1.0, 0, 0, 0]), joint), regions(1), asked((TOP_LEFT,)))
    assert (look.step, look.attention_mass) == ("hop 1", 1)


def test_nothing_is_measured_without_boxes_or_without_maps_over_regions() -> None:
    words = AttentionMap(torch.full((1, 4), 0.25), ("words",), "step 1")
    assert measure_attention((words,), regions(1), asked((TOP_LEFT,))) == [()]
    assert measure_attention((), regions(1), asked((TOP_LEFT,))) == [()]
    assert measure_attention((over_regions("step 1", [0.25] * 4),), regions(1, boxes=False), asked(())) == [()]


def test_regions_without_boxes_cannot_be_measured() -> None:
    with pytest.raises(StoreError, match="the regions have no boxes"):
        measure_attention((over_regions("step 1", [0.25] * 4),), regions(1, boxes=False), asked((TOP_LEFT,)))


def test_questions_that_share_an_image_are_measured_as_if_they_did_not() -> None:
    boxes = CELLS.repeat(2, 1, 1)
    boxes[1] = boxes[1].flip(0)  # the second image's regions lie otherwise
    shared = Regions(torch.zeros(2, 4, 2), torch.ones(2, 4, dtype=torch.bool), boxes)
    image = torch.tensor([1, 0, 1])
    apart = Regions(shared.features[image], shared.mask[image], boxes[image])
    each = over_regions("step 1", [1.0, 0, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1.0])
    questions = asked((TOP_LEFT,), (TOP_LEFT,), (TOP_LEFT,))
    looks = measure_attention((each,), shared.grouped(Grouping.of(image)), questions)
    assert looks == measure_attention((each,), apart, questions)
    assert [steps[0].attention_mass for steps in looks] == [0, 1, 1]


def test_weight_on_regions_that_do_not_exist_is_ignored() -> None:
    some = regions(1)
    some.mask[0, 3] = False
    [[look]] = measure_attention((over_regions("step 1", [0.25, 0, 0, 0.75]),), some, asked((TOP_LEFT,)))
    assert (look.pointing_accuracy, look.attention_mass, look.attention_entropy) == (1, 1, 0)


def test_half_precision_maps_are_measured() -> None:
    half = AttentionMap(torch.full((1, 4), 0.25, dtype=torch.bfloat16), ("regions",), "step 1")
    [[look]] = measure_attention((half,), regions(1), asked((TOP_LEFT,)))
    assert look.attention_mass == pytest.approx(0.25)


def test_metrics_are_means_of_the_last_step_and_of_each_step_by_name() -> None:
    looks = [
        (Measured("step 1", 0.0, 0.2, 1.0), Measured("step 2", 1.0, 0.4, 0.5)),
        (Measured("step 1", 1.0, 0.4, 2.0), Measured("step 2", 0.0, 0.8, 1.5)),
    ]
    last = {"pointing_accuracy": 0.5, "attention_mass": pytest.approx(0.6), "attention_entropy": 1.0}
    assert attention_metrics(looks, steps=False) == last
    metrics = attention_metrics(looks)
    assert set(metrics) == {f"{name}{step}" for name in MEASURES for step in ("", "_step_1", "_step_2")}
    assert metrics["attention_mass_step_1"] == pytest.approx(0.3)
    assert metrics["attention_entropy_step_2"] == metrics["attention_entropy"]
    assert attention_metrics([]) == {}
