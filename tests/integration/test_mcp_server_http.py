"""Our server over HTTP, spoken to by the protocol package's own client and by raw requests."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.mcp_peer import PROGRAM, call, peer, post, served
from support.mcp_processes import SOURCES, free_port
from support.mcp_served_program import make

pytestmark = pytest.mark.filterwarnings("ignore:.*(deprecated|removed) as of:UserWarning")

BOTH = pytest.mark.parametrize("mode", ["auto", "legacy"])


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def url(base: str) -> str:
    return f"{base}/mcp"


def fill_in(message: str) -> dict[str, Any]:
    return {"n": 3} if message == "Which?" else {"sure": True}


async def text_of(client: Any, tool: str, arguments: dict[str, Any] | None = None) -> str:
    async with asyncio.timeout(10):
        result = await client.call_tool(tool, arguments or {})
    return str(result.content[0].text)


@BOTH
async def test_a_client_of_either_era_is_offered_the_same(url: str, mode: str) -> None:
    async with peer(url, mode=mode, elicit=fill_in, sample="Hi!", roots="file:///here") as client:
        weather = await client.call_tool("weather", {"city": "Oslo"})
        assert weather.structured_content == {"city": "Oslo", "celsius": 21.5}
        numbers = await client.call_tool("numbers", {"count": 3})
        assert numbers.structured_content == {"result": [0, 1, 2]}
        mixed = await client.call_tool("mixed", {})
        kinds = [block.type for block in mixed.content]
        assert kinds == ["text", "image", "resource", "resource_link"]
        assert (await client.call_tool("liar", {})).is_error
        assert await text_of(client, "too_much") != ""
        assert await text_of(client, "refuse") == "Not on Sundays."

        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert listed["weather"].title == "The weather"
        assert listed["weather"].annotations.read_only_hint
        assert "context" not in listed["ask"].input_schema["properties"]
        assert listed["numbers"].output_schema["required"] == ["result"]
        assert listed["refuse"].output_schema is None

        state = "'+'" if mode == "auto" else "''"
        told = f"accept {{'sure': True, 'colour': 'red'}} state={state}"
        assert await text_of(client, "ask") == told
        assert await text_of(client, "ask_from_a_thread") == "accept in a thread"
        assert await text_of(client, "ask_and_wait") == "accept red by waiting"
        assert await text_of(client, "ask_twice") == "red red"
        assert await text_of(client, "ask_together") == "accept Hi! (Be brief.) file:///here"
        assert await text_of(client, "visit") == "accept"
        assert await text_of(client, "put_off") == "3 half-way"
        assert await text_of(client, "thread_and_tenant") == '{"is_main":false,"tenant":"nobody"}'

        prompts = (await client.list_prompts()).prompts
        greet = next(prompt for prompt in prompts if prompt.name == "greet")
        assert greet.description == "Greet somebody."
        taken = [(a.name, a.required, a.description) for a in greet.arguments]
        assert taken == [("name", True, "Who is greeted."), ("times", False, "How often.")]
        greeting = await client.get_prompt("greet", {"name": "Bo", "times": "2"})
        assert greeting.messages[0].content.text == "Hello Bo. Hello Bo."
        asking = await client.get_prompt("asking", {})
        assert asking.messages[0].content.text == "Use red."
        talk = (await client.get_prompt("talk", {})).messages
        assert [m.role for m in talk] == ["user", "user", "assistant", "user"]
        assert [m.content.type for m in talk] == ["text", "image", "text", "resource"]


@BOTH
async def test_resources_are_read_by_address_and_unknown_ones_have_the_code_of_the_era(
    url: str, mode: str
) -> None:
    from mcp import MCPError

    async with peer(url, mode=mode) as client:
        assert (await client.read_resource("notes://1")).contents[0].text == "first"
        everything = (await client.read_resource("notes://all")).contents[0]
        assert everything.mime_type == "application/json"
        assert json.loads(everything.text)["1"] == "first"
        assert (await client.read_resource("picture://one")).contents[0].mime_type == "image/png"
        assert (await client.read_resource("file:///a/b")).contents[0].text == "file a/b"
        listed = (await client.list_resources()).resources
        assert "notes://all" in [resource.uri for resource in listed]
        templates = (await client.list_resource_templates()).resource_templates
        assert "notes://{note}" in [template.uri_template for template in templates]
        for uri in ("nothing://here", "file:///../secret"):
            with pytest.raises(MCPError) as caught:
                await client.read_resource(uri)
            assert caught.value.code == (-32602 if mode == "auto" else -32002)
        with pytest.raises(MCPError, match="There is no note 7"):
            await client.read_resource("notes://7")
        with pytest.raises(MCPError, match="log says why") as hidden:
            await client.read_resource("broken://one")
        assert "internals" not in str(hidden.value)


async def test_arguments_are_completed_and_the_answer_is_bounded(url: str) -> None:
    import mcp_types as types

    async with peer(url) as client:
        name = types.PromptReference(name="greet")
        found = await client.complete(name, {"name": "name", "value": "a"})
        assert found.completion.values == ["ada", "alan"]
        note = types.ResourceTemplateReference(uri="notes://{note}")
        many = await client.complete(note, {"name": "note", "value": "n"})
        assert len(many.completion.values) == 100
        assert (many.completion.total, many.completion.has_more) == (120, True)
        none = await client.complete(name, {"name": "times", "value": ""})
        assert none.completion.values == []


@BOTH
async def test_progress_comes_before_the_result_and_always_grows(url: str, mode: str) -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, total, message))

    async with peer(url, mode=mode) as client:
        result = await client.call_tool("counting", {}, progress_callback=progress)
        assert result.content[0].text == "counted"
    assert seen == [(0.0, 1.0, "step 0"), (0.5, 1.0, "step 1"), (1.0, 1.0, "step 2")]


@BOTH
async def test_a_fraction_is_told_without_the_noise_of_its_addition(url: str, mode: str) -> None:
    seen: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)

    async with peer(url, mode=mode) as client:
        await client.call_tool("adding", {}, progress_callback=progress)
    assert seen == [0.3, 0.300001, 0.300002, 0.666667]


async def test_over_http_another_server_of_the_same_name_does_not_know_the_state() -> None:
    answers: list[dict[str, Any]] = []
    state = ""
    for server in (make("same"), make("same")):
        app = server.asgi_app()
        async with server.lifespan():
            meta = {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
            }
            more = {"requestState": state, "inputResponses": {}} if state else {}
            params = {"name": "ask", "arguments": {}, "_meta": meta, **more}
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, timeout=5.0) as client:
                answer = await client.post(
                    "http://localhost/mcp",
                    json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
                    headers={
                        "accept": "application/json, text/event-stream",
                        "mcp-protocol-version": "2026-07-28",
                        "mcp-method": "tools/call",
                        "mcp-name": "ask",
                    },
                )
            answers.append(answer.json())
            state = state or answers[0]["result"]["requestState"]
    assert answers[0]["result"]["resultType"] == "input_required"
    assert answers[1]["error"]["message"] == "Invalid or expired requestState"


async def test_a_client_that_cannot_answer_is_told_so_or_is_done_without(url: str) -> None:
    from mcp import MCPError

    async with peer(url, mode="legacy") as client:
        refused = await client.call_tool("sample_anyway", {})
        assert refused.is_error
        assert refused.content[0].text == "This client cannot ask its model (sampling)."
        assert await text_of(client, "sample_if_possible") == "did without"
    async with peer(url) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("sample_anyway", {})
        assert caught.value.code == -32021
        assert await text_of(client, "sample_if_possible") == "did without"
        abilities = await client.call_tool("abilities", {})
        assert abilities.structured_content["can"] == []


@BOTH
async def test_a_cancelled_call_ends_its_function_and_nothing_else(url: str, mode: str) -> None:
    async with peer(url, mode=mode) as client:
        endless = asyncio.create_task(client.call_tool("endless", {}))
        assert await text_of(client, "wait_until_running") == "running"
        endless.cancel()
        assert await text_of(client, "how_it_ended") == '["cancelled"]'
        assert endless.cancelled()


async def test_an_older_client_gets_the_levels_it_asked_for_and_is_told_of_changes(
    url: str,
) -> None:
    import mcp_types as types

    told: asyncio.Queue[Any] = asyncio.Queue()
    logs: list[tuple[str, str]] = []

    async def logged(params: Any) -> None:
        logs.append((params.level, params.logger))

    async def told_of(*kinds: type) -> list[Any]:
        found: list[Any] = []
        async with asyncio.timeout(5):
            while not set(kinds) <= {type(one) for one in found}:
                found.append(await told.get())
        return found

    async with peer(url, mode="legacy", told=told.put, logging_callback=logged) as client:
        await client.call_tool("chatty", {})
        assert logs == [("info", "chat"), ("error", "chat")]
        logs.clear()
        await client.set_logging_level("error")
        await client.call_tool("chatty", {})
        assert logs == [("error", "chat")]

        await client.call_tool("offer_more", {})
        changed = (types.ToolListChangedNotification, types.ResourceListChangedNotification)
        await told_of(*changed)
        assert await text_of(client, "late") == "here"

        await client.subscribe_resource("notes://mine")
        await client.call_tool("change_note", {"note": "other", "text": "unseen"})
        await client.call_tool("change_note", {"note": "mine", "text": "changed"})
        updated = types.ResourceUpdatedNotification
        news = [one for one in await told_of(updated) if isinstance(one, updated)]
        assert [one.params.uri for one in news] == ["notes://mine"]
        await client.unsubscribe_resource("notes://mine")
        await client.call_tool("change_note", {"note": "mine", "text": "again"})
        await client.call_tool("offer_more", {})
        assert updated not in {type(one) for one in await told_of(*changed)}


async def test_a_newer_client_is_told_of_changes_that_it_listens_for(url: str) -> None:
    async with (
        peer(url) as client,
        client.listen(tools_list_changed=True, resource_subscriptions=["notes://mine"]) as events,
    ):
        await client.call_tool("change_note", {"note": "other", "text": "unseen"})
        await client.call_tool("change_note", {"note": "mine", "text": "changed"})
        await client.call_tool("offer_more", {})
        seen: list[str] = []
        async with asyncio.timeout(5):
            async for event in events:
                seen.append(type(event).__name__)
                if len(seen) == 2:
                    break
        assert sorted(seen) == ["ResourceUpdated", "ToolsListChanged"]


@BOTH
async def test_context_variables_of_the_application_reach_a_tool(url: str, mode: str) -> None:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    async with httpx2.AsyncClient(headers={"x-tenant": "acme"}) as http:
        transport = streamable_http_client(url, http_client=http)
        async with peer(transport, mode=mode) as client:
            found = await client.call_tool("thread_and_tenant", {})
    assert found.structured_content == {"is_main": False, "tenant": "acme"}


async def test_a_mounted_server_is_reached_and_a_plain_request_calls_a_tool(base: str) -> None:
    async with httpx.AsyncClient(timeout=10.0) as client:
        tools = (await client.get(f"{base}/rest/tools")).json()["tools"]
        assert "weather" in [tool["name"] for tool in tools]
        answer = await client.post(f"{base}/rest/tools/weather/invoke", json={"city": "Oslo"})
        assert answer.json() == {"city": "Oslo", "celsius": 21.5}
        asking = await client.post(f"{base}/rest/tools/ask/invoke", json={})
        assert asking.status_code == 422
        assert "cannot ask its user" in asking.json()["error"]


async def test_strangers_pages_and_large_bodies_are_refused(url: str) -> None:
    async with httpx.AsyncClient(timeout=10.0) as client:
        other = await client.post(url, json={}, headers={"host": "evil.example"})
        assert other.status_code == 421
        page = await client.post(url, json={}, headers={"origin": "https://evil.example"})
        assert page.status_code == 403
        large = await client.post(url, content=b" " * 200_000)
        assert large.status_code == 413


ASKABLE = {"capabilities": {"elicitation": {}}}


def accepted(asked: dict[str, Any], **content: Any) -> dict[str, Any]:
    """The next request of a client whose user has answered."""
    result = asked["result"]
    responses = {name: {"action": "accept", "content": content} for name in result["inputRequests"]}
    return {**ASKABLE, "inputResponses": responses, "requestState": result["requestState"]}


async def test_an_answer_may_go_to_another_process_that_has_the_same_key(base: str) -> None:
    asked = await call(f"{base}/sealed/mcp", "ask_twice", {**ASKABLE})
    assert asked["result"]["resultType"] == "input_required"
    again = await call(f"{base}/twin/mcp", "ask_twice", accepted(asked, sure=True, colour="blue"))
    assert again["result"]["resultType"] == "input_required"
    done = await call(f"{base}/sealed/mcp", "ask_twice", accepted(again, sure=True))
    assert done["result"]["content"][0]["text"] == "blue red"


async def test_what_a_client_keeps_for_us_is_good_for_that_call_alone(base: str) -> None:
    asked = await call(f"{base}/sealed/mcp", "ask", {**ASKABLE})
    good = accepted(asked, sure=True)
    tampered = {**good, "requestState": good["requestState"][:-1] + "A="}
    assert (await call(f"{base}/sealed/mcp", "ask", tampered))["error"]["code"] == -32602
    assert (await call(f"{base}/mcp", "ask", {**good}))["error"]["code"] == -32602
    assert (await call(f"{base}/sealed/mcp", "ask_twice", {**good}))["error"]["code"] == -32602
    told = await call(f"{base}/sealed/mcp", "ask", {**good})
    assert "state='+'" in told["result"]["content"][0]["text"]


async def test_an_answer_that_does_not_fit_is_asked_for_again(url: str) -> None:
    asked = await call(url, "ask", {**ASKABLE})
    wrong = await call(url, "ask", accepted(asked, sure="perhaps", colour="green"))
    assert wrong["result"]["inputRequests"] == asked["result"]["inputRequests"]
    declined = accepted(wrong)
    for answer in declined["inputResponses"].values():
        answer["action"] = "decline"
    told = await call(url, "ask", declined)
    assert told["result"]["content"][0]["text"].startswith("decline {}")


async def test_log_messages_go_only_to_requests_that_want_them(url: str) -> None:
    silent = await post(url, "tools/call", {"name": "chatty", "arguments": {}})
    assert "notifications/message" not in silent.text
    meta = {"io.modelcontextprotocol/logLevel": "error"}
    told = await post(url, "tools/call", {"name": "chatty", "arguments": {}, "_meta": meta})
    assert told.text.count("notifications/message") == 1
    assert '"said":"error"' in told.text


async def test_callers_without_a_good_token_are_shown_where_to_get_one(base: str) -> None:
    guarded = f"{base}/api/mcp"
    refused = await post(guarded, "tools/list", {})
    assert refused.status_code == 401
    challenge = refused.headers["www-authenticate"]
    assert 'scope="notes:read"' in challenge
    assert "error=" not in challenge
    # The public address is known, and the place under which the application is mounted.
    address = challenge.partition('resource_metadata="')[2].partition('"')[0]
    assert address == "http://localhost/api/.well-known/oauth-protected-resource/api/mcp"
    async with httpx.AsyncClient(timeout=10.0) as client:
        for path in (
            address.removeprefix("http://localhost"),
            address[len("http://localhost/api") :],
        ):
            told = (await client.get(f"{base}{path}")).json()
            assert told["resource"] == "http://localhost/api/mcp"
            assert told["authorization_servers"] == ["https://login.example"]
            assert told["scopes_supported"] == ["notes:read", "notes:write"]
    for token in ("nobody", "crash", "claims", "ada:notes:read@https://other.example/mcp"):
        wrong = await post(guarded, "tools/list", {}, authorization=f"Bearer {token}")
        assert wrong.status_code == 401
        assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    poor = await post(guarded, "tools/list", {}, authorization="Bearer ada:other")
    assert poor.status_code == 403
    assert 'error="insufficient_scope"' in poor.headers["www-authenticate"]


async def test_a_tool_may_want_more_of_a_token_than_the_server(base: str) -> None:
    guarded = f"{base}/api/mcp"
    reader, writer = "Bearer ada:notes:read", "Bearer ada:notes:read+notes:write"
    assert "result" in await call(guarded, "pair", authorization=reader)
    given = {"name": "write_note", "arguments": {}}
    refused = await post(guarded, "tools/call", {**given}, authorization=reader)
    assert refused.status_code == 403
    assert 'scope="notes:read notes:write"' in refused.headers["www-authenticate"]
    told = await call(guarded, "write_note", authorization=writer)
    assert told["result"]["content"][0]["text"] == "ada wrote"


async def test_a_session_belongs_to_who_began_it(base: str) -> None:
    guarded = f"{base}/api/mcp"
    client_info = {"name": "raw", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client_info}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    headers = {
        "accept": "application/json, text/event-stream",
        "authorization": "Bearer ada:notes:read",
    }
    async with httpx.AsyncClient(timeout=10.0, headers=headers) as client:
        session = (await client.post(guarded, json=body)).headers["mcp-session-id"]
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        own = await client.post(guarded, json=ping, headers={"mcp-session-id": session})
        assert own.status_code == 200
        others = {"mcp-session-id": session, "authorization": "Bearer bob:notes:read"}
        assert (await client.post(guarded, json=ping, headers=others)).status_code == 404
        write = {"name": "write_note", "arguments": {}}
        call_it = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": write}
        lacking = await client.post(guarded, json=call_it, headers={"mcp-session-id": session})
        assert lacking.status_code == 403


async def test_a_server_that_is_told_to_stop_ends_waiting_streams_at_once() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "run", str(port), env={**SOURCES}, stderr=subprocess.PIPE
    )
    try:
        async with httpx.AsyncClient(timeout=10.0) as http, asyncio.timeout(25):
            address = f"http://127.0.0.1:{port}/mcp"
            while True:
                try:
                    await http.get(address)
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
            async with (
                peer(address) as client,
                client.listen(tools_list_changed=True) as events,
            ):
                process.send_signal(signal.SIGTERM)
                with pytest.raises(StopAsyncIteration):
                    await anext(aiter(events))
            assert await asyncio.wait_for(process.wait(), 5) == -signal.SIGTERM
    finally:
        if process.returncode is None:
            process.kill()
        _, errors = await process.communicate()
    assert b"Traceback" not in errors
