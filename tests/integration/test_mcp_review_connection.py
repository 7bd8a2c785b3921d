"""What a server does in the middle of a call must not harm that call, nor another one."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support import mcp_two_callers_server
from support.mcp_asking_server import (
    MODERN,
    AskingServer,
    Exchange,
    asking,
    ping,
    question,
    withdrawn,
)

from mbxai.errors import MCPConnectionError, MCPToolError
from mbxai.mcp._elicitation import elicitor
from mbxai.mcp._roots import roots_source
from mbxai.mcp._sampling import SamplingPolicy, sampler
from mbxai.mcp.connection._callbacks import Callbacks
from mbxai.mcp.connection._clock import CallClock, Clocks
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.wire import ToolAnswer, ToolQuestion

BOUND = 5.0
UNKNOWN = "Whether it was run is not known."
DONE = {"content": [{"type": "text", "text": "done"}]}
YES = {"action": "accept", "content": {"ok": True}}


async def agree(asked: ToolQuestion) -> ToolAnswer:
    return ToolAnswer(action="accept", content={"ok": True}, state=asked.state)


def yes(asked: ToolQuestion) -> ToolAnswer:
    return ToolAnswer(action="accept", content={"ok": True}, state=asked.state)


@asynccontextmanager
async def connected(
    server: AskingServer, callbacks: Callbacks | None = None, **options: Any
) -> AsyncIterator[ServerConnection]:
    given: dict[str, Any] = {"mode": "legacy", "transport": "http", "timeout": BOUND, **options}
    target = ServerTarget(name="s", url=f"http://127.0.0.1:{server.port}/mcp", **given)
    connection = ServerConnection(target, callbacks or Callbacks())
    try:
        async with asyncio.timeout(2 * BOUND):
            await connection.connect()
            yield connection
    finally:
        await connection.aclose()


async def asked_in(connection: ServerConnection, tool: str = "pay") -> ToolQuestion:
    asked = await connection.call_tool(tool, {}, can_pause=True)
    assert isinstance(asked, ToolQuestion)
    return asked


def text(result: object) -> str:
    assert isinstance(result, dict), result
    return result["content"][0]["text"]


# A call that runs is never sent again


@pytest.mark.parametrize("said", [question("q1", "Sure?"), ping("p1")], ids=["answer", "pong"])
async def test_a_running_call_is_not_sent_again_if_its_answer_to_the_server_finds_no_session(
    said: dict[str, Any],
) -> None:
    async def ask(server: AskingServer, exchange: Exchange) -> None:
        await exchange.tell(said)
        await server.answered(1)
        await refused.wait()
        exchange.writer.close()

    async def forget(server: AskingServer, exchange: Exchange) -> None:
        exchange.answer("404 Not Found", b"{}")
        await exchange.writer.drain()
        refused.set()

    refused = asyncio.Event()
    async with asking(ask) as server, connected(server, Callbacks(elicit=agree)) as connection:
        server.at_answer = forget
        with pytest.raises(MCPConnectionError) as caught:
            await connection.call_tool("pay", {})
        assert (caught.value.hint, len(server.calls)) == (UNKNOWN, 1)


async def test_a_running_call_is_not_sent_again_if_an_answer_to_the_server_cannot_be_sent() -> None:
    async def ask(server: AskingServer, exchange: Exchange) -> None:
        server.shut(but=exchange.writer)
        await exchange.tell(question("q1", "Sure?"))
        await has_answered.wait()
        await asyncio.sleep(0.2)  # nobody sees a connection that is refused
        await server.start()
        exchange.writer.close()

    async def answer(asked: ToolQuestion) -> ToolAnswer:
        has_answered.set()
        return yes(asked)

    has_answered = asyncio.Event()
    async with asking(ask) as server, connected(server, Callbacks(elicit=answer)) as connection:
        with pytest.raises(MCPConnectionError) as caught:
            await connection.call_tool("pay", {})
        assert (caught.value.hint, len(server.calls)) == (UNKNOWN, 1)


# Only a proof that nothing was run lets a call be sent again


@pytest.mark.parametrize(
    ("code", "said", "status"),
    [
        (-32603, "Paid, but the bank session expired", "200 OK"),
        (-32603, "Paid, but the bank session expired", "400 Bad Request"),
        (-32600, "Game session not found", "400 Bad Request"),
        (-32600, "Session not found", "200 OK"),
        (-32603, "Session not found", "400 Bad Request"),
    ],
)
async def test_what_a_tool_says_of_a_session_does_not_let_it_be_called_again(
    code: int, said: str, status: str
) -> None:
    async def refuse(server: AskingServer, exchange: Exchange) -> None:
        if exchange.tool == "pay":
            exchange.error(code, said, status)
        else:
            exchange.done()

    async with asking(refuse) as server, connected(server) as connection:
        with pytest.raises(MCPToolError, match=said):
            await connection.call_tool("pay", {})
        assert len(server.calls) == 1
        await connection.call_tool("other", {})
        assert server.log.count("initialize") == 2, "the next call has a session of its own"


@pytest.mark.parametrize("status", ["404 Not Found", "400 Bad Request"])
async def test_a_session_that_is_provably_forgotten_is_begun_again(status: str) -> None:
    async def refuse(server: AskingServer, exchange: Exchange) -> None:
        if len(server.calls) == 1:
            exchange.error(-32600, "Session not found", status)
        else:
            exchange.done()

    async with asking(refuse) as server, connected(server) as connection:
        assert text(await connection.call_tool("pay", {})) == "done"
        assert (len(server.calls), server.log.count("initialize")) == (2, 2)


async def test_an_answer_that_is_cut_in_its_body_leaves_unknown_whether_it_was_run() -> None:
    async def cut(server: AskingServer, exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"
        exchange.writer.write(head)
        await exchange.writer.drain()
        exchange.writer.close()

    async with asking(cut) as server, connected(server) as connection:
        with pytest.raises(MCPConnectionError, match="was cut") as caught:
            await connection.call_tool("pay", {})
        assert (caught.value.hint, len(server.calls)) == (UNKNOWN, 1)


async def test_the_text_of_a_refusal_is_bounded_and_has_nothing_hidden() -> None:
    async def refuse(server: AskingServer, exchange: Exchange) -> None:
        exchange.error(-32603, "x\u200b\U000e0041\u202e\x1b[31m no\n" + "y" * 1_000_000)

    async with asking(refuse) as server, connected(server) as connection:
        with pytest.raises(MCPToolError, match=r"x\[31m no yyy") as caught:
            await connection.call_tool("pay", {})
        assert len(str(caught.value)) < 450
        assert str(caught.value).isprintable()


# The answer to one question is none to another


async def test_an_answer_to_a_withdrawn_question_is_not_given_to_the_next_one() -> None:
    async def ask_twice(server: AskingServer, exchange: Exchange) -> None:
        await exchange.tell(question("q1", "Delete the copy?"))
        await has_asked.wait()
        await exchange.tell(withdrawn("q1"), question("q2", "Delete it all?"), ping("p"))
        await server.answered(2)
        await exchange.end(DONE)

    has_asked = asyncio.Event()
    async with asking(ask_twice) as server, connected(server) as connection:
        first = await asked_in(connection)
        has_asked.set()
        await server.answered(1)  # it has told all of it
        second = await connection.call_tool("pay", {}, can_pause=True, answer=yes(first))
        assert isinstance(second, ToolQuestion)
        assert (second.message, len(server.answers)) == ("Delete it all?", 1)
        assert text(await connection.call_tool("pay", {}, can_pause=True, answer=yes(second)))
        assert [answer["id"] for answer in server.answers] == ["p", "q2"]


async def test_an_answer_that_is_given_twice_is_taken_once() -> None:
    async def ask_twice(server: AskingServer, exchange: Exchange) -> None:
        await exchange.tell(question("q1", "Delete the copy?"))
        await server.answered(1)
        await exchange.tell(question("q2", "Delete it all?"))
        await server.answered(2)
        await exchange.end(DONE)

    async with asking(ask_twice) as server, connected(server) as connection:
        first = await asked_in(connection)
        for _ in range(2):
            second = await connection.call_tool("pay", {}, can_pause=True, answer=yes(first))
            assert isinstance(second, ToolQuestion)
            assert second.message == "Delete it all?"
        assert [answer["id"] for answer in server.answers] == ["q1"]


async def test_an_answer_is_gone_if_somebody_waits_already_for_what_follows_it() -> None:
    async def ask(server: AskingServer, exchange: Exchange) -> None:
        await exchange.tell(question("q1", "Sure?"))
        await server.answered(1)
        await may_end.wait()
        await exchange.end(DONE)

    may_end = asyncio.Event()
    async with asking(ask) as server, connected(server) as connection:
        asked = await asked_in(connection)
        call = asyncio.create_task(
            connection.call_tool("pay", {}, can_pause=True, answer=yes(asked))
        )
        await server.answered(1)
        with pytest.raises(MCPConnectionError) as caught:
            await connection.call_tool("pay", {}, can_pause=True, answer=yes(asked))
        assert caught.value.hint == UNKNOWN
        may_end.set()
        assert text(await call) == "done"


# Calls do not disturb each other


@pytest.mark.parametrize("has_callback", [True, False])
async def test_a_question_that_names_no_call_is_shown_in_none_of_several(
    has_callback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    program = (sys.executable, str(Path(mcp_two_callers_server.__file__)))
    target = ServerTarget(name="s", command=program, mode="legacy", timeout=BOUND)
    callbacks = Callbacks(elicit=agree if has_callback else None)
    connection = ServerConnection(target, callbacks)
    try:
        with caplog.at_level(logging.WARNING, logger="mbxai"):
            async with asyncio.timeout(2 * BOUND):
                await connection.connect()
                results = await asyncio.gather(
                    *(connection.call_tool("pay", {}, can_pause=True) for _ in range(2))
                )
    finally:
        await connection.aclose()
    given = "accept" if has_callback else "cancel"
    assert text(results[0]) == "first"
    assert given in text(results[1])
    assert ("does not say in which of them" in caplog.text) is not has_callback


async def test_a_held_call_outlives_the_session_that_others_have_given_up() -> None:
    async def ask(server: AskingServer, exchange: Exchange) -> None:
        if exchange.tool == "other":
            exchange.error(-32603, "Invalid session token for upstream")
            return
        await exchange.tell(question("q1", "Sure?"))
        await server.answered(1)
        await exchange.end(DONE)

    async with asking(ask) as server, connected(server) as connection:
        asked = await asked_in(connection)
        with pytest.raises(MCPToolError, match="upstream"):
            await connection.call_tool("other", {})
        await connection.ping()
        assert server.log.count("initialize") == 2
        assert text(await connection.call_tool("pay", {}, can_pause=True, answer=yes(asked)))
        assert server.answers[0]["result"] == YES
        assert "notifications/cancelled" not in server.log


async def test_a_question_over_http_stops_the_clock_of_no_other_call() -> None:
    async def ask(server: AskingServer, exchange: Exchange) -> None:
        if exchange.tool == "pay":
            await exchange.tell(question("q1", "Sure?"))
            await server.answered(1)
            await exchange.end(DONE)
        else:
            await asyncio.Event().wait()

    async def think(asked: ToolQuestion) -> ToolAnswer:
        thinks.set()
        await may_answer.wait()
        return yes(asked)

    thinks, may_answer = asyncio.Event(), asyncio.Event()
    async with asking(ask) as server, connected(server, Callbacks(elicit=think)) as connection:
        call = asyncio.create_task(connection.call_tool("pay", {}, timeout=0.3))
        await thinks.wait()
        async with asyncio.timeout(BOUND):
            with pytest.raises(MCPToolError, match=r"within 0\.4 s"):
                await connection.call_tool("other", {}, timeout=0.4)
        may_answer.set()
        assert text(await call) == "done", "its own clock stood still"


async def test_a_call_that_is_begun_between_two_questions_has_a_deadline_afterwards() -> None:
    async def wait_for(person: asyncio.Event) -> None:
        with clocks.waiting():
            await person.wait()

    async def call() -> None:
        with CallClock(0.05, clocks):
            await asyncio.Event().wait()

    clocks, first, second = Clocks(), asyncio.Event(), asyncio.Event()
    tasks = []
    for work in (wait_for(first), call(), wait_for(second)):
        tasks.append(asyncio.create_task(work))
        await asyncio.sleep(0)
    first.set()
    await tasks[0]
    second.set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(tasks[1]), BOUND)
    assert tasks[1].done(), "it was the call's own time that was up"
    await tasks[2]


# What waits for a person lets go


async def test_a_call_that_waits_for_a_person_ends_with_its_connection() -> None:
    async def ask(server: AskingServer, exchange: Exchange) -> None:
        asked = {key: question("", "Sure?")[key] for key in ("method", "params")}
        exchange.result({"resultType": "input_required", "inputRequests": {"k": asked}})

    async def think(asked: ToolQuestion) -> ToolAnswer:
        thinks.set()
        await asyncio.Event().wait()
        return yes(asked)

    thinks = asyncio.Event()
    callbacks = Callbacks(elicit=think)
    async with asking(ask) as server, connected(server, callbacks, mode=MODERN) as connection:
        call = asyncio.create_task(connection.call_tool("pay", {}))
        await thinks.wait()
        await connection.aclose()
        with pytest.raises(MCPConnectionError, match="was closed during the call of 'pay'"):
            await asyncio.wait_for(call, BOUND)


Ask = Callable[[Callable[..., Any]], Awaitable[Any]]


def elicits(handler: Callable[..., Any]) -> Awaitable[Any]:
    return elicitor(handler)(ToolQuestion(message="Sure?", source="s"))


def tells_roots(handler: Callable[..., Any]) -> Awaitable[Any]:
    return roots_source(handler)()


async def no_model(**_: Any) -> Any:
    raise AssertionError("nobody has approved")


def samples(handler: Callable[..., Any]) -> Awaitable[Any]:
    said = [{"role": "user", "content": {"type": "text", "text": "Hello"}}]
    policy = SamplingPolicy(models=["a/b"], approve=handler)
    return sampler(policy, no_model, server="s")({"messages": said, "maxTokens": 9})


@pytest.mark.parametrize("ask", [elicits, tells_roots, samples])
async def test_a_person_who_blocks_a_thread_holds_no_call_that_was_cancelled(ask: Ask) -> None:
    begun, free, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block(*_: object) -> None:
        loop.call_soon_threadsafe(begun.set)
        free.wait(2 * BOUND)
        ended.set()

    async def run() -> None:
        await ask(block)

    task = asyncio.create_task(run())
    try:
        async with asyncio.timeout(BOUND):
            await begun.wait()
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=BOUND)
        assert done, "it waits for the thread"
        assert not ended.is_set()
    finally:
        free.set()
        await asyncio.to_thread(ended.wait, BOUND)
