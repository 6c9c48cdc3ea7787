"""From logits of regions to ranked boxes, and to where the map over the image is strongest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import box_iou
from torchvision.ops import nms as suppress

from saccade.data.records import Box
from saccade.metrics.attention import spread, strongest_point
from saccade.tasks.grounding.losses import moved

RANKED = 10  # boxes of a phrase that are kept, as many as recalls ask for
MAP_SIDE = 28  # cells of the map over an image, which has no grid of its own


@dataclass(frozen=True)
class Found:
    """Where a phrase was found: boxes with their shares of 1, best first, and the point where its map is strongest."""

    boxes: tuple[Box, ...]
    scores: tuple[float, ...]
    point: tuple[float, float]


def find_regions(
    logits: Float[Tensor, "phrases regions"],
    boxes: Float[Tensor, "regions 4"],
    shifts: Float[Tensor, "phrases regions 4"] | None = None,
    *,
    nms: float | None = None,
    vote: float = 1.0,
    side: int = MAP_SIDE,
) -> list[Found]:
    """Each phrase's best regions among those of one image, by falling logit, their boxes moved where there are shifts.

    With `nms` a box that overlaps a better one with more than that IoU is left out, and with `vote` below 1 what
    `voted` gives stands in front. Maps are of the regions as they are: the softmax over regions, spread over the image,
    in cells of which `side` make its width or height.
    """
    shares = logits.softmax(1)
    points = strongest_point(region_maps(shares, boxes, side)).tolist()
    found = []
    for phrase, point in enumerate(points):
        placed = boxes if shifts is None else moved(boxes, shifts[phrase])
        order = logits[phrase].argsort(descending=True, stable=True)
        first = [] if vote == 1 else [voted(shares[phrase], placed, int(order[0]), vote)]
        if nms is not None:
            # By rank: suppression sorts in an order of its own where scores are equal.
            falling = torch.arange(len(order), 0, -1, device=order.device, dtype=placed.dtype)
            order = order[suppress(placed[order], falling, nms)]
        best = order[: RANKED - len(first)]
        rows: list[list[float]] = torch.cat([*first, placed[best]]).tolist()
        scores = torch.cat([shares[phrase, best[: len(first)]], shares[phrase, best]]).tolist()
        found.append(Found(tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in rows), tuple(scores), tuple(point)))
    return found


def voted(
    shares: Float[Tensor, " regions"], boxes: Float[Tensor, "regions 4"], best: int, overlap: float
) -> Float[Tensor, "1 4"]:
    """The mean of the boxes that overlap the best one with at least that IoU, by the squares of their shares.

    Box voting, Gidaris and Komodakis (ICCV 2015), with squares for scores: fixed regions are coarse, and where a thing
    ends is told by how the shares of those around it fall.
    """
    near = box_iou(boxes[best][None], boxes)[0] >= overlap
    near[best] = True  # one without an area overlaps not even itself
    weights = shares.square() * near
    mean: Tensor = (weights / weights.sum())[None] @ boxes
    return mean


def region_maps(
    shares: Float[Tensor, "phrases regions"], boxes: Float[Tensor, "regions 4"], side: int = MAP_SIDE
) -> Float[np.ndarray, "phrases rows columns"]:
    """The shares of the regions as maps over the image."""
    return spread(shares.double().cpu().numpy(), boxes.double().cpu().numpy(), side, side)


def phrase_text(sentence: str, words: Sequence[int]) -> str:
    """The words of a phrase as they stand in the sentence, without the punctuation around them."""
    return " ".join(sentence.split()[words[0] : words[1]]).strip(" ,.;:!?\"'()")
