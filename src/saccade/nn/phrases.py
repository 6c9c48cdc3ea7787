"""What grounders share: a phrase as one vector, and logits of regions that leave out what does not exist."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.nn.attention import masked_softmax, pool
from saccade.types import Phrases


def last_words(states: Float[Tensor, "texts words size"], phrases: Phrases) -> Float[Tensor, "texts phrases size"]:
    """The state at each phrase's last word, the last that was read where a text was cut before it; else zero."""
    last = (phrases.spans[..., 1:] - 1).clamp(0, states.shape[1] - 1)
    return torch.take_along_dim(states, last, dim=1).masked_fill(~phrases.mask.unsqueeze(2), 0)


def mean_words(states: Float[Tensor, "texts words size"], phrases: Phrases) -> Float[Tensor, "texts phrases size"]:
    """The mean of each phrase's words; zero of a phrase that does not exist or of which nothing was read."""
    words = phrases.over(states.shape[1])
    return pool(words.to(states.dtype) / words.sum(2, keepdim=True).clamp(min=1), states)


def existing(
    phrases: Bool[Tensor, "texts phrases"], regions: Bool[Tensor, "texts regions"]
) -> Bool[Tensor, "texts phrases regions"]:
    """Which pairs of a phrase and a region of its text's image are there at all."""
    return phrases.unsqueeze(2) & regions.unsqueeze(1)


def only_existing(
    logits: Float[Tensor, "texts phrases regions"], exist: Bool[Tensor, "texts phrases regions"]
) -> tuple[Float[Tensor, "texts phrases regions"], Float[Tensor, "texts phrases regions"]]:
    """The logits, minus infinity where a phrase or a region does not exist, and their softmax over regions, there 0.

    In float32 at least, however coarse the products were: ranks and losses are taken of them.
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return precise.masked_fill(~exist, float("-inf")), masked_softmax(precise, exist)
