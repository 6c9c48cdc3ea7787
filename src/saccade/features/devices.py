"""Which device to compute on: the one that is named, or the best that there is."""

from __future__ import annotations

import os

import torch

from saccade.devices import torchrun_processes
from saccade.errors import RecipeError


def find_device(name: str | None = None) -> torch.device:
    """The device of that name (cpu, cuda, cuda:1, mps), by default the first GPU, or the CPU where there is none.

    Of torchrun's processes on a machine each has another GPU, where no number is said. Raises RecipeError for a device
    that is not there.
    """
    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    local = int(os.environ["LOCAL_RANK"]) if torchrun_processes() else 0
    if name is None:
        return torch.device(there[1 + local % (len(there) - 1)] if len(there) > 1 else "cpu")
    own = f"cuda:{local % max(1, torch.cuda.device_count())}"
    wanted = {"cuda": own, "mps:0": "mps"}.get(name, name)
    if wanted not in there:
        raise RecipeError(f"device: there is no {name!r} here; name one of {', '.join(there)}, or none")
    return torch.device(wanted)
