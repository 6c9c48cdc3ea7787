"""Work shared by the machines of a Ray cluster, through Ray Data; needs the extra `ray`.

Pieces become the rows of a dataset, and actors, one for each GPU or else for each CPU, map them to results. Ray starts
an actor that dies anew, wherever there is room, and gives it the piece again; it would do so for ever, so the attempts
at a piece are counted here.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from saccade.devices import EXPLAINED, torchrun_processes
from saccade.errors import RecipeError, RunError
from saccade.sharing import Piece, Prepare, Result, Workers, look_away

ATTEMPTS = 4
REACHABLE_SECONDS = 10.0
LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"


@contextmanager
def ray_cluster(
    address: str = "local", device: str | None = None, *, processors: int | None = None
) -> Iterator[Workers]:
    """The workers of a Ray cluster: `local` starts one on this machine, `auto` joins the one that this is a part of.

    Anything else is its address. `processors` are what `local` takes of this machine, by default all. `device` is cpu
    or cuda, by default cuda where the cluster has GPUs. A cluster that was started here, or joined, is left in the end;
    one that the program had joined before is used as it is. Raises RecipeError without Ray, or when there is no such
    cluster or device.
    """
    if torchrun_processes():
        raise RecipeError("ray: torchrun has started processes to share the work already: leave one of the two out")
    try:
        with _quiet():
            import ray.data  # noqa: PLC0415
    except ImportError:
        raise RecipeError("ray: Ray is not installed: pip install 'saccade-attention[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        _join(address, processors)
    try:
        yield Cluster(device)
    finally:
        if ours:
            ray.shutdown()


def _join(address: str, processors: int | None) -> None:
    import ray  # noqa: PLC0415

    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": processors} if address == "local" else {}
    try:
        host, _, port = address.rpartition("://")[2].rpartition(":")
        if port.isdigit():  # Ray would try for many minutes
            socket.create_connection((host.strip("[]"), int(port)), REACHABLE_SECONDS).close()
        with _quiet(), _silent_core():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise RecipeError(
            f"ray: cannot reach a cluster at {address!r} ({str(error).splitlines()[0]}): start one with `ray start "
            "--head`, or say `local`"
        ) from None


@contextmanager
def _silent_core() -> Iterator[None]:
    """Ray's core started without its log on standard error: what matters of it is raised when the work is done."""
    before, errors = os.environ.get(LOG_LEVEL), os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # where it says that it took the level from the environment
    os.environ[LOG_LEVEL] = before or "fatal"
    try:
        yield
    finally:
        os.dup2(errors, 2)
        os.close(errors)
        if before is None:
            del os.environ[LOG_LEVEL]


class Cluster(Workers):
    """The workers of the Ray cluster that this process has joined; this one decides and writes, but makes no piece."""

    shared = True

    def __init__(self, device: str | None = None) -> None:
        import ray  # noqa: PLC0415

        there = ray.cluster_resources()
        gpus = int(there.get("GPU", 0))
        if device not in (None, "cpu", "cuda"):
            raise RecipeError(f"device: Ray says which one a worker gets: expected cpu or cuda, got {device!r}")
        if device == "cuda" and not gpus:
            raise RecipeError("device: the Ray cluster has no GPU: leave it out, or say cpu")
        self.device = device or ("cuda" if gpus else "cpu")
        self._most = max(1, gpus if self.device == "cuda" else int(there.get("CPU", 0)))

    def run(
        self,
        prepare: Prepare[Piece, Result],
        pieces: Sequence[Piece],
        *,
        meanwhile: Callable[[], None] = look_away,
    ) -> list[Result]:
        """As `Workers.run` says."""
        if not pieces:
            return []
        import ray.data  # noqa: PLC0415
        from ray import cloudpickle  # noqa: PLC0415

        needs = {"num_gpus": 1} if self.device == "cuda" else {"num_cpus": 1}
        found: dict[int, Result] = {}
        try:
            with _quiet():
                attempts = ray.remote(_Attempts).options(num_cpus=0).remote()
                items = [{"number": i, "piece": cloudpickle.dumps(piece)} for i, piece in enumerate(pieces)]
                made = ray.data.from_items(items, override_num_blocks=len(items)).map(
                    _Worker,
                    fn_constructor_args=(cloudpickle.dumps(prepare), attempts, str(Path.cwd())),
                    compute=ray.data.ActorPoolStrategy(size=min(len(pieces), self._most)),
                    **needs,
                )
                made.context.enable_progress_bars = False
                for row in made.iter_rows():
                    result, error = cloudpickle.loads(row["outcome"])
                    if error is not None:
                        raise error
                    found[row["number"]] = result
                    meanwhile()
        except ray.exceptions.RayActorError as error:
            raise RunError(f"a Ray worker died and could not be started again: {str(error).splitlines()[0]}") from None
        return [found[i] for i in range(len(pieces))]


class _Attempts:
    """How often each piece was begun; an actor that outlives the workers."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}

    def begin(self, number: int) -> int:
        self._begun[number] = self._begun.get(number, 0) + 1
        return self._begun[number]


class _Worker:
    """The actor that makes pieces, one at a time."""

    def __init__(self, prepare: bytes, attempts: Any, folder: str) -> None:
        with suppress(OSError):  # so that relative paths are those of the first process, where there is such a folder
            os.chdir(folder)
        self._prepare, self._attempts = prepare, attempts
        self._work: Callable[[Iterable[Any]], Iterator[Any]] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        from ray import cloudpickle  # noqa: PLC0415

        outcome: tuple[Any, Exception | None]
        try:
            outcome = (self._made(row), None)
        except EXPLAINED as error:
            outcome = (None, error)
        return {"number": row["number"], "outcome": cloudpickle.dumps(outcome)}

    def _made(self, row: dict[str, Any]) -> Any:
        import ray  # noqa: PLC0415
        from ray import cloudpickle  # noqa: PLC0415

        if (begun := ray.get(self._attempts.begin.remote(row["number"]))) > ATTEMPTS:
            raise RunError(
                f"{begun - 1} Ray workers died while they made piece {row['number']}, which is given up. Ray's logs "
                "say of what; often memory is too little, of which smaller batches or fewer workers need less"
            )
        if self._work is None:  # here, so that dying of it counts as an attempt
            self._work = cloudpickle.loads(self._prepare)()
        return next(iter(self._work([cloudpickle.loads(row["piece"])])))


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray without its log and warnings about itself, and what it prints not where our output goes."""
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            for kind in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        logger.setLevel(level)
