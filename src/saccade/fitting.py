"""A recipe for own data as the data at hand has it."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from statistics import median

from saccade.corpus import left_out, limited
from saccade.data.records import Corpus
from saccade.errors import SaccadeError
from saccade.recipe import Recipe
from saccade.recipes import own

OPENED = 32  # images that tell how large they are


def fitted(recipe: Recipe, data: Corpus, *, keep: Collection[str] = ()) -> Recipe:
    """The recipe with what the amount of its training texts and the size of its images decide; another one as it is.

    ``keep`` names fields that stay, as the command line does. Raises DataError where there is no data.
    """
    if not own.is_own(recipe):
        return recipe
    # Other backbones are seldom for any size, and features from files have theirs.
    side = _side(recipe, data) if recipe.features.backbone == own.FEATURES.backbone else None
    return own.fitted(recipe, len(limited(data, "train", recipe)), side, keep=keep)


def _side(recipe: Recipe, data: Corpus) -> float | None:
    """The median of the longer sides of some training images, in pixels; None where none can be opened."""
    missing = set(left_out(recipe, data, "train"))
    images = [image for image in data.images("train") if image not in missing]
    sides = []
    for image in images[:: max(1, len(images) // OPENED)][:OPENED]:
        with suppress(SaccadeError):  # said when it is extracted
            sides.append(max(data.open_image(image).size))
    return median(sides) if sides else None
