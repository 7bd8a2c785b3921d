"""A registry of MCP servers with the tools it offers, as a client has them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from support.mcp_changing_server import command
from support.mcp_processes import children

from mbxai.mcp.connection._callbacks import Callbacks
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.registry._pins import PinStore
from mbxai.mcp.registry._policy import read_policy
from mbxai.mcp.registry._registry import ServerEntry, ServerRegistry
from mbxai.tools import ToolCall, ToolContext, ToolRegistry
from mbxai.tools.runner._runner import ToolRunner
from mbxai.wire import ToolResult

BOUND = 5.0


async def _soon(seconds: float) -> None:
    await asyncio.sleep(seconds / 10)


def entry(
    name: str,
    program: list[str] | None = None,
    callbacks: Callbacks | None = None,
    *,
    mode: Any = "legacy",
    timeout: float | None = 20.0,
    world: dict[str, Any] | None = None,
    **options: Any,
) -> ServerEntry:
    """A server as it is registered: the changing one with this world, or another program."""
    words = command(**(world or {})) if program is None else program
    target = ServerTarget(name=name, command=tuple(words), mode=mode, timeout=timeout)
    return target, read_policy(name, options), callbacks or Callbacks()


class Servers:
    """Servers, the tools they offer, and a runner of those."""

    def __init__(self, pins: PinStore | None = None) -> None:
        self.tools = ToolRegistry()
        self.registry = ServerRegistry(self.tools, pins=pins, pause=_soon)
        self.runner = ToolRunner(self.tools, pause=_soon)

    async def add(self, name: str = "s", *, replace: bool = False, **options: Any) -> list[str]:
        """Register the changing server; options as for `entry`, and `required`."""
        required = options.pop("required", True)
        target, policy, callbacks = entry(name, **options)
        return await self.registry.add(
            target, policy, callbacks, required=required, replace=replace
        )

    async def call(
        self, tool: str, /, *, context: ToolContext[Any] | None = None, **arguments: Any
    ) -> ToolResult:
        """Run a tool; the caller has decided that it may run."""
        return await self.runner.run(ToolCall("c1", tool, json.dumps(arguments)), context)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds; looked at often, for a bounded time."""
        deadline = time.monotonic() + BOUND
        while not condition():
            assert time.monotonic() < deadline, "it does not come about"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def servers(pins: PinStore | None = None) -> AsyncIterator[Servers]:
    """Servers that are all gone afterwards."""
    before = children()
    opened = Servers(pins)
    try:
        yield opened
    finally:
        await opened.registry.aclose()
    assert opened.tools.names() == []
    assert children() <= before, "a child process was left behind"
