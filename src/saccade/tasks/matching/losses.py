"""Losses that tell the pairs of a batch from other pairs of its images and sentences, both ways.

All are of a square table of scores S: row i is an image, column j a sentence, and the pairs are on the diagonal. The
caller sees to it that each image is there once, so that no other sentence of a row belongs to its image.

- `random_hinge`: max(0, m - S_ii + S_ji) + max(0, m - S_ii + S_ij) with one j each, drawn evenly (Nam, Ha and Kim 2017,
  equation 20).
- `all_hinge`: the same, summed over all j (Kiros, Salakhutdinov and Zemel 2014).
- `hardest_hinge`: the same for the j with the highest score (Faghri et al. 2018, VSE++).
- `semi_hard_hinge`: for the j with the highest score below S_ii (Schroff, Kalenichenko and Philbin 2015, FaceNet); 0
  where none is below.
- `softmax_loss`: -log softmax of S_ii among its row and among its column, their mean (InfoNCE as in CLIP, Radford et
  al. 2021).

Each is summed over pairs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Table = Float[Tensor, "images sentences"]


def random_hinge(S: Table, margin: float, draws: Float[Tensor, "pairs 2"]) -> Float[Tensor, ""]:
    """Held against one other sentence and one other image; `draws` from 0 up to 1 say which. 0 where there is none."""
    count = len(S)
    if count == 1:
        return 0 * S.sum()
    # Among the others: those from the pair itself on stand one further.
    others = (draws.clamp(max=1 - 1e-7) * (count - 1)).long().T
    rows = torch.arange(count, device=S.device)
    sentence, image = others + (others >= rows)
    pairs = S.diagonal()
    return F.relu(margin - pairs + S[rows, sentence]).sum() + F.relu(margin - pairs + S[image, rows]).sum()


def all_hinge(S: Table, margin: float) -> Float[Tensor, ""]:
    """Held against all other sentences and all other images."""
    return sum((each.sum() for each in _costs(S, margin)), start=S.new_zeros(()))


def hardest_hinge(S: Table, margin: float) -> Float[Tensor, ""]:
    """Held against the sentence and the image that score highest."""
    of_rows, of_columns = _costs(S, margin)
    return of_rows.amax(dim=1).sum() + of_columns.amax(dim=0).sum()


def semi_hard_hinge(S: Table, margin: float) -> Float[Tensor, ""]:
    """Held against the sentence and the image that score highest among those below the pair."""
    pairs = S.diagonal()
    of_rows, of_columns = _costs(S, margin)
    of_rows = of_rows.masked_fill(pairs[:, None] <= S, 0)
    of_columns = of_columns.masked_fill(pairs <= S, 0)
    return of_rows.amax(dim=1).sum() + of_columns.amax(dim=0).sum()


def softmax_loss(S: Table) -> Float[Tensor, ""]:
    """The mean of the two cross-entropies, of the right sentence and of the right image."""
    right = torch.arange(len(S), device=S.device)
    return (F.cross_entropy(S, right, reduction="sum") + F.cross_entropy(S.T, right, reduction="sum")) / 2


def _costs(S: Table, margin: float) -> tuple[Table, Table]:
    """What each other sentence costs an image, in its row, and each other image a sentence, in its column."""
    pairs = S.diagonal()
    itself: Bool[Tensor, "images sentences"] = torch.eye(len(S), dtype=torch.bool, device=S.device)
    return (
        F.relu(margin - pairs[:, None] + S).masked_fill(itself, 0),
        F.relu(margin - pairs + S).masked_fill(itself, 0),
    )
