"""A response whose head has arrived, and the ways to read its body."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final

import anyio
import httpx

from mbxai.openrouter._network import (
    FaultKind,
    TransportError,
    foreign_errors,
    shown_cause,
    transport_error,
)
from mbxai.openrouter._pools import Pool, Pools

if TYPE_CHECKING:  # loads the engine, which takes a tenth of a second
    from mbxai.openrouter._engine import AiohttpBody

_CLOSE_SECONDS: Final = 1.0
_FOREVER: Final = float("inf")


class Answer(ABC):
    """A response. Reading it to the end or `aclose` frees the connection.

    Attributes:
        status: HTTP status.
        headers: Response headers, names in lower case.
    """

    def __init__(self, response: httpx.Response) -> None:
        """Take over a response whose body is still to be read."""
        self._response = response
        self.status: int = response.status_code
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers.raw
        }

    @property
    def media_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def location(self) -> str:
        """Where a redirect points to; empty where there is none."""
        return self.headers.get("location", "")

    @abstractmethod
    async def next_piece(self, deadline: float = _FOREVER) -> bytes | None:
        """Return the next bytes of the body, or None at its end.

        Args:
            deadline: Moment of the event loop's clock until which to wait, where `abort` cannot
                wake a reader.

        Raises:
            TransportError: The connection broke.
            TimeoutError: The deadline passed.
        """

    @abstractmethod
    def abort(self) -> bool:
        """Break the connection, so that a reader that waits wakes; false if that is impossible."""

    @abstractmethod
    async def aclose(self) -> None:
        """Free the connection; one that is not read to the end is closed."""

    async def read(self, *, max_bytes: int) -> bytes:
        """Return the whole body and free the connection.

        Args:
            max_bytes: Most bytes after decompression.

        Raises:
            TransportError: The connection broke, or the body is larger than allowed.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            while (piece := await self.next_piece()) is not None:
                size += len(piece)
                if size > max_bytes:
                    raise TransportError(
                        FaultKind.TOO_LARGE, f"The answer is larger than {max_bytes} bytes."
                    )
                pieces.append(piece)
        finally:
            await self.aclose()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class PooledAnswer(Answer):
    """A response of our own engine."""

    def __init__(
        self, response: httpx.Response, body: "AiohttpBody", pool: Pool, lenders: Pools
    ) -> None:
        """Take over a response.

        Args:
            response: From the engine.
            body: Its stream.
            pool: Where the connection comes from; closes it if this answer is lost.
            lenders: Kept alive, since a collected client closes its pools and a stream may outlive
                its client.
        """
        super().__init__(response)
        self._body = body
        self._next_piece = body.next_piece
        self._lenders: Pools | None = lenders
        self._give_back: Callable[[], object] = pool.lend(body, self)
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        self._decoded = None if encoding in {"", "identity"} else _decoded(response, encoding)

    async def next_piece(self, deadline: float = _FOREVER) -> bytes | None:  # noqa: ARG002
        """Return the next bytes of the body, or None at its end; `abort` watches the time."""
        try:
            if self._decoded is not None:
                return await anext(self._decoded, None)
            return await self._next_piece() or None
        except foreign_errors() as error:
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
        super().__init__(response)
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


async def _decoded(response: httpx.Response, encoding: str) -> AsyncGenerator[bytes]:
    if encoding not in {"gzip", "deflate", "x-gzip"}:
        # One coding on another multiplies what a few bytes can grow to.
        raise TransportError(FaultKind.GARBLED, f"A body in the coding {encoding[:40]!r}")
    async for piece in response.aiter_bytes():
        yield piece


async def _pieces_of(response: httpx.Response) -> AsyncGenerator[bytes]:
    """Give the body, and the connection back.

    The event loop closes a generator that is collected half read, so a stream that somebody
    drops does not keep its connection.
    """
    try:
        async for piece in response.aiter_bytes():
            yield piece
    finally:
        await response.aclose()
