"""Shards made of images, by any process: read ahead in threads, through the network in batches, into files."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from saccade.errors import ImageError, StoreError
from saccade.features.files import ImageFiles
from saccade.features.shards import Layout, ShardPlan, ShardWriter
from saccade.features.store import MANIFEST, PLAN

if TYPE_CHECKING:
    from PIL import Image

    from saccade.features.extract import Extractor, Loaded

DECODERS = 4
SECONDS_BETWEEN_LOOKS = 2.0

T = TypeVar("T")


class Tally:
    """Tells how many images are done: of this process each batch, of others, where they `share`, their whole shards."""

    def __init__(
        self,
        layout: Layout,
        plans: Sequence[ShardPlan],
        before: int,
        progress: Callable[[int, int], None],
        *,
        share: bool,
    ) -> None:
        self._layout, self._progress, self._share = layout, progress, share
        self._done, self._total = before, before + sum(len(plan.images) for plan in plans)
        self._elsewhere = {plan.number: len(plan.images) for plan in plans}
        self._looked = time.monotonic()

    def begin(self, plan: ShardPlan) -> None:
        """This process makes that shard."""
        self._elsewhere.pop(plan.number, None)

    def add(self, images: int) -> None:
        """So many images more are done in this process."""
        self._done += images

    def tell(self) -> None:
        """Tell what is done by now."""
        if self._share and time.monotonic() - self._looked >= SECONDS_BETWEEN_LOOKS:
            for number in [number for number in self._elsewhere if self._layout.index(number).exists()]:
                self._done += self._elsewhere.pop(number)
            self._looked = time.monotonic()
        if self._done < self._total:  # all of it is told once, in the end
            self._progress(self._done, self._total)

    def end(self) -> None:
        """All are done."""
        self._progress(self._total, self._total)


@dataclass
class ShardMaker:
    """What makes shards, for `Workers.run`; where it arrives pickled, `load` makes the extractor anew.

    A shard's bytes depend on its images and on `batch_size` alone, not on what else the process makes.
    """

    layout: Layout
    weights_hash: str
    load: Callable[[], Extractor]
    open_image: Callable[[str], Image.Image]
    files: ImageFiles | None
    batch_size: int | None
    extractor: Extractor | None = None
    tally: Tally | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what is this process's own."""
        return {**self.__dict__, "extractor": None, "tally": None}

    def __call__(self) -> Callable[[Iterable[ShardPlan]], Iterator[dict[str, str]]]:
        """From plans of shards to what was learnt of the files of their images; each is written when it is given."""
        path = self.layout.path
        if not any((path / name).exists() for name in (PLAN, MANIFEST)):
            raise StoreError(
                f"{path.absolute()} is not there on {socket.gethostname()}: name a folder that all machines share"
            )
        extractor = self.extractor or self.load()
        if extractor.weights_hash != self.weights_hash:
            raise StoreError(
                f"the weights of {extractor.spec.backbone} on {socket.gethostname()} are others than those of the "
                "first process: copy one file to all machines"
            )
        return partial(self._make, extractor)

    def _make(self, extractor: Extractor, plans: Iterable[ShardPlan]) -> Iterator[dict[str, str]]:
        size = self.batch_size or (8 if extractor.device.type == "cpu" else 64)
        plans = list(plans)
        read = partial(self._read, extractor)
        loaded = ahead(read, (image for plan in plans for image in plan.images), 2 * size)
        with closing(loaded):
            for plan in plans:
                with ShardWriter(self.layout, plan.number) as shard:
                    self._fill(shard, extractor, plan, loaded, size)
                    shard.finish()
                yield {} if self.files is None else self.files.looked_at(plan.images)

    def _fill(
        self,
        shard: ShardWriter,
        extractor: Extractor,
        plan: ShardPlan,
        loaded: Iterator[tuple[str, tuple[str | None, Loaded | ImageError]]],
        size: int,
    ) -> None:
        if self.tally is not None:
            self.tally.begin(plan)
        while left := len(plan.images) - len(shard):
            if self.tally is not None:
                self.tally.tell()
            batch = list(islice(loaded, min(size, left)))
            found = iter(extractor.rows([each for _, (_, each) in batch if not isinstance(each, ImageError)]))
            for image, (file, result) in batch:
                if isinstance(result, ImageError):
                    shard.fail(image, str(result), file)
                    continue
                rows, boxes = (each.cpu() for each in next(found))
                shard.add(image, rows, None if self.layout.grid else boxes, file)
            if self.tally is not None:
                self.tally.add(len(batch))

    def _read(self, extractor: Extractor, image: str) -> tuple[str | None, Loaded | ImageError]:
        """The hash of the image's file, asked for before it is read, and the image or why there is none."""
        file = None if self.files is None else self.files.hash(image)
        try:
            return file, extractor.load(self.open_image(image), image)
        except ImageError as error:
            return file, error


def ahead(work: Callable[[str], T], items: Iterable[str], most: int) -> Generator[tuple[str, T], None, None]:
    """Each item with its result, in order, while threads work on at most so many."""
    with ThreadPoolExecutor(DECODERS) as pool:
        queue: deque[tuple[str, Future[T]]] = deque()
        rest = iter(items)
        try:
            while True:
                queue.extend((item, pool.submit(work, item)) for item in islice(rest, most - len(queue)))
                if not queue:
                    return
                item, future = queue.popleft()
                yield item, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def unreadable(images: Sequence[str], open_image: Callable[[str], object]) -> dict[str, str]:
    """Those of the images for which `open_image` raises ImageError, with the reason; it is called in threads."""

    def reason(image: str) -> str | None:
        try:
            open_image(image)
        except ImageError as error:
            return str(error)
        return None

    found = ahead(reason, dict.fromkeys(images), 2 * DECODERS)
    return {image: why for image, why in found if why is not None}
