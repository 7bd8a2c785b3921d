"""A server that stays reachable: connects when needed, again after a death, and makes calls.

What a call's failure means is decided here: nothing was run, the outcome is unknown, or the server
said no. Only the first is repeated. A connection belongs to one event loop; callers on other loops
have their requests made there.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import anyio

from mbxai._redaction import get_logger, redact
from mbxai.errors import MCPConnectionError, MCPProtocolError, MCPToolError
from mbxai.mcp._failures import describe, root_cause
from mbxai.mcp._link import Link
from mbxai.mcp._loops import LoopUnavailableError, run_on
from mbxai.mcp._targets import Endpoint, ServerTarget, endpoints
from mbxai.mcp._transport import error_code
from mbxai.mcp._watch import CallNote, current_call

if TYPE_CHECKING:  # slow to load
    from mcp import Client

T = TypeVar("T")

logger = get_logger(__name__)

MAX_PAGES: Final = 100
"""How many pages of a list are read."""

_CONNECTION_CLOSED: Final = -32000
# The same code also stands for one lost answer; only with this text is it the whole connection.
_CLOSED_TEXT: Final = "Connection closed"


class _NeverRanError(Exception):
    """The server provably did not see the call."""


class ServerConnection:
    """One registered server."""

    def __init__(self, target: ServerTarget) -> None:
        """Take the server's settings; nothing is opened.

        Args:
            target: The server.
        """
        self.target = target
        self._link: Link | None = None
        self._retired: set[Link] = set()
        self._known_way: Endpoint | None = None
        self._is_closed = False
        self._process = os.getpid()
        self._home: asyncio.AbstractEventLoop | None = None  # the loop of all that is open
        self._moving = threading.Lock()  # guards _home

    async def list_tools(self) -> list[dict[str, Any]]:
        """Return all tools of the server, as the JSON of the protocol.

        Raises:
            MCPConnectionError: The server cannot be reached, or went away.
            MCPToolError: The server refused, or did not answer in time.
            MCPProtocolError: The answer is not allowed by the protocol.
        """
        return await self._request("the request for its tools", self._read_tools)

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Run a tool of the server.

        Args:
            name: The server's own name of the tool.
            arguments: Its arguments.

        Returns:
            The `CallToolResult` as JSON; a tool that failed is a result with `isError`.

        Raises:
            MCPConnectionError: The server cannot be reached, or went away during the call.
            MCPToolError: The server refused the call, or did not answer in time.
            MCPProtocolError: The answer is not allowed by the protocol; the tool has run.
        """

        async def call(client: "Client") -> dict[str, Any]:
            result = await client.call_tool(name, dict(arguments))
            return result.model_dump(by_alias=True, mode="json", exclude_none=True)

        return await self._request(f"the call of {name!r}", call)

    def check_open(self) -> None:
        """Raise if the connection has been closed.

        Raises:
            MCPConnectionError: It has.
        """
        if self._is_closed:
            name = self.target.name
            raise MCPConnectionError(
                f"The connection to MCP server {name!r} is closed.",
                hint="Register the server again.",
                server=name,
            )

    async def aclose(self) -> None:
        """End the connection and wait for it; safe from any task, and more than once."""
        self._is_closed = True
        links = [*self._retired, *([self._link] if self._link else [])]
        self._link = None
        if self._process != os.getpid():
            return  # a forked child; the connection is its parent's
        running = asyncio.get_running_loop()
        for link in links:
            if link.loop is running:
                await link.aclose()
            elif link.loop.is_running():
                try:
                    await run_on(link.loop, link.aclose)
                except LoopUnavailableError as error:
                    logger.warning(
                        "The connection to MCP server %s is left open: its event loop %s",
                        self.target.name,
                        error,
                    )

    async def _request(self, what: str, ask: Callable[["Client"], Awaitable[T]]) -> T:
        """Make a request on the loop of the connection, wherever the caller runs."""
        self.check_open()
        while (home := self._home_loop()) is not asyncio.get_running_loop():
            try:
                return await run_on(home, partial(self._request_here, what, ask))
            except LoopUnavailableError as error:
                if not error.has_begun and not home.is_running():
                    continue  # nothing was sent, and the connection may move
                self._raise_unavailable(what, error)
        return await self._request_here(what, ask)

    def _home_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the connection; the running one if there is no other that lives."""
        if self._process != os.getpid():  # a forked child; the parent's loop only looks alive
            self._link = self._home = None
            self._retired.clear()
            self._process, self._moving = os.getpid(), threading.Lock()
        with self._moving:
            if self._home is None or not self._home.is_running():
                self._home = asyncio.get_running_loop()
            return self._home

    def _raise_unavailable(self, what: str, error: LoopUnavailableError) -> NoReturn:
        name = self.target.name
        if error.has_begun:
            raise MCPConnectionError(
                f"The event loop of the connection to MCP server {name!r} ended during {what}.",
                hint="Whether it was run is not known.",
                server=name,
            ) from error
        raise MCPConnectionError(
            f"The connection to MCP server {name!r} belongs to another event loop, which stands"
            f" still, so {what} could not be sent. Nothing was run.",
            hint="Do not block that loop: await an async client there, or register with MCPClient.",
            server=name,
        ) from error

    async def _request_here(self, what: str, ask: Callable[["Client"], Awaitable[T]]) -> T:
        try:
            return await self._attempt(what, ask)
        except _NeverRanError:
            logger.info("MCP server %s is gone; connecting again", self.target.name)
        try:
            return await self._attempt(what, ask)
        except _NeverRanError as error:
            raise MCPConnectionError(
                f"MCP server {self.target.name!r} went away twice before {what} could be sent.",
                hint="Nothing was run.",
                server=self.target.name,
            ) from error.__cause__

    async def _attempt(self, what: str, ask: Callable[["Client"], Awaitable[T]]) -> T:
        link = self._current_link()
        client = await link.client()
        if client is None:
            raise _NeverRanError
        self._known_way = link.endpoint
        note = CallNote()
        token = current_call.set(note)
        try:
            with anyio.fail_after(self.target.timeout):
                return await ask(client)
        except TimeoutError as error:
            raise MCPToolError(
                f"MCP server {self.target.name!r} did not answer {what} within"
                f" {self.target.timeout:g} s.",
                hint="Whether it was run is not known.",
                server=self.target.name,
            ) from error
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # a foreign package
            raise await self._translated(error, what, link, note) from root_cause(error)
        finally:
            current_call.reset(token)

    def _current_link(self) -> Link:
        """Return the connection, or begin a new one; runs on the loop that is its home."""
        self.check_open()
        link = self._link
        if link is not None and link.loop is not asyncio.get_running_loop():
            link = self._link = None  # its loop has ended
        if link is not None and not link.is_usable:
            self._retire(link)
            link = None
        if link is None:
            link = self._link = Link(self.target, self._ways())
        return link

    def _ways(self) -> list[Endpoint]:
        """Return what to try: the way that worked before comes first."""
        ways, known = endpoints(self.target), self._known_way
        if known is None:
            return ways
        if known.kind == "stdio":
            return ways[ways.index(known) :]
        return [known, *(way for way in ways if way != known)]

    def _retire(self, link: Link) -> None:
        link.stop()
        if self._link is link:
            self._link = None
        self._retired = {old for old in self._retired if not old.has_left} | {link}

    async def _translated(
        self, error: BaseException, what: str, link: Link, note: CallNote
    ) -> Exception:
        """Say in our own words what became of a request."""
        cause = root_cause(error)
        code = error_code(cause)
        name = self.target.name
        was_lost = code == _CONNECTION_CLOSED or note.refused or note.unsent
        if was_lost and note.never_ran:
            self._retire(link)
            return _NeverRanError()
        if code == _CONNECTION_CLOSED:
            why = describe(cause)
            if link.has_ended or str(cause) == _CLOSED_TEXT:
                said, _ = await link.last_words()
                why = said or "it closed the connection"
            return MCPConnectionError(
                f"MCP server {name!r} went away during {what}: {why.rstrip('.')}.",
                hint="Whether it was run is not known.",
                server=name,
            )
        if code is not None:
            answer = f" (HTTP {note.status})" if note.status else f" (code {code})"
            return MCPToolError(
                f"MCP server {name!r} refused {what}: {redact(str(cause)).rstrip('.')}{answer}.",
                server=name,
            )
        return MCPProtocolError(
            f"MCP server {name!r} gave an answer to {what} that the protocol does not allow"
            f" ({type(cause).__name__}).",
            hint="It may have been run.",
            server=name,
        )

    async def _read_tools(self, client: "Client") -> list[dict[str, Any]]:
        tools: list[dict[str, Any]] = []
        if client.server_capabilities.tools is None:
            return tools
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            dump = page.model_dump(by_alias=True, mode="json", exclude_none=True)
            tools.extend(dump["tools"])
            cursor = page.next_cursor
            if not cursor:
                return tools
            if cursor in seen:
                break
            seen.add(cursor)
        logger.warning(
            "MCP server %s lists tools without end; the first pages count", self.target.name
        )
        return tools
