"""What breaks long-lived connections, row by row (A to M), and what comes of it here."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.mcp_model import NoModel
from support.mcp_processes import children, free_port, is_alive
from support.mcp_reach_faults import (
    BOUND,
    HTTP,
    KINDS,
    SSE,
    STDIO,
    call,
    command,
    is_call,
    reach,
    seen,
    until,
    until_seen,
)

from mbxai.errors import MCPConnectionError, MCPError
from mbxai.mcp import AsyncMCPClient
from mbxai.mcp._sampling import SamplingPolicy
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.wire import ToolAnswer, ToolQuestion

UNKNOWN = "Whether it was run is not known"


@pytest.fixture
async def client() -> AsyncIterator[AsyncMCPClient]:
    before = children()
    async with AsyncMCPClient(NoModel()) as opened:
        yield opened
    assert children() <= before, "a child process was left behind"


def hold(client: AsyncMCPClient) -> "asyncio.Task[tuple[str, bool]]":
    """A call that the server does not answer."""
    return asyncio.create_task(call(client, "hold"))


async def holding(client: AsyncMCPClient) -> "asyncio.Task[tuple[str, bool]]":
    """A call that the server has got and does not answer."""
    before = sum(map(is_call("hold"), await seen(client)))
    task = hold(client)
    await until_seen(client, is_call("hold"), count=before + 1)
    return task


async def noticed() -> None:
    """Let the client's loop see that a connection has ended.

    A call that is written before that has an outcome that nobody knows.
    """
    await asyncio.sleep(0.05)


async def kill(pid: int) -> None:
    """Kill a child, and let the client's loop see it."""
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not is_alive(pid))
    await noticed()


# A: entered in one task, left in another


@pytest.mark.parametrize("kind", KINDS)
async def test_row_a_a_client_entered_in_one_task_is_closed_in_another(kind: str) -> None:
    before = children()
    client = AsyncMCPClient(NoModel())
    async with reach(kind) as server:
        await asyncio.create_task(client.__aenter__())
        await asyncio.create_task(client.register_mcp_server("s", **server.options))
        answer = await asyncio.create_task(call(client, "good", x=1))
        async with asyncio.timeout(BOUND):
            await asyncio.create_task(client.__aexit__(None, None, None))
    assert answer == ('{"tool": "good", "x": 1}', False)
    assert children() <= before


# B: many calls at a time, and the end of one of them


@pytest.mark.parametrize("kind", KINDS)
async def test_row_b_twenty_calls_overlap_on_one_session(client: AsyncMCPClient, kind: str) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        # None is answered before the server has got all twenty.
        calls = [call(client, "together", n=20) for _ in range(20)]
        assert await asyncio.gather(*calls) == [("done", False)] * 20
        began = [m for m in await seen(client) if m.get("method") == "initialize"]
        assert len(began) == (1 if kind.endswith("legacy") else 0)
        await client.aclose()


@pytest.mark.parametrize(
    ("kind", "way"),
    [(kind, "cancel") for kind in KINDS]
    + [("stdio legacy", "timeout"), ("http modern", "timeout"), ("stdio modern", "wait_for")],
)
async def test_row_b_a_call_that_is_given_up_ends_alone_and_the_server_learns_of_it(
    client: AsyncMCPClient, kind: str, way: str
) -> None:
    seconds = 0.4 if way == "timeout" else 30.0
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options, timeout=seconds)
        if way == "cancel":
            task = await holding(client)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif way == "wait_for":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.call_tool("hold", "{}"), 0.8)
        else:
            text, is_error = await call(client, "hold")
            assert is_error
            assert "did not answer the call of 'hold' within 0.4 s" in text
        (held,) = [m["id"] for m in await seen(client) if is_call("hold")(m)]

        def tells_of_it(message: dict[str, Any]) -> bool:
            if kind == "http modern":  # there the end of the connection says it
                return message == {"method": "(abandoned)", "id": held}
            is_notice = message.get("method") == "notifications/cancelled"
            return is_notice and message["params"]["requestId"] == held

        got = await until_seen(client, tells_of_it)
        assert sum(m.get("method") == "initialize" for m in got) == kind.endswith("legacy")
        assert await call(client, "release") == ("released", False)
        await client.aclose()


# C: a child process that ends


@pytest.mark.parametrize("kind", STDIO)
async def test_row_c_all_calls_to_a_child_that_ends_fail_at_once_and_the_next_starts_it_again(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options, timeout=None)
        first = await call(client, "pid")
        waiting = [await holding(client) for _ in range(3)]
        async with asyncio.timeout(BOUND):
            results = [await call(client, "vanish"), *[await task for task in waiting]]
        for text, is_error in results:
            assert is_error
            assert "MCP server 's' went away during the call of" in text
            assert UNKNOWN in text
        again, is_error = await call(client, "pid")
        assert not is_error
        assert again != first[0]


@pytest.mark.parametrize("kind", STDIO)
async def test_row_c_a_child_killed_between_calls_is_started_again(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        first, _ = await call(client, "pid")
        await kill(int(first))
        again, is_error = await call(client, "pid")
        assert not is_error, again
        assert again != first


# D and D': an HTTP server killed while calls run


@pytest.mark.parametrize(
    ("kind", "words"),
    [("http modern", ()), ("http modern", ("sse",)), ("http legacy", ("sse",)), ("sse legacy", ())],
)
async def test_row_d_calls_to_a_killed_http_server_are_typed_errors_and_nobody_is_cancelled(
    client: AsyncMCPClient, kind: str, words: tuple[str, ...]
) -> None:
    async with reach(kind, *words) as server:

        async def use() -> int:
            await client.register_mcp_server("s", **server.options, timeout=None)
            waiting = [await holding(client) for _ in range(3)]
            server.http.kill()
            async with asyncio.timeout(BOUND):
                results = await asyncio.gather(*waiting)
            for text, is_error in results:
                assert is_error
                assert "MCP server 's' went away during the call of 'hold'" in text
                assert UNKNOWN in text
            text, is_error = await call(client, "good")  # nobody listens there now
            assert is_error
            assert "could not be reached" in text or "Nothing was run" in text
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling()

        # The task that connected is the one that the protocol's package would cancel.
        assert await asyncio.create_task(use()) == 0
        await client.aclose()


@pytest.mark.parametrize("kind", [*HTTP, *SSE])
async def test_row_d_a_killed_http_server_that_is_back_is_used_again(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        task = await holding(client)
        server.http.kill()
        assert (await task)[1]
        await server.http.start()
        assert await call(client, "good", x=1) == ('{"tool": "good", "x": 1}', False)
        assert server.http.calls("hold") == 1, "a call whose outcome is unknown was sent again"
        await client.aclose()


# E: an HTTP server restarted between calls


@pytest.mark.parametrize("kind", [*HTTP, *SSE])
async def test_row_e_the_next_call_after_a_restart_just_works_and_runs_once(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        assert await call(client, "good") == ('{"tool": "good"}', False)
        server.http.kill()
        await noticed()
        await server.http.start()
        before = server.http.calls("good")
        assert await call(client, "good") == ('{"tool": "good"}', False)
        assert server.http.calls("good") == before + 1
        await client.aclose()


async def test_row_e_a_forgotten_session_is_begun_again_and_all_calls_run_once(
    client: AsyncMCPClient,
) -> None:
    async with reach("http legacy") as server:
        await client.register_mcp_server("s", **server.options)
        server.http.forget()
        results = await asyncio.gather(*(call(client, "good", n=n) for n in range(5)))
        assert results == [(f'{{"tool": "good", "n": {n}}}', False) for n in range(5)]
        assert server.http.methods().count("initialize") == 2
        assert server.http.calls("good") == 5
        await client.aclose()


# F: what cannot be connected to


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"command": ["no-such-program-at-all"]}, "no such program"),
        ({"command": command("babble")}, "it ended at once"),
        ({"command": command("silent"), "connect_timeout": 0.4}, r"within 0\.4 s.*no answer"),
        ({"command": ["/dev/null"]}, "not allowed to be started"),
    ],
    ids=["missing", "ends", "silent", "forbidden"],
)
async def test_row_f_a_child_that_cannot_be_used_is_a_typed_error_in_time(
    client: AsyncMCPClient, options: dict[str, Any], why: str
) -> None:
    before = children()
    async with asyncio.timeout(BOUND):
        with pytest.raises(MCPConnectionError, match=why) as caught:
            await client.register_mcp_server("s", **options)
    assert caught.value.server == "s"
    await until(lambda: children() <= before)


async def test_row_f_a_refused_connection_is_a_typed_error_at_once(client: AsyncMCPClient) -> None:
    async with asyncio.timeout(BOUND):
        with pytest.raises(MCPConnectionError, match="could not be reached") as caught:
            await client.register_mcp_server("s", f"http://127.0.0.1:{free_port()}")
    assert "/mcp" not in str(caught.value), "where nobody listens, no other path is tried"


@pytest.mark.parametrize("kind", ["http modern", "sse modern"])
async def test_row_f_a_silent_http_server_is_given_up_in_time(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind, "silent") as server, asyncio.timeout(BOUND):
        with pytest.raises(MCPConnectionError, match=r"within 0\.4 s"):
            await client.register_mcp_server("s", **server.options, connect_timeout=0.4)


# G: a child that ends at the probe for the newest protocol


async def test_row_g_a_child_that_ends_at_the_probe_is_used_and_not_probed_again(
    client: AsyncMCPClient, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    await client.register_mcp_server("s", command=command("old", f"starts={starts}"))
    assert await call(client, "good") == ('{"tool": "good"}', False)
    assert starts.read_text().count("started") == 2  # one for the probe
    first, _ = await call(client, "pid")
    await kill(int(first))
    again, is_error = await call(client, "pid")
    assert not is_error
    assert again != first
    assert starts.read_text().count("started") == 3, "its era was not remembered"


# H: cancelled twice


@pytest.mark.parametrize("kind", STDIO)
async def test_row_h_a_caller_cancelled_twice_leaves_the_session_and_the_child_as_they_are(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        pid, _ = await call(client, "pid")
        task = await holding(client)
        task.cancel()
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await call(client, "pid") == (pid, False)


@pytest.mark.parametrize("words", [(), ("lingers",)], ids=["leaves", "lingers"])
async def test_row_h_a_close_cancelled_twice_leaves_no_child(words: tuple[str, ...]) -> None:
    before = children()
    client = AsyncMCPClient(NoModel())
    await client.register_mcp_server("s", command=command(*words))
    (pid,) = children() - before
    closing = asyncio.create_task(client.aclose())
    for _ in range(2):
        await asyncio.sleep(0)  # so far that it has begun to wait
        await asyncio.sleep(0)
        closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await until(lambda: not is_alive(pid))
    await client.aclose()
    assert children() <= before


async def test_row_h_a_registration_cancelled_twice_leaves_no_child() -> None:
    before = children()
    client = AsyncMCPClient(NoModel())
    task = asyncio.create_task(client.register_mcp_server("s", command=command("silent")))
    await until(lambda: bool(children() - before))
    task.cancel()
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: children() <= before)
    await client.aclose()
    assert client.tool_infos() == []


# I: a call that stays silent


@pytest.mark.parametrize("kind", ["stdio modern", *HTTP, "sse legacy"])
async def test_row_i_a_silent_call_fails_alone_after_its_own_time(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind) as server:
        late = {"hold": {"timeout": 0.5}}
        await client.register_mcp_server("s", **server.options, tool_options=late)
        patient = hold(client)
        sibling = asyncio.create_task(call(client, "together", n=2))
        text, is_error = await patient
        assert is_error
        assert "within 0.5 s" in text
        assert not sibling.done()
        assert await call(client, "together", n=2) == ("done", False)
        assert await sibling == ("done", False)
        assert sum(m.get("method") == "initialize" for m in await seen(client)) <= 1
        await client.aclose()


# J: large answers


@pytest.mark.parametrize(
    ("kind", "words"),
    [(kind, ()) for kind in KINDS] + [(kind, ("sse",)) for kind in HTTP],
)
async def test_row_j_two_megabytes_pass(
    client: AsyncMCPClient, kind: str, words: tuple[str, ...]
) -> None:
    async with reach(kind, *words) as server:
        await client.register_mcp_server("s", **server.options)
        result = await client.call_tool("large", '{"bytes": 2000000}')
        assert not result.is_error
        assert result.value == "x" * 2_000_000
        await client.aclose()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("stdio legacy", ()),
        ("stdio modern", ()),
        ("http modern", ()),
        ("http modern", ("sse",)),
        ("http legacy", ("sse",)),
        ("sse legacy", ()),
    ],
)
async def test_row_j_an_answer_beyond_the_limit_is_a_typed_error_and_the_server_stays_usable(
    kind: str, words: tuple[str, ...]
) -> None:
    async with reach(kind, *words) as server:
        target = ServerTarget(
            name="s",
            url=server.options.get("base_url", ""),
            command=tuple(server.options.get("command", ())),
            max_message_bytes=100_000,
        )
        connection = ServerConnection(target)
        fine = await connection.call_tool("large", {"bytes": 99_000})
        assert isinstance(fine, dict)
        assert len(fine["content"][0]["text"]) == 99_000
        sibling = asyncio.create_task(connection.call_tool("together", {"n": 2}))
        with pytest.raises(MCPError, match="100000 byte") as caught:
            await connection.call_tool("large", {"bytes": 3_000_000})
        assert caught.value.server == "s"
        if kind != "sse legacy":  # there all answers come on one stream, which cannot go on
            other = await connection.call_tool("together", {"n": 2})
            assert isinstance(other, dict)
            assert await sibling == other
        else:
            with pytest.raises(MCPConnectionError, match=UNKNOWN):
                await sibling
        assert await connection.call_tool("good", {})
        await connection.aclose()


# K: HTTP says no


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("http legacy", "401 Unauthorized"),
        ("http modern", "403 Forbidden"),
        ("http legacy", "500 Oh No"),
        ("sse legacy", "403 Forbidden"),
    ],
)
async def test_row_k_a_status_at_connecting_is_in_the_error(
    client: AsyncMCPClient, kind: str, status: str
) -> None:
    async with reach(kind) as server:
        server.http.faults[""] = status
        with pytest.raises(MCPConnectionError, match=f"answered HTTP {status[:3]}") as caught:
            await client.register_mcp_server("s", **server.options)
        assert caught.value.server == "s"
        del server.http.faults[""]
        assert "good" in await client.register_mcp_server("s", **server.options)
        await client.aclose()


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "500 Oh No"])
@pytest.mark.parametrize("kind", HTTP)
async def test_row_k_a_status_at_a_call_is_in_the_result_and_the_session_lives(
    client: AsyncMCPClient, kind: str, status: str
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        server.http.faults["tools/call"] = status
        text, is_error = await call(client, "good")
        assert is_error
        assert f"HTTP {status[:3]}" in text
        del server.http.faults["tools/call"]
        assert await call(client, "good") == ('{"tool": "good"}', False)
        initialized = server.http.methods().count("initialize")
        assert initialized == (1 if kind == "http legacy" else 0)
        await client.aclose()


async def test_row_k_errors_of_a_call_are_typed(client: AsyncMCPClient) -> None:
    async with reach("http modern") as server:
        server.http.faults["tools/list"] = "503 Service Unavailable"
        with pytest.raises(MCPError, match="HTTP 503"):
            await client.register_mcp_server("s", **server.options)
        await client.aclose()


# L: a person takes longer than the call may


@pytest.mark.parametrize(
    ("kind", "question"),
    [*((kind, "ask") for kind in [*STDIO, *HTTP]), ("stdio modern", "visit")],
)
async def test_row_l_the_time_of_a_call_stands_still_while_a_person_thinks(
    kind: str, question: str
) -> None:
    asked: list[ToolQuestion] = []

    async def person(question: ToolQuestion) -> ToolAnswer:
        asked.append(question)
        await asyncio.sleep(1.2)
        content = {"name": "Bo"} if question.kind == "form" else {}
        return ToolAnswer(action="accept", content=content)

    async with AsyncMCPClient(NoModel(), elicit=person) as client, reach(kind) as server:
        late = {question: {"timeout": 0.8}}
        await client.register_mcp_server("s", **server.options, tool_options=late)
        text, is_error = await call(client, question)
        assert not is_error, text
        answer = json.loads(text)["result"]
        assert answer["action"] == "accept"
        assert [one.source for one in asked] == ["s"]
        if question == "ask":
            assert answer["content"] == {"name": "Bo"}
            assert asked[0].message == "Who?"
        else:
            assert asked[0].url == "https://example.com/sign-in"


# M: a callback that raises

INNER = "the inner secret of the application"


async def broken_person(question: ToolQuestion) -> ToolAnswer:
    raise RuntimeError(INNER)


def broken_roots() -> list[str]:
    raise RuntimeError(INNER)


def broken_approval(request: object) -> bool:
    raise RuntimeError(INNER)


class BrokenModel:
    """A model that fails."""

    async def create(self, **request: Any) -> object:
        raise RuntimeError(INNER)

    async def parse(self, **request: Any) -> object:
        raise RuntimeError(INNER)


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("ask", {"elicit": broken_person}),
        ("roots", {"roots": broken_roots}),
        ("sample", {"sampling": SamplingPolicy(models=["a/b"], approve=broken_approval)}),
        ("sample", {"sampling": SamplingPolicy(models=["a/b"])}),
    ],
    ids=["person", "roots", "approval", "model"],
)
@pytest.mark.parametrize("kind", STDIO)
async def test_row_m_a_callback_that_raises_tells_the_server_nothing_of_it(
    kind: str, question: str, options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncMCPClient(BrokenModel(), **options) as client, reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        result = await client.call_tool(question, "{}")  # and does not raise
        got = json.dumps(await seen(client))
        assert INNER not in got
        assert INNER not in result.content
        if question == "ask":
            assert json.loads(result.content)["result"]["action"] == "cancel"
        assert "RuntimeError" in caplog.text or INNER in caplog.text, "nobody learns of it"
        assert await call(client, "good") == ('{"tool": "good"}', False)
