"""Losses that tell the pairs of a batch from other pairs of its images and sentences, both ways.

All are of a table of scores S: row i is an image, column j a sentence. ``image_of`` says of each sentence which row is
its image; that is a pair, with a score of p_j. The caller sees to it that each image is there once. A pair is held
against other images, and against sentences of other images.

- `random_hinge`: max(0, m - p_j + S_ij) + max(0, m - p_j + S_ik) with one other image and one other sentence, drawn
  evenly (Nam, Ha and Kim 2017, equation 20).
- `all_hinge`: the same, summed over all others (Kiros, Salakhutdinov and Zemel 2014).
- `hardest_hinge`: the same for those with the highest score (Faghri et al. 2018, VSE++).
- `semi_hard_hinge`: for those with the highest score below p_j (Schroff, Kalenichenko and Philbin 2015, FaceNet); 0
  where none is below.
- `softmax_loss`: -log softmax of p_j among its image and the sentences of others, and among all images, their mean
  (InfoNCE as in CLIP, Radford et al. 2021).

Each is summed over pairs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

Table = Float[Tensor, "images sentences"]
Rows = Int[Tensor, " sentences"]


def random_hinge(S: Table, image_of: Rows, margin: float, draws: Float[Tensor, "sentences 2"]) -> Float[Tensor, ""]:
    """Held against one other sentence and one other image; `draws` from 0 up to 1 say which. 0 where there is none."""
    if len(S) == 1:
        return 0 * S.sum()
    own, pairs = _own(S, image_of), _pairs(S, image_of)
    sentence, image = _drawn(~own[image_of], draws[:, 0]), _drawn(~own.T, draws[:, 1])
    columns = torch.arange(len(image_of), device=S.device)
    return F.relu(margin - pairs + S[image_of, sentence]).sum() + F.relu(margin - pairs + S[image, columns]).sum()


def all_hinge(S: Table, image_of: Rows, margin: float) -> Float[Tensor, ""]:
    """Held against all sentences of other images and all other images."""
    return sum((each.sum() for each in _costs(S, image_of, margin)), start=S.new_zeros(()))


def hardest_hinge(S: Table, image_of: Rows, margin: float) -> Float[Tensor, ""]:
    """Held against the sentence and the image that score highest."""
    of_sentences, of_images = _costs(S, image_of, margin)
    return of_sentences.amax(dim=1).sum() + of_images.amax(dim=0).sum()


def semi_hard_hinge(S: Table, image_of: Rows, margin: float) -> Float[Tensor, ""]:
    """Held against the sentence and the image that score highest among those below the pair."""
    pairs = _pairs(S, image_of)
    of_sentences, of_images = _costs(S, image_of, margin)
    of_sentences = of_sentences.masked_fill(pairs[:, None] <= S[image_of], 0)
    of_images = of_images.masked_fill(pairs <= S, 0)
    return of_sentences.amax(dim=1).sum() + of_images.amax(dim=0).sum()


def softmax_loss(S: Table, image_of: Rows) -> Float[Tensor, ""]:
    """The mean of the two cross-entropies, of the right sentence and of the right image."""
    itself = torch.eye(len(image_of), dtype=torch.bool, device=S.device)
    among_sentences = S[image_of].masked_fill(_own(S, image_of)[image_of] & ~itself, -torch.inf)
    right = torch.arange(len(image_of), device=S.device)
    return (
        F.cross_entropy(among_sentences, right, reduction="sum") + F.cross_entropy(S.T, image_of, reduction="sum")
    ) / 2


def _pairs(S: Table, image_of: Rows) -> Float[Tensor, " sentences"]:
    """The score of each sentence with its image."""
    return S.gather(0, image_of[None])[0]


def _own(S: Table, image_of: Rows) -> Bool[Tensor, "images sentences"]:
    """Which sentences are an image's own."""
    return torch.arange(len(S), device=S.device)[:, None] == image_of


def _costs(
    S: Table, image_of: Rows, margin: float
) -> tuple[Float[Tensor, "sentences sentences"], Float[Tensor, "images sentences"]]:
    """What each other sentence costs a pair, in the pair's row, and each other image, in the pair's column."""
    own, pairs = _own(S, image_of), _pairs(S, image_of)
    return (
        F.relu(margin - pairs[:, None] + S[image_of]).masked_fill(own[image_of], 0),
        F.relu(margin - pairs + S).masked_fill(own, 0),
    )


def _drawn(others: Bool[Tensor, "pairs items"], draws: Float[Tensor, " pairs"]) -> Int[Tensor, " pairs"]:
    """One of each pair's others, evenly by a draw from 0 up to 1."""
    counts = others.cumsum(dim=1)
    wanted = (draws.clamp(max=1 - 1e-7) * counts[:, -1]).long() + 1
    return torch.searchsorted(counts, wanted[:, None])[:, 0]
