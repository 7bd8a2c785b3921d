"""Calls of a server's tools: how many at a time, repeated when, and waiting for people."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.mcp_processes import SUPPORT
from support.mcp_registries import Servers, servers

from mbxai.errors import MCPToolError, ToolExecutionError
from mbxai.tools import ToolCall, ToolContext
from mbxai.wire import ToolAnswer

MODERN = [sys.executable, str(SUPPORT / "mcp_modern_fault_server.py")]
READ = {"fail": {"effect": "read", "retries": 2}}


@pytest.fixture
async def own() -> AsyncIterator[Servers]:
    async with servers() as opened:
        yield opened


async def begun(own: Servers, log: Path, number: int) -> None:
    await own.until(lambda: log.exists() and len(log.read_text().splitlines()) == number)


async def test_no_more_calls_than_are_allowed_reach_the_server(
    own: Servers, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    await own.add(max_concurrent_calls=2)
    calls = [asyncio.create_task(own.call("hold", log=str(log))) for _ in range(4)]
    await begun(own, log, 2)
    for _ in range(50):  # the others have had every chance
        await asyncio.sleep(0)
    assert not any(call.done() for call in calls)
    # A call that waits for its turn can be cancelled, and one that runs gives its turn away.
    calls[3].cancel()
    calls[0].cancel()
    await begun(own, log, 3)
    connection = own.registry.connection("s")
    await connection.call_tool("release", {})
    async with asyncio.timeout(5):
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [
        True,
        False,
        False,
        True,
    ]
    assert len(log.read_text().splitlines()) == 3


async def test_waiting_for_a_turn_takes_nothing_from_the_time_of_a_call(
    own: Servers, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    await own.add(max_concurrent_calls=1, tool_options={"echo": {"timeout": 0.5}})
    holding = asyncio.create_task(own.call("hold", log=str(log)))
    await begun(own, log, 1)
    waiting = asyncio.create_task(own.call("echo", x=1))
    await asyncio.sleep(0.7)  # more than the time of the call that waits
    assert not waiting.done()
    await own.registry.connection("s").call_tool("release", {})
    assert json.loads((await waiting).content) == {"tool": "echo", "x": 1}
    assert (await holding).content == "released"


async def test_a_time_of_its_own_wins_over_the_servers(own: Servers, tmp_path: Path) -> None:
    await own.add(tool_options={"hold": {"timeout": 0.2}})
    result = await own.call("hold", log=str(tmp_path / "log"))
    assert result.is_error
    assert "within 0.2 s" in result.content


@pytest.mark.parametrize("how", ["say", "refuse", "vanish"])
async def test_a_call_that_may_be_repeated_is(own: Servers, tmp_path: Path, how: str) -> None:
    log = tmp_path / "log"
    await own.add(tool_options=READ)
    result = await own.call("fail", log=str(log), times=1, how=how)
    assert (result.content, result.is_error) == ("call 2", False)
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("how", "told"),
    [("say", "the database is away"), ("refuse", "fail failed: MCP server 's' refused")],
)
async def test_what_the_server_said_last_is_told_when_all_runs_failed(
    own: Servers, tmp_path: Path, how: str, told: str
) -> None:
    log = tmp_path / "log"
    await own.add(tool_options=READ)
    result = await own.call("fail", log=str(log), times=9, how=how)
    assert result.is_error
    assert result.content.startswith(told)
    assert result.attempts == 3
    assert len(log.read_text().splitlines()) == 3
    assert (result.raw is not None) == (how == "say")


@pytest.mark.parametrize("how", ["say", "refuse", "vanish"])
async def test_a_call_of_which_nobody_said_so_is_never_repeated(
    own: Servers, tmp_path: Path, how: str
) -> None:
    log = tmp_path / "log"
    await own.add(tool_options={"fail": {"effect": "read"}})
    result = await own.call("fail", log=str(log), times=1, how=how)
    assert result.is_error
    assert result.attempts == 1
    assert log.read_text() == "fail\n"


async def test_a_failure_may_end_the_conversation(own: Servers, tmp_path: Path) -> None:
    await own.add(tool_options={"fail": {"on_error": "raise"}})
    arguments = {"log": str(tmp_path / "log"), "times": 1, "how": "say"}
    with pytest.raises(ToolExecutionError) as caught:
        await own.runner.run_round([ToolCall("c", "fail", json.dumps(arguments))])
    assert isinstance(caught.value.__cause__, MCPToolError)
    assert "'fail' of MCP server 's' says that it failed" in str(caught.value.__cause__)


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_a_question_of_the_server_waits_for_a_person_and_the_answer_goes_on(
    own: Servers, era: str
) -> None:
    words = ["legacy"] if era == "legacy" else []
    await own.add(program=[*MODERN, *words], mode=era)
    paused = await own.call("ask", context=ToolContext(can_pause=True))
    question = paused.question
    assert question is not None
    assert (question.message, question.kind, question.source) == ("Who?", "form", "s")
    assert not paused.is_error
    assert "waits for a person" in paused.content
    answer = ToolAnswer(action="accept", content={"name": "Bo"}, state=question.state)
    result = await own.call("ask", context=ToolContext(can_pause=True, answer=answer))
    assert result.question is None
    assert '"Bo"' in result.content


async def test_a_caller_that_cannot_pause_gets_no_question(own: Servers) -> None:
    await own.add(program=[*MODERN, "legacy"])
    result = await own.call("ask")
    assert result.question is None
    assert '"cancel"' in result.content


async def test_a_call_on_another_loop_waits_for_its_turn_too(own: Servers, tmp_path: Path) -> None:
    log = tmp_path / "log"
    await own.add(max_concurrent_calls=1)
    holding = asyncio.create_task(own.call("hold", log=str(log)))
    await begun(own, log, 1)
    elsewhere = asyncio.create_task(
        asyncio.to_thread(lambda: asyncio.run(own.call("echo", log=str(log))))
    )
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert log.read_text() == "hold\n"
    await own.registry.connection("s").call_tool("release", {})
    assert not (await elsewhere).is_error
    assert (await holding).content == "released"
