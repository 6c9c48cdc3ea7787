"""Processes and devices: the world as torchrun made it, errors that cross processes, sums without float64."""

from __future__ import annotations

import math
import pickle
import random
import subprocess
import sys

import pytest
import torch

from saccade import devices, errors
from saccade.compare import Entry, compare
from saccade.devices import RunningSum, autocast, is_first_process, make_fabric, sum_dtype
from saccade.errors import DataError, RecipeError, RunError, SaccadeError, UnknownNameError
from saccade.recipes import get_recipe


@pytest.fixture
def torchrun(monkeypatch):
    """Makes this process one that torchrun started: `torchrun(world=4, here=2, rank=3)`."""
    monkeypatch.setattr(devices, "PATIENCE_SECONDS", 0.0)

    def set_world(world: int, here: int, rank: int = 0) -> None:
        values = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": here, "RANK": rank, "LOCAL_RANK": rank % here}
        values |= {"GROUP_RANK": rank // here, "TORCHELASTIC_RUN_ID": "none"}
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return set_world


@pytest.mark.parametrize(
    ("world", "here", "rank", "said"),
    [
        (2, 2, 1, {}),
        (2, 2, 0, {"devices": 2}),
        (4, 2, 3, {}),
        (4, 2, 2, {"num_nodes": 2, "strategy": "ddp"}),
        (1, 1, 0, {}),
    ],
)
def test_the_world_is_as_torchrun_made_it(torchrun, world, here, rank, said) -> None:
    torchrun(world, here, rank)
    fabric = make_fabric("cpu", **said)
    assert (fabric.world_size, fabric.global_rank) == (world, rank)
    assert fabric.is_global_zero == is_first_process() == (rank == 0)


@pytest.mark.parametrize(
    ("world", "here", "said", "message"),
    [
        (2, 2, {"devices": 4}, "devices: expected 2, as torchrun started .* got 4: .* --nproc-per-node 4"),
        (4, 2, {"devices": 4}, "devices: expected 2, as torchrun started .* got 4"),
        (2, 2, {"num_nodes": 2}, "num_nodes: expected 1, as torchrun started .* got 2: .* --nnodes 2"),
        (2, 2, {"strategy": "ddp_spawn"}, "strategy: torchrun has started the processes, which ddp_spawn would"),
        (3, 2, {}, "devices: torchrun started 2 of 3 processes here"),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_what_does_not_fit_torchruns_processes_is_refused_in_each(torchrun, world, here, said, message, rank) -> None:
    torchrun(world, here, rank)
    with pytest.raises(RecipeError, match=message):
        make_fabric("cpu", **said)


def test_machines_that_nothing_starts_together_are_refused_with_the_command_that_does() -> None:
    with pytest.raises(RecipeError, match=r"num_nodes: .* 2 machines .* torchrun --nnodes 2 --nproc-per-node 3"):
        make_fabric("cpu", 3, 2)


def test_what_there_is_not_is_refused() -> None:
    for wrong in ({"strategy": "dpp"}, {"accelerator": "gpx"}):
        with pytest.raises(RecipeError, match=r"accelerator, devices, strategy or precision: "):
            make_fabric(**{"accelerator": "cpu"} | wrong)


def test_16_mixed_on_a_cpu_is_refused_or_as_the_caller_says() -> None:
    with pytest.raises(RecipeError, match=r"^precision: 16-mixed needs a GPU.* take bf16-mixed or 32-true"):
        make_fabric("cpu", precision="16-mixed")


def test_a_comparison_is_not_made_by_each_of_torchruns_processes(torchrun, tmp_path) -> None:
    torchrun(2, 2)
    with pytest.raises(RecipeError, match="torchrun would make the comparison in each of its processes"):
        compare([Entry("x", get_recipe("ibowimg-scenes").smoke())], tmp_path)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
    ],
)
def test_of_fabrics_own_processes_the_first_is_known_too(monkeypatch, environment, first) -> None:
    for name in ("LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == first


def test_who_is_first_is_known_without_torch() -> None:
    script = "import sys; from saccade.devices import is_first_process as f; f(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.parametrize(
    "error",
    [UnknownNameError("fruit", "aple", ["apple"]), DataError("wrong", "a.jsonl", 3), RunError("no"), SaccadeError("x")],
)
def test_errors_are_the_same_in_another_process(error) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_every_kind_of_error_can_travel() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, SaccadeError)]
    for kind in kinds:
        error = kind("fruit", "aple", ["apple"]) if kind is UnknownNameError else kind("message")
        assert isinstance(pickle.loads(pickle.dumps(error)), kind)
    assert len(kinds) >= 7


def test_sums_are_float64_where_the_device_has_it() -> None:
    assert sum_dtype(torch.device("cpu")) == sum_dtype(torch.device("cuda")) == torch.float64
    assert sum_dtype(torch.device("mps")) == torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_running_sum_is_right_with_either(monkeypatch, dtype) -> None:
    """Losses of very different sizes; a plain sum in float32 is far off."""
    monkeypatch.setattr(devices, "sum_dtype", lambda device: dtype)
    chance = random.Random(5)
    values = torch.tensor([chance.uniform(0, 1) * 10 ** chance.randint(-4, 4) for _ in range(20_000)])
    start = 123456.789
    total, plain = RunningSum(torch.device("cpu"), start), torch.tensor(start)
    for value in values:
        total.add(value)
        plain += value
    exact = math.fsum([start, *values.tolist()])
    assert total.over(make_fabric("cpu")) == pytest.approx(exact, rel=1e-11)
    assert float(plain) != pytest.approx(exact, rel=1e-8)


def test_a_sum_that_is_no_number_says_so(monkeypatch) -> None:
    for dtype in (torch.float64, torch.float32):
        monkeypatch.setattr(devices, "sum_dtype", lambda device, dtype=dtype: dtype)
        total = RunningSum(torch.device("cpu"))
        total.add(torch.tensor(math.inf))
        total.add(torch.tensor(1.0))
        assert not math.isfinite(total.over(make_fabric("cpu")))


@pytest.mark.parametrize(
    ("precision", "device", "dtype"),
    [("32-true", "cpu", None), ("bf16-mixed", "cpu", torch.bfloat16), ("16-mixed", "cpu", None)],
)
def test_a_precision_is_taken_where_the_device_has_it(precision, device, dtype) -> None:
    with autocast(precision, torch.device(device)):
        assert torch.is_autocast_enabled(device) == (dtype is not None)
        product = torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)
    assert product.dtype == (dtype or torch.float32)
