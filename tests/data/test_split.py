from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.data.records import Question
from saccade.data.split import count_questions, hold_out, split_by_image
from saccade.errors import DataError

FRACTIONS = {"val": 0.1, "test": 0.1, "train": 0.8}


def test_the_same_on_every_platform() -> None:
    images = ["a.jpg", "images/b.png", "é.jpg", "image3", ""]
    assert list(split_by_image(images, {"train": 0.5, "val": 0.5}).values()) == [
        "train",
        "val",
        "train",
        "val",
        "train",
    ]
    assert list(split_by_image(images, {"train": 0.5, "val": 0.5}, seed=7).values()) == [
        "train",
        "val",
        "val",
        "train",
        "val",
    ]


@given(st.sets(st.text(max_size=8)), st.sets(st.text(max_size=8)), st.integers(0, 99))
def test_more_images_move_no_other(images: set[str], more: set[str], seed: int) -> None:
    before, after = split_by_image(images, FRACTIONS, seed), split_by_image([*more, *images], FRACTIONS, seed)
    assert set(after) == images | more
    assert all(after[image] == split for image, split in before.items())


def test_splits_have_about_their_share() -> None:
    sizes = Counter(split_by_image(map(str, range(10_000)), FRACTIONS).values())
    assert sizes.total() == 10_000
    assert all(abs(sizes[split] - 10_000 * fraction) < 150 for split, fraction in FRACTIONS.items())


def test_a_split_without_a_share_stays_empty() -> None:
    assert set(split_by_image(map(str, range(100)), {"val": 0.0, "train": 1.0, "test": 0.0}).values()) == {"train"}


def test_the_validation_images_stay_when_a_test_split_appears() -> None:
    images = [str(n) for n in range(1000)]
    both, val, none = hold_out(images, ["val", "test"]), hold_out(images, ["val"]), hold_out(images, [])
    assert [i for i in images if both[i] == "val"] == [i for i in images if val[i] == "val"]
    assert set(none.values()) == {"train"}


@pytest.mark.parametrize("fractions", [{"train": 0.8, "val": 0.1}, {"train": 1.1, "val": -0.1}])
def test_fractions_that_are_none_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(DataError, match="sum to 1, got"):
        split_by_image(["a"], fractions)


def test_counts() -> None:
    questions = [
        Question("1", "a", "?", ("red", "blue")),
        Question("2", "b", "?", ("red",)),
        Question("3", "a", "?", ("2",)),
    ]
    assert count_questions(questions) == {"questions": 3, "images": 2, "answers": 3}
