"""What stands before everything else: who may ask, from which page, under which name; and what every answer says.

A browser sends to this machine what any page on the web tells it to. So the name in `Host` must be one of this server's
(a name of somebody else's that was made to mean this machine is refused), a page of another origin may not ask, nothing
is said to let it read, and a browser is told to load nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saccade.serve.counters import Counters
from saccade.serve.problems import RequestError, refusal
from saccade.serve.settings import Settings

LOCAL = ("localhost", "127.0.0.1", "[::1]")
ANY = ("0.0.0.0", "::")
OPEN = "/healthz"  # what may be asked without a token
READING = ("GET", "HEAD")
LINGER_SECONDS, LINGER_BYTES = 2.0, 32_000_000
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Address:
    """Where the server listens: the host it was told, and the port."""

    host: str
    port: int

    @property
    def written(self) -> str:
        """The host as it stands in an address."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def is_named(self, host: str) -> bool:
        """Whether the value of a Host header means this server.

        Where it listens on all addresses of its machine every address does, for what is to be refused are names.
        """
        name, port = _split(host.lower())
        if port != str(self.port) and not (port == "" and self.port == 80):
            return False
        return name in LOCAL or name == self.written.lower() or (self.host in ANY and _is_address(name))


class Guard:
    """An ASGI application that refuses, or hands on to another one, and completes the headers of what it answers."""

    def __init__(self, app: ASGIApp, address: Address, settings: Settings, counters: Counters) -> None:
        self._app, self._address, self._token, self._counters = app, address, settings.token, counters
        self._header_bytes = settings.header_bytes
        self._cookie = f"saccade-{address.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            answer = self._answer(scope)
            await (answer or self._app)(scope, exchange.receive, exchange.send)
        except RequestError as problem:
            await refusal(problem)(scope, exchange.receive, exchange.send)
        except Exception:  # which the application has logged and answered
            if not exchange.status:
                raise
        finally:
            self._counters.add("requests_total", path=_shown(scope), status=str(exchange.status))

    def _answer(self, scope: Scope) -> Response | None:
        """What is answered in place of the application; raises RequestError for what is refused."""
        headers = _headers(scope, self._header_bytes)
        self._check_host(headers.get("host", ""))
        self._check_origin(scope, headers)
        if self._token is None or scope["path"] == OPEN:
            return None
        said = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0] if scope["path"] == "/" else ""
        if said and self._is_token(said):
            response = RedirectResponse("/", 303)
            response.set_cookie(self._cookie, said, httponly=True, samesite="strict", path="/")
            return response
        if not self._is_token(_bearer(headers)) and not self._is_token(_cookie(headers, self._cookie)):
            message = "expected the token: open the address that saccade serve printed, or send Authorization: Bearer"
            raise RequestError(401, message, {"WWW-Authenticate": "Bearer"})
        return None

    def _check_host(self, host: str) -> None:
        if not self._address.is_named(host):
            raise RequestError(
                421, f"expected the name of this server in Host, as {self._address.written}:{self._address.port}"
            )

    def _check_origin(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Refuse what a page of another origin asks; to open the page itself, it may link."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        scheme, _, host = (origin or "").partition("://")
        if origin is not None and (scheme not in ("http", "https") or host.lower() != headers["host"].lower()):
            raise RequestError(403, "expected a request of this server's own page, got one of another origin")
        opening = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        linked = opening and scope["method"] in READING and scope["path"] == "/"
        if site not in ("same-origin", "none") and not linked:
            raise RequestError(403, "expected a request of this server's own page, got one of another site")

    def _is_token(self, said: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(said.encode("utf-8", "replace"), self._token.encode())


class _Exchange:
    """A request and its answer, whose headers are completed."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send, self.status = receive, send, 0
        self._unread = _has_body(scope)

    async def receive(self) -> Message:
        """The next part of the request."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        """The next part of the answer; what was not read of a body is not read any more."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            said = {name.lower() for name, _ in message.get("headers", [])}
            further = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in said]
            if self._unread and b"connection" not in said:
                further.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", []), *further]}
        elif self._unread and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _linger(self) -> None:
        """Read on for a while: a client that is cut off while it sends does not see what it is told."""
        passed = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while self._unread and passed < LINGER_BYTES:
                    passed += len((await self.receive()).get("body", b""))


def _headers(scope: Scope, most: int) -> dict[str, str]:
    """The headers by name; raises RequestError for too many bytes of them, and where one comes twice that must not."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    if size + sum(len(name) + len(value) for name, value in scope["headers"]) > most:
        raise RequestError(431, f"expected an address and headers of at most {most:,} bytes", {"Connection": "close"})
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        if key in found and key in ("host", "origin", "content-type", "content-length", "authorization"):
            raise RequestError(400, f"expected one header {key}, got several")
        found[key] = value.decode("latin-1")
    return found


def _has_body(scope: Scope) -> bool:
    names: dict[Any, Any] = dict(scope["headers"])
    return b"transfer-encoding" in names or names.get(b"content-length", b"0") != b"0"


def _bearer(headers: Mapping[str, str]) -> str:
    kind, _, said = headers.get("authorization", "").partition(" ")
    return said.strip() if kind.lower() == "bearer" else ""


def _cookie(headers: Mapping[str, str], name: str) -> str:
    for each in headers.get("cookie", "").split(";"):
        key, _, value = each.strip().partition("=")
        if key == name:
            return value
    return ""


def _split(host: str) -> tuple[str, str]:
    """The name and the port of a Host header; "" for the port that is not said."""
    if host.startswith("["):
        name, bracket, port = host.partition("]")
        return name + bracket, port.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _shown(scope: Scope) -> str:
    """The path as it is counted: those of the API alone by name, so that a client makes no new ones up."""
    route = scope.get("route")
    return getattr(route, "path", None) or "other"
