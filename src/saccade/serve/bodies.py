"""The body of a request: bounded while it comes, in bytes and in time, and bounded in all that come at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from saccade.serve.problems import RequestError

CLOSE = {"Connection": "close"}  # what is left of the body is not read


class Arriving:
    """How many bytes are read and not yet decoded, of all requests. Used from one event loop."""

    def __init__(self, most: int) -> None:
        self._most, self.bytes = most, 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Counts the bytes of one request, until the block ends."""
        held = Held(self)
        try:
            yield held
        finally:
            self.bytes -= held.bytes

    def take(self, count: int) -> None:
        """Count bytes; raises RequestError where there are too many."""
        if self.bytes + count > self._most:
            raise RequestError(503, "too many images come at once: send it again", {"Retry-After": "2", **CLOSE})
        self.bytes += count


class Held:
    """The bytes of one request."""

    def __init__(self, all_of_them: Arriving) -> None:
        self._all, self.bytes = all_of_them, 0

    def add(self, count: int) -> None:
        """Count more of them; raises RequestError where all requests together have too many."""
        self._all.take(count)
        self.bytes += count


async def read_body(request: Request, held: Held, *, most: int, seconds: float) -> bytes:
    """The whole body; raises RequestError for one of too many bytes, said or sent, and for one that is too slow."""
    too_large = RequestError(413, f"expected a body of at most {most:,} bytes: send a smaller image", CLOSE)
    if int(request.headers.get("content-length", 0)) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                if len(body) + len(chunk) > most:
                    raise too_large
                held.add(len(chunk))
                body += chunk
    except TimeoutError:
        raise RequestError(408, f"expected the whole body within {seconds:g} s: send it again", CLOSE) from None
    return bytes(body)
