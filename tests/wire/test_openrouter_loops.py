"""Clients that see several event loops: one after the other, and beside each other."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest
from pydantic import BaseModel

from mbxai import (
    AsyncAgentClient,
    AsyncMCPClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    StreamInterruptedError,
)
from mbxai.openrouter import RateLimiter
from mbxai.sessions import InMemorySessionStore, SQLiteSessionStore
from mbxai.testing import FakeOpenRouter, Stall

USER = [{"role": "user", "content": "hi"}]
SERVER = """
from mbxai import MCPServer
server = MCPServer("s")
@server.tool
def double(n: int) -> int:
    "Twice as much."
    return 2 * n
server.run_stdio_sync()
"""


class Report(BaseModel):
    text: str


@pytest.fixture(scope="module")
def server():
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def client(server):
    server.reset()
    return AsyncOpenRouterClient("sk-test", base_url=server.base_url, rate_limiter=RateLimiter())


def test_every_client_works_in_one_run_after_the_other(client, tmp_path: Path):
    (tmp_path / "server.py").write_text(SERVER)
    tools = AsyncToolClient(client)
    mcp = AsyncMCPClient(tools)
    stores = [InMemorySessionStore(), SQLiteSessionStore(tmp_path / "sessions.db")]
    agents = [AsyncAgentClient(mcp, session_handler=store) for store in stores]
    seen = []

    async def turn(number: int) -> None:
        await client.create(USER)
        seen.extend([chunk async for chunk in await tools.create(USER, stream=True)])
        if not number:
            await mcp.register_mcp_server(
                "s", command=[sys.executable, str(tmp_path / "server.py")]
            )
        assert (await mcp.call_tool("double", {"n": number})).content == str(2 * number)
        for agent in agents:
            assert (await agent.agent("Report", Report, agent_id="a")).is_complete()

    async def close() -> None:
        await mcp.aclose()
        await client.aclose()
        for store in stores:
            await store.aclose()

    for number in range(3):
        asyncio.run(turn(number), debug=number == 2)
    asyncio.run(close())
    assert seen


def test_threads_with_loops_of_their_own_share_a_client_and_an_agent(client, tmp_path: Path):
    agent = AsyncAgentClient(client, session_handler=SQLiteSessionStore(tmp_path / "sessions.db"))
    done = []

    async def turn() -> None:
        await client.create(USER)
        done.append((await agent.agent("Report", Report)).is_complete())

    threads = [threading.Thread(target=lambda: asyncio.run(turn())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(agent.aclose())
    asyncio.run(client.aclose())
    assert done == [True] * 8


def test_a_stream_whose_loop_has_ended_is_an_interrupted_one(server, client):
    server.script(Stall(60, after_bytes=600))

    async def begin():
        stream = await client.create(USER, stream=True)
        return stream, await anext(stream)

    async def go_on():
        with pytest.raises(StreamInterruptedError) as caught:
            _ = [chunk async for chunk in stream]
        assert caught.value.partial is not None
        await client.aclose()

    stream, _ = asyncio.run(begin())
    asyncio.run(go_on())
