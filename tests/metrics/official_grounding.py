"""MDETR's rules for Flickr30k Entities once more, slow and plain, from reading its `datasets/flickr_eval.py`.

ashkamath/mdetr, commit 8cbe208, `Flickr30kEntitiesRecallEvaluator`; independent of ours, in how files are read too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

Numbers = tuple[int, int, int, int]
ALL = -1


def as_they_are(numbers: Numbers, size: tuple[int, int]) -> Numbers:
    """The evaluator's: the numbers of the file."""
    return numbers


def from_the_left_edge(numbers: Numbers, size: tuple[int, int]) -> Numbers:
    """Saccade's: from where the first pixel begins to where the last one ends, inside the photograph."""
    x1, y1, x2, y2 = numbers
    return max(0, x1 - 1), max(0, y1 - 1), min(size[0], x2), min(size[1], y2)


def size_of(root: Path, image: str) -> tuple[int, int]:
    size = ElementTree.parse(root / "Annotations" / f"{image}.xml").getroot().findall("size")[0]
    return int(size.findtext("width", "")), int(size.findtext("height", ""))


def boxes_by_entity(
    root: Path, image: str, coordinates: Callable[[Numbers, tuple[int, int]], Numbers] = as_they_are
) -> dict[str, list[Numbers]]:
    """The boxes of each entity's number, the first <bndbox> of each <object> alone."""
    found: dict[str, list[Numbers]] = {}
    for item in ElementTree.parse(root / "Annotations" / f"{image}.xml").getroot().findall("object"):
        for name in item.findall("name"):
            for box in item.findall("bndbox")[:1]:
                x1, y1, x2, y2 = (int(box.findtext(key, "")) for key in ("xmin", "ymin", "xmax", "ymax"))
                found.setdefault(str(name.text), []).append(coordinates((x1, y1, x2, y2), size_of(root, image)))
    return found


def phrases_by_sentence(root: Path, image: str) -> list[list[tuple[str, list[str]]]]:
    """The number and the types of each phrase, of each sentence: by what stands between spaces, as it does."""
    sentences = []
    for line in (root / "Sentences" / f"{image}.txt").read_text(encoding="utf-8").split("\n"):
        if not line:
            continue
        heads, closed, inside = [], 0, False
        for token in line.split():
            if inside and token.endswith("]"):
                closed, inside = closed + 1, False
            elif not inside and token.startswith("["):
                _, number, *types = token.split("/")
                heads.append((number[3:], types))
                inside = True
        sentences.append(heads[:closed])
    return sentences


def overlap(a: Sequence[int], b: Sequence[int]) -> Fraction:
    """Intersection over union of whole numbers, exactly."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    return Fraction(shared, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def recalls(
    root: Path,
    images: Sequence[str],
    predictions: Sequence[Mapping[str, Any]],
    *,
    merge_boxes: bool = False,
    coordinates: Callable[[Numbers, tuple[int, int]], Numbers] = as_they_are,
) -> dict[tuple[int, str], float]:
    """The recall at 1, 5, 10 and over all boxes (-1), of all phrases ("all") and of those of each type."""
    said = {(str(each["image_id"]), int(each["sentence_id"])): each["boxes"] for each in predictions}
    hits: dict[tuple[int, str], list[bool]] = {}
    for image in images:
        truth = boxes_by_entity(root, image, coordinates)
        for number, heads in enumerate(phrases_by_sentence(root, image)):
            phrases = [(entity, types) for entity, types in heads if entity in truth]
            for (entity, types), boxes in zip(phrases, said[image, number] if phrases else [], strict=True):
                meant = truth[entity]
                if merge_boxes:
                    columns = list(zip(*meant, strict=True))
                    meant = [(min(columns[0]), min(columns[1]), max(columns[2]), max(columns[3]))]
                right = [any(overlap(box, one) >= Fraction(1, 2) for one in meant) for box in boxes]
                for top in (1, 5, 10, ALL):
                    hit = any(right if top == ALL else right[:top])
                    for group in ("all", *types):
                        hits.setdefault((top, group), []).append(hit)
    return {key: sum(values) / len(values) for key, values in hits.items()}
