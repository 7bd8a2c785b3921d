"""What blocking callers give by mistake: coroutines in place of results, clients that are closed."""

from collections.abc import Callable
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
    MBXAIError,
    MCPClient,
    OpenRouterClient,
    ToolClient,
)
from mbxai.sessions import BlockingSessionStore, InMemorySessionStore
from mbxai.testing import FakeOpenRouter


class Report(BaseModel):
    text: str


USER = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def server():
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def client(server):
    with OpenRouterClient("sk-test", base_url=server.base_url) as opened:
        yield opened


@pytest.fixture
def awaited(server):
    return AsyncOpenRouterClient("sk-test", base_url=server.base_url)


MISTAKES: dict[str, Callable[[Any, Any], object]] = {
    "create messages": lambda c, given: c.create(given),
    "create model": lambda c, given: c.create(USER, model=given),
    "parse messages": lambda c, given: c.parse(given, Report),
    "parse response_format": lambda c, given: c.parse(USER, given),
    "agent prompt": lambda c, given: AgentClient(c).agent(given, Report),
    "agent final_response_structure": lambda c, given: AgentClient(c).agent("x", given),
    "agent agent_id": lambda c, given: AgentClient(c).agent("x", Report, agent_id=given),
    "agent human_response": lambda c, given: AgentClient(c).agent("", human_response=given),
    "call_tool arguments": lambda c, given: ToolClient(c).call_tool("t", given),
    "register_mcp_server base_url": lambda c, given: MCPClient(c).register_mcp_server("s", given),
    "load agent_id": lambda c, given: BlockingSessionStore(InMemorySessionStore()).load(given),
}


@pytest.mark.parametrize("place", MISTAKES)
def test_a_coroutine_in_place_of_its_result_names_both_ways(client, awaited, place):
    with pytest.raises(ConfigurationError) as caught:
        MISTAKES[place](client, awaited.create(USER))
    method, parameter = place.split()
    assert f".{method}: {parameter} is the coroutine of AsyncOpenRouterClient.create" in str(
        caught.value
    )
    assert "Async" not in str(caught.value).split(".")[0]
    assert "Await it, or call OpenRouterClient.create." in caught.value.hint


async def make() -> str:
    return "made"


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize(
    "give",
    [
        lambda c: ToolClient(make()),
        lambda c: MCPClient(make()),
        lambda c: AgentClient(make()),
        lambda c: AgentClient(c, session_handler=make()),
        lambda c: OpenRouterClient(make()),
        lambda c: ToolClient(c).register_tool("a", "b", make()),
        lambda c: c.create(make(), stream=True),
        lambda c: c.create([{"role": "user", "content": make()}]),
        lambda c: ToolClient(c).call_tool("a", {"word": make()}),
    ],
)
def test_so_does_every_other_place_refuse_it(client, give):
    with pytest.raises(MBXAIError):
        give(client)


def test_clients_of_both_worlds_may_be_put_together(client, awaited):
    tools = AsyncToolClient(awaited)
    assert ToolClient(awaited).chat(USER).choices
    assert AgentClient(tools).agent("x", Report).is_complete()
    assert AgentClient(AsyncMCPClient(tools)).agent("x", Report).is_complete()
    assert AgentClient(MCPClient(client)).agent("x", Report).is_complete()


async def test_and_the_other_way_round(client):
    assert (await AsyncToolClient(client).chat(USER)).choices
    agent = AsyncAgentClient(MCPClient(ToolClient(client)))
    assert (await agent.agent("x", Report)).is_complete()


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.create(USER),
        lambda c: c.create(USER, stream=True),
        lambda c: c.parse(USER, Report),
        lambda c: c.models.list(),
        lambda c: ToolClient(c).chat(USER),
        lambda c: AgentClient(c).agent("x", Report),
    ],
)
def test_a_closed_client_says_what_to_make(client, use):
    client.close()
    with pytest.raises(MBXAIError) as caught:
        use(client)
    assert "The client is closed" in str(caught.value)
    assert "Make a new OpenRouterClient" in str(caught.value)


def test_a_closed_mcp_client_says_so(client):
    mcp = MCPClient(client)
    mcp.close()
    with pytest.raises(ConfigurationError, match="This MCP client is closed"):
        mcp.register_mcp_server("s", "http://127.0.0.1:1")
