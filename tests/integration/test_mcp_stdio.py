"""MCP servers as child processes: our own, and ones that misbehave."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.mcp_model import NoModel
from support.mcp_processes import (
    SOURCES,
    TOOLS_SERVER,
    children,
    fault_server,
    free_port,
    is_alive,
)

from mbxai.errors import MCPConnectionError, MCPError
from mbxai.mcp import AsyncMCPClient
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._targets import ServerTarget

BOUND = 20.0


@pytest.fixture
async def client() -> AsyncIterator[AsyncMCPClient]:
    before = children()
    async with AsyncMCPClient(NoModel()) as opened:
        yield opened
    assert children() <= before, "a child process was left behind"


async def call(client: AsyncMCPClient, name: str, /, **arguments: Any) -> tuple[str, bool]:
    result = await client.call_tool(name, json.dumps(arguments))
    return result.content, result.is_error


async def register(client: AsyncMCPClient, *behaviour: str, **options: Any) -> list[str]:
    return await client.register_mcp_server("fault", command=fault_server(*behaviour), **options)


async def test_our_own_server_is_used_over_stdio(client: AsyncMCPClient) -> None:
    names = await client.register_mcp_server("tools", command=TOOLS_SERVER, env=SOURCES)
    assert names[:3] == ["add", "slow", "pid"]
    assert await call(client, "add", a=1, b=2) == ("3", False)
    assert await call(client, "weather", city="Oslo") == ('{"city":"Oslo","celsius":21.5}', False)
    result = await client.call_tool("weather", '{"city": "Oslo"}', call_id="c1")
    assert (result.call_id, result.name) == ("c1", "weather")
    assert result.value == {"city": "Oslo", "celsius": 21.5}
    assert await call(client, "refuse") == ("The weather is not for sale.", True)
    assert await call(client, "crash") == ("crash failed. The server's log says why.", True)
    info = {info.name: info for info in client.tool_infos()}["add"]
    assert info.source == "tools"
    assert info.description == "Add two numbers."
    text, is_error = await call(client, "nothing")
    assert is_error
    assert "There is no tool 'nothing'" in text


async def test_wrong_arguments_never_reach_the_server(client: AsyncMCPClient) -> None:
    await client.register_mcp_server("tools", command=TOOLS_SERVER, env=SOURCES)
    text, is_error = await call(client, "add", a="one")
    assert is_error
    assert "Nothing was run" in text


async def test_concurrent_calls_share_one_connection(client: AsyncMCPClient) -> None:
    await client.register_mcp_server("tools", command=TOOLS_SERVER, env=SOURCES)
    calls = [call(client, "slow", seconds=1.0) for _ in range(20)]
    async with asyncio.timeout(8):  # twenty in a row would take twenty seconds
        assert await asyncio.gather(*calls) == [("done", False)] * 20


async def test_a_child_gets_only_what_it_is_given(
    client: AsyncMCPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-not-for-you")
    await client.register_mcp_server(
        "tools", command=TOOLS_SERVER, env={**SOURCES, "GREETING": "hello"}
    )
    assert await call(client, "environment", name="OPENROUTER_API_KEY") == ("(not set)", False)
    assert await call(client, "environment", name="GREETING") == ("hello", False)


async def test_a_cancelled_call_leaves_the_session_alive(client: AsyncMCPClient) -> None:
    await client.register_mcp_server("tools", command=TOOLS_SERVER, env=SOURCES)
    first = await call(client, "pid")
    task = asyncio.create_task(call(client, "slow", seconds=30))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await call(client, "slow", seconds=30)
    assert await call(client, "pid") == first


async def test_a_call_that_takes_too_long_fails_alone(client: AsyncMCPClient) -> None:
    await register(client, "hang", tool_options={"good": {"timeout": 0.3}})
    text, is_error = await call(client, "good")
    assert is_error
    assert "did not answer the call of 'good' within 0.3 s" in text
    assert "not known" in text


async def test_a_server_killed_in_the_middle_of_a_call_comes_back(client: AsyncMCPClient) -> None:
    before = children()
    await register(client)
    (pid,) = children() - before
    waiting = asyncio.create_task(call(client, "good", hang=True))
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(BOUND):
        text, is_error = await waiting
    assert is_error
    assert "went away during the call of 'good'" in text
    assert "not known" in text
    async with asyncio.timeout(BOUND):
        assert await call(client, "good") == ("{}", False)
    (reborn,) = children() - before
    assert reborn != pid


async def test_a_call_that_may_have_run_is_not_sent_again(
    client: AsyncMCPClient, tmp_path: Path
) -> None:
    await register(client, "vanish")
    log = tmp_path / "log"
    assert (await call(client, "good", log=str(log)))[1]
    assert log.read_text() == "called\n"


async def test_a_client_closed_while_it_connects_leaves_no_child() -> None:
    before = children()
    client = AsyncMCPClient(NoModel())
    connecting = asyncio.create_task(register(client, "silent"))
    await asyncio.sleep(0.3)
    await client.aclose()
    with pytest.raises(MCPConnectionError):
        await connecting
    assert children() <= before
    assert client.tool_infos() == []


async def test_a_registration_that_is_cancelled_leaves_no_child() -> None:
    before = children()
    client = AsyncMCPClient(NoModel())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await register(client, "silent")
    assert children() <= before


async def test_a_death_between_calls_is_not_noticed_by_the_next_call(
    client: AsyncMCPClient,
) -> None:
    await client.register_mcp_server("tools", command=TOOLS_SERVER, env=SOURCES)
    pid = int((await call(client, "pid"))[0])
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(BOUND):
        many = await asyncio.gather(*(call(client, "pid") for _ in range(5)))
    assert len(set(many)) == 1
    assert many[0] != (str(pid), False)


async def test_a_server_that_ends_during_a_call_is_a_typed_error() -> None:
    connection = ServerConnection(ServerTarget(name="f", command=tuple(fault_server("vanish"))))
    with pytest.raises(MCPConnectionError, match="went away during the call of 'good'") as caught:
        await connection.call_tool("good", {})
    assert caught.value.server == "f"
    await connection.aclose()


async def test_closing_works_from_another_task_and_leaves_no_child() -> None:
    client = AsyncMCPClient(NoModel())
    before = children()
    opened = asyncio.create_task(register(client))
    await opened
    assert len(children() - before) == 1
    await asyncio.create_task(client.aclose())
    assert children() <= before
    assert client.tool_infos() == []
    await client.aclose()


async def test_a_call_after_closing_is_a_typed_error() -> None:
    connection = ServerConnection(ServerTarget(name="f", command=tuple(fault_server())))
    assert await connection.list_tools()
    await connection.aclose()
    with pytest.raises(MCPConnectionError, match="closed"):
        await connection.list_tools()


async def test_a_program_that_does_not_exist_is_a_typed_error(client: AsyncMCPClient) -> None:
    with pytest.raises(MCPConnectionError, match="no such program") as caught:
        await client.register_mcp_server("x", command=["no-such-program-at-all"])
    assert caught.value.server == "x"
    assert "no-such-program-at-all" in str(caught.value)


async def test_the_last_words_of_a_server_are_in_the_error(client: AsyncMCPClient) -> None:
    with pytest.raises(MCPConnectionError, match="the database is on fire"):
        await register(client, "chatty")


async def test_a_silent_server_is_given_up_in_time(client: AsyncMCPClient) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(MCPConnectionError, match=r"within 0\.5 s.*no answer"):
            await register(client, "silent", connect_timeout=0.5)


async def test_a_server_that_does_not_let_go_is_killed() -> None:
    before = children()
    client = AsyncMCPClient(NoModel())
    with pytest.raises(MCPConnectionError):
        await register(client, "deaf", connect_timeout=0.5)
    left = children() - before
    assert not [pid for pid in left if is_alive(pid)]


async def test_a_server_that_dies_of_the_probe_is_spoken_to_in_the_older_way(
    client: AsyncMCPClient,
) -> None:
    assert await register(client, "old") == ["good"]
    assert await call(client, "good", x=1) == ('{"x": 1}', False)


async def test_one_malformed_tool_does_not_lose_the_server(client: AsyncMCPClient) -> None:
    assert await register(client, "bad-tools") == ["good"]
    assert await call(client, "good") == ("{}", False)


async def test_a_schema_is_kept_word_for_word(client: AsyncMCPClient) -> None:
    await register(client)
    tool = client.registry.get("good")
    assert tool is not None
    assert tool.schema == {
        "type": "object",
        "properties": {"x": {"default": None, "enum": [1, None]}},
    }


async def test_all_pages_are_read_and_an_endless_list_ends(client: AsyncMCPClient) -> None:
    assert await register(client, "pages") == ["tool0", "tool1", "tool2"]
    assert await register(client, "endless", replace=True) == ["good"]


async def test_names_that_no_model_may_use_are_changed_and_still_work(
    client: AsyncMCPClient,
) -> None:
    names = await register(client, "odd-names")
    assert names[:3] == ["fault__a_b", "a_b", "gr__e"]
    assert all(len(name) <= 64 for name in names)
    assert await call(client, "gr__e", x=1) == ('{"x": 1}', False)


async def test_a_local_tool_keeps_its_name(client: AsyncMCPClient) -> None:
    @client.tool
    def good() -> str:
        """Local."""
        return "local"

    assert await register(client) == ["fault__good"]
    assert await call(client, "good") == ("local", False)
    assert await call(client, "fault__good") == ("{}", False)


async def test_a_malformed_result_reaches_the_model(client: AsyncMCPClient) -> None:
    await register(client, "bad-result")
    text, is_error = await call(client, "good")
    assert not is_error
    assert "hologram" in text
    assert "plain" in text


async def test_a_result_that_breaks_its_schema_reaches_the_model_with_a_note(
    client: AsyncMCPClient,
) -> None:
    await register(client, "bad-output")
    text, is_error = await call(client, "good")
    assert not is_error
    assert text.startswith("kept\n[note: ")


async def test_a_refused_call_is_an_error_for_the_model(client: AsyncMCPClient) -> None:
    await register(client, "refuse")
    text, is_error = await call(client, "good")
    assert is_error
    assert "refused the call of 'good': not today" in text


async def test_a_server_without_tools_is_no_error(client: AsyncMCPClient) -> None:
    assert await register(client, "no-tools") == []


async def test_registering_a_name_again_replaces_the_server(client: AsyncMCPClient) -> None:
    before = children()
    await register(client, "pages")
    assert await register(client, replace=True) == ["good"]
    assert client.registry.names() == ["good"]
    assert len(children() - before) == 1


async def test_a_server_that_cannot_be_replaced_stays(client: AsyncMCPClient) -> None:
    await register(client)
    with pytest.raises(MCPError):
        await register(client, "chatty", replace=True)
    assert await call(client, "good") == ("{}", False)


async def test_servers_do_not_share_their_fate(client: AsyncMCPClient) -> None:
    await client.register_mcp_server("a", command=fault_server("vanish"))
    await client.register_mcp_server("b", command=fault_server())
    assert (await call(client, "good"))[1]
    assert await call(client, "b__good") == ("{}", False)
    with pytest.raises(MCPConnectionError):
        await client.register_mcp_server("c", f"http://127.0.0.1:{free_port()}")
    assert await call(client, "b__good") == ("{}", False)


def test_a_connection_of_a_finished_loop_is_made_again_on_the_next() -> None:
    connection = ServerConnection(ServerTarget(name="f", command=tuple(fault_server())))
    before = children()

    async def use() -> None:
        assert await connection.call_tool("good", {"x": 1})

    asyncio.run(use())
    asyncio.run(use())

    async def close() -> None:
        await use()
        await connection.aclose()

    asyncio.run(close())
    assert children() <= before
