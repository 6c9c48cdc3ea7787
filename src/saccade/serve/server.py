"""The server around the application: its socket, and what it does with slow connections and when it is stopped."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from saccade.errors import RunError
from saccade.serve.app import create_app
from saccade.serve.guard import HEADERS, Address
from saccade.serve.problems import json_bytes
from saccade.serve.service import Service
from saccade.serve.settings import Settings

BACKLOG = 128


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the address; raises RunError where it is taken, or none of this machine's."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise RunError(f"--host: expected an address of this machine, got {host!r} ({error})") from None
    family, kind, protocol, _, place = min(found, key=lambda each: each[0] != socket.AF_INET)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
    except OSError as error:
        bound.close()
        raise RunError(
            f"port {port} of {host} cannot be listened on ({error.strerror}): stop what does, or choose another one "
            "with --port"
        ) from None
    return bound


def serve(service: Service, address: Address, bound: socket.socket) -> None:
    """Answer requests until the process is told to stop, which is when those that wait are refused."""
    server = make_server(service, address)
    server.run(sockets=[bound])


def make_server(service: Service, address: Address) -> Server:
    """The server of an application, not yet running."""
    settings = service.settings
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what clients do wrong, and what is logged already
    config = uvicorn.Config(
        create_app(service, address),
        http=_protocol(settings),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,  # questions are private
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=settings.connections,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(settings.stop_seconds),
        h11_max_incomplete_event_size=settings.header_bytes,
    )
    return Server(config, service)


class Server(uvicorn.Server):
    """A server that refuses what waits when it is stopped, rather than work it off."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse what waits, answer what is worked on, and end."""
        self._service.stop()
        await super().shutdown(sockets)


def _protocol(settings: Settings) -> type[asyncio.Protocol]:
    seconds = {"seconds": settings.header_seconds, "taking_seconds": settings.body_seconds}
    return type("Protocol", (TimedProtocol,), seconds)


class TimedProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, where headers must come in time, and answers be taken."""

    seconds = 10.0
    taking_seconds = 60.0
    _deadline: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect a request; hear at once where what is sent is not taken, also what is left when it closes."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Read what came; once the headers are whole, nothing is expected of them any more."""
        if self._deadline is None and self.conn.their_state is h11.IDLE:
            self._expect()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._expect_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing of who has left."""
        self._expect_no_more()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait, for a while, until the client takes what it was sent."""
        super().pause_writing()
        self._taken()
        self._taking = self.loop.call_later(self.taking_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on sending to a client that takes it."""
        super().resume_writing()
        self._taken()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, unless an answer is on its way already."""
        self._refuse(400, msg)

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(self.seconds, self._late)

    def _expect_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._refuse(408, f"expected a whole request within {self.seconds:g} s")

    def _refuse(self, status: int, message: str) -> None:
        body = json_bytes({"error": message})
        headers = {**HEADERS, "content-type": "application/json", "connection": "close", "content-length": len(body)}
        lines = [(name.encode(), str(value).encode()) for name, value in headers.items()]
        try:
            events = (h11.Response(status_code=status, headers=lines), h11.Data(data=body), h11.EndOfMessage())
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        except h11.LocalProtocolError:
            pass
        self.transport.close()
