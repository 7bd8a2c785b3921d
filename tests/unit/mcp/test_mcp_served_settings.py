"""What a server refuses: settings, completions, places to listen; and what callers are told."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from mbxai.errors import BlockingCallError, ConfigurationError, MCPError, ToolDefinitionError
from mbxai.mcp import MCPServer
from mbxai.mcp.registry._tool import _progress
from mbxai.mcp.server import MCPContext
from mbxai.mcp.serving._served_tools import ServedTools
from mbxai.tools import Tool, ToolContext
from mbxai.tools.runner._progress import RunControl
from mbxai.wire import ToolEvent, ToolProgressed


class Form(BaseModel):
    sure: bool


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("", {}, "name"),
        (" ", {}, "name"),
        (None, {}, "name"),
        ("s", {"auth": "x"}, "auth must be a BearerAuth, not a str"),
    ],
)
def test_a_server_needs_a_name_and_knows_only_one_kind_of_auth(
    name: Any, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        MCPServer(name, **options)


def complete(value: str) -> list[str]:
    return [value]


def test_a_completion_of_an_argument_that_is_not_there_is_refused() -> None:
    server = MCPServer("s")

    @server.prompt
    def greet(name: str) -> str:
        return name

    @server.resource("notes://{note}")
    def note(note: str) -> str:
        return note

    for target in ("greet", "notes://{note}"):
        with pytest.raises(ToolDefinitionError, match="no argument 'nope'"):
            server.completion(target, "nope")(complete)
    server.completion("greet", "name")(complete)
    server.completion("notes://{note}", "note")(complete)
    server.completion("later", "x")(complete)


async def test_a_completion_that_nobody_can_ask_for_is_logged_when_the_server_is_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = MCPServer("s")
    server.completion("nope", "x")(complete)
    server.completion("greet", "name")(complete)

    @server.prompt
    def greet(name: str) -> str:
        return name

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            async with server.mcp_server.lifespan(server.mcp_server):
                pass
    assert [r.getMessage()[:40] for r in caplog.records] == [
        "The completion of 'x' in 'nope' is never"
    ]


# --- places to listen -----------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_an_error_that_names_it(taken: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"'127.0.0.1', port {taken}: .*in use"):
        MCPServer("s").run_http_sync(port=taken)


async def test_a_port_that_is_taken_is_the_same_error_on_a_loop(taken: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"port {taken}"):
        await MCPServer("s").run_http(port=taken)


@pytest.mark.parametrize(("host", "port"), [("no such host", 8000), ("a..b", 1), ("::1", 70_000)])
def test_a_place_that_is_none_is_an_error_that_names_it(host: str, port: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{host!r}, port {port}"):
        MCPServer("s").run_http_sync(host, port)


# --- what callers are told ------------------------------------------------------------------------


async def test_a_caller_is_not_given_the_advice_for_the_author(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def ask(context: MCPContext) -> str:
        return (await context.elicit("Sure?", Form)).action

    tools = ServedTools()
    tools.add(Tool.from_function(ask))
    with caplog.at_level(logging.INFO):
        result = await tools.run("ask", {}, context=MCPContext())
    assert result.content == "This client cannot ask its user (elicitation)."
    assert "`can`" in caplog.text
    with pytest.raises(MCPError, match="Look at the context's `can` first"):
        await MCPContext[Any]().elicit("Sure?", Form)


async def test_a_fraction_is_passed_on_without_the_noise_of_its_addition() -> None:
    heard: list[ToolEvent] = []
    control = RunControl("1", "t", heard.append, str)
    _progress(ToolContext(_run=control))(0.1 + 0.2, 1.0, "more")
    assert [e.fraction for e in heard if isinstance(e, ToolProgressed)] == [0.3]


# --- waiting in a thread --------------------------------------------------------------------------


async def test_a_blocking_function_waits_for_the_loop_also_from_a_thread_of_its_own() -> None:
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    async def fail() -> None:
        raise KeyError("k")

    def work(context: MCPContext) -> list[int]:
        found = [context.wait_for(double(1))]
        thread = threading.Thread(target=lambda: found.append(context.wait_for(double(2))))
        thread.start()
        thread.join(5)
        with pytest.raises(KeyError):
            context.wait_for(fail())
        return found

    tools = ServedTools()
    tools.add(Tool.from_function(work))
    context: MCPContext = MCPContext(_loop=asyncio.get_running_loop())
    assert (await tools.run("work", {}, context=context)).content == "[2,4]"


@pytest.mark.parametrize("timeout", [0.1, None])
async def test_what_a_blocking_function_waits_for_ends_with_its_call(timeout: float | None) -> None:
    loop = asyncio.get_running_loop()
    begun, cancelled, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    def work(context: MCPContext) -> None:
        try:
            context.wait_for(endless())
        except asyncio.CancelledError:
            loop.call_soon_threadsafe(told.set)
            raise

    tools = ServedTools()
    tools.add(Tool.from_function(work, timeout=timeout))
    call = asyncio.create_task(tools.run("work", {}, context=MCPContext(_loop=loop)))
    async with asyncio.timeout(5):
        await begun.wait()
        if timeout is None:
            call.cancel()
        await asyncio.wait({call})
        await cancelled.wait()
        await told.wait()
    assert call.cancelled() is (timeout is None)


async def test_waiting_on_the_loop_itself_is_refused() -> None:
    async def nothing() -> None: ...

    with pytest.raises(BlockingCallError, match="use await"):
        MCPContext[Any](_loop=asyncio.get_running_loop()).wait_for(nothing())
    with pytest.raises(ConfigurationError, match="MCPServer serves"):
        MCPContext[Any]().wait_for(nothing())
