"""The masked softmax and the grouped products against slow, obvious twins."""

from __future__ import annotations

import torch

from saccade.nn.attention import masked_mean, masked_softmax, pool, score
from saccade.types import Grouping

IMAGE_OF = torch.tensor([2, 0, 2, 2, 0])
GENERATOR = torch.Generator().manual_seed(5)


def test_softmax_over_what_the_mask_allows_equals_softmax_of_that_alone() -> None:
    logits = torch.randn(3, 7, generator=GENERATOR)
    mask = torch.rand(3, 7, generator=GENERATOR) > 0.4
    weights = masked_softmax(logits, mask)
    for row in range(3):
        torch.testing.assert_close(weights[row, mask[row]], torch.softmax(logits[row, mask[row]], 0))
        assert not weights[row, ~mask[row]].any()


def test_a_row_with_nothing_to_attend_has_zero_weights_and_zero_gradient() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    weights = masked_softmax(logits, torch.tensor([[False] * 3, [True] * 3]))
    assert weights[0].tolist() == [0.0, 0.0, 0.0]
    (gradient,) = torch.autograd.grad(weights.square().sum(), logits)
    assert gradient.isfinite().all()
    assert not gradient[0].any()


def test_half_precision_stays_finite() -> None:
    logits = torch.tensor([[6e4, -6e4, 1.0]], dtype=torch.float16)
    assert masked_softmax(logits, torch.tensor([[True, True, False]])).tolist() == [[1.0, 0.0, 0.0]]


def test_mean_leaves_out_what_is_masked_and_is_zero_where_all_is() -> None:
    features = torch.arange(12.0).reshape(2, 3, 2)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(features, mask).tolist() == [[1.0, 2.0], [0.0, 0.0]]


def test_grouping_gives_every_text_its_own_place() -> None:
    grouping = Grouping.of(IMAGE_OF)
    assert grouping.slot.tolist() == [0, 0, 1, 2, 1]
    assert grouping.width == 3


def test_grouped_products_equal_gathered_ones() -> None:
    items, queries = torch.randn(3, 7, 11, generator=GENERATOR), torch.randn(5, 11, generator=GENERATOR)
    weights, grouping = torch.rand(5, 7, generator=GENERATOR), Grouping.of(IMAGE_OF)
    torch.testing.assert_close(score(queries, items, grouping), torch.einsum("tnd,td->tn", items[IMAGE_OF], queries))
    torch.testing.assert_close(pool(weights, items, grouping), torch.einsum("tn,tnd->td", weights, items[IMAGE_OF]))
    torch.testing.assert_close(score(queries, items[IMAGE_OF]), score(queries, items, grouping))
    torch.testing.assert_close(pool(weights, items[IMAGE_OF]), pool(weights, items, grouping))
