"""Why a request is not answered: a status and a message, and which errors of the library may be told to a client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from saccade.errors import DataError, ImageError, RecipeError, SaccadeError, UnknownNameError

JSON = "application/json"
# Their messages speak of what came in the request; those of other errors speak of files of the server.
OF_THE_REQUEST: Mapping[type[SaccadeError], int] = {
    ImageError: 415,
    DataError: 422,
    RecipeError: 422,
    UnknownNameError: 422,
}


class RequestError(Exception):
    """A request that is not answered: the status, and what was expected, what came, what to do."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


class PlainJson(Response):
    """A JSON response; raises ValueError for numbers that JSON has not."""

    media_type = JSON

    def render(self, content: Any) -> bytes:
        """The bytes of the values, in ASCII."""
        return json_bytes(content)


def json_bytes(value: Any) -> bytes:
    """The JSON of plain values, in ASCII; raises ValueError for numbers that JSON has not."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def refusal(problem: RequestError) -> Response:
    """The response that tells of a problem."""
    return PlainJson({"error": problem.message}, problem.status, problem.headers)


def problem_of(error: SaccadeError) -> RequestError | None:
    """The problem that an error of the library tells of; None where it is the server's own."""
    status = next((status for kind, status in OF_THE_REQUEST.items() if isinstance(error, kind)), None)
    return None if status is None else RequestError(status, str(error))
