"""What Show, Attend and Tell looks with: f_att of its section 3.1, in the form of the authors' code (see `sat.py`)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.nn.attention import additive_logits, masked_softmax


class Glimpse(NamedTuple):
    """What one step saw, and with which weights: alpha, and what the context was pooled with (alpha when soft)."""

    context: Float[Tensor, "rows size"]
    alpha: Float[Tensor, "rows regions"]
    weights: Float[Tensor, "rows regions"]
    beta: Float[Tensor, " rows"] | None


class Attention(nn.Module):
    """f_att: how much each region matters to the state of the LSTM."""

    def __init__(self, region_size: int, hidden_size: int, attention_size: int) -> None:
        super().__init__()
        self.first = nn.Linear(region_size, attention_size)  # W_1
        self.second = nn.Linear(attention_size, attention_size)  # W_2
        self.state = nn.Linear(hidden_size, attention_size, bias=False)  # W_d
        self.logit = nn.Linear(attention_size, 1)  # u, c

    def project(self, a: Float[Tensor, "images regions size"]) -> Float[Tensor, "images regions attention"]:
        """P: what every region offers, whatever the state."""
        weight, bias = self.second.weight @ self.first.weight, self.second(self.first.bias)
        return torch.tanh(nn.functional.linear(a, weight, bias))

    def forward(
        self,
        h: Float[Tensor, "rows hidden"],
        P: Float[Tensor, "images regions attention"],
        tanh_P: Float[Tensor, "images regions attention"],
        mask: Bool[Tensor, "images regions"],
    ) -> Float[Tensor, "images hypotheses regions"]:
        """alpha: the weights of the regions of each row's image, whose rows lie side by side."""
        of_state = self.state(h).unflatten(0, (len(P), -1))
        e = additive_logits(P, of_state, self.logit.weight[0].to(P.dtype), tanh_P) + self.logit.bias
        # The weights are kept whole under autocast: the penalty sums them, and samples are drawn by them.
        return masked_softmax(e.to(self.logit.weight.dtype), mask.unsqueeze(1))
