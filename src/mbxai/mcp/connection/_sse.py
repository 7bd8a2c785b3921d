"""The older transport over HTTP: one stream of events from the server, a POST for each message.

Ours and not the package's: that one ends the whole connection at an event of more than 1 MiB, and
stops to send, without a word, after the first POST that fails.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

import anyio

from mbxai._redaction import get_logger
from mbxai.mcp.connection._failures import too_large
from mbxai.mcp.connection._http import sent_within_origin
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.connection._watch import ConnectionWatch, note_failure

if TYPE_CHECKING:  # slow to load
    import httpx2
    from mcp.shared.message import SessionMessage

logger = get_logger(__name__)

_HEADERS: Final = {"Accept": "text/event-stream", "Cache-Control": "no-store"}


@asynccontextmanager
async def event_streams(
    url: str, http: "httpx2.AsyncClient", target: ServerTarget, watch: ConnectionWatch
) -> AsyncGenerator[tuple["EventReads", "PostWrites"], None]:
    """Open the stream of events and return the streams of messages.

    Args:
        url: Where the events come from.
        http: Makes the requests.
        target: The server.
        watch: Told what happens on the wire.
    """
    from httpx2 import EventSource

    request = http.build_request("GET", url, headers=_HEADERS)
    async with sent_within_origin(http, request) as response:
        response.raise_for_status()
        source = EventSource(response, max_event_size=target.max_message_bytes)
        events = aiter(source)
        try:
            place = await _place(events, url)
            yield EventReads(events, watch), PostWrites(http, place)
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()


class EventReads:
    """The server's messages."""

    def __init__(self, events: AsyncIterator[Any], watch: ConnectionWatch) -> None:
        """Read from a stream of events."""
        self._events = events
        self._watch = watch

    async def receive(self) -> "SessionMessage":
        """Return the next message.

        Raises:
            EndOfStream: There are no more.
        """
        from httpx2 import HTTPError, SSEError, StreamError
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        while True:
            try:
                event = await anext(self._events)
            except StopAsyncIteration:
                raise anyio.EndOfStream from None
            except SSEError as error:
                self._watch.problem = self._problem(error)
                raise anyio.EndOfStream from None
            except (HTTPError, StreamError) as error:
                logger.debug("A stream of events has ended: %s", type(error).__name__)
                raise anyio.EndOfStream from None
            if event.event != "message" or not event.data:
                continue
            try:
                message = jsonrpc_message_adapter.validate_json(event.data, by_name=False)
            except ValueError:
                self._watch.skipped += 1
                continue
            return SessionMessage(message)

    async def aclose(self) -> None:
        """Do nothing; the stream is closed by its owner."""

    def _problem(self, error: Exception) -> str:
        size = too_large(str(error))
        if not size:
            return str(error)
        self._watch.is_too_large = True
        return f"it sent a message of more than {size} bytes"


class PostWrites:
    """Our messages, each in a request of the caller's own task: a failure is that caller's."""

    def __init__(self, http: "httpx2.AsyncClient", place: str) -> None:
        """Post to an address."""
        self._http = http
        self._place = place

    async def send(self, item: "SessionMessage", /) -> None:
        """Send a message.

        Raises:
            BrokenResourceError: It could not be sent, or was refused.
        """
        from httpx2 import ConnectError, ConnectTimeout, HTTPError, PoolTimeout

        body = item.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
        request = self._http.build_request("POST", self._place, json=body)
        try:
            async with sent_within_origin(self._http, request) as response:
                response.raise_for_status()
        except HTTPError as error:
            was_sent = not isinstance(error, (ConnectError, ConnectTimeout, PoolTimeout))
            note_failure(error, item, was_sent=was_sent)
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Do nothing; the client is closed by its owner."""


async def _place(events: AsyncIterator[Any], url: str) -> str:
    """Return where messages go; the server's first event says it."""
    async for event in events:
        if event.event != "endpoint":
            continue
        place = urljoin(url, event.data)
        if urlsplit(place)[:2] != urlsplit(url)[:2]:
            raise ConnectionError("it wants messages sent to another server")
        return place
    raise ConnectionError("the stream of events ended before it began")
