"""Where regions lie, in numbers that a model reads beside their features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.errors import RecipeError
from saccade.types import Regions

BOX_NUMBERS = 6


def box_numbers(boxes: Float[Tensor, "*boxes 4"]) -> Float[Tensor, "*boxes 6"]:
    """x1, y1, x2, y2, width and height, in fractions of the image: what BAN's authors append to a region's features."""
    return torch.cat([boxes, boxes[..., 2:] - boxes[..., :2]], dim=-1)


def placed_features(regions: Regions) -> Float[Tensor, "images regions placed"]:
    """The features with the numbers of the boxes behind them; raises RecipeError for regions without boxes."""
    if regions.boxes is None:
        raise RecipeError(
            "spatial: the model needs to know where the regions lie, got regions without boxes: use features that have "
            "boxes, or set the size spatial to false"
        )
    return torch.cat([regions.features, box_numbers(regions.boxes).to(regions.features.dtype)], dim=-1)
