"""What processes tell each other while they train: rows that a loss compares, gradients that no wrapper shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from torch import Tensor, nn


def gather_rows(fabric: Fabric, rows: Tensor, *, kept: bool = True) -> Tensor:
    """The rows of every process in the order of the processes, in which gradients flow back to each.

    Processes may have different numbers of rows. Each that computes the same loss of all rows gets the gradient of
    their sum for its own rows, so that the mean over processes is that of the loss. Where not `kept`, this process's
    rows only stand in for none, and no one gets them.
    """
    if fabric.world_size == 1:
        return rows
    held = rows if kept else rows[:0]
    counts = _all(torch.tensor([len(held)], device=rows.device), fabric.world_size).flatten().tolist()
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded = torch.cat([held, padded[len(held) :]])
    gathered: Tensor = _Gathered.apply(padded, fabric)
    parts = [part[:count] for part, count in zip(gathered, counts, strict=True)]
    # What stands in for none takes part in the graph all the same: every process must send its gradients.
    return torch.cat(parts) + 0 * rows.sum()


class _Gathered(torch.autograd.Function):
    """The tensors of all processes, one behind the other; each gets back the sum of what all made of its own."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, fabric: Fabric) -> Tensor:
        ctx.fabric = fabric
        return _all(rows, fabric.world_size)

    @staticmethod
    def backward(ctx: Any, of_gathered: Tensor) -> tuple[Tensor, None]:
        summed = ctx.fabric.all_reduce(of_gathered.contiguous().clone(), reduce_op="sum")
        return summed[ctx.fabric.global_rank], None


def _all(tensor: Tensor, processes: int) -> Tensor:
    """The tensor of every process. Fabric's own call goes through one that PyTorch is about to drop."""
    found = [torch.empty_like(tensor) for _ in range(processes)]
    torch.distributed.all_gather(found, tensor.contiguous())
    return torch.stack(found)


def share_gradients(fabric: Fabric, parameters: Sequence[nn.Parameter]) -> None:
    """Make each gradient its mean over processes, as wrapping a model does for those that learn from the start."""
    if fabric.world_size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    mean = fabric.all_reduce(torch.cat([each.flatten() for each in gradients]), reduce_op="mean")
    assert isinstance(mean, Tensor)
    for gradient, part in zip(gradients, torch.split(mean, [each.numel() for each in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
