"""How hard attention is trained and looks (Show, Attend and Tell, section 4.1), the rule of `sat.py`.

The gradient of a caption, with one sample of its locations s (the paper's last equation before 4.2):

    d log p(y | s) + lambda_r (log p(y | s) - b) d log p(s | a) + lambda_e d H[s]
    b_k = 0.9 b_{k-1} + 0.1 log p(y | s_k),  b_0 = 0

The first term is the loss of the task; minus the other two are the gradient of `estimator`. A caption trains with
probability `expectation` on the expectation alpha instead of s; it then has no second term. Decided here, where the
paper is silent, as in the authors' code (kelvinxu/arctic-captions@f4565bf): b is one number, the mean over all captions
of a batch, and is used before it is updated; H is the sum over steps of the entropy of alpha_t, and counts for all
captions.

From the code this differs as the paper does: log p(y | s) is of the sentence, where the code has the mean over words,
and each caption has its coin, where the code has one for the batch (`coin="batch"`). The paper gives no lambda_r and
lambda_e. The defaults, 0.5 and 0.13, are the code's 1/10 and 0.002 translated to this rule, at its batch of 64 and
captions of about 12 words: 64 / (10 x 12) and 0.002 x 64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saccade.hypotheses import Look
from saccade.types import Words

BASELINE_DECAY = 0.9


def expected_captions(
    probability: float,
    coin: Literal["image", "batch"],
    mask: Bool[Tensor, "captions words"],
    generator: torch.Generator | None = None,
) -> Bool[Tensor, " captions"]:
    """Which captions train on the expectation: each by a draw of its own, or all or none."""
    draws = torch.rand(len(mask) if coin == "image" else 1, device=mask.device, generator=generator)
    return (draws < probability).expand(len(mask))


def sample(
    alpha: Float[Tensor, "*batch regions"], generator: torch.Generator | None = None
) -> Float[Tensor, "*batch regions"]:
    """One location drawn from each distribution, as a one-hot row without gradient; zeros where alpha is.

    Without a generator PyTorch's own draws, whose state the whole process shares.
    """
    # The first of exponential clocks with rates alpha. Unlike torch.multinomial it takes rows of zeros.
    return most_probable(alpha.detach() / torch.empty_like(alpha).exponential_(generator=generator))


def most_probable(alpha: Float[Tensor, "*batch regions"]) -> Float[Tensor, "*batch regions"]:
    """The largest of each distribution, as a one-hot row without gradient; zeros where alpha is."""
    chosen = torch.zeros_like(alpha).scatter(-1, alpha.detach().argmax(-1, keepdim=True), 1)
    return chosen.masked_fill(alpha == 0, 0)


# How hard attention looks when it does not train. The authors' captions were made with the expectation.
LOOKS: dict[Look, Callable[[Tensor, torch.Generator | None], Tensor]] = {
    "expectation": lambda alpha, _: alpha,
    "argmax": lambda alpha, _: most_probable(alpha),
    "sample": sample,
}


@torch.no_grad()
def log_likelihoods(logits: Float[Tensor, "captions words vocabulary"], captions: Words) -> Float[Tensor, " captions"]:
    """Log p(y | s, a): of each caption, all its words and its end."""
    ids = captions.ids.masked_fill(~captions.mask, 0)
    of_words = -nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="none").view_as(ids)
    return of_words.masked_fill(~captions.mask, 0).sum(1)


@torch.no_grad()
def advantages(
    logits: Float[Tensor, "captions words vocabulary"], captions: Words, baseline: Tensor
) -> Float[Tensor, " captions"]:
    """Log p(y | s, a) - b of each caption; `baseline`, b, then moves towards their mean."""
    rewards = log_likelihoods(logits, captions)
    gains = rewards - baseline
    # After its use, so that b does not depend on the samples it is subtracted from. Where several devices share the
    # model, DistributedDataParallel hands all of them the first one's b, made of its own captions: as good a one.
    baseline.lerp_(rewards.mean().to(baseline), 1 - BASELINE_DECAY)
    return gains


def estimator(
    alpha: Float[Tensor, "captions words regions"],
    sampled: Float[Tensor, "captions words regions"],
    gains: Float[Tensor, " captions"],
    entropy_weight: float,
) -> Float[Tensor, " captions"]:
    """A number for each caption whose gradient is minus the second and third term; the number itself means nothing.

    `alpha` has rows of zeros for padding, `gains` are lambda_r (log p(y | s) - b), and 0 for captions that trained on
    the expectation.
    """
    # The clamp: log 0, of absent regions, would make the gradient NaN.
    log_alpha = alpha.clamp(min=torch.finfo(alpha.dtype).tiny).log()
    here = (alpha > 0) * sampled.detach()
    of_samples = (here * log_alpha).sum((1, 2))
    entropies = -(alpha * log_alpha).sum((1, 2))
    return -(gains.detach() * of_samples + entropy_weight * entropies)
