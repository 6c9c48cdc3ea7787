"""The optimiser of a recipe, how its learning rate moves, and the mean of the weights that it passes through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from saccade.features.tuning import Together
from saccade.nn.text_encoders import BagOfWords
from saccade.recipe import OptimConfig, Recipe


def build_optimizer(config: OptimConfig, model: nn.Module, finetune_lr: float = 0.0) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters, in groups that share a learning rate and a penalty.

    A backbone that is trained along (`Together`) learns at `finetune_lr` where the others do at the base rate.
    """
    if not isinstance(model, Together):
        groups = _parameter_groups(config, model)
    else:
        tuned = {"params": list(model.backbone.parameters()), "times": finetune_lr / config.lr, "weight_decay": 0.0}
        groups = [*_parameter_groups(config, model.model), tuned]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    if config.name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=config.lr)
    if config.name == "graves":
        # Graves adds 1e-4 below the root; torch adds beside it, where the same floor is its root.
        return torch.optim.RMSprop(groups, lr=config.lr, alpha=0.95, eps=1e-2, momentum=config.momentum, centered=True)
    kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adamax": torch.optim.Adamax}
    optimizer: torch.optim.Optimizer = kinds[config.name](groups, lr=config.lr, betas=config.betas)
    return optimizer


def _parameter_groups(config: OptimConfig, model: nn.Module) -> list[dict[str, Any]]:
    """Parameters with how many times the base rate they learn at (`times`) and their penalty.

    A parameter that two modules share is there once. The penalty is the optimiser's `weight_decay` or, where it is to
    be clipped, the group's `penalty`, which the optimiser does not know.
    """
    embeddings = {
        parameter
        for module in model.modules()
        if isinstance(module, nn.Embedding | BagOfWords)
        for parameter in module.parameters()
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        bias, embedding = "bias" in name.rpartition(".")[2], parameter in embeddings
        times = config.bias_lr if bias else config.embedding_lr if embedding else 1.0
        spared = (config.decay == "weights" and bias) or (config.decay == "not-embeddings" and embedding)
        groups.setdefault((times, 0.0 if spared else config.weight_decay), []).append(parameter)
    kind, other = ("penalty", "weight_decay") if config.decay_inside_clip else ("weight_decay", "penalty")
    return [{"params": params, "times": times, kind: decay, other: 0.0} for (times, decay), params in groups.items()]


def penalty(optimizer: torch.optim.Optimizer) -> Tensor | float:
    """The L2 term of the loss: half of each group's `penalty` times the squares of its parameters; 0 without one.

    A part of the loss, and so scaled, averaged over processes and clipped as that is.
    """
    # Groups of runs saved before there was a penalty have none.
    rates = [(group.get("penalty", 0.0), group["params"]) for group in optimizer.param_groups]
    return sum((rate / 2 * p.square().sum() for rate, params in rates if rate for p in params), start=0.0)


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The rate of a step, counted from 0."""
    config, epoch = recipe.optim, step / steps_per_epoch
    if epoch < config.warmup_epochs:
        return config.lr * (step + 1) / math.ceil(config.warmup_epochs * steps_per_epoch)
    if config.schedule == "step":
        return config.lr * config.factor ** sum(epoch >= milestone for milestone in config.milestones)
    if config.schedule == "steps":
        return config.lr * config.factor ** (step // config.period)
    if config.schedule == "epochs":
        return config.lr * config.rates[min(int(epoch), len(config.rates) - 1)]
    if config.schedule == "cosine":
        done = (epoch - config.warmup_epochs) / (recipe.train.epochs - config.warmup_epochs)
        return config.lr * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.lr


def build_average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of the model for the running mean of its weights; `update_parameters(model)` adds those of a step.

    After n steps the mean keeps the share min(decay, (1 + n) / (10 + n)) of itself, so that the first steps are soon
    forgotten. Buffers are the model's.
    """

    def add(means: Sequence[Tensor], weights: Sequence[Tensor], steps: Tensor | int) -> None:
        n = int(steps)
        torch._foreach_lerp_(list(means), list(weights), 1 - min(decay, (1 + n) / (10 + n)))

    return AveragedModel(model, multi_avg_fn=add)
