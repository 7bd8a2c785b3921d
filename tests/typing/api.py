"""The public names as users write them, read by pyright and by mypy in their strict modes.

Nothing here runs. A line that must be refused says so; where it is accepted one day, the checkers
report the comment.
"""

from collections.abc import AsyncGenerator, Generator
from typing import assert_type

from pydantic import BaseModel

from mbxai import (
    AgentClient,
    AgentResponse,
    AsyncAgentClient,
    AsyncMCPClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    MCPClient,
    MCPServer,
    OpenRouterAPIError,
    OpenRouterClient,
    ToolClient,
    ToolContext,
    ToolResult,
    tool,
)
from mbxai.agent import (
    AgentStream,
    AgentWorker,
    AsyncAgentStream,
    AsyncAgentWorker,
)
from mbxai.agent.events import AgentEvent
from mbxai.durable import DurableAgent
from mbxai.local import LocalModel
from mbxai.notebook import show_progress
from mbxai.openrouter import (
    AsyncChatStream,
    AsyncParsedChatStream,
    AsyncStreamManager,
    ChatStream,
    ParsedChatStream,
    StreamManager,
    image_part,
)
from mbxai.openrouter.resources import Page
from mbxai.openrouter.resources.models import Model
from mbxai.sessions import (
    BlockingSessionStore,
    InMemorySessionHandler,
    InMemorySessionStore,
    PostgresSessionStore,
    RedisSessionStore,
    SealedSessionStore,
    SessionHandler,
    SessionPage,
    SessionRecord,
    SessionStore,
    SQLiteSessionStore,
)
from mbxai.testing import Failure, FakeOpenRouter, Reply
from mbxai.tools import ToolChatStream, ToolCompletion
from mbxai.wire import ChatCompletion, ChatCompletionChunk, ParsedChatCompletion, StreamEvent


class City(BaseModel):
    name: str
    people: int


USER = [{"role": "user", "content": "hi"}]


# --- completions --------------------------------------------------------------------------------


def completions(client: OpenRouterClient) -> None:
    assert_type(client.create(USER), ChatCompletion)
    assert_type(client.create(USER, stream=False, temperature=0.5), ChatCompletion)
    assert_type(client.create(USER, stream=True), ChatStream)
    assert_type(client.parse(USER, City), ParsedChatCompletion[City])
    assert_type(client.parse(USER, City).choices[0].message.parsed, City)
    assert_type(client.parse(USER, list[City]), ParsedChatCompletion[list[City]])
    assert_type(client.stream(USER), StreamManager[ChatStream])
    with client.stream(USER, response_format=City) as typed:
        assert_type(typed, ParsedChatStream[City])
        assert_type(typed.partials(), Generator[City])
    with client.stream(USER, response_format=list[City]) as listed:
        assert_type(listed.items(), Generator[City])
    with client.create(USER, stream=True) as stream:
        for chunk in stream:
            assert_type(chunk, ChatCompletionChunk)
        assert_type(stream.events(), Generator[StreamEvent])
        assert_type(stream.text_stream, Generator[str])
        assert_type(stream.get_final_completion(), ChatCompletion)
    with client.with_options(timeout=5.0) as quick:
        assert_type(quick, OpenRouterClient)
    parts = [image_part("https://example.com/a.png"), {"type": "text", "text": "What is it?"}]
    client.create([{"role": "user", "content": parts}], provider={"only": ["openai"]})


async def awaited_completions(client: AsyncOpenRouterClient) -> None:
    assert_type(await client.create(USER), ChatCompletion)
    assert_type(await client.create(USER, stream=True), AsyncChatStream)
    assert_type(await client.parse(USER, City), ParsedChatCompletion[City])
    assert_type(client.stream(USER), AsyncStreamManager[AsyncChatStream])
    async with client.stream(USER, response_format=City) as typed:
        assert_type(typed, AsyncParsedChatStream[City])
        assert_type(typed.partials(), AsyncGenerator[City])
    async with await client.create(USER, stream=True) as stream:
        async for chunk in stream:
            assert_type(chunk, ChatCompletionChunk)
        assert_type(stream.events(), AsyncGenerator[StreamEvent])


def resources(client: OpenRouterClient) -> None:
    assert_type(client.models.list(), Page[Model])
    for model in client.models.list():
        assert_type(model, Model)
    assert_type(client.credits.get().data.total_credits, float | None)
    assert_type(client.embeddings.create("text", model="m").data[0].index, int | None)


async def awaited_resources(client: AsyncOpenRouterClient) -> None:
    async for model in client.models.list():
        assert_type(model, Model)
    assert_type((await client.models.list()).data, list[Model])


# --- tools --------------------------------------------------------------------------------------


def tools(client: OpenRouterClient) -> None:
    agent_tools = ToolClient(client)

    @agent_tools.tool
    def add(a: int, b: int = 2) -> int:
        return a + b

    assert_type(add(1), int)

    @agent_tools.tool(name="weather", requires_approval=True)
    async def weather(city: str, context: ToolContext) -> str:
        return f"{city} {context.session_id}"

    @tool(effect="once")
    def pay(amount: float) -> str:
        return f"{amount}"

    assert_type(pay(1.5), str)
    agent_tools.register_tool("pay", "Pay", pay)
    answer = agent_tools.chat(USER)
    assert_type(answer, ToolCompletion)
    assert_type(answer.run.results[0], ToolResult)
    assert_type(agent_tools.chat(USER, stream=True), ToolChatStream)
    assert_type(agent_tools.call_tool("add", {"a": 1}), ToolResult)
    assert_type(agent_tools.parse(USER, City).choices[0].message.parsed, City)


async def awaited_tools(client: AsyncOpenRouterClient) -> None:
    agent_tools = AsyncToolClient(client)
    assert_type(await agent_tools.chat(USER), ToolCompletion)
    assert_type((await agent_tools.parse(USER, City)).choices[0].message.parsed, City)


# --- MCP ----------------------------------------------------------------------------------------


def servers(client: OpenRouterClient) -> None:
    with MCPClient(client) as mcp:
        mcp.register_mcp_server("files", command=["python", "server.py"])
        assert_type(mcp.call_tool("read", {"path": "a"}), ToolResult)
    server = MCPServer("shop")

    @server.tool
    def price(item: str) -> float:
        return float(len(item))

    assert_type(price("a"), float)


async def awaited_servers(client: AsyncOpenRouterClient) -> None:
    async with AsyncMCPClient(client) as mcp:
        await mcp.register_mcp_server("files", "https://example.com/mcp")


# --- agents -------------------------------------------------------------------------------------


def agents(client: ToolClient) -> None:
    with AgentClient(client, True) as agent:
        response = agent.agent("Find a city", City)
        assert_type(response, AgentResponse[City])
        assert_type(response.final_response, City)
        assert_type(agent.submit("Find a city", City, request_key="k"), str)
        with agent.stream("Find a city", City) as stream:
            assert_type(stream, AgentStream[City])
            for event in stream:
                assert_type(event, AgentEvent)
            assert_type(stream.response, AgentResponse[City])
        assert_type(show_progress(agent.stream("x", City)), AgentResponse[City])
        assert_type(agent.sessions.get("id", City), AgentResponse[City])
        assert_type(agent.sessions.list(), SessionPage)
        assert_type(agent.sessions.cancel("id"), bool)
        assert_type(agent.store, BlockingSessionStore)
        AgentWorker(agent, concurrency=2).run(until_idle=True)


async def awaited_agents(client: AsyncToolClient) -> None:
    async with AsyncAgentClient(client, session_handler=InMemorySessionStore()) as agent:
        assert_type(await agent.agent("Find a city", City), AgentResponse[City])
        async with agent.stream("Find a city", City) as stream:
            assert_type(stream, AsyncAgentStream[City])
            assert_type(stream.response, AgentResponse[City])
        assert_type(await show_progress(agent.stream("x", City)), AgentResponse[City])
        assert_type(agent.store, SessionStore)
        await AsyncAgentWorker(agent).run(until_idle=True)


def durable(agent: AgentClient) -> None:
    worker = DurableAgent(agent, database_url="postgresql://localhost")
    assert_type(worker.start("Find a city", City), str)
    assert_type(worker.result("id", City), AgentResponse[City])


# --- sessions -----------------------------------------------------------------------------------


class Handler:
    """What the seed's users wrote."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, object]] = {}

    def get_session(self, agent_id: str) -> dict[str, object] | None:
        return self.kept.get(agent_id)

    def set_session(self, agent_id: str, session_data: dict[str, object]) -> None:
        self.kept[agent_id] = session_data

    def delete_session(self, agent_id: str) -> bool:
        return self.kept.pop(agent_id, None) is not None

    def list_sessions(self) -> list[str]:
        return list(self.kept)

    def session_exists(self, agent_id: str) -> bool:
        return agent_id in self.kept


def stores() -> list[SessionStore]:
    handler: SessionHandler = InMemorySessionHandler()
    AgentClient(OpenRouterClient(), session_handler=handler)
    AgentClient(OpenRouterClient(), session_handler=Handler())
    made: list[SessionStore] = [
        InMemorySessionStore(),
        SQLiteSessionStore("a.db"),
        RedisSessionStore("redis://localhost"),
        PostgresSessionStore("postgresql://localhost"),
    ]
    with BlockingSessionStore(SealedSessionStore(made[0])) as store:
        assert_type(store.load("a"), SessionRecord | None)
        AgentClient(OpenRouterClient(), session_handler=store)
    return made


# --- the rest -----------------------------------------------------------------------------------


def helpers() -> None:
    with FakeOpenRouter() as fake:
        fake.script(Failure(503), Reply("hi"))
        client = OpenRouterClient("test", base_url=fake.base_url)
    with LocalModel() as model:
        assert_type(model.sync_client(), OpenRouterClient)
    try:
        client.create(USER)
    except OpenRouterAPIError as error:
        assert_type(error.status, int | None)


# --- what is refused ----------------------------------------------------------------------------


async def coroutine() -> str:
    return "hi"


async def refused(client: OpenRouterClient, awaited: AsyncOpenRouterClient) -> None:
    client.create(USER, temperatur=0.5)  # type: ignore[call-overload]
    client.create(coroutine())  # type: ignore[call-overload]
    assert awaited.create(USER).choices  # type: ignore[attr-defined]
    AgentClient(client).agent(coroutine(), City)  # type: ignore[arg-type]
    AgentClient(client).agent("x", City, agent_ids="a")  # type: ignore[call-arg]
    BlockingSessionStore("a.db")  # type: ignore[arg-type]
