"""One connection, callers on several event loops: a real server over its standard input."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import anyio
import pytest
from pydantic import BaseModel
from support.mcp_model import NoModel
from support.mcp_processes import SOURCES, TOOLS_SERVER, children

import mbxai.portal as portal
from mbxai import AgentClient, AsyncAgentClient, AsyncOpenRouterClient, OpenRouterClient
from mbxai.errors import ConfigurationError, MCPConnectionError, RunningLoopWarning
from mbxai.mcp import AsyncMCPClient, MCPClient
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._loops import LoopUnavailableError, run_on
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.testing import FakeOpenRouter
from mbxai.tools import ToolRegistry

BLOCKED = "belongs to another event loop, which stands still"


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before, "a child process was left behind"


def target() -> ServerTarget:
    return ServerTarget(name="tools", command=tuple(TOOLS_SERVER), env=SOURCES)


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._may_leave = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def stop(self) -> None:
        """Stop the loop with all that it does."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        while self.loop.is_running():
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._may_leave.set()
        if self.loop.is_running():
            self.stop()
        self._thread.join(15)

    def _serve(self) -> None:
        self.loop.run_forever()
        self._may_leave.wait(15)
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.wait(tasks) if tasks else asyncio.sleep(0))
        self.loop.close()


async def test_an_awaited_client_wraps_a_blocking_one() -> None:
    def register() -> MCPClient:
        client = MCPClient(NoModel())
        client.register_mcp_server("tools", command=TOOLS_SERVER, env=SOURCES)
        return client

    client = await asyncio.to_thread(register)
    before = children()
    AsyncAgentClient(client)
    tools = client.async_client  # what an agent on this loop uses
    results = await asyncio.gather(*(tools.call_tool(*call("add", a=n, b=1)) for n in range(5)))
    assert [result.content for result in results] == ["1", "2", "3", "4", "5"]
    assert children() == before
    await client.async_client.aclose()


def test_a_blocking_client_wraps_an_awaited_one() -> None:
    with LoopThread() as other:
        client = AsyncMCPClient(NoModel())
        other.run(client.register_mcp_server("tools", command=TOOLS_SERVER, env=SOURCES))
        before = children()
        AgentClient(client)
        result = portal.run(client.call_tool, *call("add", a=2, b=3))  # as an agent does it there
        assert (result.content, result.is_error) == ("5", False)
        assert children() == before
        portal.run(client.aclose)
        assert children() < before


def call(name: str, **arguments: Any) -> tuple[str, str]:
    return name, json.dumps(arguments)


class Sum(BaseModel):
    total: int


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as server:
        yield server


def keep_only_add(registry: ToolRegistry) -> None:
    for name in registry.names():
        if name != "add":
            registry.remove(name)


def results(fake: FakeOpenRouter) -> set[str]:
    """What tools told the model, without the marks around data."""
    messages = [m for request in fake.requests() for m in request.json["messages"]]
    marked = [m["content"].splitlines() for m in messages if m["role"] == "tool"]
    assert all(lines[0].startswith("<data-") for lines in marked), marked
    return {"\n".join(lines[1:-1]) for lines in marked}


async def test_an_awaited_agent_uses_the_servers_of_a_blocking_client(fake: FakeOpenRouter) -> None:
    fake.reset()

    def register() -> MCPClient:
        model = OpenRouterClient(token=fake.api_key, base_url=fake.base_url, max_retries=0)
        client = MCPClient(model)
        client.register_mcp_server("tools", command=TOOLS_SERVER, env=SOURCES)
        keep_only_add(client.registry)
        return client

    client = await asyncio.to_thread(register)
    response = await AsyncAgentClient(client, False).agent("Add 1 and 2", Sum)
    assert response.is_complete()
    told = results(fake)
    assert told
    assert all(text.lstrip("-").isdigit() for text in told), told
    await client.async_client.aclose()


def test_a_blocking_agent_uses_the_servers_of_an_awaited_client(fake: FakeOpenRouter) -> None:
    fake.reset()
    with LoopThread() as other:
        model = AsyncOpenRouterClient(token=fake.api_key, base_url=fake.base_url, max_retries=0)
        client = AsyncMCPClient(model)
        other.run(client.register_mcp_server("tools", command=TOOLS_SERVER, env=SOURCES))
        keep_only_add(client.registry)
        response = AgentClient(client, False).agent("Add 1 and 2", Sum)
        assert response.is_complete()
        told = results(fake)
        assert told
        assert all(text.lstrip("-").isdigit() for text in told), told
        other.run(client.aclose())
        portal.run(model.aclose)


async def test_a_cancelled_call_is_cancelled_where_it_runs() -> None:
    with LoopThread() as other:
        connection = ServerConnection(target())
        await asyncio.to_thread(other.run, connection.list_tools())
        tasks = len(asyncio.all_tasks(other.loop))
        with anyio.move_on_after(0.5) as scope:
            await connection.call_tool("slow", {"seconds": 30})
        assert scope.cancelled_caught
        deadline = time.monotonic() + 5
        while len(asyncio.all_tasks(other.loop)) > tasks:
            assert time.monotonic() < deadline
            await anyio.sleep(0.02)
        result = await connection.call_tool("add", {"a": 1, "b": 1})
        assert result["content"] == [{"type": "text", "text": "2"}]
        await connection.aclose()


async def test_a_loop_that_ends_during_a_call_leaves_its_outcome_open() -> None:
    with LoopThread() as other:
        connection = ServerConnection(target())
        await asyncio.to_thread(other.run, connection.list_tools())

        async def stop() -> None:
            await anyio.sleep(0.5)
            await asyncio.to_thread(other.stop)

        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            with pytest.raises(MCPConnectionError, match="Whether it was run is not known"):
                await connection.call_tool("slow", {"seconds": 30})
        assert (await connection.call_tool("add", {"a": 1, "b": 1}))["content"]
        await connection.aclose()


@pytest.mark.long
async def test_a_loop_that_stands_still_is_an_error_and_no_wait_for_ever() -> None:
    connection = ServerConnection(target())
    await connection.list_tools()
    with pytest.warns(RunningLoopWarning), pytest.raises(MCPConnectionError, match=BLOCKED):
        portal.run(connection.call_tool, "add", {"a": 1, "b": 1})
    await connection.aclose()


async def test_work_that_was_given_up_is_not_begun_later() -> None:
    begun: list[bool] = []

    async def work() -> None:
        begun.append(True)

    with LoopThread() as other:
        release = threading.Event()
        other.loop.call_soon_threadsafe(release.wait)
        with anyio.move_on_after(0.2):
            await run_on(other.loop, work)
        release.set()
        await asyncio.to_thread(other.run, anyio.sleep(0))
        assert begun == []
        await run_on(other.loop, work)
        assert begun == [True]
    with pytest.raises(LoopUnavailableError) as caught:
        await run_on(other.loop, work)
    assert not caught.value.has_begun


@pytest.mark.parametrize("command", ["python server.py", b"python", ""])
async def test_a_command_in_one_string_is_told_to_be_a_list(command: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a list of words"):
        await AsyncAgentClient(AsyncMCPClient(NoModel())).register_mcp_server("x", command=command)
