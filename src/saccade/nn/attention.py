"""The one masked softmax, and the products between texts and the regions of their images.

Texts of one image may share its regions (`Regions.grouping`). Each product below then lays the texts out as a dense
``[images, width]`` table and runs one batched product per image, so region tensors are never copied per text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.types import Grouping

IN_CACHE = 1 << 17  # numbers in a piece of a large table that is worked on as one


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


def additive_logits(
    keys: Float[Tensor, "rows items size"],
    queries: Float[Tensor, "rows queries size"],
    weight: Float[Tensor, " size"],
    tanh_keys: Float[Tensor, "rows items size"],
) -> Float[Tensor, "rows queries items"]:
    """sum_s w_s tanh(k_s + q_s), where the tanh of the keys is known already.

    On a CPU by tanh(k + q) = (tanh k + tanh q) / (1 + tanh k tanh q), so that no tanh of a sum is taken. That loses
    precision where a key and a query are both large and cancel: let the keys be bounded, as a tanh's own values are.
    """
    if keys.device.type == "cpu":
        logits: Tensor = _AdditiveLogits.apply(keys, queries, weight, tanh_keys)
        return logits
    return torch.tanh(keys.unsqueeze(1) + queries.unsqueeze(2)) @ weight


class _AdditiveLogits(torch.autograd.Function):
    """`additive_logits` some rows at a time, which stay in the cache. Sums are kept where a gradient is wanted."""

    @staticmethod
    def forward(ctx: Any, keys: Tensor, queries: Tensor, weight: Tensor, tanh_keys: Tensor) -> Tensor:
        trained = any(ctx.needs_input_grad)
        shape = (len(keys), queries.shape[1], *keys.shape[1:])
        sums = keys.new_empty(shape) if trained else None
        one, logits = keys.new_ones(()), []
        pieces = (tanh_keys.unsqueeze(1), torch.tanh(queries).unsqueeze(2), *([] if sums is None else [sums]))
        for x, y, *out in zip(*(torch.split(each, _in_cache(shape)) for each in pieces), strict=True):
            of_some = torch.div(x + y, torch.addcmul(one, x, y), out=out[0] if out else None)
            logits.append(of_some @ weight)
        ctx.save_for_backward(weight, *([] if sums is None else [sums]))
        return torch.cat(logits)

    @staticmethod
    def backward(ctx: Any, of_logits: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        weight, sums = ctx.saved_tensors
        of_keys, of_queries = [], []
        for some, g in zip(*(torch.split(each, _in_cache(sums.shape)) for each in (sums, of_logits)), strict=True):
            of_sums = (1 - some * some).mul_(g.unsqueeze(3) * weight)
            of_keys.append(of_sums.sum(1))
            of_queries.append(of_sums.sum(2))
        return torch.cat(of_keys), torch.cat(of_queries), of_logits.flatten() @ sums.flatten(0, 2), None


def _in_cache(shape: Sequence[int]) -> int:
    """How many rows of a table to work on as one."""
    return max(1, IN_CACHE // max(1, math.prod(shape[1:])))


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
    rows = left.reshape(texts, math.prod(queries), inner)
    if grouping is None:
        return torch.bmm(rows, right).reshape(texts, *queries, outer)
    # Texts laid out as [images, width], zero where an image has fewer.
    table = rows.new_zeros(len(right), grouping.width, rows.shape[1], inner)
    table = table.index_put((grouping.image, grouping.slot), rows)
    products = torch.bmm(table.flatten(1, 2), right).reshape(*table.shape[:3], outer)
    return products[grouping.image, grouping.slot].reshape(texts, *queries, outer)
