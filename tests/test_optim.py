"""The optimiser's groups: each parameter once, and a penalty that is clipped as part of the loss."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from saccade.optim import build_optimizer, penalty
from saccade.recipe import OptimConfig
from saccade.recipes import get_recipe


class Tied(nn.Module):
    """A table of words that is also the layer that predicts them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.between = nn.Linear(3, 3)
        self.output = nn.Linear(3, 5)
        self.output.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(torch.tanh(self.between(self.embedding(ids))))
        return logits


@pytest.mark.parametrize("inside", [False, True])
def test_a_tied_weight_is_in_one_group_once_as_an_embedding(inside: bool) -> None:
    model = Tied()
    config = OptimConfig(bias_lr=2.0, embedding_lr=7.0, weight_decay=0.5, decay="weights", decay_inside_clip=inside)
    groups = build_optimizer(config, model).param_groups
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted({id(parameter) for parameter in model.parameters()})
    assert [g["times"] for g in groups if any(p is model.output.weight for p in g["params"])] == [7.0]
    squares = model.embedding.weight.square().sum() + model.between.weight.square().sum()
    torch.testing.assert_close(torch.as_tensor(penalty(build_optimizer(config, model))), 0.25 * squares * inside)


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_penalty_inside_the_clipping_is_the_l2_term_of_the_loss(name: str, clip: float | None) -> None:
    """Step by step the same as a loss with the squares of all weights but the embeddings' written out."""
    ids, targets = torch.tensor([0, 1, 4, 4]), torch.tensor([2, 2, 0, 1])
    config = OptimConfig(name=name, lr=0.3, weight_decay=0.8, decay="not-embeddings", decay_inside_clip=True)
    ours, plain = Tied().double(), Tied().double()
    plain.load_state_dict(ours.state_dict())
    optimizer = build_optimizer(config, ours)
    kind = {"sgd": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, lr=0.3)}
    plainly = kind[name](plain.parameters())
    for _ in range(3):
        (nn.functional.cross_entropy(ours(ids), targets) + penalty(optimizer)).backward()
        loss = nn.functional.cross_entropy(plain(ids), targets)
        for weight in (plain.between.weight, plain.between.bias, plain.output.bias):
            loss = loss + 0.4 * (weight**2).sum()
        loss.backward()
        for model, step in ((ours, optimizer), (plain, plainly)):
            for parameter in model.parameters() if clip else ():
                clip_grad_norm_(parameter, clip)
            step.step()
            step.zero_grad()
        for a, b in itertools.zip_longest(ours.parameters(), plain.parameters()):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_the_penalty_of_san_has_its_authors_slope() -> None:
    """5e-4 times the squared weights, but not the embeddings': a slope of 1e-3, clipped with the rest."""
    model = Tied()
    optimizer = build_optimizer(get_recipe("san-vqa1").optim, model)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}
    term = penalty(optimizer)
    weights = (model.between.weight, model.between.bias, model.output.bias)
    torch.testing.assert_close(term, 5e-4 * sum(weight.square().sum() for weight in weights))


def test_smem_halves_what_its_authors_solver_says_of_the_sum_of_two_halves() -> None:
    """One step of their solver on two halves of a batch (clip the sum, divide the rate) beside one of the recipe's."""
    optim = get_recipe("smem-2-vqa1").optim
    halves = torch.tensor([[40.0, -9.0, 0.0], [16.0, 3.0, 0.0]])
    summed, weights = halves.sum(0), torch.tensor([0.5, 2.0, -3.0])
    clipped = summed * min(1.0, 10.0 / summed.norm().item())
    theirs = weights - optim.lr / 2 * (clipped + 5e-4 * weights)

    parameter = nn.Parameter(weights.clone())
    optimizer = build_optimizer(optim, nn.ParameterDict({"weight": parameter}))
    parameter.grad = halves.mean(0)
    clip_grad_norm_(parameter, optim.clip)
    optimizer.step()
    torch.testing.assert_close(parameter.data, theirs, rtol=1e-6, atol=0)
