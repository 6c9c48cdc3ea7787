"""Batches: every question once, the same for a seed, whole images when grouped, fair shares for processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.data.batches import deal, length_batches, ordered_batches, prefetch, shuffled_batches

IMAGES = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=60)


@given(IMAGES, st.integers(1, 9), st.booleans(), st.integers(1, 3))
def test_every_question_comes_once_an_epoch(images: list[str], size: int, grouped: bool, parts: int) -> None:
    batches = shuffled_batches(images, size, seed=1, epoch=2, grouped=grouped)
    shares = [deal(batch, part, parts) for batch in batches for part in range(parts)]
    assert sorted(index for share in shares for index in share) == list(range(len(images)))


@given(IMAGES, st.integers(1, 9))
def test_grouped_batches_keep_images_whole_and_near_the_size(images: list[str], size: int) -> None:
    largest = max(images.count(image) for image in images)
    batches = shuffled_batches(images, size, seed=1, epoch=0, grouped=True)
    for batch in batches:
        assert all(len({images[i] for i in group}) == 1 for group in batch)
        assert sum(map(len, batch)) < size + largest
    assert sum(len(batch) for batch in batches) == len(set(images))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=60), st.integers(1, 9))
def test_batches_of_one_length_have_every_text_once(lengths: list[int], size: int) -> None:
    batches = length_batches(lengths, size, seed=1, epoch=2)
    assert sorted(i for batch in batches for [i] in batch) == list(range(len(lengths)))
    assert all(len({lengths[i] for [i] in batch}) == 1 and len(batch) <= size for batch in batches)
    assert batches == length_batches(lengths, size, seed=1, epoch=2)
    # As few batches as there can be.
    assert len(batches) == sum(-(-lengths.count(length) // size) for length in set(lengths))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    images = [str(i // 3) for i in range(60)]

    def order(seed: int, epoch: int) -> list:
        return shuffled_batches(images, 8, seed=seed, epoch=epoch, grouped=False)

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) != order(1, 1)


@given(IMAGES, st.integers(1, 9))
def test_evaluation_takes_every_question_once(images: list[str], size: int) -> None:
    found = [i for batch in ordered_batches(images, size) for group in batch for i in group]
    assert sorted(found) == list(range(len(images)))


def test_prefetch_is_map_and_raises_what_the_work_raises() -> None:
    assert list(prefetch(lambda x: x * x, range(7), depth=3)) == [x * x for x in range(7)]
    with pytest.raises(ZeroDivisionError):
        list(prefetch(lambda x: 1 // x, [1, 0, 1]))
