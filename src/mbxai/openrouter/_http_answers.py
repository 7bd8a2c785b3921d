"""Responses of our own engine and of a caller's HTTP client."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final

import anyio
import httpx

from mbxai.openrouter._answer import Answer
from mbxai.openrouter._network import foreign_errors, shown_cause, transport_error
from mbxai.openrouter._pools import Pool, Pools
from mbxai.openrouter._transport_error import FaultKind, TransportError

if TYPE_CHECKING:  # loads the engine, which takes a tenth of a second
    from mbxai.openrouter._engine import AiohttpBody

_CLOSE_SECONDS: Final = 1.0
_PLAIN: Final = frozenset({"", "identity"})
_FOREVER: Final = float("inf")


class PooledAnswer(Answer):
    """A response of our own engine."""

    def __init__(self, body: "AiohttpBody", pool: Pool, lenders: Pools) -> None:
        """Take over a response.

        Args:
            body: From the engine.
            pool: Where the connection comes from; closes it if this answer is lost.
            lenders: Kept alive, since a collected client closes its pools and a stream may outlive
                its client.
        """
        super().__init__(body.status, body.raw_headers)
        self._body = body
        self._next_piece = body.next_piece
        self._lenders: Pools | None = lenders
        self._give_back: Callable[[], object] = pool.lend(body, self)
        self._decoded: AsyncGenerator[bytes] | None = None
        # Not from `headers`, which keep one of two lines with the same name.
        if "content-encoding" in self.headers and (encoding := body.encoding()) not in _PLAIN:
            self._decoded = _decoded(body, encoding)

    async def next_piece(self, deadline: float = _FOREVER) -> bytes | None:  # noqa: ARG002
        """Return the next bytes of the body, or None at its end; `abort` watches the time."""
        try:
            if self._decoded is not None:
                return await anext(self._decoded, None)
            return await self._next_piece() or None
        except foreign_errors() as error:
            if unread := self._body.unread():
                return unread
            raise transport_error(error, in_body=True) from shown_cause(error)

    def abort(self) -> bool:
        """Break the connection, so that a reader that waits wakes."""
        self._body.abort()
        return True

    async def aclose(self) -> None:
        """Free the connection; one that is not read to the end is closed."""
        if self._decoded is not None:
            with contextlib.suppress(*foreign_errors(), RuntimeError):
                await self._decoded.aclose()
        await self._body.aclose()  # never waits
        self._give_back()
        self._lenders = None


class ClientAnswer(Answer):
    """A response of a caller's own HTTP client."""

    def __init__(self, response: httpx.Response) -> None:
        """Take over a response."""
        super().__init__(response.status_code, response.headers.raw)
        self._response = response
        self._pieces = _pieces_of(response)

    async def next_piece(self, deadline: float = _FOREVER) -> bytes | None:
        """Return the next bytes of the body, or None at its end."""
        try:
            if deadline == _FOREVER:
                return await anext(self._pieces, None)
            with anyio.CancelScope(deadline=deadline) as scope:
                return await anext(self._pieces, None)
        except foreign_errors() as error:
            raise transport_error(error, in_body=True) from shown_cause(error)
        if scope.cancelled_caught:
            raise TimeoutError
        raise AssertionError  # a scope that is left without a result was cancelled

    def abort(self) -> bool:
        """Nothing of a foreign client can be broken from outside."""
        return False

    async def aclose(self) -> None:
        """Free the connection; one that is not read to the end is closed."""
        # Shielded, so that a cancelled caller still gives the connection back.
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            for close in (self._pieces.aclose, self._response.aclose):
                # Closing a broken connection has nothing to tell, and a generator that another
                # task is reading (a RuntimeError) ends when the response does.
                with contextlib.suppress(*foreign_errors(), RuntimeError):
                    await close()


async def _decoded(body: "AiohttpBody", encoding: str) -> AsyncGenerator[bytes]:
    if encoding not in {"gzip", "deflate", "x-gzip"}:
        raise _unreadable(encoding)
    response = httpx.Response(body.status, headers=list(body.raw_headers), stream=body)
    async for piece in response.aiter_bytes():
        yield piece


async def _pieces_of(response: httpx.Response) -> AsyncGenerator[bytes]:
    """Give the body, and the connection back.

    The event loop closes a generator that is collected half read, so a stream that somebody
    drops does not keep its connection.
    """
    try:
        # What a caller's own client decodes is up to it, but never twice.
        if "," in (encoding := response.headers.get("content-encoding", "")):
            raise _unreadable(encoding)
        async for piece in response.aiter_bytes():
            yield piece
    finally:
        await response.aclose()


def _unreadable(encoding: str) -> TransportError:
    # One coding on another multiplies what a few bytes can grow to.
    return TransportError(FaultKind.GARBLED, f"A body in the coding {encoding[:40]!r}")
