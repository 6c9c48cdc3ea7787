"""Where regions lie in the image and on a feature map, the map's mean over them, and a code of the place."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchvision.ops import roi_align

from saccade.types import Regions

FREQUENCIES = (1, 2, 4)
POINTS = 6  # along each side of a box

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def window(size: tuple[int, int], resize: Literal["squash", "crop", "pad"]) -> Box:
    """The part of an image of (width, height) that the backbone's square covers, in fractions of the image.

    With "pad" it reaches beyond the image.
    """
    if resize == "squash":
        return WHOLE
    width, height = size
    side = min(size) if resize == "crop" else max(size)
    x, y = side / width / 2, side / height / 2
    return (0.5 - x, 0.5 - y, 0.5 + x, 0.5 + y)


def grid_boxes(grid: tuple[int, int], inside: Box = WHOLE) -> Float[Tensor, "regions 4"]:
    """The cells of a grid laid over a window of the image, row by row, cut off at the image's edges."""
    rows, columns = grid
    x = torch.linspace(inside[0], inside[2], columns + 1).clamp(0, 1)
    y = torch.linspace(inside[1], inside[3], rows + 1).clamp(0, 1)
    top, left = torch.meshgrid(y[:-1], x[:-1], indexing="ij")
    bottom, right = torch.meshgrid(y[1:], x[1:], indexing="ij")
    return torch.stack((left, top, right, bottom), -1).flatten(0, 1)


def not_empty(boxes: Float[Tensor, "*boxes 4"]) -> Bool[Tensor, "*boxes"]:
    """Which boxes have an area."""
    return ((boxes[..., 2:] - boxes[..., :2]) > 1e-6).all(-1)


def seen_through(boxes: Float[Tensor, "regions 4"], inside: Box) -> Float[Tensor, "regions 4"]:
    """Boxes in fractions of the image as fractions of a window of it, cut off at the window's edges."""
    corner = boxes.new_tensor(inside[:2] * 2)
    sides = boxes.new_tensor((inside[2] - inside[0], inside[3] - inside[1]) * 2)
    return ((boxes - corner) / sides).clamp(0, 1)


def pool(
    maps: Float[Tensor, "images channels rows columns"], boxes: Sequence[Float[Tensor, "_ 4"]]
) -> list[Float[Tensor, "_ channels"]]:
    """The mean of each image's map over each of its boxes, which are fractions of the map, by RoIAlign.

    It is taken of 6 x 6 points spread evenly over the box, at each of which the map is interpolated between the centres
    of its cells: the mean of RoIAlign's 3 x 3 cells with 2 x 2 points each (He et al. 2017, section 3).
    """
    rows, columns = maps.shape[2:]
    scale = maps.new_tensor((columns, rows) * 2)
    placed = [each.to(maps) * scale for each in boxes]
    means: Tensor = roi_align(maps, placed, output_size=1, sampling_ratio=POINTS, aligned=True)
    return list(torch.split(means.flatten(1), [len(each) for each in boxes]))


def position_code(boxes: Float[Tensor, "*boxes 4"]) -> Float[Tensor, "*boxes 16"]:
    """The box, and the sine and cosine of its centre's x and y, times pi, two pi and four pi."""
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    angles = torch.cat([centre * (pi * frequency) for frequency in FREQUENCIES], -1)
    return torch.cat((boxes, angles.sin(), angles.cos()), -1)


def as_read(
    features: Float[Tensor, "images regions size"],
    boxes: Float[Tensor, "images regions 4"],
    mask: Bool[Tensor, "images regions"],
    *,
    standardize: bool,
    positions: bool,
) -> Float[Tensor, "images regions longer"]:
    """Features as a model is given them: each region's standardised, the code of its place appended, padding 0.

    The numbers' type stays.
    """
    if standardize:
        features = torch.nn.functional.layer_norm(features.float(), features.shape[-1:]).to(features.dtype)
    if positions:
        features = torch.cat((features, position_code(boxes).to(features.dtype)), -1)
    return features * mask[..., None] if standardize or positions else features


def pad_regions(features: list[Tensor], boxes: list[Tensor]) -> Regions:
    """One batch of images that differ in their number of regions."""
    return Regions(
        torch.nn.utils.rnn.pad_sequence(features, batch_first=True),
        torch.nn.utils.rnn.pad_sequence([b.new_ones(len(b), dtype=torch.bool) for b in boxes], batch_first=True),
        torch.nn.utils.rnn.pad_sequence(boxes, batch_first=True),
    )
