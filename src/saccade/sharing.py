"""One list of work, many processes: this one alone, those of torchrun or a Fabric, or a Ray cluster's (`clusters`).

Work comes in pieces. Each writes files of its own, in a folder that all processes see, under temporary names until they
are whole; so it does not matter which process makes a piece, how often, or which of them die meanwhile. Every process
calls the same functions in the same order:

    with processes() as workers:
        todo = workers.agreed(lambda: [piece for piece in pieces if not whole(piece)])
        found = workers.run(prepare, todo)
        if workers.is_first:
            ...  # all of them are there: write down what they are together

`prepare` is called once in each process that works, where it may load a network; what it returns takes pieces to a
result of each, in their order: `lambda: partial(map, embed)` does where nothing is to be read ahead. For a cluster
`prepare`, pieces and results must be such that they can be pickled.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from saccade.devices import EXPLAINED, PATIENCE_SECONDS, torchrun_processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Piece = TypeVar("Piece")
Result = TypeVar("Result")
T = TypeVar("T")
Prepare = Callable[[], Callable[[Iterable[Piece]], Iterator[Result]]]

# The others may take that long for their pieces; of one that died torchrun tells sooner.
LONGEST = timedelta(days=30)
SECONDS_BETWEEN_LOOKS = 1.0


def look_away() -> None:
    """What is done while others work, unless something is said."""


class Workers:
    """This process, which makes every piece itself; subclasses share them.

    ``is_first`` is true in the one process that decides and writes what is for all, ``shared`` where others work too;
    ``device`` is where workers compute, where that is not for the caller to say.
    """

    is_first = True
    shared = False
    device: str | None = None

    def agreed(self, decide: Callable[[], T]) -> T:
        """What the first process decides, in all of them."""
        return decide()

    def run(
        self,
        prepare: Prepare[Piece, Result],
        pieces: Sequence[Piece],
        *,
        meanwhile: Callable[[], None] = look_away,  # noqa: ARG002  (nobody else works)
    ) -> list[Result]:
        """Every piece's result in the order of the pieces, in the first process when all are made; none in others.

        `meanwhile` is called in the first process, again and again while others work. Raises RunError for a piece whose
        workers died again and again, and what a worker raises.
        """
        return list(prepare()(pieces))


class Processes(Workers):
    """The processes of torch.distributed, which must be initialised: piece i is made by process i modulo their number.

    One that dies is noticed by what started it, which ends the others, and under torchrun starts all of them again.
    """

    shared = True

    def __init__(self) -> None:
        import torch.distributed as dist  # noqa: PLC0415  (not needed to say that there is but one)

        self._rank, self._count = dist.get_rank(), dist.get_world_size()
        self.is_first = self._rank == 0
        # A group of their own: that of a run may be for GPUs alone, and gives up after half an hour.
        self._dist: Any = dist
        with _output_elsewhere():
            self._group = dist.new_group(backend="gloo", timeout=LONGEST)

    def agreed(self, decide: Callable[[], T]) -> T:
        """What the first process decides, in all of them."""
        held: list[Any] = [decide() if self.is_first else None]
        self._dist.broadcast_object_list(held, src=0, group=self._group)
        decided: T = held[0]
        return decided

    def run(
        self,
        prepare: Prepare[Piece, Result],
        pieces: Sequence[Piece],
        *,
        meanwhile: Callable[[], None] = look_away,
    ) -> list[Result]:
        """As `Workers.run` says."""
        mine = pieces[self._rank :: self._count]
        made = list(prepare()(mine)) if mine else []
        gathered: list[Any] | None = [None] * self._count if self.is_first else None
        with ThreadPoolExecutor(1) as pool:
            gathering = pool.submit(self._dist.gather_object, made, gathered, dst=0, group=self._group)
            while wait([gathering], SECONDS_BETWEEN_LOOKS).not_done:
                if self.is_first:
                    meanwhile()
            gathering.result()
        if gathered is None:
            return []
        return [gathered[i % self._count][i // self._count] for i in range(len(pieces))]


@contextmanager
def processes() -> Iterator[Workers]:
    """The processes that torchrun started, this one among them; without it this one alone.

    An error that several meet is told once, by the first: the others wait to be ended.
    """
    if torchrun_processes() < 2:
        yield Workers()
        return
    import torch.distributed as dist  # noqa: PLC0415
    from torch._C._distributed_c10d import PrefixStore  # noqa: PLC0415
    from torch.distributed.rendezvous import rendezvous  # noqa: PLC0415

    store, rank, world = next(rendezvous("env://", timeout=LONGEST))
    # torchrun keeps its store when it starts the processes again: addresses of those that died must not be found there.
    store = PrefixStore(f"restart {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    with _output_elsewhere():
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=LONGEST)
    first = dist.get_rank() == 0
    try:
        yield Processes()
    except Exception as error:
        if not (first and isinstance(error, EXPLAINED)):
            time.sleep(PATIENCE_SECONDS)
        raise
    dist.destroy_process_group()


@contextmanager
def _output_elsewhere() -> Iterator[None]:
    """What Gloo prints of its connections on standard output goes to standard error: ours may be read by programs."""
    sys.stdout.flush()
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(output, 1)
        os.close(output)


def processes_of(fabric: Fabric) -> Workers:
    """The processes of a Fabric that was launched; all of them must ask."""
    return Processes() if fabric.world_size > 1 else Workers()
