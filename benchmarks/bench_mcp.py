"""What a call of an MCP tool costs this process, beside the protocol package's own session.

    python benchmarks/bench_mcp.py [CALLS]

The server is a process of its own; only the CPU time of this one counts. Each line is the median of
several rounds that take turns: our `ServerConnection` and a bare `mcp.ClientSession`.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.mcp_processes import SOURCES, TOOLS_SERVER, free_port, http_server  # noqa: E402

from mbxai.mcp.connection._connection import ServerConnection  # noqa: E402
from mbxai.mcp.connection._targets import ServerTarget  # noqa: E402

ROUNDS = 5
CONCURRENT = 64
ARGUMENTS = {"a": 1, "b": 2}

Call = Callable[[], Awaitable[object]]


@asynccontextmanager
async def ours(target: ServerTarget) -> AsyncIterator[Call]:
    """Our connection."""
    connection = ServerConnection(target)
    await connection.list_tools()
    try:
        yield lambda: connection.call_tool("add", ARGUMENTS)
    finally:
        await connection.aclose()


@asynccontextmanager
async def raw(target: ServerTarget) -> AsyncIterator[Call]:
    """The package's session, in the era that ours has."""
    import httpx2
    from mcp import ClientSession, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    if target.command:
        parameters = StdioServerParameters(
            command=target.command[0], args=list(target.command[1:]), env=dict(target.env)
        )
        streams: Any = stdio_client(parameters)
        async with streams as (reads, writes), ClientSession(reads, writes) as session:
            yield await _started(session, target)
        return
    async with (
        httpx2.AsyncClient(timeout=30) as http,
        streamable_http_client(target.url, http_client=http) as (reads, writes),
        ClientSession(reads, writes) as session,
    ):
        yield await _started(session, target)


async def _started(session: Any, target: ServerTarget) -> Call:
    await (session.initialize() if target.mode == "legacy" else session.discover())
    await session.list_tools()
    return lambda: session.call_tool("add", ARGUMENTS)


async def one_by_one(call: Call, calls: int) -> None:
    """Call, one after the other."""
    for _ in range(calls):
        await call()


async def at_once(call: Call, calls: int) -> None:
    """Call, so many at the same time."""
    left = iter(range(calls))

    async def work() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(work() for _ in range(CONCURRENT)))


async def measured(
    target: ServerTarget, calls: int, way: Callable[[Call, int], Awaitable[None]]
) -> tuple[float, float, float]:
    """CPU of a call in microseconds, ours and theirs, and the longest of our rounds in seconds."""
    async with ours(target) as mine, raw(target) as theirs:
        costs: dict[Call, list[float]] = {mine: [], theirs: []}
        slowest = 0.0
        for call in (mine, theirs):
            await way(call, CONCURRENT)
        for _ in range(ROUNDS):
            for call in (mine, theirs):
                began, cpu = time.perf_counter(), time.process_time()
                await way(call, calls // ROUNDS)
                costs[call].append((time.process_time() - cpu) / (calls // ROUNDS) * 1e6)
                if call is mine:
                    slowest = max(slowest, time.perf_counter() - began)
        return statistics.median(costs[mine]), statistics.median(costs[theirs]), slowest


async def compare(name: str, target: ServerTarget, calls: int) -> None:
    """Print the lines of one server."""
    for label, way in (("1", one_by_one), (str(CONCURRENT), at_once)):
        mine, theirs, slowest = await measured(target, calls, way)
        print(
            f"{name:<14} {label:>3} at a time: {mine:7.0f} us ours {theirs:7.0f} us raw"
            f"  ratio {mine / theirs:.2f}  slowest round {slowest:.1f} s",
            flush=True,
        )


async def main(calls: int) -> None:
    """Measure stdio and HTTP in both eras."""
    port = free_port()
    with http_server(port):
        for mode in ("2026-07-28", "legacy"):
            stdio = ServerTarget(
                name="stdio",
                command=tuple(TOOLS_SERVER),
                env=SOURCES,
                mode="legacy" if mode == "legacy" else "auto",
            )
            await compare(f"stdio {mode[:6]}", stdio, calls)
            web = ServerTarget(
                name="http",
                url=f"http://127.0.0.1:{port}/mcp",
                mode="legacy" if mode == "legacy" else "auto",
            )
            await compare(f"http {mode[:6]}", web, calls)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
