"""What processes tell each other while they train: rows that a loss compares, gradients that no wrapper shares."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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
    lengths = fabric.all_gather(torch.tensor(len(held), device=rows.device))
    assert isinstance(lengths, Tensor)
    counts = lengths.flatten().tolist()
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded = torch.cat([held, padded[len(held) :]])
    gathered = fabric.all_gather(padded, sync_grads=True)
    assert isinstance(gathered, Tensor)
    parts = [part[:count] for part, count in zip(gathered, counts, strict=True)]
    # What stands in for none takes part in the graph all the same: every process must send its gradients.
    return torch.cat(parts) + 0 * rows.sum()


def share_gradients(fabric: Fabric, parameters: Sequence[nn.Parameter]) -> None:
    """Make each gradient its mean over processes, as wrapping a model does for those that learn from the start."""
    if fabric.world_size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    mean = fabric.all_reduce(torch.cat([each.flatten() for each in gradients]), reduce_op="mean")
    assert isinstance(mean, Tensor)
    for gradient, part in zip(gradients, torch.split(mean, [each.numel() for each in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
