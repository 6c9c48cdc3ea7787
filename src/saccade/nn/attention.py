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
    queries: Float[Tensor, "texts *queries size"],
    keys: Float[Tensor, "rows items size"],
    grouping: Grouping | None = None,
) -> Float[Tensor, "texts *queries items"]:
    """The inner products of each text's query, or queries, with every item of its row (its image's when grouped)."""
    return _product(queries, keys.transpose(1, 2), grouping)


def pool(
    weights: Float[Tensor, "texts *queries items"],
    values: Float[Tensor, "rows items size"],
    grouping: Grouping | None = None,
) -> Float[Tensor, "texts *queries size"]:
    """The weighted sums of the items of each text's row."""
    return _product(weights, values, grouping)


def _product(
    left: Float[Tensor, "texts *queries inner"],
    right: Float[Tensor, "rows inner outer"],
    grouping: Grouping | None,
) -> Float[Tensor, "texts *queries outer"]:
    """Each text's rows times the matrix of its row: all texts of an image in one product when grouped."""
    texts, inner, outer = len(left), right.shape[1], right.shape[2]
    queries = left.shape[1:-1]
    rows = left.reshape(texts, -1, inner)
    if grouping is None:
        return torch.bmm(rows, right).reshape(texts, *queries, outer)
    # Texts laid out as [images, width], zero where an image has fewer.
    table = rows.new_zeros(len(right), grouping.width, rows.shape[1], inner)
    table = table.index_put((grouping.image, grouping.slot), rows)
    products = torch.bmm(table.flatten(1, 2), right).reshape(*table.shape[:3], outer)
    return products[grouping.image, grouping.slot].reshape(texts, *queries, outer)
