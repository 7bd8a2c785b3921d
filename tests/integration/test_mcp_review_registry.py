"""What a review of the client of MCP has found: what leaks, what is passed, what is written."""

import asyncio
import contextlib
import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.mcp_changing_server import tool
from support.mcp_http_fault_server import site
from support.mcp_processes import SUPPORT, children
from support.mcp_registries import entry, servers

from mbxai.errors import ConfigurationError
from mbxai.mcp.auth._listener import RedirectListener
from mbxai.mcp.connection._callbacks import Callbacks
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._targets import read_target
from mbxai.mcp.registry._registry import ServerRegistry
from mbxai.tools import ToolRegistry
from mbxai.wire import ToolAnswer, ToolQuestion

SECONDS = 5.0


# --- registering that is broken off ---------------------------------------------------------------


class Gate(ToolRegistry):
    """A registry that lets nothing in before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go = threading.Event()

    def exchange(self, *given: Any, **more: Any) -> Any:
        self.reached.set()
        assert self.go.wait(SECONDS)
        return super().exchange(*given, **more)


async def until_gone(before: set[int]) -> None:
    async with asyncio.timeout(SECONDS):
        while not children() <= before:
            await asyncio.sleep(0.01)


async def test_a_registration_that_is_cancelled_between_two_offers_leaves_nothing_open() -> None:
    before, tools = children(), Gate()
    registry = ServerRegistry(tools)
    adding = asyncio.create_task(registry.add_all([entry(name) for name in "abc"]))
    assert await asyncio.to_thread(tools.reached.wait, SECONDS)
    adding.cancel()
    await asyncio.sleep(0)
    adding.cancel()  # impatient
    tools.go.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(adding, SECONDS)
    assert registry.names() == ["a"]
    assert {one.source for one in tools.tools()} == {"a"}
    assert len(children() - before) == 1
    await registry.aclose()
    await until_gone(before)
    assert tools.names() == []


async def test_a_client_that_is_closed_between_two_offers_offers_nothing_afterwards() -> None:
    before, tools = children(), Gate()
    registry = ServerRegistry(tools)
    adding = asyncio.create_task(registry.add_all([entry(name) for name in "abc"]))
    assert await asyncio.to_thread(tools.reached.wait, SECONDS)
    opener = threading.Timer(0.05, tools.go.set)  # closing waits for what is being offered
    opener.start()
    await registry.aclose()
    with pytest.raises(ConfigurationError, match="is closed"):
        await asyncio.wait_for(adding, SECONDS)
    opener.join()
    await until_gone(before)
    assert (registry.names(), tools.names()) == ([], [])


async def test_what_was_to_be_replaced_goes_though_the_client_was_closed() -> None:
    before, tools = children(), Gate()
    tools.go.set()
    registry = ServerRegistry(tools)
    target, policy, callbacks = entry("a")
    await registry.add(target, policy, callbacks)
    tools.go.clear()
    tools.reached.clear()
    again = asyncio.create_task(registry.add(target, policy, callbacks))
    assert await asyncio.to_thread(tools.reached.wait, SECONDS)
    opener = threading.Timer(0.05, tools.go.set)
    opener.start()
    await registry.aclose()
    with pytest.raises(ConfigurationError, match="is closed"):
        await asyncio.wait_for(again, SECONDS)
    opener.join()
    await until_gone(before)
    assert (registry.names(), tools.names()) == ([], [])


# --- pins over a new connection -------------------------------------------------------------------


def program(world: Path) -> list[str]:
    """The changing server; its world is what the file says when it starts."""
    text = (
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r}); import mcp_changing_server as server;"
        f" sys.argv[1] = open({str(world)!r}).read(); server.main()"
    )
    return [sys.executable, "-c", text, "world"]


def write(world: Path, *tools: Any) -> None:
    world.write_text(json.dumps({"tools": tools}))


async def test_a_server_that_restarts_as_another_version_is_not_called(tmp_path: Path) -> None:
    world, log, last = tmp_path / "world", tmp_path / "log", tmp_path / "last"
    write(world, tool("pay"), tool("same"))
    async with servers() as own:
        await own.add(program=program(world), pin="block")
        assert not (await own.call("pay", log=str(log))).is_error
        write(world, tool("pay", description="Pays somebody else."), tool("same"))
        await own.call("fail", how="vanish", times=1, log=str(last))
        refused = await own.call("pay", log=str(log))
        assert refused.is_error
        assert "has changed since it was first seen (description)" in refused.content
        assert log.read_text().splitlines() == ["pay"]
        assert not (await own.call("same", log=str(log))).is_error
        assert own.registry.trust("s") == ["pay"]
        assert not (await own.call("pay", log=str(log))).is_error
        assert log.read_text().splitlines() == ["pay", "same", "pay"]


async def test_a_tool_that_is_gone_after_a_restart_is_not_called(tmp_path: Path) -> None:
    world, log, last = tmp_path / "world", tmp_path / "log", tmp_path / "last"
    write(world, tool("pay"))
    async with servers() as own:
        await own.add(program=program(world), pin="block")
        write(world)
        await own.call("fail", how="vanish", times=1, log=str(last))
        assert (await own.call("pay", log=str(log))).is_error
        assert not log.exists()


async def test_an_unchanged_server_is_asked_for_its_tools_once_a_connection() -> None:
    async with servers() as own:
        await own.add(pin="block")
        await own.call("echo", a=1)
        assert (await own.call("lists")).content == "1"


# --- what is written into the log -----------------------------------------------------------------


async def test_neither_messages_nor_keys_in_an_address_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    async def elicit(question: ToolQuestion) -> ToolAnswer:
        return ToolAnswer(action="accept", content={"city": "ANSWER-7351"})

    for words in (["legacy", "sse"], ["legacy"], ["sse"]):
        async with site(*words) as server:
            url = f"{server.url}?tavilyApiKey=KEY-98265&trace=0123456789abcdef"
            connection = ServerConnection(read_target("s", url), Callbacks(elicit=elicit))
            await connection.call_tool("good", {"x": "ARGUMENT-4127"})
            with contextlib.suppress(Exception):
                await connection.call_tool("ask", {})
            assert "KEY-98265" not in repr(connection.target)
            await connection.aclose()
            assert server.calls("good") == 1
            assert "ANSWER-7351" in json.dumps(server.log)
    assert "HTTP Request: POST" in caplog.text
    for secret in ("KEY-98265", "0123456789abcdef", "ARGUMENT-4127", "ANSWER-7351"):
        assert secret not in caplog.text


def test_a_question_does_not_show_what_was_answered_before() -> None:
    question = ToolQuestion(message="And the city?", state='{"name": "Ada"}')
    assert "Ada" not in repr(question)


# --- where the browser comes back to --------------------------------------------------------------


async def test_a_visit_with_another_state_does_not_end_a_login() -> None:
    async with RedirectListener() as listener, httpx.AsyncClient() as browser:
        listener.expect("right")
        for query in ("code=x&state=wrong", "code=x", "error=access_denied&state=wrong"):
            assert (await browser.get(f"{listener.uri}?{query}")).status_code == 400
        page = await browser.get(f"{listener.uri}?code=real&state=right")
        answer = await asyncio.wait_for(listener.answer(), SECONDS)
    assert page.status_code == 200
    assert answer == {"code": "real", "state": "right"}


async def test_idle_connections_do_not_keep_the_answer_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with RedirectListener() as listener, httpx.AsyncClient() as browser:
        port = int(listener.uri.split(":")[2].split("/")[0])
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        page = await browser.get(f"{listener.uri}?code=real&state=right")
        answer = await asyncio.wait_for(listener.answer(), SECONDS)
        for _, writer in idle:
            writer.close()
    assert page.status_code == 200
    assert answer["code"] == "real"
    assert "Exception in callback" not in caplog.text
