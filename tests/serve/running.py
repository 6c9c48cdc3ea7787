"""A server that runs in a thread of the tests, and ways to ask it: as HTTP is meant, and as bytes."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from saccade.serve.guard import Address
from saccade.serve.server import bound_socket, make_server
from saccade.serve.service import Service
from saccade.serve.settings import Settings

JSON = "application/json"


@dataclass
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.headers["content-type"] == JSON
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of a refusal, which says no more than that."""
        values = self.json()
        assert list(values) == ["error"]
        return values["error"]


class Running:
    """A server of runs and indexes, until the block ends."""

    def __init__(self, runs, indexes, *, host: str = "127.0.0.1", **settings) -> None:
        self._socket = bound_socket(host, 0)
        self.host, self.port = host, self._socket.getsockname()[1]
        self.service = Service(runs, indexes, Settings(**settings), threads=1)
        self._server = make_server(self.service, Address(host, self.port))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Running:
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self._server.started
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.join()

    def join(self) -> None:
        """Wait until it has stopped."""
        self._thread.join(20)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        """Tell it to stop, as a signal does."""
        self._server.should_exit = True

    @property
    def name(self) -> str:
        """What stands in `Host`."""
        return f"127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **query: object
    ) -> Answer:
        """The answer to a request; bytes are sent as they are, other bodies as JSON."""
        said = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body, said = json.dumps(body).encode(), {"Content-Type": JSON, **said}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, f"{path}?{urlencode(query)}" if query else path, body, said)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: dict[str, str] | None = None, **query: object) -> Answer:
        return self.ask("GET", path, None, headers, **query)

    def post(self, path: str, body: Any = b"", headers: dict[str, str] | None = None, **query: object) -> Answer:
        return self.ask("POST", path, body, headers, **query)

    def keep(self, content: bytes) -> str:
        """The token of an image that is sent."""
        return self.post("/api/images", content, {"Content-Type": "image/png"}).json()["image"]

    def connect(self, seconds: float = 20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def raw(self, content: bytes, seconds: float = 20) -> bytes:
        """What comes back for bytes, until the server closes the connection."""
        with self.connect(seconds) as connection:
            connection.sendall(content)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes, be it not gently."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionError:
        pass
    return found
