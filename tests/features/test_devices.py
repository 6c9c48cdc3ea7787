"""Which device is computed on: the one named, or the best there is; one that is not there is refused."""

from __future__ import annotations

import pytest
import torch

from saccade.errors import RecipeError
from saccade.features.devices import find_device


def machine(monkeypatch, gpus: int, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("gpus", "mps", "name", "expected"),
    [
        (0, False, None, "cpu"), (2, False, None, "cuda:0"), (0, True, None, "mps"), (2, False, "cpu", "cpu"),
        (1, False, "cuda", "cuda:0"), (2, False, "cuda:1", "cuda:1"), (0, True, "mps", "mps"),
    ],
)  # fmt: skip
def test_the_device_is_the_one_named_or_the_first_gpu(monkeypatch, gpus, mps, name, expected):
    machine(monkeypatch, gpus, mps)
    assert find_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("gpus", "name", "there"),
    [(0, "cuda", "cpu"), (2, "cuda:2", "cpu, cuda:0, cuda:1"), (1, "mps", "cpu, cuda:0"), (0, "gpu", "cpu"),
     (0, "", "cpu")],
)  # fmt: skip
def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch, gpus, name, there):
    machine(monkeypatch, gpus, False)
    with pytest.raises(RecipeError, match=f"device: there is no '{name}' here; name one of {there}, or none"):
        find_device(name)


@pytest.mark.parametrize(
    ("gpus", "rank", "name", "expected"),
    [(2, 1, None, "cuda:1"), (2, 1, "cuda", "cuda:1"), (2, 3, None, "cuda:1"), (2, 1, "cuda:0", "cuda:0"),
     (0, 1, None, "cpu")],
)  # fmt: skip
def test_torchruns_processes_have_each_a_gpu_of_its_own(monkeypatch, gpus, rank, name, expected):
    machine(monkeypatch, gpus, False)
    for variable, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", str(rank))):
        monkeypatch.setenv(variable, value)
    assert find_device(name) == torch.device(expected)
