"""The door to the protocol's package, on the client's side: transports and the client on them.

Everything of `mcp` and its HTTP client is imported here, at first use: loading it takes a second.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

import anyio

from mbxai._redaction import get_logger
from mbxai._version import __version__
from mbxai.mcp._repairs import mended
from mbxai.mcp._stderr import StderrTail
from mbxai.mcp._targets import Endpoint, ServerTarget
from mbxai.mcp._watch import ConnectionWatch, is_probing, note_unsent, note_written

if TYPE_CHECKING:  # slow to load
    import httpx2
    from mcp import Client
    from mcp.client import Transport
    from mcp.shared.message import SessionMessage
    from mcp_types import CallToolResult

MAX_EVENT_BYTES: Final = 64 * 1024 * 1024
"""Largest single message over server-sent events; the package's own limit of 1 MiB cuts results."""

_TRANSPORT_LOGGERS: Final = ("mcp.client.streamable_http", "mcp.client.sse", "mcp.client.stdio")
_HTTP_SECONDS: Final = 30.0
_MAX_WAITING: Final = 10_000
_OLDEST_VERSION: Final = "2025-11-25"
_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"


def make_client(
    endpoint: Endpoint, target: ServerTarget, watch: ConnectionWatch, stderr: StderrTail | None
) -> "Client":
    """Return a client that connects when it is entered; it can be entered once.

    Args:
        endpoint: Which way to take.
        target: The server.
        watch: Told what happens on the wire.
        stderr: Takes what a child process writes to its standard error.
    """
    from mcp import Client
    from mcp_types import Implementation

    _tame_loggers()
    return Client(
        _watched_streams(endpoint, target, watch, stderr),
        mode=endpoint.mode,
        client_info=Implementation(name="mbxai", version=__version__),
        cache=None,  # tools are kept in our own registry
    )


def accept_any_result(client: "Client") -> None:
    """Let results through that do not fit their tool's output schema.

    The package would raise, and lose a result whose tool has run; the mismatch is noted in the
    result instead.

    Args:
        client: A connected client.
    """

    async def accept(name: str, result: "CallToolResult") -> None:
        del name, result
        await anyio.lowlevel.checkpoint()

    client.session.validate_tool_result = accept


def error_code(error: BaseException) -> int | None:
    """Return the protocol's code of an error that the server or the transport reported, or None."""
    from mcp import MCPError

    return error.code if isinstance(error, MCPError) else None


@cache
def _tame_loggers() -> None:
    """Take secrets out of what the transports log, and failures of ways that are only tried."""

    def is_worth_a_line(record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING or not is_probing.get()

    for name in _TRANSPORT_LOGGERS:
        get_logger(name).addFilter(is_worth_a_line)


@asynccontextmanager
async def _watched_streams(
    endpoint: Endpoint, target: ServerTarget, watch: ConnectionWatch, stderr: StderrTail | None
) -> AsyncGenerator[tuple["_WatchedReads", "_WatchedWrites"], None]:
    async with AsyncExitStack() as stack:
        transport = await _open_transport(endpoint, target, watch, stderr, stack)
        reads, writes = await stack.enter_async_context(transport)
        if stderr is not None:
            stderr.release_writer()
        watch.has_streams = True
        yield _WatchedReads(reads, watch), _WatchedWrites(writes, watch)


async def _open_transport(
    endpoint: Endpoint,
    target: ServerTarget,
    watch: ConnectionWatch,
    stderr: StderrTail | None,
    stack: AsyncExitStack,
) -> "Transport":
    if endpoint.kind == "stdio":
        from mcp.client.stdio import StdioServerParameters, stdio_client

        parameters = StdioServerParameters(
            command=target.command[0],
            args=list(target.command[1:]),
            env=dict(target.env),
            cwd=target.cwd,
            encoding_error_handler="replace",
        )
        return stdio_client(parameters) if stderr is None else stdio_client(parameters, stderr.file)
    make_http = _http_client_factory(target, watch)
    if endpoint.kind == "sse":
        from mcp.client.sse import sse_client

        return sse_client(endpoint.url, httpx_client_factory=make_http)
    from mcp.client.streamable_http import streamable_http_client

    http = await stack.enter_async_context(make_http())
    return streamable_http_client(
        endpoint.url, http_client=http, max_sse_event_size=MAX_EVENT_BYTES
    )


def _http_client_factory(
    target: ServerTarget, watch: ConnectionWatch
) -> Callable[..., "httpx2.AsyncClient"]:
    import httpx2

    async def note_response(response: httpx2.Response) -> None:
        if response.request.method == "POST":
            of_session = "mcp-session-id" in response.request.headers
            watch.note_status(response.status_code, of_session=of_session)
        elif response.status_code >= 400 and not watch.has_streams:
            watch.status = response.status_code

    def make_http(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        del timeout  # a silent server is no broken one: every call has a deadline of its own
        return _noting_client_class()(
            headers={**(headers or {}), **target.headers},
            timeout=httpx2.Timeout(_HTTP_SECONDS, read=None),
            auth=auth,
            event_hooks={"response": [note_response]},
        )

    return make_http


@cache
def _noting_client_class() -> "type[httpx2.AsyncClient]":
    import httpx2

    class NotingClient(httpx2.AsyncClient):
        """Notes which requests never left this machine."""

        async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            try:
                return await super().send(request, **options)
            except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
                # Not a GET: it would resume the answer to a request that has arrived.
                if request.method == "POST":
                    note_unsent()
                raise

    return NotingClient


class _WatchedReads:
    """The server's messages: their end is noted, malformed results are mended."""

    def __init__(self, inner: Any, watch: ConnectionWatch) -> None:
        self._inner = inner
        self._watch = watch

    @property
    def last_context(self) -> Any:
        """The context in which the last message was sent, where the transport keeps it."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> "SessionMessage | Exception":
        """Return the next message.

        Raises:
            EndOfStream: There are no more.
        """
        item = await self._watch.read(self._inner.receive)
        return self._mended(item)

    async def aclose(self) -> None:
        """Close the transport's stream."""
        await self._inner.aclose()

    def _mended(self, item: Any) -> Any:
        from mcp_types import JSONRPCResponse

        message = getattr(item, "message", None)
        if isinstance(message, JSONRPCResponse):
            request = self._watch.requests.pop(message.id, None)
            if request is not None:
                message.result = mended(*request, message.result)
        return item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "SessionMessage | Exception":
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()


class _WatchedWrites:
    """Our messages: requests are noted."""

    def __init__(self, inner: Any, watch: ConnectionWatch) -> None:
        self._inner = inner
        self._watch = watch

    async def send(self, item: "SessionMessage", /) -> None:
        """Send a message."""
        from mcp_types import JSONRPCRequest

        message = item.message
        if isinstance(message, JSONRPCRequest):
            meta = cast("dict[str, Any]", (message.params or {}).get("_meta") or {})
            version = str(meta.get(_VERSION_KEY, _OLDEST_VERSION))
            if message.method in ("tools/list", "tools/call"):
                if len(self._watch.requests) >= _MAX_WAITING:
                    # The oldest; cancelled requests get no answer that would remove them.
                    del self._watch.requests[next(iter(self._watch.requests))]
                self._watch.requests[message.id] = message.method, version
            # Before the hand-over: a cancelled send may have delivered all the same.
            note_written()
        await self._inner.send(item)

    async def aclose(self) -> None:
        """Close the transport's stream."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()
