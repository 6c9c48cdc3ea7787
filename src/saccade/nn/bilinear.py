"""Bilinear attention logits, p_g . (U^T x_t o V^T y_n), without the products of all words with all regions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from saccade.types import Grouping


def bilinear_logits(
    queries: Float[Tensor, "glimpses size"],
    words: Float[Tensor, "texts words size"],
    regions: Float[Tensor, "rows regions size"],
    grouping: Grouping | None = None,
) -> Float[Tensor, "texts glimpses words regions"]:
    """For each glimpse the sum over k of query_k word_k region_k, of each text's words and its row's regions.

    Equal to ``einsum("gk,btk,bnk->bgtn")``. Beyond what goes in and out it needs memory as large as `words` forward,
    a few times that backward, and keeps none of it in between.
    """
    words, queries = words.to(regions.dtype), queries.to(regions.dtype)  # autocast leaves the queries in float32
    if grouping is None:
        return _logits(queries, words, regions)
    # Texts laid out as [images, width], zero where an image has fewer: the words of an image are those of its texts.
    table = words.new_zeros(len(regions), grouping.width, *words.shape[1:])
    table = table.index_put((grouping.image, grouping.slot), words)
    logits = _logits(queries, table.flatten(1, 2), regions)
    logits = logits.reshape(len(regions), len(queries), *table.shape[1:3], regions.shape[1])
    return logits[grouping.image, :, grouping.slot]


def _logits(queries: Tensor, words: Tensor, regions: Tensor) -> Tensor:
    logits: Tensor = _Logits.apply(queries, words, regions)
    return logits


class _Logits(torch.autograd.Function):
    """The logits in blocks of k, each of which is one batched product over all glimpses.

    A block's words are scaled by the queries of every glimpse, and scaled again when the gradient is taken: neither the
    scaled words nor the larger scaled regions are kept.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        queries: Float[Tensor, "glimpses size"],
        words: Float[Tensor, "rows words size"],
        regions: Float[Tensor, "rows regions size"],
    ) -> Float[Tensor, "rows glimpses words regions"]:
        ctx.save_for_backward(queries, words, regions)
        # Blocks are summed in float32 at least, however coarse the products are.
        precise = torch.promote_types(words.dtype, torch.float32)
        logits = words.new_zeros(len(words), len(queries) * words.shape[1], regions.shape[1], dtype=precise)
        for k in _blocks(queries):
            logits += torch.bmm(_scaled(queries[:, k], words[:, :, k]), regions[:, :, k].mT)
        return logits.to(words.dtype).reshape(len(words), len(queries), words.shape[1], regions.shape[1])

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, gradient: Float[Tensor, "rows glimpses words regions"]
    ) -> tuple[Float[Tensor, "glimpses size"], Float[Tensor, "rows words size"], Float[Tensor, "rows regions size"]]:
        queries, words, regions = ctx.saved_tensors  # type: ignore[attr-defined]
        to_queries, to_words, to_regions = torch.empty_like(queries), torch.empty_like(words), torch.empty_like(regions)
        rows = gradient.flatten(1, 2).to(regions.dtype)
        for k in _blocks(queries):
            to_regions[:, :, k] = torch.bmm(rows.mT, _scaled(queries[:, k], words[:, :, k]))
            to_scaled = torch.bmm(rows, regions[:, :, k]).reshape(*gradient.shape[:3], -1)
            to_queries[:, k] = (to_scaled * words[:, None, :, k]).sum((0, 2))
            to_words[:, :, k] = to_scaled.mul_(queries[:, None, k]).sum(1)
        return to_queries, to_words, to_regions


def _blocks(queries: Tensor) -> Iterator[slice]:
    """Slices of k so narrow that a block of the words, scaled for every glimpse, is as large as all words."""
    glimpses, size = queries.shape
    step = -(-size // glimpses)
    return (slice(start, start + step) for start in range(0, size, step))


def _scaled(queries: Tensor, words: Tensor) -> Tensor:
    """The words times each glimpse's query: [rows, glimpses x words, size]."""
    return (queries[:, None] * words[:, None]).flatten(1, 2)
