"""Which device to compute on: the one that is named, or the best that there is."""

from __future__ import annotations

import torch

from saccade.errors import RecipeError


def find_device(name: str | None = None) -> torch.device:
    """The device of that name (cpu, cuda, cuda:1, mps), by default the first GPU, or the CPU where there is none.

    Raises RecipeError for a device that is not there.
    """
    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    if name is None:
        return torch.device(there[1] if len(there) > 1 else "cpu")
    wanted = {"cuda": "cuda:0", "mps:0": "mps"}.get(name, name)
    if wanted not in there:
        raise RecipeError(f"device: there is no {name!r} here; name one of {', '.join(there)}, or none")
    return torch.device(wanted)
