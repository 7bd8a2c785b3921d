"""Routes whose bodies are bounded and whose errors are Problem Details."""

import json
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message

from mbxai._redaction import get_logger
from mbxai.errors import MBXAIError
from mbxai.serving import is_foreign, problem_of
from mbxai.serving._problems import MEDIA_TYPE, Problem

logger: logging.Logger = get_logger(__name__)

_NO_JSON = Problem(422, "invalid_json", "The body of the request is no JSON.")
_FOREIGN = Problem(403, "foreign_origin", "A page of this origin may change nothing here.")
_NOT_JSON = Problem(415, "unsupported_media_type", "The body must be application/json.")
_TOO_LARGE = Problem(413, "body_too_large", "The body of the request is too large.")


class BoundedRoute(APIRoute):
    """A route of the agent's router.

    Attributes:
        max_body_bytes: Most bytes of a body.
        trusted_origins: Origins beside the service's own whose pages may change something.
    """

    max_body_bytes: ClassVar[int] = 1024 * 1024
    trusted_origins: ClassVar[frozenset[str]] = frozenset()

    # Any: what FastAPI's own method is declared with.
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            if is_foreign(request.method, request.headers, self.trusted_origins):
                return self.refused(_FOREIGN)
            body = await _body_of(request, self.max_body_bytes)
            if body is None:
                return self.refused(_TOO_LARGE)
            if body and not _says_json(request):
                return self.refused(_NOT_JSON)
            if not _is_json(body):
                return self.refused(_NO_JSON)
            try:
                return await handle(Request(request.scope, _replayed(body, request)))
            except RequestValidationError as error:
                return self.invalid(error)
            except MBXAIError as error:
                problem = self.problem_of(error)
                if problem.status >= 500:
                    logger.exception("a request failed: %s", type(error).__name__)
                return self.refused(problem)

        return bounded

    def problem_of(self, error: MBXAIError) -> Problem:
        """Return what a client is told of an error.

        Args:
            error: What was raised.
        """
        return problem_of(error)

    def refused(self, problem: Problem) -> Response:
        """Return a problem as a response.

        Args:
            problem: What went wrong.
        """
        return response_of(problem)

    def invalid(self, error: RequestValidationError) -> Response:
        """Say what is wrong with a request, without what was sent.

        Args:
            error: What FastAPI found.
        """
        # It may be a credential, or a page for whoever reads the answer.
        found = [{"loc": place_of(p), "msg": p["type"]} for p in error.errors()]
        problem = Problem(422, "invalid_request", "The request is not as it should be.")
        return response_of(problem, errors=found)


def bounded_route(max_body_bytes: int, trusted_origins: Iterable[str]) -> type[BoundedRoute]:
    """Return the class of routes with these bounds.

    Args:
        max_body_bytes: Most bytes of a body.
        trusted_origins: Origins whose pages may change something, beside the service's own.
    """
    trusted = frozenset(origin.rstrip("/").lower() for origin in trusted_origins)
    bounds = {"max_body_bytes": max_body_bytes, "trusted_origins": trusted}
    return type("BoundedRoute", (BoundedRoute,), bounds)


def response_of(problem: Problem, **more: object) -> JSONResponse:
    """Return a problem as a response.

    Args:
        problem: What went wrong.
        **more: Further members of the object.
    """
    retry = problem.retry_after
    headers = None if retry is None else {"Retry-After": str(retry)}
    return JSONResponse(
        problem.to_dict() | more, problem.status, headers=headers, media_type=MEDIA_TYPE
    )


def place_of(found: Mapping[str, Any]) -> list[str]:  # Any: what pydantic says of an error
    """Return where something is wrong; what nobody knows is not named.

    Args:
        found: One of pydantic's errors.
    """
    steps = found["loc"][:-1] if found["type"] == "extra_forbidden" else found["loc"]
    return [str(step) for step in steps]


def _says_json(request: Request) -> bool:
    # A form of a foreign page can send any body, but not this header.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _is_json(body: bytes) -> bool:
    """Say whether FastAPI can read the body, or may say itself that it is missing."""
    try:
        return not body or json.loads(body) is not ...
    except (ValueError, RecursionError):
        return False


async def _body_of(request: Request, limit: int) -> bytes | None:
    """Read the body; None if it is larger than allowed."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        return None
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                return None
    except HTTPException:
        return None
    return bytes(body)


def _replayed(body: bytes, request: Request) -> Callable[[], Coroutine[Any, Any, Message]]:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return pending.pop() if pending else await request.receive()

    return receive
