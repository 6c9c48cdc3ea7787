"""The rows of all processes as one tensor, for losses that compare the texts of a batch with each other."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor


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
