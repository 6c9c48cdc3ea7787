"""Which questions form a batch: shuffled by seed and epoch alone, grouped by image or not, dealt out to processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

T = TypeVar("T")
R = TypeVar("R")

# The indices of the records of a batch, in groups that share an image.
Indices = list[list[int]]


def shuffled_batches(images: Sequence[str], batch_size: int, *, seed: int, epoch: int, grouped: bool) -> list[Indices]:
    """The batches of one epoch, the same for the same seed and epoch on every machine.

    `images[i]` is the image of question i. Grouped, the questions of an image stay together and a batch ends with the
    image that fills it, so its size may exceed `batch_size` by part of an image.
    """
    groups = _by_image(images) if grouped else [[i] for i in range(len(images))]
    order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(len(groups))
    batches: list[Indices] = [[]]
    filled = 0
    for group in (groups[i] for i in order):
        if filled >= batch_size:
            batches.append([])
            filled = 0
        batches[-1].append(group)
        filled += len(group)
    return batches


def length_batches(lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int) -> list[Indices]:
    """The batches of one epoch, each of texts of one length, in random order; the last of a length may be smaller."""
    draws = np.random.Generator(np.random.PCG64([seed, epoch]))
    by_length: dict[int, list[int]] = {}
    for index in draws.permutation(len(lengths)).tolist():
        by_length.setdefault(lengths[index], []).append(index)
    batches = [
        [[index] for index in alike[start : start + batch_size]]
        for _, alike in sorted(by_length.items())
        for start in range(0, len(alike), batch_size)
    ]
    return [batches[i] for i in draws.permutation(len(batches))]


def paired_batches(images: Sequence[str], batch_size: int, *, seed: int, epoch: int) -> list[Indices]:
    """The batches of one epoch in which no image is twice: rounds over all images, each with another of its texts.

    An image with more texts than others takes part in more rounds. The last batch of a round may be smaller.
    """
    draws = np.random.Generator(np.random.PCG64([seed, epoch]))
    texts = [draws.permutation(group).tolist() for group in _by_image(images)]
    batches = []
    for place in range(max(map(len, texts), default=0)):
        there = [group[place] for group in texts if len(group) > place]
        order = draws.permutation(there).tolist()
        batches += [
            [[index] for index in order[start : start + batch_size]] for start in range(0, len(order), batch_size)
        ]
    return [batches[i] for i in draws.permutation(len(batches))]


def ordered_batches(images: Sequence[str], batch_size: int) -> list[Indices]:
    """Batches for evaluation: every question once, grouped by image, in order of the images' first appearance."""
    batches: list[Indices] = [[]]
    for group in _by_image(images):
        if sum(map(len, batches[-1])) >= batch_size:
            batches.append([])
        batches[-1].append(group)
    return batches


def deal(batch: Indices, part: int, parts: int) -> list[int]:
    """The question indices of one of `parts` shares of a batch, as equal as whole groups allow; it may be empty."""
    return [index for group in batch[part::parts] for index in group]


def prefetch(function: Callable[[T], R], items: Iterable[T], *, depth: int = 2) -> Iterator[R]:
    """`map(function, items)` computed ahead by one thread, at most `depth` results in waiting."""
    source = iter(items)
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(function, item) for item in islice(source, depth)]
        while waiting:
            result = waiting.pop(0).result()
            waiting += [pool.submit(function, item) for item in islice(source, 1)]
            yield result


def _by_image(images: Sequence[str]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(image, []).append(index)
    return list(groups.values())
