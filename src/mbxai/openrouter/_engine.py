"""The engine of clients that are given no `http_client`: aiohttp.

Stock httpx loses pool slots when asyncio cancels a request and searches its pool once for each
connection; aiohttp does neither. It is not put behind the transport interface of httpx, as the
package httpx-aiohttp does: building httpx's objects would be a quarter of what a call costs.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
import anyio
import httpx
from aiohttp.client_proto import ResponseHandler
from pydantic import SecretStr
from yarl import URL

from mbxai.openrouter._connection_use import connection_use

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult
    from aiohttp.client_reqrep import ClientRequest, ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_MAX_PIECE_BYTES: Final = 16 * 1024
RESOLVE_SECONDS: Final = 5.0


class AiohttpBody(httpx.AsyncByteStream):
    """A response whose body is still to be read, in pieces as they come.

    Attributes:
        status: HTTP status.
        raw_headers: As they came.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status: int = response.status
        self.raw_headers: tuple[tuple[bytes, bytes], ...] = response.raw_headers
        self._response = response
        self._content = response.content
        # Bound once: called for each piece of a stream.
        self.next_piece: Callable[[], Awaitable[bytes]] = self._content.readany
        """Returns the next bytes, all that are there; none at the end."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the body in small pieces, since a compressed one may grow a thousandfold."""
        try:
            async for piece in self._content.iter_chunked(_MAX_PIECE_BYTES):
                yield piece
        except (aiohttp.ClientError, OSError):
            if unread := self.unread():
                yield unread
            raise

    def unread(self) -> bytes:
        """Return what had arrived when the connection broke; the engine itself withholds it."""
        content: Any = self._content  # Any: there is no public way to what it withholds
        return content._read_nowait(-1) if getattr(content, "_buffer", None) else b""  # noqa: SLF001

    def encoding(self) -> str:
        """Return the codings of the body, in lower case; empty where there is none."""
        return ", ".join(self._response.headers.getall("content-encoding", ())).strip().lower()

    @property
    def is_at_end(self) -> bool:
        """Whether all has been read; the connection is free then."""
        return self._content.at_eof()

    async def aclose(self) -> None:
        """Free the connection; one that is not read to the end is closed."""
        if not self._content.at_eof():
            self._response.close()
        self._response.release()

    def abort(self) -> None:
        """Break the connection now, so that a reader that waits for it wakes with an error."""
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()


class Engine:
    """Sends requests with aiohttp; belongs to the event loop of its first request."""

    def __init__(
        self, context: ssl.SSLContext, proxy: httpx.Proxy | None, *, limits: httpx.Limits
    ) -> None:
        """Open nothing yet.

        Args:
            context: Certificates to trust.
            proxy: Through which every connection goes.
            limits: Most connections, and seconds that an unused one is kept.
        """
        self._context = context
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None
        self._proxy = None if proxy is None else URL(str(proxy.url))
        self._proxy_headers = None if proxy is None else dict(proxy.headers)
        self._urls: dict[str, URL] = {}

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[bytes, bytes],
        body: bytes | None,
        token: SecretStr,
        connect_seconds: float | None,
    ) -> AiohttpBody:
        """Send a request and return the response as soon as its head is there.

        Args:
            method: Of HTTP.
            url: Whole address.
            headers: All but the key's; UTF-8.
            body: What is sent; None for nothing.
            token: The key.
            connect_seconds: For a new connection, its TLS included.
        """
        session = self._session or self._open()
        text = [(name.decode("ascii"), value.decode("utf-8")) for name, value in headers.items()]
        response = await session.request(
            method,
            self._url(url),
            # Not through a variable, which error reporters would show.
            headers=[*text, ("authorization", f"Bearer {token.get_secret_value()}")],
            data=body or None,
            allow_redirects=False,
            timeout=_timeout(connect_seconds),
            proxy=self._proxy,
            proxy_headers=self._proxy_headers,
        )
        return AiohttpBody(response)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def forget(self) -> None:
        """Let go of connections whose loop is closed, where nothing can be awaited any more."""
        session = self._session
        if session is not None and session.connector is not None:
            closing = session.connector.close()  # on a closed loop it only drops what it holds
            session.detach()
            for _ in closing.__await__():  # run out, since it complains if nobody awaits it
                pass

    def _open(self) -> aiohttp.ClientSession:
        """Make the session; called inside the loop that will use it."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=self._limits.max_connections or 0,
                keepalive_timeout=self._limits.keepalive_expiry or 0.0,
                ssl=self._context,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        # What is sent again is decided above; by itself it would repeat a DELETE, unseen.
        self._session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return self._session

    def _url(self, url: str) -> URL:
        known = self._urls.get(url)
        if known is None:
            if len(self._urls) > 1000:  # addresses of resources are without number
                self._urls.clear()
            known = self._urls[url] = URL(url, encoded=True)
        return known


class _Connection(ResponseHandler):
    """A connection that wakes its reader whenever it ends.

    The engine leaves a reader waiting for ever if bytes come that are no chunk of the body.
    """

    was_used = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what is still being read."""
        payload = getattr(self, "_payload", None)
        super().connection_lost(exc)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(aiohttp.ClientPayloadError("The body is not complete"))


class _Connector(aiohttp.TCPConnector):
    """A connector that tells whether a connection is a used one."""

    def __init__(self, *, limit: int, keepalive_timeout: float, ssl: ssl.SSLContext) -> None:
        # Unknown, because the engine names a type of its own without its parameters.
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            limit=limit, keepalive_timeout=keepalive_timeout, ssl=ssl, resolver=_Resolver()
        )
        # The engine's own place for it, since it has no public one.
        self._factory = functools.partial(_Connection, loop=asyncio.get_running_loop())

    async def connect(
        self,
        req: "ClientRequest",
        traces: "list[Trace]",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # the engine's own signature
    ) -> "Connection":
        """Get a connection from the pool, or make a new one."""
        connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        use = connection_use.get()
        if use is not None and protocol is not None:
            use.was_reused = getattr(protocol, "was_used", False)
            cast("_Connection", protocol).was_used = True
        return connection

    # The engine's own step, since it has no public one: without it, an idle connection is taken.
    async def _get(self, key: "ConnectionKey", traces: "list[Trace]") -> "Connection | None":
        use = connection_use.get()
        return None if use is not None and use.is_new else await super()._get(key, traces)


class _Resolver(aiohttp.ThreadedResolver):
    """Asks the system for addresses, but not for ever: the engine sets no limit to that."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> "list[ResolveResult]":
        """Return the addresses of a host."""
        with anyio.move_on_after(RESOLVE_SECONDS):
            return await super().resolve(host, port, family)
        raise aiohttp.ConnectionTimeoutError(f"No address of {host} was found in time")


@functools.cache
def _timeout(connect_seconds: float | None) -> aiohttp.ClientTimeout:
    # Reading and waiting for a free connection end with the budget of the call.
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
