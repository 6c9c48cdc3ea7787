"""Images that clients have sent, in memory alone: by token, bounded, and dropped when nobody asks about them."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from saccade.predict import Prepared
from saccade.serve.counters import Counters
from saccade.serve.problems import RequestError


@dataclass(eq=False)
class Kept:
    """The bytes of an image, and what runs have made of it, by what it is made like."""

    content: bytes
    prepared: dict[Hashable, Prepared] = field(default_factory=dict)
    used: float = 0.0


class Uploads:
    """Images by token. Used from one thread."""

    def __init__(
        self,
        counters: Counters,
        *,
        keep: float,
        most_bytes: int,
        most_images: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters, self._keep, self._most_bytes, self._most_images = counters, keep, most_bytes, most_images
        self._clock = clock
        self._kept: OrderedDict[str, Kept] = OrderedDict()  # that used longest ago first
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, content: bytes) -> str:
        """The token of an image that is kept from now on."""
        self.tidy()
        while self._kept and (len(self._kept) >= self._most_images or self.bytes + len(content) > self._most_bytes):
            self._forget(next(iter(self._kept)))
        token = secrets.token_urlsafe(18)
        self._kept[token] = Kept(content, used=self._clock())
        self.bytes += len(content)
        return token

    def get(self, token: str) -> Kept:
        """The image of that token; raises RequestError where there is none, or none any more."""
        self.tidy()
        if token not in self._kept:
            raise RequestError(404, "image: no image of that token is kept, or none any more: upload it again")
        found = self._kept[token]
        found.used = self._clock()
        self._kept.move_to_end(token)
        return found

    def drop(self, token: str) -> None:
        """Forget an image; raises RequestError as `get` does."""
        self.get(token)
        self.bytes -= len(self._kept.pop(token).content)

    def tidy(self) -> None:
        """Forget the images that nobody has asked about for as long as they are kept."""
        before = self._clock() - self._keep
        while self._kept and next(iter(self._kept.values())).used < before:
            self._forget(next(iter(self._kept)))

    def _forget(self, token: str) -> None:
        self.bytes -= len(self._kept.pop(token).content)
        self._counters.add("dropped_images_total")
