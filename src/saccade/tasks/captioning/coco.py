"""Captions in COCO's formats: the results, and the references that they were held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def coco_results(captions: Mapping[str, str]) -> list[dict[str, str]]:
    """The captions by image in COCO's result format."""
    return [{"image_id": image, "caption": caption} for image, caption in captions.items()]


def coco_references(references: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The references by image as COCO's annotation files have them."""
    pairs: Iterable[tuple[str, str]] = ((image, text) for image, texts in references.items() for text in texts)
    return {
        "images": [{"id": image} for image in references],
        "annotations": [
            {"id": number, "image_id": image, "caption": text} for number, (image, text) in enumerate(pairs)
        ],
    }
