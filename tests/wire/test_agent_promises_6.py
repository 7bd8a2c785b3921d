"""Promises, rows 33 to 39: schemas, tools that fail, MCP, blocking callers, packaging, stores."""

import asyncio
import importlib.metadata
import inspect
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from packaging.requirements import Requirement
from pydantic import BaseModel
from support.agent_promises import Story, bodies, results, said
from support.agent_story_stage import calls, plan, task
from support.mcp_processes import SUPPORT, free_port, http_server

from mbxai import (
    AgentClient,
    AsyncAgentClient,
    AsyncMCPClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    InMemorySessionHandler,
    OpenRouterClient,
    ToolClient,
    ToolRoundsExceededError,
)
from mbxai.sessions import SQLiteSessionStore
from mbxai.testing import Auto, FakeOpenRouter, Reply

PROMPT = [{"role": "user", "content": "Hello"}]


# --- row 33 ---------------------------------------------------------------------------------------


class Place(BaseModel):
    city: str
    zip_code: str | None = None


def everything(
    name: str,
    place: Place,
    tags: list[str] | None,
    kind: Literal["a", "b"] | int,
    input: str,  # noqa: A002
    limits: dict[str, int],
    count: int = 3,
    note: str | None = None,
) -> str:
    """Do everything.

    Args:
        name: What it is called.
        place: Where it is.
        tags: Words for it.
        kind: One of two, or a number.
        input: Text to read.
        limits: Bounds by name.
        count: How often.
        note: A remark.
    """
    return f"{name} {place.city} {tags} {kind} {input} {limits} {count} {note}"


async def test_row_33_a_functions_schema_says_what_its_signature_says(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    client.register_tool("everything", "Do everything", everything)
    given = {
        "name": "n",
        "place": {"city": "Oslo"},
        "tags": None,
        "kind": 7,
        "input": "text",
        "limits": {"x": 1},
    }
    fake.script(Reply(tool_calls=[{"name": "everything", "arguments": given}]), Auto())
    await client.chat(PROMPT)
    function = bodies(fake)[0]["tools"][0]["function"]
    schema = function["parameters"]
    properties = schema["properties"]

    assert results(bodies(fake)[1]) == ["n Oslo None 7 text {'x': 1} 3 None"]
    assert properties["name"]["type"] == "string"
    assert properties["name"]["description"] == "What it is called."
    assert properties["input"]["type"] == "string"
    assert {"type": "null"} in properties["tags"]["anyOf"]
    assert any(o.get("items") == {"type": "string"} for o in properties["tags"]["anyOf"])
    assert any(option.get("enum") == ["a", "b"] for option in properties["kind"]["anyOf"])
    assert any(option.get("type") == "integer" for option in properties["kind"]["anyOf"])
    assert properties["limits"]["additionalProperties"] == {"type": "integer"}
    assert properties["count"]["default"] == 3
    assert {"type": "null"} in properties["note"]["anyOf"]
    assert set(schema["required"]) == {"name", "place", "tags", "kind", "input", "limits"}
    assert function.get("strict") is not True, "free keys and defaults are not strict"


async def test_row_33_a_schema_is_strict_only_where_strict_says_the_same(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    def plain(city: str, days: int) -> str:
        """Say the weather."""
        return f"{city} {days}"

    def optional(city: str, days: int = 1) -> str:
        """Say the weather."""
        return f"{city} {days}"

    client.register_tool("plain", "Weather", plain)
    client.register_tool("optional", "Weather", optional)
    fake.script(Reply("fine"))
    await client.chat(PROMPT)
    for tool in bodies(fake)[0]["tools"]:
        function = tool["function"]
        parameters = function["parameters"]
        if function.get("strict"):
            assert set(parameters["required"]) == set(parameters["properties"])
            assert parameters["additionalProperties"] is False
        else:
            assert function["name"] == "optional"


# --- row 34 ---------------------------------------------------------------------------------------


class Weather(BaseModel):
    at: datetime
    celsius: float


async def test_row_34_what_goes_wrong_with_a_tool_is_told_to_the_model(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    def fail(city: str) -> str:
        """Fail."""
        raise RuntimeError(f"no weather in {city}")

    client.register_tool("fail", "Fail", fail)
    calls_made = [
        {"name": "fail", "arguments": {"city": "Oslo"}},
        {"name": "fail", "arguments": "{not JSON"},
        {"name": "fail", "arguments": {"town": "Oslo"}},
        {"name": "no_such_tool", "arguments": {}},
    ]
    fake.script(Reply(tool_calls=calls_made), Reply("I see."))
    messages = [dict(message) for message in PROMPT]
    completion = await client.chat(messages)
    failed, malformed, unfit, unknown = results(bodies(fake)[1])

    assert completion.choices[0].message.content == "I see."
    assert "no weather in Oslo" in failed
    assert "JSON" in malformed
    assert "city" in unfit
    assert "no_such_tool" in unknown
    assert "fail" in unknown
    assert messages == PROMPT, "the caller's list is changed"


async def test_row_34_results_of_every_kind_are_written_and_async_tools_awaited(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    async def model() -> Weather:
        """Weather as a model."""
        await asyncio.sleep(0)
        return Weather(at=moment, celsius=21.5)

    def plain() -> dict[str, Any]:
        """Weather as a dict."""
        return {
            "at": moment,
            "path": Path("/x"),
            "tags": {"a"},
            "weather": [Weather(at=moment, celsius=1)],
        }

    client.register_tool("model", "Model", model)
    client.register_tool("plain", "Plain", plain)
    asked = [{"name": "model", "arguments": {}}, {"name": "plain", "arguments": {}}]
    fake.script(Reply(tool_calls=asked), Reply("I see."))
    await client.chat(PROMPT)
    first, second = (json.loads(result) for result in results(bodies(fake)[1]))

    assert first == {"at": "2026-01-02T03:04:05Z", "celsius": 21.5}
    assert datetime.fromisoformat(second["at"]) == moment
    assert second["path"] == "/x"
    assert second["tags"] == ["a"]
    assert second["weather"][0]["celsius"] == 1.0


async def test_row_34_a_conversation_without_end_is_ended(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    ran: list[int] = []

    def look(number: int) -> str:
        """Look."""
        ran.append(number)
        return f"door {number}"

    client.register_tool("look", "Look", look)
    fake.script(
        *(Reply(tool_calls=[{"name": "look", "arguments": {"number": n}}]) for n in range(20))
    )
    with pytest.raises(ToolRoundsExceededError, match="3"):
        await client.chat(PROMPT, max_rounds=3)

    assert len(ran) == 3
    assert len(fake.requests()) <= 4


# --- row 35 ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["asgi", "rest"])
def server_port(request: pytest.FixtureRequest) -> Iterator[int]:
    port = free_port()
    with http_server(port, flavour=request.param):
        yield port


def adding(fake: FakeOpenRouter) -> None:
    fake.script(plan(task("a", tools=["add"])), calls("a", "add", a=20, b=22), Auto(times=None))


@pytest.mark.slow
async def test_row_35_an_agent_uses_the_tools_of_a_server_over_http(
    fake: FakeOpenRouter, client: AsyncToolClient, server_port: int
) -> None:
    adding(fake)
    async with AsyncMCPClient(client) as mcp:
        agent = AsyncAgentClient(mcp)
        names = await agent.register_mcp_server("tools", f"http://127.0.0.1:{server_port}")
        response = await agent.agent("Add 20 and 22", Story)

    assert "add" in names
    assert response.is_complete()
    assert "add: Add two numbers." in said(bodies(fake, "ToolAnalysis"))
    assert "42" in results(bodies(fake)[1])[0]


@pytest.mark.slow
async def test_row_35_an_agent_uses_the_tools_of_a_program(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    program = [sys.executable, str(SUPPORT / "mcp_changing_server.py"), "{}"]
    fake.script(plan(task("a", tools=["echo"])), calls("a", "echo", word="door"), Auto(times=None))
    async with AsyncMCPClient(client) as mcp:
        await mcp.register_mcp_server("parrot", command=program)
        response = await AsyncAgentClient(mcp).agent("Say door", Story)

    assert response.is_complete()
    assert "echo: Tool echo." in said(bodies(fake, "ToolAnalysis"))
    [told] = results(bodies(fake)[1])
    assert "door" in told
    assert 'server="parrot"' in told


# --- row 36 ---------------------------------------------------------------------------------------


def test_row_36_a_blocking_caller_gets_what_an_awaiting_one_gets(fake: FakeOpenRouter) -> None:
    async def awaited() -> Any:
        async with AsyncOpenRouterClient(
            fake.api_key, "fake/model", fake.base_url, max_retries=0
        ) as client:
            return await AsyncAgentClient(client).agent("Hello", Story)

    with OpenRouterClient(fake.api_key, "fake/model", fake.base_url, max_retries=0) as client:
        blocking = AgentClient(ToolClient(client)).agent("Hello", Story)
    other = asyncio.run(awaited())

    assert blocking.is_complete()
    assert blocking.final_response == other.final_response
    assert inspect.iscoroutinefunction(AsyncAgentClient.agent)
    assert not inspect.iscoroutinefunction(AgentClient.agent)


# --- row 37 ---------------------------------------------------------------------------------------


def test_row_37_dependencies_are_those_that_are_needed_and_none_is_held_back() -> None:
    distribution = importlib.metadata.distribution("mbxai")
    needed = [Requirement(text) for text in distribution.requires or ()]
    always = {r.name: r for r in needed if r.marker is None}
    optional = {r.name for r in needed if r.marker is not None}

    assert "typing-inspection" not in always
    assert "2.99" in always["pydantic"].specifier
    assert "2.11.10" not in always["pydantic"].specifier
    assert importlib.metadata.version("mcp") in always["mcp"].specifier
    assert importlib.metadata.version("mcp").startswith("2.")
    assert {"fastapi", "redis", "rich", "typer"} <= optional
    assert not {"fastapi", "redis", "rich", "typer", "openai", "uvicorn"} & set(always)


# --- row 38 ---------------------------------------------------------------------------------------


async def test_row_38_ask_questions_is_taken_and_said_to_be_old(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    ask = calls("a", "ask_question", prompt="Which region?")
    fake.script(plan(task("a")), ask, Auto(times=None))
    agent = AsyncAgentClient(client)
    with pytest.warns(DeprecationWarning, match="ask_questions.*human_in_loop"):
        waiting = await agent.agent("Deploy it", Story, ask_questions=True)
    with pytest.warns(DeprecationWarning, match="ask_questions"):
        silent = await agent.agent("Deploy it", Story, ask_questions=False)

    assert waiting.is_waiting_for_human()
    assert silent.is_complete()


# --- row 39 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_row_39_handlers_that_work_are_part_of_the_package(
    fake: FakeOpenRouter, client: AsyncToolClient, tmp_path: Path, kind: str
) -> None:
    handler = InMemorySessionHandler()
    stores: list[Any] = [handler, handler]
    if kind == "sqlite":
        stores = [SQLiteSessionStore(tmp_path / "sessions.sqlite") for _ in range(2)]
    names = ["plain", "with space", "Zoë/../x", "agent:1"]
    fake.script(Auto(times=None))
    async with AsyncAgentClient(client, session_handler=stores[0]) as agent:
        for name in names:
            assert (await agent.agent("Hello", Story, agent_id=name)).is_complete()
    async with AsyncAgentClient(client, session_handler=stores[1]) as other:
        assert sorted(await other.list_sessions()) == sorted(names)
        info = await other.get_session_info("Zoë/../x")
        assert await other.delete_session("agent:1")
        assert not await other.delete_session("agent:1")
        left = await other.list_sessions()

    assert info["original_prompt"] == "Hello"
    assert sorted(left) == sorted(names[:-1])
