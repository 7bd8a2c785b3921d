"""MCP servers over HTTP: our own in a process of its own, and ones that misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import httpx
import pytest
from support.mcp_http_fault_server import answering, dying_in_a_resumable_answer
from support.mcp_model import NoModel
from support.mcp_processes import free_port, http_server

from mbxai.errors import MCPConnectionError
from mbxai.mcp import AsyncMCPClient, MCPServer

BOUND = 15.0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    with http_server(port):
        yield port


@pytest.fixture(scope="module")
def rest_port() -> Iterator[int]:
    port = free_port()
    with http_server(port, flavour="rest"):
        yield port


@pytest.fixture
async def client() -> AsyncIterator[AsyncMCPClient]:
    async with AsyncMCPClient(NoModel()) as opened:
        yield opened


async def call(client: AsyncMCPClient, name: str, /, **arguments: Any) -> tuple[str, bool]:
    result = await client.call_tool(name, json.dumps(arguments))
    return result.content, result.is_error


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_url_without_a_path_finds_the_server(
    client: AsyncMCPClient, port: int, mode: Literal["auto", "legacy"]
) -> None:
    names = await client.register_mcp_server("tools", f"http://localhost:{port}", mode=mode)
    assert "add" in names
    assert await call(client, "add", a=1, b=2) == ("3", False)
    assert await call(client, "refuse") == ("The weather is not for sale.", True)


async def test_a_url_with_a_path_is_used_as_it_is(client: AsyncMCPClient, port: int) -> None:
    await client.register_mcp_server("tools", f"http://127.0.0.1:{port}/mcp")
    assert await call(client, "add", a=1, b=2) == ("3", False)


async def test_the_older_transport_is_found_last(client: AsyncMCPClient) -> None:
    port = free_port()
    with http_server(port, flavour="sse"):
        await client.register_mcp_server("tools", f"http://127.0.0.1:{port}")
        assert await call(client, "add", a=1, b=2) == ("3", False)
        await client.aclose()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_concurrent_calls_and_one_that_is_cancelled(
    client: AsyncMCPClient, port: int, mode: Literal["auto", "legacy"]
) -> None:
    await client.register_mcp_server("tools", f"http://127.0.0.1:{port}", mode=mode)
    cancelled = asyncio.create_task(call(client, "slow", seconds=30))
    await asyncio.sleep(0.2)
    many = [asyncio.create_task(call(client, "slow", seconds=0.5)) for _ in range(10)]
    cancelled.cancel()
    async with asyncio.timeout(BOUND):
        assert await asyncio.gather(*many) == [("done", False)] * 10
    assert cancelled.cancelled()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_large_result_arrives_and_is_cut_for_the_model(
    client: AsyncMCPClient, port: int, mode: Literal["auto", "legacy"]
) -> None:
    await client.register_mcp_server("tools", f"http://127.0.0.1:{port}", mode=mode)
    text, is_error = await call(client, "large", characters=2_000_000)
    assert not is_error
    assert "65536" in text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_restarted_server_is_found_again(
    client: AsyncMCPClient, mode: Literal["auto", "legacy"]
) -> None:
    port = free_port()
    with http_server(port):
        await client.register_mcp_server("tools", f"http://127.0.0.1:{port}", mode=mode)
        first = await call(client, "pid")
    with http_server(port):
        async with asyncio.timeout(BOUND):
            second, is_error = await call(client, "pid")
        assert not is_error
        assert second != first[0]
        await client.aclose()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_server_killed_in_the_middle_of_calls_is_a_typed_error(
    client: AsyncMCPClient, mode: Literal["auto", "legacy"]
) -> None:
    port = free_port()
    with http_server(port) as process:
        await client.register_mcp_server("tools", f"http://127.0.0.1:{port}", mode=mode)
        many = [asyncio.create_task(call(client, "slow", seconds=30)) for _ in range(3)]
        await asyncio.sleep(0.3)
        process.kill()
        async with asyncio.timeout(BOUND):
            results = await asyncio.gather(*many)
        assert all(is_error for _, is_error in results)
        assert all("went away during the call of" in text for text, _ in results)
        assert all("not known" in text for text, _ in results)
    async with asyncio.timeout(BOUND):
        text, is_error = await call(client, "add", a=1, b=2)
    assert is_error
    assert "could not be reached" in text


async def test_a_call_whose_answer_was_cut_is_not_sent_again(client: AsyncMCPClient) -> None:
    async with dying_in_a_resumable_answer() as seen, asyncio.timeout(BOUND):
        url = f"http://127.0.0.1:{seen.port}/mcp"
        await client.register_mcp_server("dying", url, mode="legacy")
        text, is_error = await call(client, "good")
    assert is_error
    assert "not known" in text
    assert seen.requests.count("tools/call") == 1


async def test_a_server_that_is_not_there_is_a_typed_error(client: AsyncMCPClient) -> None:
    port = free_port()
    async with asyncio.timeout(5):
        with pytest.raises(MCPConnectionError) as caught:
            await client.register_mcp_server("gone", f"http://localhost:{port}")
    assert f"http://localhost:{port}" in str(caught.value)
    assert caught.value.server == "gone"
    assert not isinstance(caught.value.__cause__, BaseExceptionGroup)


async def test_every_way_that_was_tried_is_told_with_its_answer(client: AsyncMCPClient) -> None:
    async with answering("404 Not Found") as seen:
        with pytest.raises(MCPConnectionError) as caught:
            await client.register_mcp_server("web", f"http://127.0.0.1:{seen.port}")
    base = f"http://127.0.0.1:{seen.port}"
    for way in (f"streamable HTTP {base}:", f"streamable HTTP {base}/mcp:", f"SSE {base}/sse:"):
        assert f"{way} answered HTTP 404" in str(caught.value)


async def test_what_was_only_tried_leaves_no_trace_in_the_log(
    client: AsyncMCPClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering("200 OK") as seen:
        with pytest.raises(MCPConnectionError, match="HTTP 200 with text/plain, which is no MCP"):
            await client.register_mcp_server("web", f"http://127.0.0.1:{seen.port}")
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_refused_key_is_told_by_its_status_and_not_shown(client: AsyncMCPClient) -> None:
    async with answering("401 Unauthorized") as seen:
        url = f"http://127.0.0.1:{seen.port}/mcp"
        with pytest.raises(MCPConnectionError, match="HTTP 401") as caught:
            await client.register_mcp_server("web", url, token="tok-very-secret")
    assert "tok-very-secret" not in str(caught.value)
    assert all("authorization: bearer tok-very-secret" in head for head in seen.requests)


async def test_a_silent_server_is_given_up_in_time(client: AsyncMCPClient) -> None:
    async with answering(None) as seen, asyncio.timeout(5):
        url = f"http://127.0.0.1:{seen.port}"
        with pytest.raises(MCPConnectionError, match=r"within 0\.5 s.*no answer"):
            await client.register_mcp_server("web", url, connect_timeout=0.5)


async def test_a_silent_older_server_is_given_up_in_time(client: AsyncMCPClient) -> None:
    async with answering(None) as seen, asyncio.timeout(5):
        url = f"http://127.0.0.1:{seen.port}/sse"
        with pytest.raises(MCPConnectionError, match="no answer"):
            await client.register_mcp_server("web", url, connect_timeout=0.5)


async def test_a_registration_that_is_cancelled_ends_at_once(client: AsyncMCPClient) -> None:
    async with answering(None) as seen, asyncio.timeout(3):
        for path in ("", "/sse"):
            url = f"http://127.0.0.1:{seen.port}{path}"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.register_mcp_server("web", url)


async def test_headers_go_to_their_own_server_only(
    client: AsyncMCPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-not-for-you")
    async with answering("403 Forbidden") as first, answering("403 Forbidden") as second:
        for seen, headers in ((first, {"X-Team": "blue"}), (second, None)):
            url = f"http://127.0.0.1:{seen.port}/mcp"
            with pytest.raises(MCPConnectionError):
                await client.register_mcp_server("web", url, headers=headers)
    assert all("x-team: blue" in head for head in first.requests)
    assert not any("x-team" in head or "sk-or" in head for head in second.requests)


async def test_the_rest_application_speaks_the_protocol_at_its_root(
    client: AsyncMCPClient, rest_port: int
) -> None:
    await client.register_mcp_server("root", f"http://127.0.0.1:{rest_port}")
    assert await call(client, "add", a=1, b=2) == ("3", False)
    await client.register_mcp_server("path", f"http://127.0.0.1:{rest_port}/mcp")
    assert await call(client, "path__add", a=1, b=2) == ("3", False)


async def test_the_rest_routes_list_and_run_tools(rest_port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{rest_port}") as http:
        tools = {tool["name"]: tool for tool in (await http.get("/tools")).json()["tools"]}
        assert tools["add"]["description"] == "Add two numbers."
        assert tools["add"]["input_schema"]["required"] == ["a", "b"]
        assert tools["add"]["service"] == "tools"
        answer = await http.post(tools["add"]["internal_url"], json={"a": 1, "b": 2})
        assert answer.json() == 3
        wrapped = await http.post("/tools/add/invoke", json={"input": {"a": 1, "b": 2}})
        assert wrapped.json() == 3
        weather = await http.post("/tools/weather/invoke", json={"city": "Oslo"})
        assert weather.json() == {"city": "Oslo", "celsius": 21.5}
        unknown = await http.post("/tools/nothing/invoke", json={})
        assert unknown.status_code == 404
        for body in (b"[1]", b"{", b'{"a": "one"}'):
            refused = await http.post("/tools/add/invoke", content=body)
            assert refused.status_code == 422
            assert refused.json()["error"]
        failed = await http.post("/tools/crash/invoke", json={})
        assert "secret internals" not in failed.text


async def test_a_page_with_another_name_is_refused_everywhere(rest_port: int, port: int) -> None:
    async with httpx.AsyncClient() as http:
        for url in (f"http://127.0.0.1:{rest_port}/tools", f"http://127.0.0.1:{port}/mcp"):
            assert (await http.get(url, headers={"Host": "evil.example"})).status_code == 421
            assert (
                await http.get(url, headers={"Origin": "http://evil.example"})
            ).status_code == 403


async def test_a_mounted_server_needs_its_lifespan_and_an_app_can_be_started_twice() -> None:
    server = MCPServer("mounted")
    app = server.asgi_app()
    transport = httpx.ASGITransport(app)
    ping = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        with pytest.raises(Exception, match="lifespan"):
            await http.post("/mcp", json=ping)
        for _ in range(2):
            async with server.lifespan():
                assert (await http.post("/mcp", json=ping)).status_code < 500
