"""The one masked softmax, and the products between texts and the regions of their images.

Texts of one image may share its regions (`Regions.grouping`). Each product below then lays the texts out as a dense
``[images, width]`` table and runs one batched product per image, so region tensors are never copied per text.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.types import Grouping


def masked_softmax(
    logits: Float[Tensor, "*batch items"], mask: Bool[Tensor, "*#batch items"]
) -> Float[Tensor, "*batch items"]:
    """Softmax over the last dimension where the mask is True; weights elsewhere are exactly 0.

    A row with nothing to attend gets weight 0 everywhere, so what is pooled with it is the zero vector.
    """
    # The most negative finite number, not -inf: a row without items must give 0, not NaN, forward and backward.
    lowest = torch.finfo(logits.dtype).min
    return torch.softmax(logits.masked_fill(~mask, lowest), dim=-1).masked_fill(~mask, 0.0)


def masked_mean(
    features: Float[Tensor, "batch items size"], mask: Bool[Tensor, "batch items"]
) -> Float[Tensor, "batch size"]:
    """The mean of the items whose mask is True; zero where there are none."""
    shares = mask.to(features.dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return (shares.unsqueeze(1) @ features).squeeze(1)


def score(
    queries: Float[Tensor, "texts size"],
    keys: Float[Tensor, "rows items size"],
    grouping: Grouping | None = None,
) -> Float[Tensor, "texts items"]:
    """The inner product of each text's query with every item of its row (its own, or its image's when grouped)."""
    if grouping is None:
        return torch.bmm(keys, queries.unsqueeze(2)).squeeze(2)
    table = _spread(queries, grouping, keys.shape[0])
    return torch.bmm(table, keys.transpose(1, 2))[grouping.image, grouping.slot]


def pool(
    weights: Float[Tensor, "texts items"],
    values: Float[Tensor, "rows items size"],
    grouping: Grouping | None = None,
) -> Float[Tensor, "texts size"]:
    """The weighted sum of the items of each text's row."""
    if grouping is None:
        return torch.bmm(weights.unsqueeze(1), values).squeeze(1)
    table = _spread(weights, grouping, values.shape[0])
    return torch.bmm(table, values)[grouping.image, grouping.slot]


def _spread(rows: Float[Tensor, "texts size"], grouping: Grouping, images: int) -> Float[Tensor, "images width size"]:
    """Per-text rows laid out as [images, width], zero where an image has fewer texts."""
    table = rows.new_zeros(images, grouping.width, rows.shape[1])
    return table.index_put((grouping.image, grouping.slot), rows)
