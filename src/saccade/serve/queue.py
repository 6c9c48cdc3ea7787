"""The requests that wait for the models, and the one thread that runs them, as many at a time as go together."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from saccade.predict import AT_ONCE
from saccade.serve.counters import Counters
from saccade.serve.problems import RequestError

# From what is asked to what is answered, in the same order.
Work = Callable[[Sequence[Any]], Sequence[Any]]
STOPPING = "the server is stopping: ask again when it is back"


@dataclass(eq=False)
class Job:
    """A request that waits: those of the same `run` and `key` may be worked on at once, those of key None may not."""

    run: str
    key: Hashable
    work: Work
    item: Any
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)


def handed_over() -> int:
    """How many threads PyTorch computes with, which are the queue's: from now on the caller computes with one.

    To be called before anything is computed. OpenMP's threads belong to who calls them, and where there are more of
    them than processors they sleep between any two computations, by which a small model takes twice as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    return threads


class Queue:
    """A bounded queue, and its thread. Used from one event loop; nothing is waited for when the models are idle.

    `threads` is how many PyTorch computes with for it.
    """

    def __init__(self, capacity: int, counters: Counters, threads: int) -> None:
        self.capacity, self._counters = capacity, counters
        self._waiting: deque[Job] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self._pace = 0.05  # seconds that a request takes of late
        self._thread = threading.Thread(target=self._run, args=(threads,), name="models", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive() and not self._closed

    def check_room(self) -> None:
        """Raise RequestError where one more would not be taken."""
        if self._closed:
            raise RequestError(503, STOPPING, {"Retry-After": "5"})
        if len(self._waiting) >= self.capacity:
            self._counters.add("refused_total")
            seconds = max(1, math.ceil(self._pace * len(self._waiting)))
            message = f"{len(self._waiting)} requests wait already, which is the most: ask again in {seconds} s"
            raise RequestError(429, message, {"Retry-After": str(seconds)})

    def put(self, run: str, key: Hashable, work: Work, item: Any) -> asyncio.Future[Any]:
        """What the work will make of the item, when its turn has come; cancelled before, it is taken out.

        The future raises what the work raises. Raises RequestError where the queue is full or closed.
        """
        loop = asyncio.get_running_loop()
        job = Job(run, key, work, item, loop.create_future(), loop)
        with self._ready:
            self.check_room()
            self._waiting.append(job)
            self._ready.notify()
        job.future.add_done_callback(partial(self._leave, job))
        return job.future

    def close(self) -> None:
        """Refuse what comes and what waits; what is worked on is still answered."""
        with self._ready:
            self._closed = True
            left, self._waiting = list(self._waiting), deque()
            self._ready.notify()
        for job in left:
            if not job.future.done():
                job.future.set_exception(RequestError(503, STOPPING, {"Retry-After": "5"}))

    def _leave(self, job: Job, future: asyncio.Future[Any]) -> None:
        """Take out a job whose client has left."""
        if future.cancelled():
            with self._ready, suppress(ValueError):  # it is being worked on
                self._waiting.remove(job)
                self._counters.add("left_total")

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, at most so long."""
        self._thread.join(seconds)

    def _run(self, threads: int) -> None:
        torch.get_num_threads()  # or its first computation would set the number to what any thread said last
        torch.set_num_threads(threads)
        while batch := self._next():
            started = time.perf_counter()
            results = _results(batch)
            seconds = time.perf_counter() - started
            self._pace = 0.8 * self._pace + 0.2 * seconds / len(batch)
            self._counters.add("replies_total", len(batch), run=batch[0].run)
            self._counters.add("batches_total", run=batch[0].run)
            self._counters.add("model_seconds_total", seconds, run=batch[0].run)
            try:
                batch[0].loop.call_soon_threadsafe(_settle, batch, results)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _next(self) -> list[Job]:
        """The oldest job and those that go with it; none when the queue is closed."""
        with self._ready:
            while not self._waiting and not self._closed:
                self._ready.wait()
            if not self._waiting:
                return []
            first = self._waiting.popleft()
            batch = [first]
            if first.key is not None:
                others = [job for job in self._waiting if (job.run, job.key) == (first.run, first.key)]
                batch += others[: AT_ONCE - 1]
                taken = set(map(id, batch))
                self._waiting = deque(job for job in self._waiting if id(job) not in taken)
            return batch


def _results(batch: Sequence[Job]) -> list[Any]:
    """A result for each job, or the exception in its place; where a batch fails, its jobs are tried one by one."""
    try:
        found = list(batch[0].work([job.item for job in batch]))
        assert len(found) == len(batch)
        return found
    except Exception as error:  # which is the request's own: the thread goes on
        if len(batch) == 1:
            return [error]
        return [result for job in batch for result in _results([job])]


def _settle(batch: Sequence[Job], results: Sequence[Any]) -> None:
    for job, result in zip(batch, results, strict=True):
        if job.future.done():  # cancelled meanwhile
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
