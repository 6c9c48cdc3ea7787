"""What makes images useless: those that cannot be opened, are in two splits, or are not of a size to see in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from statistics import median

from PIL.Image import Image

from saccade.errors import ImageError, first
from saccade.progress import Report

OPENED_AT_ONCE = 64
THREADS = 4
SMALLEST = 48  # pixels of the shorter side: of less little is left to see
LONGEST = 3.0  # times the shorter side: squashed to a square, more is hardly recognised
LARGEST = 12_000_000  # pixels: above, reading takes longer than looking
SAME = 0.5  # of the images, if so many are copies of others, something went wrong
NOTABLE = 0.05  # a share that is worth a word


@dataclass(frozen=True)
class Seen:
    """What opening an image told: its size in pixels and a hash of its content, or why it cannot be opened."""

    size: tuple[int, int] = (0, 0)
    content: str = ""
    failed: str = ""


def look_at(images: Sequence[str], open_image: Callable[[str], Image], report: Report) -> dict[str, Seen]:
    """Every image opened, in threads; of each its size and content, or why not."""
    found: dict[str, Seen] = {}
    for image, seen in _seen(images, open_image):
        found[image] = seen
        report.advance("open images", len(found), len(images), "images")
    return found


def picture_remarks(splits: Mapping[str, Sequence[str]], seen: Mapping[str, Seen]) -> list[str]:
    """What to mend about the images of each split."""
    good = {image: each for image, each in seen.items() if not each.failed}
    failed = [each.failed for each in seen.values() if each.failed]
    remarks = []
    if failed:
        remarks.append(
            f"{len(failed):,} of {len(seen):,} images cannot be opened, and are left out: {first(failed, 3)}"
        )
    if not good:
        return remarks
    return [*remarks, *_in_two_splits(splits, good), *_copies(good), *_sizes(good)]


def sizes(seen: Mapping[str, Seen]) -> str:
    """The sizes of images in words."""
    found = [each.size for each in seen.values() if not each.failed]
    if not found:
        return "none could be opened"
    areas = sorted(found, key=lambda size: size[0] * size[1])
    widths, heights = (median(size[side] for size in found) for side in (0, 1))
    least, most = ("{} x {}".format(*areas[place]) for place in (0, -1))
    return least if least == most else f"{least} to {most} pixels, the median {widths:.0f} x {heights:.0f}"


def _seen(images: Sequence[str], open_image: Callable[[str], Image]) -> Iterator[tuple[str, Seen]]:
    def look(image: str) -> Seen:
        try:
            opened = open_image(image)
        except ImageError as error:
            return Seen(failed=str(error))
        digest = blake2b(opened.tobytes(), digest_size=16, salt=str(opened.size).encode()[:16])
        return Seen(opened.size, digest.hexdigest())

    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(images), OPENED_AT_ONCE):
            some = images[start : start + OPENED_AT_ONCE]
            yield from zip(some, pool.map(look, some), strict=True)


def _in_two_splits(splits: Mapping[str, Sequence[str]], seen: Mapping[str, Seen]) -> list[str]:
    before: dict[str, tuple[str, str]] = {}
    leaks = []
    for split, images in splits.items():
        for image in images:
            if image in seen:
                other, name = before.setdefault(seen[image].content, (split, image))
                if other != split:
                    leaks.append(f"{name} of {other} is {image} of {split}")
    if not leaks:
        return []
    return [
        f"{len(leaks):,} images are in two splits, under two names or one ({first(leaks, 3)}): what a model scores on "
        "them says nothing; leave one of each out"
    ]


def _copies(seen: Mapping[str, Seen]) -> list[str]:
    distinct = len({each.content for each in seen.values()})
    if len(seen) < 2 or distinct >= SAME * len(seen):
        return []
    return [f"the {len(seen):,} images are only {distinct:,} different pictures: the others are copies of them"]


def _sizes(seen: Mapping[str, Seen]) -> list[str]:
    small = [image for image, each in seen.items() if min(each.size) < SMALLEST]
    long = [image for image, each in seen.items() if max(each.size) > LONGEST * min(each.size)]
    large = [image for image, each in seen.items() if each.size[0] * each.size[1] > LARGEST]
    rules = (
        (small, f"are smaller than {SMALLEST} pixels, of which little is left to see"),
        (
            long,
            f"are more than {LONGEST:.0f} times as long as wide, and will be squashed: --features.resize pad, or cut",
        ),
        (large, f"have more than {LARGEST // 1_000_000} million pixels, which take long to read: make them smaller"),
    )
    return [
        f"{len(images):,} of {len(seen):,} images {what} ({first(images, 3)})"
        for images, what in rules
        if len(images) > NOTABLE * len(seen)
    ]
