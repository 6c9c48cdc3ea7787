"""Captions in COCO's formats: the results, and the references that they were held against.

COCO's own tools know images by whole numbers alone, the same ones in both files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# 391895, 000000391895.jpg, val2014/COCO_val2014_000000391895.jpg; test/00012 of scenes; 1000092795.jpg of Flickr30k.
NUMBERED = re.compile(r"(?:.*/)?(?:COCO_[a-z]+\d{4}_)?(\d+)(?:\.[A-Za-z]+)?", re.ASCII | re.DOTALL)


def coco_files(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The captions and the references by image, as files that pycocotools and pycocoevalcap read.

    An image's `id` is the number that its name is or ends in, as COCO's do, or else its place among all, from 1; its
    name is then the `file_name` in references.json.
    """
    numbers = image_numbers(references)
    pairs: Iterable[tuple[str, str]] = ((image, text) for image, texts in references.items() for text in texts)
    return {
        "results.json": [{"image_id": numbers[image], "caption": caption} for image, caption in results.items()],
        "references.json": {
            # coco-caption's own reader wants the first three, whatever they hold.
            "info": {},
            "licenses": [],
            "type": "captions",
            "images": [
                {"id": number} if str(number) == image else {"id": number, "file_name": image}
                for image, number in numbers.items()
            ],
            "annotations": [
                {"id": place, "image_id": numbers[image], "caption": text} for place, (image, text) in enumerate(pairs)
            ],
        },
    }


def image_numbers(images: Iterable[str]) -> dict[str, int]:
    """A number of its own for each image: that of its name where every name has another one, else its place from 1.

    >>> image_numbers(["COCO_val2014_000000391895.jpg", "COCO_val2014_000000000042.jpg"])
    {'COCO_val2014_000000391895.jpg': 391895, 'COCO_val2014_000000000042.jpg': 42}
    >>> image_numbers(["a/1.jpg", "b/1.jpg"])
    {'a/1.jpg': 1, 'b/1.jpg': 2}
    """
    names = list(images)
    found = [int(match[1]) for name in names if (match := NUMBERED.fullmatch(name))]
    numbers = found if len(set(found)) == len(names) else range(1, len(names) + 1)
    return dict(zip(names, numbers, strict=True))
