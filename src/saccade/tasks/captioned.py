"""Images and what people wrote about them, as captioning and matching score them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saccade.data.records import Caption


@dataclass(frozen=True)
class CaptionedImage:
    """An image and what people wrote about it: what is held against what a model says."""

    image: str
    captions: tuple[Caption, ...]


def captioned_images(captions: Sequence[Caption]) -> list[CaptionedImage]:
    """Each image once, with all its captions, in order of appearance."""
    by_image: dict[str, list[Caption]] = {}
    for caption in captions:
        by_image.setdefault(caption.image, []).append(caption)
    return [CaptionedImage(image, tuple(found)) for image, found in by_image.items()]
