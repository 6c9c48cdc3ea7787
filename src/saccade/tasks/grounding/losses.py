"""What regions are held to: their overlap with a phrase's boxes, and how they would have to move.

All arguments are [texts, phrases, ...]; regions that do not exist have logit minus infinity, and phrases that do not
are left out by their mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torchvision.ops import box_iou

LEAST_SIDE = 1e-3  # of a box, in fractions of the image: shifts are relative to it
LARGEST_FACTOR = 4.0  # that a box is widened or heightened by, as in R-CNN

Logits = Float[Tensor, "phrases regions"]
Overlaps = Float[Tensor, "phrases regions"]


def best_overlaps(
    boxes: Float[Tensor, "phrases regions 4"],
    truth: Float[Tensor, "phrases meant 4"],
    exist: Bool[Tensor, "phrases meant"],
) -> tuple[Overlaps, Float[Tensor, "phrases regions 4"]]:
    """The IoU of each region with the one of its phrase's boxes that it fits best, and that box."""
    overlaps = torch.stack([box_iou(*each) for each in zip(boxes, truth, strict=True)])
    best = overlaps.masked_fill(~exist.unsqueeze(1), -1).max(2)
    return best.values.clamp(min=0), torch.take_along_dim(truth.unsqueeze(1), best.indices[..., None, None], 2)[:, :, 0]


def sigmoid_loss(logits: Logits, overlaps: Overlaps, threshold: float) -> Float[Tensor, ""]:
    """The binary cross-entropy of each region by itself, summed over phrases and regions: BAN's authors' loss."""
    there = logits > float("-inf")
    right = (overlaps >= threshold).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits[there], right[there], reduction="sum")


def softmax_loss(logits: Logits, overlaps: Overlaps, threshold: float) -> Float[Tensor, ""]:
    """The cross-entropy of shares by overlap among the regions that are right, summed over phrases that have one.

    Up to a constant the Kullback-Leibler divergence of DDPN (Yu et al., IJCAI 2018, section 3.3).
    """
    weights = overlaps * (overlaps >= threshold)
    total = weights.sum(1, keepdim=True)
    found = total[:, 0] > 0
    # What does not exist has no weight, and minus infinity times nothing is no number.
    logs = logits.log_softmax(1).masked_fill(logits == float("-inf"), 0)
    return -(weights[found] / total[found] * logs[found]).sum()


def shift_loss(
    shifts: Float[Tensor, "phrases regions 4"],
    boxes: Float[Tensor, "phrases regions 4"],
    targets: Float[Tensor, "phrases regions 4"],
    overlaps: Overlaps,
    threshold: float,
) -> Float[Tensor, ""]:
    """The smooth L1 loss of the shifts of right regions, the mean over those of a phrase, summed over phrases."""
    right = (overlaps >= threshold).to(shifts.dtype)
    losses = F.smooth_l1_loss(shifts, shifts_to(boxes, targets), reduction="none").sum(2)
    return ((losses * right).sum(1) / right.sum(1).clamp(min=1)).sum()


def shifts_to(boxes: Float[Tensor, "*boxes 4"], targets: Float[Tensor, "*boxes 4"]) -> Float[Tensor, "*boxes 4"]:
    """How boxes would have to move to become others, as R-CNN has it: centres in their sides, logarithms of sides."""
    centres, sides = _laid(boxes)
    other_centres, other_sides = _laid(targets)
    return torch.cat([(other_centres - centres) / sides, (other_sides / sides).log()], -1)


def moved(boxes: Float[Tensor, "*boxes 4"], shifts: Float[Tensor, "*boxes 4"]) -> Float[Tensor, "*boxes 4"]:
    """The boxes after such shifts, cut off at the image's edges."""
    centres, sides = _laid(boxes)
    centres = centres + shifts[..., :2] * sides
    sides = sides * shifts[..., 2:].exp().clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR)
    return torch.cat([centres - sides / 2, centres + sides / 2], -1).clamp(0, 1)


def _laid(boxes: Float[Tensor, "*boxes 4"]) -> tuple[Float[Tensor, "*boxes 2"], Float[Tensor, "*boxes 2"]]:
    """Centres and sides."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).clamp(min=LEAST_SIDE)
