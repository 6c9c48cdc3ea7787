"""The regions of the images that records are about."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from saccade.tasks.base import HasImage, Reader
from saccade.types import Grouping, Regions


def read_regions(records: Sequence[HasImage], read: Reader, *, grouped: bool) -> Regions:
    """A row for each record or, when grouped, a row for each image and which record is about which."""
    images = [record.image for record in records]
    if not grouped:
        return read(images)
    rows = {image: row for row, image in enumerate(dict.fromkeys(images))}
    return read(list(rows)).grouped(Grouping.of(torch.tensor([rows[image] for image in images])))
