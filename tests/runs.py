"""A small recipe to train, and what its run directory holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from saccade.recipe import OptimConfig, Recipe
from saccade.recipes import get_recipe

# Adam would divide the rounding errors of gradients that are zero by themselves.
LINEAR = OptimConfig(name="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4, clip=0.1)


def small(store: str, *, optim: OptimConfig | None = None, sizes: dict | None = None, **changes) -> Recipe:
    """r-DAN on 24 scenes a split, narrow, without dropout unless asked for."""
    recipe = get_recipe("r-dan-scenes").smoke()
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, store=store),
        train=dataclasses.replace(recipe.train, **{"accelerator": "cpu"} | changes),
        optim=optim or recipe.optim,
        sizes={"hidden_size": 16, "dropout": 0.0} | (sizes or {}),
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The last weights, not the best."""
    (last,) = (run / "resume").iterdir()
    return load_file(last / "model.safetensors")


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def timeless(record: dict) -> dict:
    return {name: value for name, value in record.items() if name not in ("seconds", "records_per_second")}


def assert_same_weights(a: Path, b: Path, **tolerance: float) -> None:
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if tolerance:
            torch.testing.assert_close(value, theirs[name], **tolerance)
        else:
            assert torch.equal(value, theirs[name]), name


def steps(run: Path) -> list[str]:
    return sorted(path.name for path in run.glob("resume/step-*"))
