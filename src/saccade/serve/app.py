"""The application: its addresses, and what each answers."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from saccade.distribution import installed_version
from saccade.errors import SaccadeError
from saccade.index.searching import Query
from saccade.serve.answers import reply_response, search_response
from saccade.serve.bodies import CLOSE, read_body
from saccade.serve.examples import MOST, encoded
from saccade.serve.guard import Address, Guard
from saccade.serve.lines import command_line, search_line
from saccade.serve.parsing import NAMES, Asked, from_json, from_query
from saccade.serve.problems import JSON, PlainJson, RequestError, problem_of, refusal
from saccade.serve.runs import ServedRun
from saccade.serve.service import Service
from saccade.serve.settings import FORMATS
from saccade.serve.static import static_files

T = TypeVar("T")
logger = logging.getLogger(__name__)
# What tells of bytes as they are; forms and plain text are what a page of another origin may send unasked.
BYTES = ("", "application/octet-stream")
TOP_HITS = 10
LEFT = 499  # of which nobody hears, as counted


def create_app(service: Service, address: Address) -> Guard:
    """The application, behind its guard."""
    endpoints = Endpoints(service)

    @asynccontextmanager
    async def running(_app: Starlette) -> AsyncIterator[None]:
        async with service.running():
            yield

    files = static_files()
    routes = [
        Route("/api/runs", endpoints.runs),
        Route("/api/runs/{name}/examples", endpoints.examples),
        Route("/api/runs/{name}/examples/{number}/image", endpoints.example_image),
        Route("/api/images", endpoints.keep_image, methods=["POST"]),
        Route("/api/images/{token}", endpoints.drop_image, methods=["DELETE"]),
        *(
            Route(f"/api/{name}", partial(endpoints.reply, name), methods=["POST"])
            for name in NAMES
            if name != "search"
        ),
        Route("/api/search", endpoints.search, methods=["POST"]),
        Route("/healthz", endpoints.health),
        Route("/metrics", endpoints.metrics),
        *(Route(path, partial(_file, file.content, file.media_type)) for path, file in files.items()),
    ]
    handlers: dict[Any, Any] = {
        RequestError: _problem,
        HTTPException: _http_problem,
        SaccadeError: _library_problem,
        ClientDisconnect: _left_early,
        Exception: _failure,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=running)
    app.router.redirect_slashes = False
    return Guard(app, address, service.settings, service.counters)


class Endpoints:
    """What each address of the API answers."""

    def __init__(self, service: Service) -> None:
        self.service, self.settings = service, service.settings

    async def runs(self, _request: Request) -> Response:
        """What is served, and within which limits."""
        limits = {name: getattr(self.settings, name) for name in ("upload", "pixels", "text", "top", "beam")}
        described = await self.service.in_thread(
            lambda: [run.described(self.settings) for run in self.service.runs.values()]
        )
        return PlainJson(
            {
                "version": installed_version(),
                "runs": described,
                "indexes": [index.described() for index in self.service.indexes.values()],
                "limits": {**limits, "formats": list(FORMATS.values())},
            }
        )

    async def examples(self, request: Request) -> Response:
        """The first examples of a run."""
        count = _number("count", request.query_params.get("count", "12"), 1, MOST)
        found = await self.service.in_thread(self._run(request).examples.listed, count)
        return PlainJson({"examples": found})

    async def example_image(self, request: Request) -> Response:
        """The image of an example, as a file."""
        examples = self._run(request).examples
        number = _number("example", request.path_params["number"], 0, MOST - 1)
        content, media_type = await self.service.in_thread(lambda: encoded(examples.image(number)))
        return Response(content, media_type=media_type)

    async def keep_image(self, request: Request) -> Response:
        """The token of an image that is sent."""
        self._expect_image(request)
        with self.service.arriving.held() as held:
            content = await self._image(request, held)
            return PlainJson(await self.service.keep(content))

    async def drop_image(self, request: Request) -> Response:
        """Nothing, when the image is forgotten."""
        self.service.uploads.drop(request.path_params["token"])
        return Response(status_code=204)

    async def reply(self, action: str, request: Request) -> Response:
        """What a run says of an image."""
        with self.service.arriving.held() as held:
            asked, content, run = await self._asked(action, request, held)
            started = time.perf_counter()
            image = await self.service.prepared(run, asked, content)
        reply = await _unless_left(request, self.service.reply(run, asked, image))
        about = {
            "run": run.name,
            "seconds": round(time.perf_counter() - started, 4),
            "command": command_line(action, run.said, asked),
        }
        if asked.form == "reply":  # which is quicker than handing it to a thread
            return reply_response(reply, asked.form, about)
        return await self.service.in_thread(reply_response, reply, asked.form, about)

    async def search(self, request: Request) -> Response:
        """What an index has that fits a sentence, an image, or both."""
        self.service.queue.check_room()
        with self.service.arriving.held() as held:
            asked, content = await self._parsed("search", request, held, optional=True)
            index = self.service.index_of(asked)
            if asked.image:
                content = self.service.uploads.get(asked.image).content
            image = await self.service.in_thread(self.service.opened, content) if content else None
        if not asked.text.strip() and image is None:
            raise RequestError(422, "text: expected words or an image to look for, got neither")
        query = Query(asked.text, image)
        top = asked.options.get("top", TOP_HITS)
        work = partial(index.search, top, asked.form != "reply")
        unknown, hits, figure = await _unless_left(request, self.service.queue.put(index.name, None, work, query))
        about = {
            "query": query.title,
            "unknown_words": unknown,
            "command": search_line(index.said, asked, image=image is not None),
        }
        return await self.service.in_thread(search_response, hits, figure, asked.form, about)

    async def health(self, _request: Request) -> Response:
        """Whether requests are answered."""
        alive = self.service.queue.alive
        return PlainJson({"status": "ok" if alive else "stopping"}, 200 if alive else 503)

    async def metrics(self, _request: Request) -> Response:
        """What was done, in numbers."""
        uploads = self.service.uploads
        text = self.service.counters.text(
            waiting=len(self.service.queue), kept_images=len(uploads), kept_bytes=uploads.bytes
        )
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    def _run(self, request: Request) -> ServedRun:
        name = request.path_params["name"]
        if name not in self.service.runs:
            raise RequestError(404, f"run: no run of that name is served; there are {', '.join(self.service.runs)}")
        return self.service.runs[name]

    async def _asked(self, action: str, request: Request, held: Any) -> tuple[Asked, bytes, ServedRun]:
        """What is asked, the image's bytes where they are sent along, and the run, all of it checked."""
        self.service.queue.check_room()
        asked, content = await self._parsed(action, request, held)
        run = self.service.run_of(asked, action)
        run.checked(asked)
        return asked, content, run

    async def _parsed(self, action: str, request: Request, held: Any, *, optional: bool = False) -> tuple[Asked, bytes]:
        """What is asked, and the image's bytes where they are sent along."""
        if _media_type(request) == JSON:
            if request.query_params:
                raise RequestError(422, "expected all of it in the JSON body, got a query in the address too")
            settings = self.settings
            body = await read_body(request, held, most=settings.json, seconds=settings.body_seconds)
            asked, content = from_json(action, body, settings), b""
        else:
            self._expect_image(request)
            asked = from_query(action, request.query_params.multi_items(), self.settings)
            content = await self._image(request, held)
        known = bool(asked.image) or asked.example is not None
        if content and known:
            raise RequestError(422, "expected one image, got one in the body and another one beside it")
        if not content and not known and not optional:
            raise RequestError(400, "expected an image: as the body, or as an image's token or an example in JSON")
        return asked, content

    def _expect_image(self, request: Request) -> None:
        kind = _media_type(request)
        if not (kind in BYTES or kind.startswith("image/")):
            known = ", ".join(FORMATS.values())
            message = f"expected an image ({known}) with its media type, or {JSON}, got Content-Type {kind[:60]}"
            raise RequestError(415, message, CLOSE)

    async def _image(self, request: Request, held: Any) -> bytes:
        settings = self.settings
        return await read_body(request, held, most=settings.upload, seconds=settings.body_seconds)


async def _unless_left(request: Request, answer: asyncio.Future[T]) -> T:
    """The answer; raises ClientDisconnect, and takes it back, where the client leaves before."""
    leaving = asyncio.ensure_future(_left(request))
    leaving.add_done_callback(lambda _: answer.cancel())
    try:
        return await answer
    except asyncio.CancelledError:
        if leaving.done():
            raise ClientDisconnect from None
        raise
    finally:
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _file(content: bytes, media_type: str, _request: Request) -> Response:
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})


async def _problem(_request: Request, problem: RequestError) -> Response:
    return refusal(problem)


async def _http_problem(request: Request, error: HTTPException) -> Response:
    said = {404: "there is nothing at this address", 405: f"expected another method than {request.method[:20]}"}
    return refusal(
        RequestError(error.status_code, said.get(error.status_code, "the request cannot be answered"), error.headers)
    )


async def _library_problem(_request: Request, error: SaccadeError) -> Response:
    problem = problem_of(error)
    if problem is None:
        raise error
    return refusal(problem)


async def _left_early(_request: Request, _error: Exception) -> Response:
    return Response(status_code=LEFT)


async def _failure(_request: Request, error: Exception) -> Response:
    """What nobody expected: the log has it all, the client a number to find it by."""
    number = secrets.token_hex(4)
    logger.error("failure %s", number, exc_info=error)
    return refusal(RequestError(500, f"the server failed; its log says why under {number}: tell who runs it"))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise RequestError(422 if name == "count" else 404, f"{name}: expected a whole number from {least} to {most}")
    return int(text)
