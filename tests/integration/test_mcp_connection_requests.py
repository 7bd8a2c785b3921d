"""All that is asked of a server, and that it asks of us, in both eras; no process, no socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.mcp_object_server import ObjectServer

from mbxai.errors import MCPConnectionError, MCPError, MCPToolError
from mbxai.mcp import MCPServer
from mbxai.mcp.connection._callbacks import Callbacks, RefusedError
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._info import Change
from mbxai.mcp.connection._targets import Mode, ServerTarget
from mbxai.wire import ToolAnswer, ToolQuestion

BOUND = 5.0
ERAS = ["legacy", "modern"]


@asynccontextmanager
async def connected(
    server: object, callbacks: Callbacks | None = None, *, listen: Any = None, **settings: Any
) -> AsyncIterator[ServerConnection]:
    target = ServerTarget(name="s", server=server, **{"timeout": BOUND, **settings})
    connection = ServerConnection(target, callbacks or Callbacks(), on_change=listen)
    try:
        yield connection
    finally:
        async with asyncio.timeout(BOUND):
            await connection.aclose()


def object_server(era: str, *words: str) -> ObjectServer:
    return ObjectServer(*(["legacy"] if era == "legacy" else []), *words)


def said(result: dict[str, Any] | ToolQuestion) -> Any:
    assert isinstance(result, dict), "the call has asked back"
    return json.loads(result["content"][0]["text"])


class Heard:
    """What a listener was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self._more = asyncio.Event()

    def __call__(self, *what: Any) -> None:
        self.told.append(what[0] if len(what) == 1 else what)
        self._more.set()

    async def until(self, wanted: Any) -> None:
        async with asyncio.timeout(BOUND):
            while wanted not in self.told:
                self._more.clear()
                await self._more.wait()


async def yes(question: ToolQuestion) -> ToolAnswer:
    return ToolAnswer(action="accept", content={"name": question.message})


async def model(params: Mapping[str, Any]) -> dict[str, Any]:
    content = {"type": "text", "text": params["messages"][0]["content"]["text"].upper()}
    return {"role": "assistant", "content": content, "model": "m", "stopReason": "endTurn"}


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
async def test_a_server_object_is_used_like_any_other_server(mode: Mode) -> None:
    server = MCPServer("own", "Says hello.", version="3")

    @server.tool
    def hello(name: str) -> str:
        """Greet."""
        return f"Hello {name}"

    async with connected(server, mode=mode) as connection:
        assert [tool["name"] for tool in await connection.list_tools()] == ["hello"]
        result = await connection.call_tool("hello", {"name": "Bo"})
        assert isinstance(result, dict)
        assert result["content"][0]["text"] == "Hello Bo"
        info = connection.info
        assert info is not None
        assert (info.name, info.version) == ("own", "3")
        assert info.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
        assert connection.state == "connected"
    assert connection.state == "closed"


async def test_a_server_object_of_the_protocols_own_package_is_used() -> None:
    import mcp_types as types
    from mcp.server import Server

    async def list_tools(context: object, params: object) -> types.ListToolsResult:
        tool = types.Tool(name="t", input_schema={"type": "object"})
        return types.ListToolsResult(tools=[tool])

    async with connected(Server("low", on_list_tools=list_tools)) as connection:
        assert [tool["name"] for tool in await connection.list_tools()] == ["t"]


@pytest.mark.parametrize("era", ERAS)
async def test_lists_are_read_to_their_end_and_malformed_entries_left_out(era: str) -> None:
    async with connected(object_server(era)) as connection:
        resources = await connection.list_resources()
        assert [entry["uri"] for entry in resources] == ["test://0", "test://1", "test://2"]
        templates = await connection.list_resource_templates()
        assert [entry["uriTemplate"] for entry in templates] == [f"test://{n}" for n in range(3)]
        prompts = await connection.list_prompts()
        assert [entry["name"] for entry in prompts] == ["prompts0", "prompts1", "prompts2"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_list_without_end_is_cut(era: str) -> None:
    async with connected(object_server(era, "endless")) as connection:
        assert len(await connection.list_prompts()) == 100


@pytest.mark.parametrize("era", ERAS)
async def test_what_a_server_does_not_offer_is_not_asked_for(era: str) -> None:
    server = object_server(era, "without=resources,prompts,tools")
    async with connected(server) as connection:
        assert await connection.list_tools() == []
        assert await connection.list_resources() == []
        assert await connection.list_resource_templates() == []
        assert await connection.list_prompts() == []
        assert not [method for method in server.methods() if method.endswith("/list")]


@pytest.mark.parametrize("era", ERAS)
async def test_resources_prompts_and_completions_are_the_servers_json(era: str) -> None:
    async with connected(object_server(era)) as connection:
        read = await connection.read_resource("test://x")
        assert read["contents"] == [{"uri": "test://x", "text": "the text of test://x"}]
        prompt = await connection.get_prompt("p", {"a": "b"})
        assert prompt["messages"][0]["content"]["text"] == '{"a": "b"}'
        completed = await connection.complete(
            {"type": "ref/prompt", "name": "p"}, {"name": "a", "value": "b"}, {"c": "d"}
        )
        assert completed["completion"]["values"] == ["b!", '{"arguments": {"c": "d"}}']
        await connection.ping()


async def test_a_prompt_that_asks_back_is_answered_by_the_callback() -> None:
    async with connected(object_server("modern"), Callbacks(elicit=yes)) as connection:
        prompt = await connection.get_prompt("ask", {})
        answer = {"it": {"action": "accept", "content": {"name": "Who?"}}}
        assert json.loads(prompt["messages"][0]["content"]["text"]) == answer


@pytest.mark.parametrize("era", ERAS)
async def test_progress_of_a_call_is_told(era: str) -> None:
    heard = Heard()
    async with connected(object_server(era)) as connection:
        await connection.call_tool("progress", {}, progress=heard)
        await heard.until((2.0, 2.0, "so far"))
    assert (1.0, 2.0, "so far") in heard.told


@pytest.mark.parametrize("era", ERAS)
async def test_log_messages_are_passed_on_and_the_level_is_said(era: str) -> None:
    heard = Heard()
    server = object_server(era)
    async with connected(server, Callbacks(log=heard, log_level="info")) as connection:
        await connection.call_tool("log", {})
        await heard.until(("warning", "here", {"n": 1}))
        await connection.set_log_level("error")
        await connection.call_tool("good", {})
        key = "io.modelcontextprotocol/logLevel"
        levels = [
            (message.get("params") or {}).get("level")
            or ((message.get("params") or {}).get("_meta") or {}).get(key)
            for message in server.peers[0].seen
        ]
        assert next(level for level in levels if level) == "info"
        assert [level for level in levels if level][-1] == "error"


@pytest.mark.parametrize("era", ERAS)
async def test_changes_are_heard_of(era: str) -> None:
    heard = Heard()
    server = object_server(era)
    async with connected(server, listen=heard) as connection:
        await connection.subscribe("test://x")
        if era == "modern":
            async with asyncio.timeout(BOUND):
                while not server.peers[0]._listening or "resourceSubscriptions" not in next(
                    iter(server.peers[0]._listening.values())
                ):
                    await asyncio.sleep(0.01)
        await connection.call_tool("change", {"tools": []})
        await heard.until(Change("tools"))
        await connection.call_tool("touch", {"uri": "test://x"})
        await heard.until(Change("resource", "test://x"))
        await connection.unsubscribe("test://x")


@pytest.mark.parametrize("era", ERAS)
async def test_a_server_that_ends_is_connected_to_again_and_the_change_is_told(era: str) -> None:
    heard = Heard()
    server = object_server(era)
    async with connected(server, listen=heard) as connection:
        await connection.subscribe("test://x")
        with pytest.raises(MCPConnectionError, match="went away during the call of 'vanish'"):
            await connection.call_tool("vanish", {})
        assert said(await connection.call_tool("good", {"n": 1})) == {"tool": "good", "n": 1}
        assert Change("tools") in heard.told
        again = [str(message.get("method")) for message in server.peers[1].seen]
        assert ("resources/subscribe" in again) == (era == "legacy")


@pytest.mark.parametrize("era", ERAS)
async def test_only_a_call_that_may_run_twice_is_sent_again(era: str) -> None:
    server = object_server(era)
    async with connected(server) as connection:
        with pytest.raises(MCPConnectionError):
            await connection.call_tool("vanish", {}, may_resend=True)
        assert len(server.peers) == 2
        with pytest.raises(MCPConnectionError):
            await connection.call_tool("vanish", {})
        assert len(server.peers) == 3


@pytest.mark.parametrize("era", ERAS)
async def test_a_paused_call_goes_on_with_the_answer(era: str) -> None:
    async with connected(object_server(era)) as connection:
        asked = await connection.call_tool("ask", {}, can_pause=True)
        assert isinstance(asked, ToolQuestion)
        assert (asked.message, asked.kind, asked.source) == ("Who?", "form", "s")
        assert asked.schema["properties"] == {"name": {"type": "string"}}
        answer = ToolAnswer(action="accept", content={"name": "Bo"}, state=asked.state)
        result = await connection.call_tool("ask", {}, can_pause=True, answer=answer)
        given = {"result": {"action": "accept", "content": {"name": "Bo"}}}
        assert said(result) == given


async def test_several_questions_of_a_call_are_asked_one_after_the_other_elsewhere_too() -> None:
    callbacks = Callbacks(sample=model)
    async with connected(object_server("modern"), callbacks) as connection:
        first = await connection.call_tool("twice", {}, can_pause=True)
    assert isinstance(first, ToolQuestion)
    assert first.message == "first?"
    answer = ToolAnswer(action="decline", state=first.state)
    async with connected(object_server("modern"), callbacks) as elsewhere:
        second = await elsewhere.call_tool("twice", {}, can_pause=True, answer=answer)
        assert isinstance(second, ToolQuestion)
        assert second.message == "second?"
        answer = ToolAnswer(action="accept", content={"name": "B"}, state=second.state)
        result = said(await elsewhere.call_tool("twice", {}, can_pause=True, answer=answer))
    assert result["state"] == "of-the-server"
    assert result["given"]["first"] == {"action": "decline"}
    assert result["given"]["second"] == {"action": "accept", "content": {"name": "B"}}
    assert result["given"]["model"]["content"]["text"] == "HI"


async def test_a_paused_call_of_the_older_protocol_does_not_outlive_its_connection() -> None:
    server = object_server("legacy")
    async with connected(server) as connection:
        asked = await connection.call_tool("ask", {}, can_pause=True)
        assert isinstance(asked, ToolQuestion)
        await connection.reconnect()
        assert "notifications/cancelled" in server.methods()
        with pytest.raises(MCPConnectionError, match="not known"):
            await connection.call_tool(
                "ask", {}, can_pause=True, answer=ToolAnswer(action="accept", state=asked.state)
            )


async def test_a_paused_call_of_the_older_protocol_ends_when_nobody_comes_back() -> None:
    server = object_server("legacy")
    async with connected(server, held_seconds=0.05) as connection:
        asked = await connection.call_tool("ask", {}, can_pause=True)
        assert isinstance(asked, ToolQuestion)
        async with asyncio.timeout(BOUND):
            while "notifications/cancelled" not in server.methods():
                await asyncio.sleep(0.01)
        answer = ToolAnswer(action="accept", state=asked.state)
        with pytest.raises(MCPConnectionError, match="not known"):
            await connection.call_tool("ask", {}, can_pause=True, answer=answer)
        assert said(await connection.call_tool("good", {})) == {"tool": "good"}


@pytest.mark.parametrize("state", ["", "5", "[]", '{"held": "x"}', '{"waiting": 1}'])
@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_to_no_question_is_a_typed_error(era: str, state: str) -> None:
    server = object_server(era)
    async with connected(server) as connection:
        answer = ToolAnswer(action="accept", state=state)
        with pytest.raises(MCPError):
            await connection.call_tool("ask", {}, can_pause=True, answer=answer)
        assert "tools/call" not in server.methods()


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_cannot_pause_asks_while_its_time_stands_still(era: str) -> None:
    async def thinks(question: ToolQuestion) -> ToolAnswer:
        await asyncio.sleep(0.8)
        return ToolAnswer(action="accept", content={"name": "late"})

    async with connected(object_server(era), Callbacks(elicit=thinks), timeout=0.5) as connection:
        result = said(await connection.call_tool("ask", {}))
        assert result["result"] == {"action": "accept", "content": {"name": "late"}}
        with pytest.raises(MCPToolError, match=r"within 0\.5 s"):
            await connection.call_tool("hold", {})


@pytest.mark.parametrize("era", ERAS)
async def test_where_nobody_can_be_asked_the_server_is_told_so_and_we_once(
    era: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(object_server(era)) as connection:
        for _ in range(2):
            assert said(await connection.call_tool("ask", {})) == {"result": {"action": "cancel"}}
    warned = [record for record in caplog.records if "Give elicit=" in record.getMessage()]
    assert len(warned) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_an_address_to_visit_is_a_question_of_its_kind(era: str) -> None:
    async with connected(object_server(era)) as connection:
        asked = await connection.call_tool("visit", {}, can_pause=True)
        assert isinstance(asked, ToolQuestion)
        assert (asked.kind, asked.url) == ("url", "https://example.com/sign-in")


@pytest.mark.parametrize("era", ERAS)
async def test_sampling_and_roots_are_answered_by_callbacks(era: str) -> None:
    async def roots() -> list[dict[str, str]]:
        return [{"uri": "file:///tmp", "name": "tmp"}]

    callbacks = Callbacks(sample=model, roots=roots)
    async with connected(object_server(era), callbacks) as connection:
        sampled = said(await connection.call_tool("sample", {}))["result"]
        assert sampled["content"]["text"] == "SAY HI."
        listed = said(await connection.call_tool("roots", {}))["result"]
        assert listed["roots"] == [{"uri": "file:///tmp", "name": "tmp"}]


async def test_a_callback_that_fails_tells_an_older_server_nothing_of_why() -> None:
    async def fails(params: object) -> dict[str, Any]:
        raise RuntimeError("the password is hunter2")

    async def refuses(params: object) -> dict[str, Any]:
        raise RefusedError("no money left", code=-1)

    for sample, error in (
        (fails, {"code": -32603, "message": "The client could not answer."}),
        (refuses, {"code": -1, "message": "no money left"}),
    ):
        async with connected(object_server("legacy"), Callbacks(sample=sample)) as connection:
            assert said(await connection.call_tool("sample", {}))["error"] == error


async def test_a_callback_that_fails_ends_the_call_to_a_newer_server() -> None:
    async def fails(params: object) -> dict[str, Any]:
        raise RuntimeError("the password is hunter2")

    async with connected(object_server("modern"), Callbacks(sample=fails)) as connection:
        with pytest.raises(MCPToolError, match="did not end the call") as caught:
            await connection.call_tool("sample", {})
        assert "hunter2" not in str(caught.value)
        with pytest.raises(MCPToolError, match="not supported"):
            await connection.call_tool("roots", {})


async def test_a_server_that_asks_back_without_end_is_given_up() -> None:
    server = object_server("modern")
    async with connected(server, Callbacks(elicit=yes)) as connection:
        with pytest.raises(MCPToolError, match="asked back more than 10 times"):
            await connection.call_tool("endless", {})
        assert server.methods().count("tools/call") == 11


async def test_arguments_that_are_no_json_are_refused_before_anything_is_sent() -> None:
    server = object_server("modern")
    async with connected(server) as connection:
        with pytest.raises(MCPToolError, match="Nothing was run"):
            await connection.call_tool("good", {"x": "\ud800"})
        assert "tools/call" not in server.methods()
        assert said(await connection.call_tool("good", {"x": None})) == {"tool": "good", "x": None}
