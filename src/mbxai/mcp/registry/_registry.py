"""Registered servers and their tools in a client's registry.

A server's schema is kept word for word; only the tool's name may change, so that a model can use
it. Each server has its own connection: one that fails does not touch the others.
"""

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

import anyio
import anyio.to_thread

from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError, MCPError
from mbxai.mcp.connection._callbacks import Callbacks
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._info import ChangeListener
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.registry._instructions import joined_instructions
from mbxai.mcp.registry._pins import MemoryPinStore, PinStore
from mbxai.mcp.registry._policy import ServerPolicy, is_alike
from mbxai.mcp.registry._server import RegisteredServer
from mbxai.mcp.registry._status import ServerStatus
from mbxai.mcp.registry._tool import MCPTool
from mbxai.tools import ToolRegistry

__all__ = ["MCPTool", "ServerEntry", "ServerRegistry"]

logger = get_logger(__name__)

ServerEntry: TypeAlias = tuple[ServerTarget, ServerPolicy, Callbacks]
"""A server: where it is, what holds for its tools, and what it may ask for."""


class ServerRegistry:
    """Servers by name, with their connections."""

    def __init__(
        self,
        tools: ToolRegistry,
        *,
        pins: PinStore | None = None,
        pause: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Start with no servers.

        Args:
            tools: Where the servers' tools are offered.
            pins: Where the first sight of each tool is kept; in memory by default.
            pause: Waits some seconds before tools are read that have changed.
        """
        self._tools = tools
        self._pins: PinStore = MemoryPinStore() if pins is None else pins
        self._pause = pause
        self._servers: dict[str, RegisteredServer] = {}
        self._opening: set[RegisteredServer] = set()
        self._is_closed = False

    def names(self) -> list[str]:
        """Return the names of all servers, oldest first."""
        return list(self._servers)

    async def add(
        self,
        target: ServerTarget,
        policy: ServerPolicy | None = None,
        callbacks: Callbacks | None = None,
        *,
        required: bool = True,
        replace: bool = False,
    ) -> list[str]:
        """Connect to a server and offer its tools.

        A server that was registered before under the same name and with the same settings is
        replaced.

        Args:
            target: The server.
            policy: What holds for its tools.
            callbacks: What it may ask for.
            required: Whether it is an error that it cannot be reached; otherwise it is a warning,
                and the server is tried again later.
            replace: Whether it may take the place of a server with other settings.

        Returns:
            The names under which its tools are offered.

        Raises:
            ConfigurationError: There is another server of that name.
            MCPError: The server is required, and cannot be reached or does not tell its tools;
                nothing changes.
        """
        entry = (target, policy or ServerPolicy(), callbacks or Callbacks())
        (server,) = await self._open([entry], {target.name: required}, replace=replace)
        return [tool.name for tool in server.tools]

    async def add_all(
        self,
        entries: Sequence[ServerEntry],
        *,
        required: bool | Mapping[str, bool] = True,
        replace: bool = False,
    ) -> dict[str, ServerStatus]:
        """Connect to several servers at the same time, and offer the tools of all.

        Args:
            entries: The servers; their order decides who keeps a name that several have.
            required: Which of them must be there, by name (all that are not named must be); or for
                all of them.
            replace: Whether they may take the place of servers with other settings.

        Returns:
            How each of them is, in their order.

        Raises:
            ConfigurationError: There is another server of one of the names, or a name comes twice.
            MCPError: A required server cannot be reached; nothing changes. Of several, the first in
                the order of the entries is told.
        """
        names = [target.name for target, _, _ in entries]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise ConfigurationError(f"There are two MCP servers {double!r}.")
        if isinstance(required, bool):
            required = dict.fromkeys(names, required)
        must = {name: required.get(name, True) for name in names}
        await self._open(entries, must, replace=replace)
        return {name: self._servers[name].status() for name in names if name in self._servers}

    def statuses(self) -> dict[str, ServerStatus]:
        """Return how each server is, by name, oldest first."""
        return {name: server.status() for name, server in self._servers.items()}

    def connection(self, name: str) -> ServerConnection:
        """Return the connection to a server.

        Args:
            name: The name it was registered under.

        Raises:
            ConfigurationError: There is no such server.
        """
        return self._known(name).connection

    def listen(self, name: str, listener: ChangeListener) -> Callable[[], None]:
        """Pass a server's changes on: of its lists, and of resources that are subscribed to.

        Args:
            name: The name it was registered under.
            listener: Is told of each change on the connection's loop; it must return at once.

        Returns:
            Ends it.

        Raises:
            ConfigurationError: There is no such server.
        """
        return self._known(name).listen(listener)

    async def refresh(self, name: str) -> list[str]:
        """Read and offer a server's tools anew; one that could not be reached is tried at once.

        Args:
            name: The name it was registered under.

        Returns:
            The names under which its tools are offered.

        Raises:
            ConfigurationError: There is no such server.
            MCPError: It cannot be reached, or does not tell its tools; they stay as they were.
        """
        server = self._known(name)
        if server.has_failed:
            await server.connection.connect()
        return await server.refresh()

    def trust(self, name: str) -> list[str]:
        """Take a server's tools as they are now for what they should be, and offer those withheld.

        Args:
            name: The name it was registered under.

        Returns:
            The names of the tools that had changed.

        Raises:
            ConfigurationError: There is no such server, or its pins cannot be kept.
        """
        return self._known(name).trust()

    def wake(self) -> None:
        """See that servers that could not be reached are tried again, in the background.

        Called before a conversation goes on; their tools appear at a later turn. The connections
        space their attempts. Needs a running event loop.
        """
        for server in list(self._servers.values()):
            server.wake()

    def instructions(self) -> str:
        """Return what the servers want a model to know, of those that may say it; empty if none.

        The text says that it is the servers', and who says what.
        """
        said: list[tuple[str, str]] = []
        for name, server in list(self._servers.items()):
            info = server.connection.info
            if server.policy.use_instructions and info is not None:
                said.append((name, info.instructions))
        return joined_instructions(said)

    async def remove(self, name: str) -> bool:
        """Withdraw a server's tools and close its connection.

        Args:
            name: The name it was registered under.

        Returns:
            Whether there was such a server.
        """
        server = self._servers.pop(name, None)
        if server is None:
            return False
        server.withdraw()
        await server.aclose()
        return True

    async def aclose(self) -> None:
        """Withdraw all tools and close all connections at the same time; for good."""
        self._is_closed = True
        servers, self._servers = [*self._opening, *self._servers.values()], {}
        servers = list(dict.fromkeys(servers))
        for server in servers:
            server.withdraw()
        await _close_all(servers)

    async def _open(
        self, entries: Sequence[ServerEntry], required: Mapping[str, bool], *, replace: bool
    ) -> list[RegisteredServer]:
        """Connect to servers and read what they list, all at the same time; then offer it.

        Until a server is offered it is nobody's but ours: whatever ends this closes it.
        """
        self._check_open()
        for entry in entries:
            self._check_free(entry, replace=replace)
        servers = [self._made(entry, required=required[entry[0].name]) for entry in entries]
        failures: dict[str, Exception] = {}

        async def load(server: RegisteredServer) -> None:
            try:
                await server.load()
            except Exception as error:  # noqa: BLE001  # raised below, unless it may be left out
                failures[server.target.name] = error

        self._opening.update(servers)
        try:
            async with anyio.create_task_group() as group:
                for server in servers:
                    group.start_soon(load, server)
            for server in servers:
                self._judge(server, failures.get(server.target.name))
            for server in servers:
                await _to_its_end(self._offer(server))
        except BaseException:
            left = [server for server in servers if server in self._opening]
            for server in left:
                server.withdraw()
            await _to_its_end(_close_all(left))
            raise
        finally:
            self._opening.difference_update(servers)
        return servers

    def _judge(self, server: RegisteredServer, failure: Exception | None) -> None:
        if failure is None:
            server.connection.check_open()  # the client may have been closed meanwhile
        elif server.required or not isinstance(failure, MCPError):
            raise failure
        else:
            logger.warning("MCP server %s is left out for now: %s", server.target.name, failure)

    async def _offer(self, server: RegisteredServer) -> None:
        self._check_open()
        name = server.target.name
        old = self._servers.pop(name, None)
        self._servers[name] = server
        try:
            await anyio.to_thread.run_sync(server.offer, old)
            self._check_open()
        except BaseException:
            if self._servers.get(name) is server:
                del self._servers[name]
            raise
        finally:
            if old is not None:
                await old.aclose()
        self._opening.discard(server)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ConfigurationError("This MCP client is closed.", hint="Make a new one.")

    def _made(self, entry: ServerEntry, *, required: bool) -> RegisteredServer:
        target, policy, callbacks = entry
        return RegisteredServer(
            target,
            policy,
            callbacks,
            required=required,
            tools=self._tools,
            pins=self._pins,
            pause=self._pause,
        )

    def _check_free(self, entry: ServerEntry, *, replace: bool) -> None:
        target, policy, _ = entry
        known = self._servers.get(target.name)
        if known is None or replace:
            return
        if not (is_alike(known.target, target) and is_alike(known.policy, policy)):
            raise ConfigurationError(
                f"There is an MCP server {target.name!r} already, with other settings.",
                hint="Give this one another name, or say replace=True.",
            )

    def _known(self, name: str) -> RegisteredServer:
        server = self._servers.get(name)
        if server is not None:
            return server
        near = difflib.get_close_matches(name, self._servers, n=1)
        listed = ", ".join(self._servers) or "none"
        hint = f"Did you mean {near[0]!r}?" if near else f"Registered: {listed}."
        raise ConfigurationError(f"There is no MCP server {name!r}.", hint=hint)


async def _close_all(servers: Sequence[RegisteredServer]) -> None:
    async with anyio.create_task_group() as group:
        for server in servers:
            group.start_soon(server.aclose)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do what must not stop half-way; who is cancelled meanwhile learns of it afterwards."""
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:  # of the task itself, which no scope holds off
                cancelled = error
    if cancelled is not None:
        _ = task.cancelled() or task.exception()  # nobody else asks for it
        raise cancelled
    task.result()
