"""Servers that answer too much, nothing, or something else; over every transport."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.mcp_http_fault_server import answering
from support.mcp_processes import free_port
from support.mcp_reach_faults import HTTP, KINDS, STDIO, Reach, reach

from mbxai.errors import (
    ConfigurationError,
    MCPAuthError,
    MCPConnectionError,
    MCPError,
    MCPToolError,
)
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._targets import ServerTarget, read_target

BOUND = 5.0
LIMIT = 200_000


@asynccontextmanager
async def connection(server: Reach | str, **settings: Any) -> AsyncIterator[ServerConnection]:
    options = dict(server.options) if isinstance(server, Reach) else {"base_url": server}
    url = options.pop("base_url", None)
    target = read_target("s", url, **options)
    fields = {name: getattr(target, name) for name in ServerTarget.__slots__}
    opened = ServerConnection(ServerTarget(**{**fields, "timeout": BOUND, **settings}))
    try:
        yield opened
    finally:
        async with asyncio.timeout(BOUND * 2):
            await opened.aclose()


def text(result: Any) -> str:
    return result["content"][0]["text"]


@pytest.mark.parametrize(
    ("kind", "words"), [(kind, ()) for kind in KINDS] + [(kind, ("sse",)) for kind in HTTP]
)
async def test_an_answer_above_the_limit_is_a_typed_error_and_the_server_stays_usable(
    kind: str, words: tuple[str, ...]
) -> None:
    limited = {"max_message_bytes": LIMIT}
    async with reach(kind, *words) as server, connection(server, **limited) as opened:
        with pytest.raises(MCPError) as caught:
            await opened.call_tool("large", {"bytes": LIMIT * 20})
        assert str(LIMIT) in str(caught.value)
        assert len(str(caught.value)) < 1000
        assert text(await opened.call_tool("large", {"bytes": LIMIT // 2})) == "x" * (LIMIT // 2)


@pytest.mark.parametrize("kind", STDIO)
async def test_an_answer_above_the_limit_fails_alone_over_stdio(kind: str) -> None:
    async with reach(kind) as server, connection(server, max_message_bytes=LIMIT) as opened:
        first = text(await opened.call_tool("pid", {}))
        with pytest.raises(MCPToolError, match=f"more than {LIMIT} bytes"):
            await opened.call_tool("large", {"bytes": 20_000_000})
        assert text(await opened.call_tool("pid", {})) == first


@pytest.mark.parametrize("kind", STDIO)
async def test_lines_that_are_no_messages_are_skipped_with_one_warning(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with reach(kind, "garbage") as server, connection(server) as opened:
        for n in range(3):
            assert json.loads(text(await opened.call_tool("good", {"n": n})))["n"] == n
        with pytest.raises(MCPToolError, match="lines that it wrote are no messages"):
            await opened.call_tool("hold", {}, timeout=0.2)
    warned = [r for r in caplog.records if "are no messages" in r.getMessage()]
    assert len(warned) == 1
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("kind", HTTP)
async def test_a_request_that_cannot_be_carried_does_not_take_others_with_it(kind: str) -> None:
    async with reach(kind) as server, connection(server) as opened:
        await opened.connect()
        held = asyncio.create_task(opened.call_tool("hold", {}))
        async with asyncio.timeout(BOUND):
            while not server.http.calls("hold"):
                await asyncio.sleep(0.01)
        server.http.faults["tools/call"] = "no status line at all"
        with pytest.raises(MCPConnectionError, match="went away during the call of 'good'"):
            await opened.call_tool("good", {})
        del server.http.faults["tools/call"]
        await opened.call_tool("release", {})
        assert text(await held) == "done"


async def test_a_session_that_is_forgotten_with_another_status_is_begun_again() -> None:
    async with reach("http legacy") as server, connection(server) as opened:
        await opened.call_tool("good", {})
        server.http.faults["tools/call"] = "400 Bad Request"
        with pytest.raises(MCPToolError, match="HTTP 400"):
            await opened.call_tool("good", {})
        del server.http.faults["tools/call"]
        server.http.forget()
        assert text(await opened.call_tool("good", {}))
        assert server.http.methods().count("initialize") == 2


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_who_is_not_accepted_is_told_what_to_do(status: str) -> None:
    async with reach("http modern") as server:
        async with connection(server) as opened:
            await opened.connect()
            server.http.faults["tools/call"] = status
            with pytest.raises(MCPAuthError, match=rf"HTTP {status[:3]}.*Give token="):
                await opened.call_tool("good", {})
            assert opened.state == "connected"
        server.http.faults[""] = status
        async with connection(server) as opened:
            with pytest.raises(MCPAuthError, match=f"answered HTTP {status[:3]}"):
                await opened.connect()
            assert (opened.state, "HTTP" in opened.problem) == ("failed", True)


async def test_an_object_that_signs_requests_is_used_as_it_is() -> None:
    import httpx2

    class Signs(httpx2.Auth):
        def auth_flow(self, request: httpx2.Request) -> Any:
            request.headers["X-Signed"] = "yes"
            yield request

    async with reach("http modern") as server, connection(server, auth=Signs()) as opened:
        await opened.call_tool("good", {})
        assert {head.headers.get("x-signed") for head in server.http.heads} == {"yes"}


async def test_a_page_of_the_web_is_told_as_what_it_is() -> None:
    async with answering("200 OK", b"<html>") as seen:
        url = f"http://127.0.0.1:{seen.port}/mcp"
        async with connection(url) as opened:
            with pytest.raises(MCPConnectionError, match="HTTP 200 with text/plain, which is no"):
                await opened.connect()


@pytest.mark.parametrize(("transport", "tried"), [("http", "streamable HTTP"), ("sse", "SSE")])
async def test_only_the_transport_that_was_named_is_tried(transport: Any, tried: str) -> None:
    async with answering("404 Not Found") as seen:
        url = f"http://127.0.0.1:{seen.port}/mcp"
        async with connection(url, transport=transport) as opened:
            with pytest.raises(MCPConnectionError) as caught:
                await opened.connect()
    other = {"streamable HTTP", "SSE"} - {tried}
    assert tried in str(caught.value)
    assert other.pop() not in str(caught.value)


async def test_a_server_that_is_not_there_is_not_tried_again_and_again() -> None:
    async with connection(f"http://127.0.0.1:{free_port()}/mcp") as opened:
        with pytest.raises(MCPConnectionError, match="could not be reached"):
            await opened.connect()
        for _ in range(3):
            with pytest.raises(MCPConnectionError) as caught:
                await opened.connect()
        with pytest.raises(MCPConnectionError, match="the next is in") as caught:
            await opened.list_tools()
        assert "could not be reached" in str(caught.value)


async def test_a_pinned_version_that_the_server_does_not_speak_is_a_typed_error() -> None:
    async with reach("http legacy") as server, connection(server, mode="2026-07-28") as opened:
        with pytest.raises(MCPConnectionError, match="does not speak version 2026-07-28"):
            await opened.call_tool("good", {})


def test_a_wrong_mode_names_the_right_ones() -> None:
    with pytest.raises(ConfigurationError, match="'auto', 'legacy', '2026-07-28'"):
        read_target("s", "http://h", mode="2024")  # type: ignore[arg-type]
