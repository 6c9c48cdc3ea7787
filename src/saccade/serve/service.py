"""What answers the requests: the runs, the images that are kept, the queue, and threads that decode and draw."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import torch
from PIL import Image

from saccade.predict import Prepared
from saccade.serve.bodies import Arriving
from saccade.serve.counters import Counters
from saccade.serve.parsing import Asked
from saccade.serve.problems import RequestError
from saccade.serve.queue import Queue
from saccade.serve.runs import Item, ServedIndex, ServedRun, opened
from saccade.serve.settings import Settings
from saccade.serve.uploads import Uploads
from saccade.types import Without

T = TypeVar("T")
TIDY_SECONDS = 5.0


class Service:
    """The runs and indexes that are served, within the settings' limits. Used from one event loop.

    `threads` is how many PyTorch computes with for the models.
    """

    def __init__(
        self, runs: Sequence[ServedRun], indexes: Sequence[ServedIndex], settings: Settings, *, threads: int
    ) -> None:
        self.settings, self.counters = settings, Counters()
        self.runs: dict[str, ServedRun] = {each.name: each for each in runs}
        self.indexes: dict[str, ServedIndex] = {each.name: each for each in indexes}
        self.arriving = Arriving(settings.arriving)
        self.queue = Queue(settings.queue, self.counters, threads)
        self.uploads = Uploads(
            self.counters, keep=settings.keep, most_bytes=settings.kept_bytes, most_images=settings.kept_images
        )
        # What they do is small: threads of their own would stand in the way of the models'.
        self._threads = ThreadPoolExecutor(
            max(2, min(4, os.cpu_count() or 2)), "images", initializer=torch.set_num_threads, initargs=(1,)
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the block runs, images that nobody asks about are dropped; then the threads end."""
        for run in self.runs.values():
            self._threads.submit(len, run.examples)  # a large corpus takes seconds to read
        tidying = asyncio.create_task(self._tidy())
        try:
            yield
        finally:
            tidying.cancel()
            self.stop()
            self.queue.join(self.settings.stop_seconds)
            self._threads.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """Take no more requests, and answer those that wait that there will be none."""
        self.queue.close()

    async def in_thread(self, function: Callable[..., T], *values: Any) -> T:
        """What the function returns, called in one of the threads that decode and draw."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *values)

    def run_of(self, asked: Asked, action: str) -> ServedRun:
        """The run that is asked, by default the only one for that; raises RequestError for one that cannot be."""
        fitting = [run for run in self.runs.values() if run.action == action]
        if not asked.run:
            if len(fitting) == 1:
                return fitting[0]
            raise RequestError(422, f"run: expected one of those that {action}: {_names(fitting)}")
        if asked.run not in self.runs:
            raise RequestError(404, f"run: no run of that name is served; there are {_names(self.runs.values())}")
        run = self.runs[asked.run]
        if run.action != action:
            raise RequestError(422, f"run: {run.name} is asked by POST /api/{run.action}, not by /api/{action}")
        return run

    def index_of(self, asked: Asked) -> ServedIndex:
        """The index that is searched, by default the only one; raises RequestError where there is none of that name."""
        if not asked.index and len(self.indexes) == 1:
            return next(iter(self.indexes.values()))
        if asked.index not in self.indexes:
            raise RequestError(404, f"index: expected one of those that are served: {_names(self.indexes.values())}")
        return self.indexes[asked.index]

    async def keep(self, content: bytes) -> dict[str, Any]:
        """The token and the size of an image that is kept from now on; raises ImageError for what is none."""
        image = await self.in_thread(self.opened, content)
        return {"image": self.uploads.add(content), "width": image.width, "height": image.height}

    def opened(self, content: bytes) -> Image.Image:
        """The image in the bytes of a file; called from threads."""
        return opened(content, self.settings.pixels)

    async def prepared(self, run: ServedRun, asked: Asked, content: bytes) -> Prepared:
        """The image that is asked about, as the run takes it: of an example, kept by its token, or the content."""
        if asked.example is not None:
            seen = run.seen(asked.example)
            return seen if seen is not None else await self.in_thread(run.example, asked.example)
        if not asked.image:
            return await self.in_thread(self._prepare, run, content)
        kept = self.uploads.get(asked.image)
        if run.made_like not in kept.prepared:
            kept.prepared[run.made_like] = await self.in_thread(self._prepare, run, kept.content)
        return kept.prepared[run.made_like]

    def reply(self, run: ServedRun, asked: Asked, image: Prepared) -> asyncio.Future[Any]:
        """What the run will say, when its turn has come."""
        # What is drawn must not depend on who else asks at that time.
        key = None if asked.options.get("look") == "sample" else tuple(sorted(asked.options.items()))
        item = Item(image, asked.text, Without(asked.without_regions, asked.without_words))
        return self.queue.put(run.name, key, run.work(asked.options), item)

    def _prepare(self, run: ServedRun, content: bytes) -> Prepared:
        return run.prepare(self.opened(content))

    def _open_examples(self) -> None:
        """Open the corpora of the runs, so that the first who asks need not wait for it."""
        for run in self.runs.values():
            len(run.examples)

    async def _tidy(self) -> None:
        with suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(TIDY_SECONDS)
                self.uploads.tidy()


def _names(served: Any) -> str:
    return ", ".join(each.name for each in served) or "none"
