"""The client's own doors to its servers: registration, files, status, and what models are told."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.mcp_model import NoModel
from support.mcp_processes import fault_server

from mbxai import (
    AsyncAgentClient,
    AsyncMCPClient,
    AsyncOpenRouterClient,
    ConfigurationError,
    MCPClient,
    MCPConnectionError,
    MCPServer,
    Result,
)
from mbxai.mcp import ToolAnswer
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many lamps?"}]
TOLD = "Count lamps before you sell them."


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


@pytest.fixture
async def client(fake: FakeOpenRouter) -> AsyncIterator[AsyncMCPClient]:
    async with (
        AsyncOpenRouterClient(fake.api_key, "openai/gpt-4", fake.base_url) as model,
        AsyncMCPClient(model) as opened,
    ):
        yield opened


def shop(name: str = "shop") -> MCPServer:
    made = MCPServer(name, instructions=TOLD)

    @made.tool(effect="read")
    def count_lamps() -> int:
        """Count the lamps."""
        return 7

    return made


def system_texts(request: Any) -> list[str]:
    return [m["content"] for m in request.json["messages"] if m["role"] == "system"]


async def test_instructions_go_before_a_conversation_and_are_no_part_of_it(
    client: AsyncMCPClient, fake: FakeOpenRouter
) -> None:
    fake.script(Reply(tool_calls=[{"name": "count_lamps", "arguments": {}}]), Reply("Seven."))
    await client.register_mcp_server("shop", server=shop(), use_instructions=True)
    answer = await client.chat(ASK)
    assert answer.run.results[0].value == 7
    for request in fake.requests():
        own, told = system_texts(request)
        assert own == "Be brief."
        assert TOLD in told
        assert "shop" in told
    assert TOLD not in json.dumps(answer.run.messages)


async def test_instructions_are_not_told_unless_they_are_wanted(
    client: AsyncMCPClient, fake: FakeOpenRouter
) -> None:
    fake.script(Reply("Seven."))
    await client.register_mcp_server("shop", server=shop())
    await client.chat(ASK)
    assert system_texts(fake.requests()[0]) == ["Be brief."]


async def test_an_agent_tells_the_instructions_to_its_tasks(
    client: AsyncMCPClient, fake: FakeOpenRouter
) -> None:
    fake.script(
        Reply(
            when=Match(tool="count_lamps"),
            tool_calls=[{"name": "count_lamps", "arguments": {}}],
        ),
        Auto(times=None),
    )
    await client.register_mcp_server("shop", server=shop(), use_instructions=True)
    await AsyncAgentClient(client).agent("Count the lamps", Result)
    with_tools = [request for request in fake.requests() if request.json.get("tools")]
    assert with_tools
    assert all(any(TOLD in text for text in system_texts(request)) for request in with_tools)


async def test_a_file_is_connected_at_once_and_a_dead_server_is_told(
    client: AsyncMCPClient, tmp_path: Path
) -> None:
    good = fault_server("old")
    path = tmp_path / "mcp.json"
    path.write_text(
        "// servers of this project\n"
        + json.dumps(
            {
                "mcpServers": {
                    "good": {"command": good[0], "args": [*good[1:], "${WORD}"]},
                    "dead": {"command": str(tmp_path / "nothing-here")},
                    "off": {"command": "never", "disabled": True},
                }
            }
        )
    )
    statuses = await client.register_mcp_servers(path, variables={"WORD": "pages"}, prefix=True)
    assert list(statuses) == ["good", "dead"]
    assert statuses["good"].tools == ["good__tool0", "good__tool1", "good__tool2"]
    assert statuses["good"].state == "connected"
    assert statuses["dead"].state == "failed"
    assert "no such program" in statuses["dead"].problem
    with pytest.raises(MCPConnectionError, match="dead"):
        await client.register_mcp_servers(
            path, only=["dead"], variables={}, required=True, replace=True
        )


async def test_a_server_is_removed_with_its_tools(client: AsyncMCPClient) -> None:
    await client.register_mcp_server("shop", server=shop())
    assert await client.remove_mcp_server("shop")
    assert not await client.remove_mcp_server("shop")
    assert client.registry.names() == []
    assert client.servers() == {}
    with pytest.raises(ConfigurationError, match="no MCP server 'shop'"):
        client.server("shop")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"comand": ["python"]}, "Did you mean 'command'"),
        ({"server": "shop"}, "server"),
        ({"base_url": "http://localhost:1", "pin": "blok"}, "pin"),
        ({"base_url": "http://localhost:1", "roots": 7}, "roots"),
        ({"base_url": "http://localhost:1", "required": "yes"}, "required"),
        ({"base_url": "http://localhost:1", "auth": "tok"}, "auth must be"),
        ({"command": ["python"], "args": ["server.py"]}, "all words into command"),
    ],
)
async def test_what_cannot_be_an_option_is_named(
    client: AsyncMCPClient, params: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        await client.register_mcp_server("shop", **params)
    assert client.servers() == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"elicits": print}, "Did you mean 'elicit'"),
        ({"elicit": 7}, "elicit"),
        ({"sampling": True}, "sampling"),
        ({"on_log": "yes"}, "on_log"),
        ({"pins": 7}, "pins"),
        ({"roots": 7}, "roots"),
        ({"log_level": "loud"}, "log_level"),
    ],
)
def test_what_cannot_be_an_option_of_a_client_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        AsyncMCPClient(NoModel(), **options)
    with pytest.raises(ConfigurationError, match=said):
        MCPClient(NoModel(), **options)


def test_the_blocking_client_has_the_same_doors() -> None:
    with MCPClient(NoModel(), tool_timeout=5.0) as client:
        assert client.register_mcp_server("shop", server=shop()) == ["count_lamps"]
        assert client.call_tool("count_lamps", {}).value == 7
        assert client.servers()["shop"].state == "connected"
        assert client.server("shop").info is not None
        assert client.instructions() == ""
        assert client.remove_mcp_server("shop")


async def test_a_closed_client_takes_no_servers() -> None:
    client = AsyncMCPClient(NoModel())
    await client.aclose()
    with pytest.raises(ConfigurationError, match="is closed"):
        await client.register_mcp_server("shop", server=shop())
    assert client.servers() == {}


async def test_another_prefix_is_taken_at_once(client: AsyncMCPClient) -> None:
    await client.register_mcp_server("shop", server=shop(), prefix="a_")
    assert await client.register_mcp_server("shop", server=shop(), prefix="b_", replace=True) == [
        "b_count_lamps"
    ]


async def test_a_file_may_say_what_holds_for_the_tools(client: AsyncMCPClient) -> None:
    command, *args = fault_server("pages")
    server = {
        "command": command,
        "args": args,
        "requires_approval": True,
        "pin": "block",
        "prefix": "x_",
        "tool_options": {"tool1": {"requires_approval": False}},
    }
    await client.register_mcp_servers({"mcpServers": {"pages": server}}, required=True)
    approvals = {tool.name: tool.requires_approval for tool in client.registry.tools()}
    assert approvals == {"x_tool0": True, "x_tool1": False, "x_tool2": True}
    with pytest.raises(ConfigurationError, match="pin must be"):
        await client.register_mcp_servers({"mcpServers": {"p": {**server, "pin": "blok"}}})


async def test_a_name_that_no_tool_has_is_a_warning(
    client: AsyncMCPClient, caplog: pytest.LogCaptureFixture
) -> None:
    await client.register_mcp_server("shop", server=shop(), exclude_tools=["cuont_lamps"])
    assert "cuont_lamps" in caplog.text
    assert "cuont_lamps" in client.servers()["shop"].warnings[0]


def test_an_answer_with_another_action_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'yes'"):
        ToolAnswer(action="yes")  # pyright: ignore[reportArgumentType]
