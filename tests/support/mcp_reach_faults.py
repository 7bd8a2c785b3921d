"""Servers that misbehave, reached by every transport in both eras; see `mcp_modern_fault_server`."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from support.mcp_http_fault_server import Site, site
from support.mcp_processes import SUPPORT

from mbxai.mcp import AsyncMCPClient

STDIO = ["stdio legacy", "stdio modern"]
HTTP = ["http legacy", "http modern"]
SSE = ["sse legacy", "sse modern"]
KINDS = [*STDIO, *HTTP, *SSE]

BOUND = 5.0
"""How long a test waits for anything, in seconds."""


@dataclass(frozen=True)
class Reach:
    """How a server is reached.

    Attributes:
        kind: Transport and era.
        options: What `register_mcp_server` is told.
        site: The server, where it lives in this process.
    """

    kind: str
    options: dict[str, Any]
    site: Site | None

    @property
    def http(self) -> Site:
        """The server, which lives in this process."""
        assert self.site is not None
        return self.site


def command(*words: str) -> list[str]:
    """What starts a server over stdio; -S and -E only make it start sooner."""
    return [sys.executable, "-S", "-E", str(SUPPORT / "mcp_modern_fault_server.py"), *words]


@asynccontextmanager
async def reach(kind: str, *words: str) -> AsyncIterator[Reach]:
    """A server, started or ready to be started.

    Args:
        kind: One of `KINDS`.
        words: How it misbehaves.
    """
    transport, era = kind.split()
    words = (*words, era) if era == "legacy" else words
    if transport == "stdio":
        yield Reach(kind, {"command": command(*words)}, None)
        return
    async with site(*words) as server:
        url = server.url if transport == "http" else f"http://127.0.0.1:{server.port}/sse"
        yield Reach(kind, {"base_url": url}, server)


async def call(client: AsyncMCPClient, name: str, /, **arguments: Any) -> tuple[str, bool]:
    """Call a tool; returns its text and whether it is an error."""
    async with asyncio.timeout(BOUND * 2):
        result = await client.call_tool(name, json.dumps(arguments))
    return result.content, result.is_error


async def seen(client: AsyncMCPClient, name: str = "seen") -> list[dict[str, Any]]:
    """All messages that the server got."""
    async with asyncio.timeout(BOUND * 2):
        result = await client.call_tool(name, "{}")
    assert not result.is_error, result.content
    return json.loads(str(result.value))  # whole; the text may be cut


async def until_seen(
    client: AsyncMCPClient, is_it: Callable[[dict[str, Any]], bool], *, count: int = 1
) -> list[dict[str, Any]]:
    """Wait until the server has got so many messages of a kind; returns all that it got."""
    async with asyncio.timeout(BOUND):
        while sum(map(is_it, got := await seen(client))) < count:
            await asyncio.sleep(0.01)
    return got


async def until(is_so: Callable[[], bool], *, seconds: float = BOUND) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.01)


def is_call(name: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a message calls a tool."""
    return lambda m: m.get("method") == "tools/call" and m["params"]["name"] == name
