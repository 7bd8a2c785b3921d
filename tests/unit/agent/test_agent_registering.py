"""What an agent says of tools that its client does not have, and of clients that take none."""

from typing import Any

import pytest
from pydantic import BaseModel

from mbxai import (
    AgentClient,
    AsyncAgentClient,
    AsyncMCPClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    ConfigurationError,
    HumanInLoopResponse,
    MCPClient,
    OpenRouterClient,
    ToolClient,
)
from mbxai.mcp import MCPServer
from mbxai.sessions import InMemorySessionStore
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply


class Done(BaseModel):
    title: str


def served() -> MCPServer:
    server = MCPServer("s")

    @server.tool
    def look() -> str:
        return "seen"

    return server


def test_a_client_without_servers_is_named_and_the_right_one_too() -> None:
    with OpenRouterClient("test-key-123456", "m/x") as client:
        agent = AgentClient(ToolClient(client))
        expected = (
            r"^ToolClient has no register_mcp_server\(\): it cannot use MCP servers\. "
            r"Wrap an MCPClient: AgentClient\(MCPClient\(\.\.\.\)\)\.$"
        )
        with pytest.raises(AttributeError, match=expected):
            agent.register_mcp_server("s", "http://localhost:1")
        with pytest.raises(AttributeError, match=r"^OpenRouterClient .* Wrap a ToolClient:"):
            AgentClient(client).register_tool("t", "T", str)


async def test_a_coroutine_client_is_told_of_its_own_kind() -> None:
    async with AsyncOpenRouterClient("test-key-123456", "m/x") as client:
        agent = AsyncAgentClient(AsyncToolClient(client))
        with pytest.raises(AttributeError, match=r"Wrap an AsyncMCPClient: AsyncAgentClient\("):
            await agent.register_mcp_server("s", "http://localhost:1")


def test_registering_a_server_returns_the_names_of_its_tools() -> None:
    with OpenRouterClient("test-key-123456", "m/x") as client, MCPClient(client) as mcp:
        assert AgentClient(mcp).register_mcp_server("s", server=served()) == ["look"]


async def test_registering_a_server_returns_the_names_of_its_tools_on_a_loop() -> None:
    async with (
        AsyncOpenRouterClient("test-key-123456", "m/x") as client,
        AsyncMCPClient(client) as mcp,
    ):
        assert await AsyncAgentClient(mcp).register_mcp_server("s", server=served()) == ["look"]


async def test_a_client_of_the_users_own_may_return_nothing() -> None:
    class Own:
        def parse(self, **_given: Any) -> None: ...

        async def register_mcp_server(self, *_given: Any) -> None: ...

    assert await AsyncAgentClient(Own()).register_mcp_server("s", "http://localhost:1") == []


@pytest.mark.parametrize("decision", ["approve", "decline"])
async def test_an_approval_is_not_taken_while_its_tool_is_not_there(decision: str) -> None:
    ran: list[int] = []
    store = InMemorySessionStore()
    plan = {
        "key": "t",
        "title": "pay",
        "description": "pay",
        "depends_on": [],
        "tools_needed": ["pay"],
        "estimated_complexity": 1,
    }

    def pay() -> str:
        ran.append(1)
        return "paid"

    with FakeOpenRouter() as fake:
        fake.script(
            Reply(
                when=Match(schema="TodoList"),
                json={"tasks": [plan], "estimated_total_time": "1 min"},
            ),
            Reply(when=Match(tool="pay"), tool_calls=[{"name": "pay", "arguments": {}}]),
            Auto(times=None),
        )
        async with AsyncOpenRouterClient(
            "test-key-123456", "m/x", fake.base_url, max_retries=0
        ) as client:
            first = AsyncAgentClient(AsyncToolClient(client), True, session_handler=store)
            first.register_tool("pay", "Pay.", pay, requires_approval=True)
            waiting = await first.agent("Pay it", Done, agent_id="s")
            request = waiting.human_interaction_requests[0]
            answer = HumanInLoopResponse(
                interaction_id=request.id,
                response_type=request.interaction_type,
                decision=decision,
            )
            second = AsyncAgentClient(AsyncToolClient(client), True, session_handler=store)
            if decision == "approve":
                with pytest.raises(ConfigurationError, match="waits for the tool 'pay'"):
                    await second.agent("", Done, agent_id="s", human_response=answer)
                assert (await second.get_response("s")).is_waiting_for_human()
                second.register_tool("pay", "Pay.", pay, requires_approval=True)
            done = await second.agent("", Done, agent_id="s", human_response=answer)
    assert done.is_complete()
    assert len(ran) == (decision == "approve")
