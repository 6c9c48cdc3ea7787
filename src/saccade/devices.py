"""The processes and devices of a run: who is first, which Fabric fits, whose error is told, how sums are kept on them.

Importing this file loads no torch, for the command line asks it who prints.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.errors import RecipeError, RunError, SaccadeError

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

SPAWNING = ("ddp_spawn", "ddp_fork", "ddp_notebook")
# So long another process has for telling of an error first, where all of them met it.
PATIENCE_SECONDS = 3.0
EXPLAINED = (SaccadeError, OSError)


def torchrun_processes() -> int:
    """How many processes torchrun started, on all machines; 0 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 0


def is_first_process() -> bool:
    """Whether this is the one process, of those that torchrun or Fabric started, that shows things and writes files."""
    if torchrun_processes():
        return os.environ.get("RANK", "0") == "0"
    return all(os.environ.get(rank, "0") == "0" for rank in ("LOCAL_RANK", "NODE_RANK"))


def make_fabric(
    accelerator: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    precision: str = "32-true",
) -> Fabric:
    """A Fabric, to be launched with `launch`, of one process a device on so many machines.

    Processes that torchrun started are taken as they are: then `devices` and `num_nodes` of 1 mean as many as there
    are. Raises RecipeError, which begins with an argument's name, for what does not fit torchrun's processes, this
    machine, or each other.
    """
    try:
        if torchrun_processes():
            devices, num_nodes = _as_torchrun_has_it(devices, num_nodes, strategy)
        fabric = _fabric(accelerator, devices, num_nodes, strategy, precision)
        if precision == "16-mixed" and fabric.device.type == "cpu":
            raise RecipeError("precision: 16-mixed needs a GPU, and this is a CPU: take bf16-mixed or 32-true")
        _check_nodes(fabric, devices, num_nodes)
    except RecipeError:
        if not is_first_process():  # the first one says the same
            time.sleep(PATIENCE_SECONDS)
        raise
    return fabric


def _fabric(accelerator: str, devices: int, num_nodes: int, strategy: str, precision: str) -> Fabric:
    from lightning_fabric import Fabric  # noqa: PLC0415
    from lightning_fabric.utilities.exceptions import MisconfigurationException  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*fp16 is not supported on CPU")  # it is refused
            return Fabric(
                accelerator=accelerator,
                devices=devices,
                num_nodes=num_nodes,
                strategy=strategy,
                precision=precision,  # type: ignore[arg-type]
            )
    except (ValueError, RuntimeError, MisconfigurationException) as error:  # no such thing, or not on this machine
        raise RecipeError(f"accelerator, devices, strategy or precision: {error}") from None


def _as_torchrun_has_it(devices: int, num_nodes: int, strategy: str) -> tuple[int, int]:
    """Devices on each machine, and machines."""
    here, world = int(os.environ["LOCAL_WORLD_SIZE"]), torchrun_processes()
    if world % here:
        raise RecipeError(f"devices: torchrun started {here} of {world} processes here: start as many on each machine")
    for name, wanted, started, option in (
        ("devices", devices, here, "--nproc-per-node"),
        ("num_nodes", num_nodes, world // here, "--nnodes"),
    ):
        if wanted not in (1, started):
            raise RecipeError(
                f"{name}: expected {started}, as torchrun started the processes, got {wanted}: leave it out, or start "
                f"torchrun with {option} {wanted}"
            )
    if strategy in SPAWNING:
        raise RecipeError(f"strategy: torchrun has started the processes, which {strategy} would do too: leave it out")
    return here, world // here


def _check_nodes(fabric: Fabric, devices: int, num_nodes: int) -> None:
    """Refuse machines that nothing has started together, which would wait for each other for ever."""
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment  # noqa: PLC0415

    alone = isinstance(getattr(fabric.strategy, "cluster_environment", None), LightningEnvironment)
    if num_nodes > 1 and alone and "NODE_RANK" not in os.environ:
        raise RecipeError(
            f"num_nodes: expected to be started on {num_nodes} machines together: on each of them, torchrun --nnodes "
            f"{num_nodes} --nproc-per-node {devices} --rdzv-backend c10d --rdzv-endpoint HOST:PORT -m saccade ..."
        )


def launch(fabric: Fabric, function: Callable[[Fabric], None]) -> None:
    """Run the function in every process of the Fabric.

    An error that one of them explains, a SaccadeError or OSError, is told once, as it is, by the process that started
    the others or by the first one: the others, and those that only lost the connection, wait to be ended.
    """
    from torch.multiprocessing import ProcessRaisedException  # type: ignore[attr-defined]  # noqa: PLC0415

    children: list[subprocess.Popen[bytes]] = getattr(fabric.strategy.launcher, "procs", [])
    with tempfile.TemporaryDirectory() as folder:
        try:
            fabric.launch(partial(_carry, function=function, folder=Path(folder)))
        except ProcessRaisedException as raised:
            told = Path(folder) / str(raised.error_index)
            if not told.exists():
                raise
            error: Exception = pickle.loads(told.read_bytes())
            raise error from None
        except Exception as error:
            explained = isinstance(error, EXPLAINED)
            if fabric.world_size > 1 and not (explained and fabric.is_global_zero):
                _await_the_end(children)
            for child in children:
                child.kill()
            raise


def _await_the_end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Give other processes the time to tell of the error first; raises RunError when one of the children did."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        time.sleep(0.05)
        if code := next((child.returncode for child in children if child.poll()), None):
            raise RunError(f"one of {len(children) + 1} processes ended with exit code {code}: it said why above")


def _carry(fabric: Fabric, *, function: Callable[[Fabric], None], folder: Path) -> None:
    """Run the function; its error is left for the process that spawned this one, which sees but the text of it."""
    try:
        function(fabric)
    except EXPLAINED as error:
        if fabric.strategy.launcher is not None and folder.exists():
            (folder / str(fabric.local_rank)).write_bytes(pickle.dumps(error))
        raise


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The arithmetic of a run's precision, in Lightning Fabric's terms, on a device; in full where that lacks it."""
    import torch  # noqa: PLC0415

    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    if dtype is None or (device.type == "cpu" and dtype is torch.float16):
        return nullcontext()
    return torch.autocast(device.type, dtype)


def sum_dtype(device: torch.device) -> torch.dtype:
    """The numbers that a device adds up with: float64, where it has them."""
    import torch  # noqa: PLC0415

    return torch.float32 if device.type == "mps" else torch.float64


class RunningSum:
    """A sum of many numbers that stays on its device, so that nothing waits for them, and is right to about float64.

    Where the device has no float64, what each addition rounds off is added up beside it (Knuth's two-sum).
    """

    def __init__(self, device: torch.device, start: float = 0.0) -> None:
        import torch  # noqa: PLC0415

        self._high = torch.tensor(start, dtype=sum_dtype(device))
        self._low = torch.tensor(start - float(self._high), dtype=self._high.dtype).to(device)
        self._high = self._high.to(device)

    def add(self, value: torch.Tensor) -> None:
        """Add a number that lies on the device."""
        before, value = self._high, value.detach().to(self._high.dtype)
        self._high = before + value
        if self._high.itemsize < 8:
            added = self._high - before
            self._low = self._low + ((before - (self._high - added)) + (value - added))

    def over(self, fabric: Fabric) -> float:
        """The sum of the sums of all processes; waits for them."""
        import torch  # noqa: PLC0415

        parts = fabric.all_reduce(torch.stack([self._high, self._low]), reduce_op="sum")
        assert isinstance(parts, torch.Tensor)
        return float(sum(parts.tolist()))
