"""The door to the protocol's package, on the client's side: transports and the client on them.

Everything of `mcp` and its HTTP client is imported here and in the transports beside this file, at
first use: loading it takes a second.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

import anyio

from mbxai._redaction import get_logger
from mbxai._version import __version__
from mbxai.mcp.auth._certificates import certificates
from mbxai.mcp.connection._foreign_logs import guard_foreign_logs
from mbxai.mcp.connection._http import make_http
from mbxai.mcp.connection._repairs import mended
from mbxai.mcp.connection._requested import Answers, client_callbacks
from mbxai.mcp.connection._sse import event_streams
from mbxai.mcp.connection._stderr import StderrTail
from mbxai.mcp.connection._stdio import child_streams
from mbxai.mcp.connection._targets import Endpoint, ServerTarget
from mbxai.mcp.connection._watch import ConnectionWatch, is_probing, is_reply

if TYPE_CHECKING:  # slow to load
    import httpx2
    from mcp import Client
    from mcp.shared.message import SessionMessage

_TRANSPORT_LOGGERS: Final = ("mcp.client.streamable_http",)
_FAREWELL: Final = "Session termination failed"
_STOP_SECONDS: Final = 2.0


class OtherVersionError(Exception):
    """The server speaks the protocol, and not the one version that was asked for."""


async def load_package(endpoint: Endpoint) -> None:
    """Load the protocol's package, in a worker thread: that takes a second, once in a process.

    Args:
        endpoint: Which way will be taken.
    """
    await anyio.to_thread.run_sync(_load, endpoint.kind in ("http", "sse"))


def _load(with_http: bool) -> None:  # a thread takes positional arguments
    import mcp

    del mcp
    if with_http:
        certificates()


def make_client(
    endpoint: Endpoint,
    target: ServerTarget,
    watch: ConnectionWatch,
    stderr: StderrTail | None,
    auth: "httpx2.Auth | None",
    answers: Answers,
) -> "Client":
    """Return a client that connects when it is entered; it can be entered once.

    Args:
        endpoint: Which way to take.
        target: The server.
        watch: Told what happens on the wire.
        stderr: Takes what a child process writes to its standard error.
        auth: Signs HTTP requests.
        answers: What the server is answered when it asks, and who is told when it tells something.
    """
    from mcp import Client
    from mcp_types import Implementation

    _tame_loggers()
    return Client(
        _watched_streams(endpoint, target, watch, stderr, auth),
        mode=endpoint.mode,
        client_info=Implementation(name="mbxai", version=__version__),
        cache=None,  # tools are kept in our own registry
        log_level=cast("Any", answers.log_level),
        **client_callbacks(answers),
    )


async def agree_on_pinned(client: "Client", version: str) -> None:
    """Ask a server that is spoken to in a given version what it offers.

    Args:
        client: A client that was entered without a word to the server.
        version: The version.

    Raises:
        OtherVersionError: The server does not know that version.
    """
    from mcp import MCPError
    from mcp_types import METHOD_NOT_FOUND, DiscoverResult

    try:
        raw = await client.session.send_discover(version)
    except MCPError as error:
        if error.code != METHOD_NOT_FOUND:
            raise
        raise OtherVersionError(f"it does not speak version {version}") from error
    client.session.adopt(DiscoverResult.model_validate(raw))


def error_code(error: BaseException) -> int | None:
    """Return the protocol's code of an error that the server or the transport reported, or None."""
    from mcp import MCPError

    return error.code if isinstance(error, MCPError) else None


@cache
def _tame_loggers() -> None:
    """Take secrets out of what the transports log, and failures of ways that are only tried."""

    def is_worth_a_line(record: logging.LogRecord) -> bool:
        # The caller gets an error that says more than the traceback that is logged with it; and
        # that a session could not be ended is no news of a server that is gone.
        return record.levelno < logging.WARNING or not (
            is_probing.get()
            or record.exc_info
            or record.exc_text
            or record.getMessage().startswith(_FAREWELL)
        )

    guard_foreign_logs()
    for name in _TRANSPORT_LOGGERS:
        get_logger(name).addFilter(is_worth_a_line)


@asynccontextmanager
async def _watched_streams(
    endpoint: Endpoint,
    target: ServerTarget,
    watch: ConnectionWatch,
    stderr: StderrTail | None,
    auth: "httpx2.Auth | None",
) -> AsyncGenerator[tuple["_WatchedReads", "_WatchedWrites"], None]:
    async with AsyncExitStack() as stack:
        transport = await _open_transport(endpoint, target, watch, stderr, auth, stack)
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
    auth: "httpx2.Auth | None",
    stack: AsyncExitStack,
) -> AbstractAsyncContextManager[tuple[Any, Any]]:
    if endpoint.kind == "memory":
        return _object_streams(target.server)
    if endpoint.kind == "stdio":
        return child_streams(target, watch, cast("StderrTail", stderr))
    is_sse = endpoint.kind == "sse"
    http = await stack.enter_async_context(make_http(target, watch, auth, is_one_session=is_sse))
    if is_sse:
        return event_streams(endpoint.url, http, target, watch)
    from mcp.client.streamable_http import streamable_http_client

    return streamable_http_client(
        endpoint.url, http_client=http, max_sse_event_size=target.max_message_bytes
    )


@asynccontextmanager
async def _object_streams(server: Any) -> AsyncGenerator[tuple[Any, Any], None]:
    """Serve an object of this process, over streams of messages: both eras, as on any wire."""
    from mcp.shared.memory import create_client_server_memory_streams

    low_level = getattr(server, "mcp_server", server)
    has_ended = anyio.Event()

    async def serve(reads: Any, writes: Any) -> None:
        try:
            await low_level.run(reads, writes, low_level.create_initialization_options())
        finally:
            has_ended.set()

    async with (
        create_client_server_memory_streams() as (client, far),
        anyio.create_task_group() as g,
    ):
        g.start_soon(serve, *far)
        try:
            yield client
        finally:
            await client[1].aclose()
            await far[1].aclose()
            with anyio.move_on_after(_STOP_SECONDS, shield=True):
                await has_ended.wait()
            g.cancel_scope.cancel()


class _WatchedReads:
    """The server's messages: their end is noted, malformed lists are mended."""

    def __init__(self, inner: Any, watch: ConnectionWatch) -> None:
        from mcp_types import JSONRPCError, JSONRPCResponse

        self._inner = inner
        self._watch = watch
        self._receive: Callable[[], Any] = inner.receive
        self._scope: anyio.CancelScope | None = None
        self._result, self._error = JSONRPCResponse, JSONRPCError

    @property
    def last_context(self) -> Any:
        """The context in which the last message was sent, where the transport keeps it."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> "SessionMessage | Exception":
        """Return the next message.

        Raises:
            EndOfStream: There are no more.
        """
        try:
            item = await self._receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError) as error:
            if isinstance(error, anyio.EndOfStream) and not self._watch.problem:
                self._watch.has_hung_up = True
            self._watch.end()
            raise
        message: Any = getattr(item, "message", None)
        kind = cast("type[Any]", type(message))
        if kind is self._result or kind is self._error:
            asked = self._watch.requests.pop(message.id, None)
            if asked is not None and kind is self._result:
                method, call = asked
                if method == "tools/list":  # the package would refuse the whole list
                    message.result = mended(method, self._watch.version, message.result)
                call.raw = message.result
        return item

    async def aclose(self) -> None:
        """Close the transport's stream."""
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "SessionMessage | Exception":
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        self._scope = self._watch.reading()
        self._scope.__enter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        is_over = self._scope is not None and self._scope.__exit__(exc_type, exc_val, exc_tb)
        self._watch.end()
        await self.aclose()
        return bool(is_over)


class _WatchedWrites:
    """Our messages: requests are noted."""

    def __init__(self, inner: Any, watch: ConnectionWatch) -> None:
        from mcp_types import JSONRPCRequest

        self._inner = inner
        self._watch = watch
        self._request = JSONRPCRequest

    async def send(self, item: "SessionMessage", /) -> None:
        """Send a message."""
        message = item.message
        is_request = type(message) is self._request
        if is_request:
            # Before the hand-over: a cancelled send may have delivered all the same.
            self._watch.note_request(message.id, message.method)
        # An answer is sent in the context of the call that the server asks in.
        token = is_reply.set(not is_request)
        try:
            await self._inner.send(item)
        finally:
            is_reply.reset(token)

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
