"""The HTTP client of one connection: credentials, limits, and notes of what became of a request.

A request that fails is answered here in the server's place, so that it fails alone: the package
would end the whole connection, and all calls with it.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pydantic_core

from mbxai.mcp.auth import _providers as providers
from mbxai.mcp.auth._certificates import certificates
from mbxai.mcp.connection._failures import auth_failure, challenge_text
from mbxai.mcp.connection._lines import without_half_characters
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.connection._watch import ConnectionWatch, is_reply, own_call

if TYPE_CHECKING:  # slow to load
    import httpx2

_SECONDS: Final = 30.0
_MAX_IDLE: Final = 20
_MAX_REDIRECTS: Final = 5
_SESSION: Final = "mcp-session-id"
_EVENTS: Final = "text/event-stream"
_CONNECTION_CLOSED: Final = -32000


def make_http(
    target: ServerTarget,
    watch: ConnectionWatch,
    auth: "httpx2.Auth | None",
    *,
    is_one_session: bool = False,
) -> "httpx2.AsyncClient":
    """Return a client for one connection.

    Args:
        target: The server.
        watch: Told what happens on the wire.
        auth: Signs the requests.
        is_one_session: Whether every message belongs to a session, named or not.
    """
    import httpx2

    make: Any = _noting_client_class()
    return make(
        watch,
        target.max_message_bytes,
        is_one_session=is_one_session,
        verify=certificates(),
        headers=dict(target.headers),
        # A silent server is no broken one: every call has a deadline of its own.
        timeout=httpx2.Timeout(_SECONDS, read=None),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=_MAX_IDLE),
        auth=auth,
    )


def make_auth(
    target: ServerTarget, waiting: Callable[[], AbstractContextManager[None]]
) -> "httpx2.Auth | None":
    """Return what signs the requests to a server, or None.

    Args:
        target: The server.
        waiting: Entered while a person is awaited.
    """
    if target.auth is None or hasattr(target.auth, "async_auth_flow"):
        return target.auth
    return providers.make_auth(target.auth, server=target.name, url=target.url, waiting=waiting)


@asynccontextmanager
async def sent_within_origin(
    http: "httpx2.AsyncClient", request: "httpx2.Request"
) -> "AsyncGenerator[httpx2.Response, None]":
    """Send a request and return the answer; a redirect is followed only to the same server.

    Credentials were given for that server, and for no other.

    Args:
        http: The client.
        request: What to send.
    """
    response = await http.send(request, stream=True, follow_redirects=False)
    for _ in range(_MAX_REDIRECTS):
        following = response.next_request
        if following is None or not _is_same(response.request, following):
            break
        await response.aclose()
        response = await http.send(following, stream=True, follow_redirects=False)
    try:
        yield response
    finally:
        await response.aclose()


def _is_same(request: "httpx2.Request", following: "httpx2.Request") -> bool:
    old, new = request.url, following.url
    return request.method == following.method and (old.scheme, old.host, old.port) == (
        new.scheme,
        new.host,
        new.port,
    )


@cache
def _noting_client_class() -> "type[httpx2.AsyncClient]":
    import httpx2

    class NotingClient(httpx2.AsyncClient):
        """Notes what became of each message."""

        def __init__(
            self, watch: ConnectionWatch, max_bytes: int, *, is_one_session: bool, **options: Any
        ) -> None:
            super().__init__(**options)
            self._watch = watch
            self._max_bytes = max_bytes
            self._is_one_session = is_one_session

        async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            is_message = request.method == "POST"
            try:
                response = await super().send(request, **options)
            except Exception as error:
                # Where messages are posted by their callers, a failure is the caller's anyway.
                if not is_message or not self._watch.is_connected or self._is_one_session:
                    raise
                return self._stand_in(request, error)
            if is_message or not self._watch.has_streams:
                headers = response.headers
                self._watch.note_status(
                    response.status_code,
                    of_session=self._is_one_session or _SESSION in request.headers,
                    media_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
                    challenge=challenge_text(headers.get("www-authenticate", "")),
                )
            if is_message and not self._watch.media_type.startswith(_EVENTS):
                _limit(response, self._max_bytes)
            return response

        def _stand_in(self, request: httpx2.Request, error: Exception) -> httpx2.Response:
            if not is_reply.get():  # that says nothing of the call in which it was sent
                _note_unanswered(error)
            said = {"code": _CONNECTION_CLOSED, "message": "The request failed"}
            return httpx2.Response(
                503,
                json={"jsonrpc": "2.0", "id": None, "error": said},
                request=request,
            )

    return NotingClient


def _note_unanswered(error: Exception) -> None:
    import httpx2

    call = own_call()
    if call is None:
        raise error
    call.cause = error
    never_left = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
    if isinstance(error, never_left) or auth_failure(error):
        call.unsent += 1


def _limit(response: "httpx2.Response", max_bytes: int) -> None:
    """Let the body of an answer be read up to a size, and such that a failure is the call's own."""
    import httpx2

    async def read() -> bytes:
        parts: list[bytes] = []
        size = 0
        if int(response.headers.get("content-length", 0)) > max_bytes:
            raise httpx2.StreamError(f"The answer was more than {max_bytes} bytes")
        try:
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > max_bytes:
                    await response.aclose()
                    raise httpx2.StreamError(f"The answer was more than {max_bytes} bytes")
        except httpx2.TransportError as error:
            call = own_call()
            if call is not None:
                call.cause = error
            raise httpx2.StreamError("The answer was cut") from error
        body = b"".join(parts)
        return _whole(body) if b"\\ud" in body or b"\\uD" in body else body

    response.aread = read  # the package reads the whole body by it


def _whole(body: bytes) -> bytes:
    """Return a message that every reader takes; see `without_half_characters`."""
    try:
        pydantic_core.from_json(body)
    except ValueError:
        return without_half_characters(body) or body
    return body
