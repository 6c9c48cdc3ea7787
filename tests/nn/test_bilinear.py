"""Bilinear logits against the einsum that they equal."""

from __future__ import annotations

import pytest
import torch

from saccade.nn.bilinear import bilinear_logits
from saccade.types import Grouping

IMAGE_OF = torch.tensor([2, 0, 2, 2, 0])
WORDS, REGIONS = 3, 7


def some(glimpses: int, size: int, rows: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = (glimpses, size), (5, WORDS, size), (rows, REGIONS, size)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


@pytest.mark.parametrize(("glimpses", "size"), [(1, 11), (2, 11), (5, 11), (13, 11), (4, 8)])
def test_logits_and_gradients_equal_the_einsum_whatever_the_blocks(glimpses: int, size: int) -> None:
    inputs = some(glimpses, size)
    ours, plain = bilinear_logits(*inputs), torch.einsum("gk,btk,bnk->bgtn", *inputs)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(*(torch.autograd.grad(each.sin().sum(), inputs) for each in (ours, plain)), strict=True):
        torch.testing.assert_close(a, b)


def test_grouped_logits_and_gradients_equal_gathered_ones() -> None:
    queries, words, regions = some(2, 11, rows=3)
    grouped = bilinear_logits(queries, words, regions, Grouping.of(IMAGE_OF))
    gathered = bilinear_logits(queries, words, regions[IMAGE_OF])
    torch.testing.assert_close(grouped, gathered)
    gradients = (torch.autograd.grad(each.sin().sum(), (queries, words, regions)) for each in (grouped, gathered))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("grouping", [None, Grouping.of(IMAGE_OF)])
def test_gradients_are_exact(grouping: Grouping | None) -> None:
    inputs = some(2, 5, rows=5 if grouping is None else 3)
    assert torch.autograd.gradcheck(lambda *each: bilinear_logits(*each, grouping), inputs)


def test_half_precision_sums_its_blocks_in_single() -> None:
    queries, words, regions = (each.detach() for each in some(8, 960))
    ours = bilinear_logits(queries.float(), words.float(), regions.bfloat16())
    assert ours.dtype == torch.bfloat16
    exact = torch.einsum("gk,btk,bnk->bgtn", queries, words, regions)
    assert (ours - exact).abs().max() < 0.02 * exact.abs().max()


def test_autocast_gives_gradients_in_the_precision_of_what_came_in() -> None:
    queries, words, regions = (each.detach().float().requires_grad_() for each in some(3, 11))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = bilinear_logits(queries, words, regions)
    gradients = torch.autograd.grad(logits.float().square().sum(), (queries, words, regions))
    assert [each.dtype for each in gradients] == [torch.float32] * 3
    assert all(each.isfinite().all() for each in gradients)
