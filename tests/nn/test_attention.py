"""The masked softmax and the grouped products against slow, obvious twins."""

from __future__ import annotations

import pytest
import torch

from saccade.nn import attention
from saccade.nn.attention import additive_logits, masked_mean, masked_softmax, pool, score
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


@pytest.mark.parametrize("in_cache", [1, 30, 1 << 17])
def test_additive_logits_and_their_gradients_are_those_of_the_tanh_of_sums(monkeypatch, in_cache) -> None:
    monkeypatch.setattr(attention, "IN_CACHE", in_cache)
    keys = torch.randn(5, 4, 3, generator=GENERATOR, dtype=torch.float64).tanh()
    queries = 4 * torch.randn(5, 2, 3, generator=GENERATOR, dtype=torch.float64)
    inputs = [keys.requires_grad_(), queries.requires_grad_(), torch.ones(3, dtype=torch.float64).requires_grad_()]
    given = torch.randn(5, 2, 4, generator=GENERATOR, dtype=torch.float64)
    expected = torch.tanh(keys[:, None] + queries[:, :, None]) @ inputs[2]
    for trained in (True, False):
        with torch.set_grad_enabled(trained):
            logits = additive_logits(*inputs, keys.detach().tanh())
        torch.testing.assert_close(logits, expected, atol=1e-14, rtol=0)
        if trained:
            gradients = torch.autograd.grad(logits, inputs, given)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, inputs, given), atol=1e-13, rtol=0)
