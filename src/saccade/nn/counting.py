"""The counter of Zhang, Hare and Prügel-Bennett ("Learning to Count Objects in Natural Images for VQA", ICLR 2018).

How many objects are attended to, where several boxes may lie on one object. The attended boxes are the nodes of a
graph whose edges are weighted by the attention at both ends. Edges between boxes that overlap are removed (they lie on
one object), and what still stands several times for one object is divided by how many times: with k objects the
weights of the edges, self-loops included, then sum to k^2.

Follows the authors' code (Cyanogenoid/vqa-counting@8b1f02a, vqa-v2/counting.py), which BAN copied; f_0 to f_7 are
numbered as there. It allocates sixteen functions and uses eight: so does this, as the parameters count. Departures:

- Fewer than `objects` boxes are filled up with boxes that are not there, of attention 0; the authors' code fails.
- Boxes of logit -inf, which the mask forbids, are such boxes as well, wherever they lie.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

FUNCTIONS, SEGMENTS = 16, 16


class Counter(nn.Module):
    """Counts the boxes that are attended to, each object once, up to `objects` of them."""

    def __init__(self, objects: int = 10) -> None:
        super().__init__()
        self.objects = objects
        weight = torch.ones(FUNCTIONS, SEGMENTS + 1)
        weight[:, 0] = 0  # f(0) = 0, and the gradient of |weight| there is zero
        self.weight = nn.Parameter(weight)

    def forward(
        self, boxes: Float[Tensor, "rows boxes 4"], logits: Float[Tensor, "rows *queries boxes"]
    ) -> Float[Tensor, "rows *queries counts"]:
        """The count as a soft one-hot vector over 0 to `objects`, times how sure it is.

        `logits` are the attention before any softmax, of each query to the boxes of its row; -inf where a box is none.
        """
        # Coarser numbers than float32 cannot tell the overlaps of small boxes.
        precise = torch.promote_types(logits.dtype, torch.float32)
        corners, a = self.strongest(boxes.to(precise), logits.to(precise))
        relevance, distance = a.unsqueeze(-1) * a.unsqueeze(-2), 1 - overlap(corners)
        edges = self.f(0, relevance) * self.f(1, distance)  # no edges inside an object
        same = self.copies(a, relevance, distance)
        loops = self.f(0, a * a) / same  # the self-loops, which the distance of a box to itself removed
        edges = edges / (same.unsqueeze(-1) * same.unsqueeze(-2))
        count = (edges.sum((-2, -1)) + loops.sum(-1) + 1e-20).sqrt()  # finite slope at 0
        return (self.one_hot(count) * self.confidence(a, distance).unsqueeze(-1)).to(logits.dtype)

    def strongest(
        self, boxes: Float[Tensor, "rows boxes 4"], logits: Float[Tensor, "rows *queries boxes"]
    ) -> tuple[Float[Tensor, "rows *queries objects 4"], Float[Tensor, "rows *queries objects"]]:
        """The `objects` boxes of the highest logits, by falling logit, and their attention from 0 to 1."""
        missing = max(self.objects - boxes.shape[1], 0)
        boxes = nn.functional.pad(boxes, (0, 0, 0, missing))
        logits = nn.functional.pad(logits, (0, missing), value=float("-inf"))
        top, index = logits.topk(self.objects, dim=-1)
        of_queries = boxes.reshape(len(boxes), *[1] * (logits.dim() - 2), -1, 4)
        corners = torch.take_along_dim(of_queries, index.unsqueeze(-1), dim=-2)
        return corners.masked_fill(top.isneginf().unsqueeze(-1), 0), torch.sigmoid(top)

    def copies(
        self,
        a: Float[Tensor, "*batch objects"],
        relevance: Float[Tensor, "*batch objects objects"],
        distance: Float[Tensor, "*batch objects objects"],
    ) -> Float[Tensor, "*batch objects"]:
        """How many of the boxes are like this one, itself included: alike in attention and in edges to all others."""
        kept = self.f(3, relevance) * self.f(4, distance)
        unlike = (kept.unsqueeze(-1) - kept.unsqueeze(-2)).abs()  # [k, i, j]: of the edges k to i and k to j
        alike = self.f(2, 1 - unlike).prod(-3) * self.f(2, 1 - (a.unsqueeze(-1) - a.unsqueeze(-2)).abs())
        return alike.sum(-1)

    def one_hot(self, count: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch counts"]:
        """A count between two whole numbers, shared between them: 2.75 is 0.25 twos and 0.75 threes."""
        wholes = torch.arange(self.objects + 1, dtype=count.dtype, device=count.device)
        return (1 - (count.clamp(max=self.objects).unsqueeze(-1) - wholes).abs()).relu()

    def confidence(
        self, a: Float[Tensor, "*batch objects"], distance: Float[Tensor, "*batch objects objects"]
    ) -> Float[Tensor, "*batch"]:
        """Near 1 where attention and distances are near 0 or 1, as they are when counting is exact."""
        sure = (self.f(5, a) - 0.5).abs().mean(-1) + (self.f(6, distance) - 0.5).abs().mean((-2, -1))
        return self.f(7, sure)

    def f(self, which: int, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The learned function f_which on [0, 1]: monotone, linear in each segment, 0 at 0 and 1 at 1."""
        rise = self.weight[which].abs()
        rise = (rise / rise.sum()).to(x.dtype)
        scaled = SEGMENTS * x
        segment = scaled.detach().long()
        # One past the last segment at x = 1, where the part inside the segment is 0.
        return rise.cumsum(0)[segment] + (scaled - segment) * rise[(segment + 1).clamp(max=SEGMENTS)]


def overlap(boxes: Float[Tensor, "*batch boxes 4"]) -> Float[Tensor, "*batch boxes boxes"]:
    """Intersection over union of all pairs; 0 between boxes without area."""
    low, high = boxes[..., :2], boxes[..., 2:]
    area = (high - low).clamp(min=0).prod(-1)
    shared_low = torch.maximum(low.unsqueeze(-2), low.unsqueeze(-3))
    shared_high = torch.minimum(high.unsqueeze(-2), high.unsqueeze(-3))
    shared = (shared_high - shared_low).clamp(min=0).prod(-1)
    union: Tensor = area.unsqueeze(-1) + area.unsqueeze(-2) - shared
    return shared / (union + 1e-12)
