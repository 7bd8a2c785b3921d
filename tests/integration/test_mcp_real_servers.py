"""Servers that others wrote, in other languages: used, interrupted, killed, and used again."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.mcp_model import NoModel
from support.mcp_processes import children
from support.real_servers import KINDS, Kind, Served, child_of, frozen, served, unread_bytes

from mbxai.mcp import AsyncMCPClient

# The first run installs the servers.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(330)]

SECONDS = 5.0
STARTING_SECONDS = 30.0  # a Python that loads the protocol's package, on a busy machine


@dataclass(frozen=True)
class RealServer:
    """A running server and our client of it."""

    kind: Kind
    folder: Path
    names: list[str]
    client: AsyncMCPClient
    over_http: Served | None

    @property
    def pid(self) -> int:
        if self.over_http is not None:
            return self.over_http.process.pid
        return child_of(self.kind.command(self.folder))

    async def call(self, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        result = await self.client.call_tool(name, json.dumps(arguments))
        return result.content, result.is_error

    async def use(self) -> None:
        for name, arguments, expected in self.kind.calls(self.folder):
            text, is_error = await self.call(name, arguments)
            assert not is_error, text
            assert expected in text


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RealServer]:
    kind, folder = KINDS[request.param], tmp_path_factory.mktemp("server")
    before = children()
    with ExitStack() as stack:
        over_http = None
        if kind.transport != "stdio":
            over_http = stack.enter_context(served(kind.command(folder)))
        async with AsyncMCPClient(NoModel()) as client:
            names = await client.register_mcp_server(
                "real",
                over_http and over_http.url(),
                command=None if over_http else kind.command(folder),
                env=kind.env(folder) or None,
            )
            yield RealServer(kind, folder, names, client, over_http)
    assert children() <= before, "a child process was left behind"


async def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


async def test_it_tells_its_tools_and_runs_them(server: RealServer) -> None:
    assert server.kind.tools <= set(server.names)
    await server.use()


async def test_an_interrupted_call_leaves_the_session_alive(server: RealServer) -> None:
    pid, port = server.pid, server.over_http and server.over_http.port
    with frozen(pid):
        before = unread_bytes(pid, port)
        slow = asyncio.create_task(server.call(*server.kind.slow(server.folder)))
        await until(lambda: unread_bytes(pid, port) > before)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(SECONDS):
                await slow
    async with asyncio.timeout(SECONDS):
        await server.use()
    assert server.pid == pid


async def test_a_killed_server_is_used_again(server: RealServer) -> None:
    pid = server.pid
    if server.over_http is None:
        os.kill(pid, signal.SIGKILL)
        await until(lambda: pid not in children())  # nobody had to ask for that
    else:
        server.over_http.kill()
        text, is_error = await server.call(*server.kind.slow(server.folder))
        assert is_error
        assert "MCP server 'real'" in text
        server.over_http.start()
    async with asyncio.timeout(STARTING_SECONDS):
        await comes_back(server)
        await server.use()
    assert server.pid != pid


async def comes_back(server: RealServer) -> None:
    """Wait for the first answer; a call may be on its way before the death is known here.

    A server that could not be reached is not asked again at once, either.
    """
    name, arguments, _ = server.kind.calls(server.folder)[0]
    text, is_error = await server.call(name, arguments)
    while is_error:
        assert "MCP server 'real'" in text
        await asyncio.sleep(0.05)
        text, is_error = await server.call(name, arguments)
