"""An agent whose tools ask people: over processes, with secrets, with clients that know nothing.

The tools here are local functions that pause as those of MCP servers do.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mbxai import (
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    HumanInLoopResponse,
    HumanInteractionType,
    InteractionMismatchError,
    ToolContext,
)
from mbxai.sessions import SQLiteSessionStore
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply
from mbxai.tools import ToolAnswer, ToolQuestion, ToolResult

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Your name"},
        "age": {"type": "integer", "minimum": 18},
    },
    "required": ["name"],
}
NOTE = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}


class Story(BaseModel):
    title: str
    status: str


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    task = {
        "key": "t",
        "title": "Book",
        "description": "Book it",
        "depends_on": [],
        "tools_needed": ["book"],
        "estimated_complexity": 1,
    }
    server.script(
        Reply(
            when=Match(schema="TodoList"), json={"tasks": [task], "estimated_total_time": "1 min"}
        ),
        Reply(
            when=Match(tool="book"),
            tool_calls=[{"name": "book", "arguments": {"city": "Oslo"}}],
        ),
        Auto(times=None),
    )
    return server


class Booking:
    """A tool that must know something before it books; remembers each of its runs."""

    def __init__(self, *questions: ToolQuestion) -> None:
        self.questions = questions
        self.runs: list[ToolContext[Any]] = []
        self.answers: list[ToolAnswer] = []

    async def book(self, city: str, context: ToolContext[Any]) -> ToolResult | str:
        """Book a trip."""
        self.runs.append(context)
        known = 0
        if context.answer is not None:
            self.answers.append(context.answer)
            known = int(context.answer.state)
        if known < len(self.questions) and context.can_pause:
            asked = self.questions[known]
            question = ToolQuestion(
                message=asked.message, schema=asked.schema, source="travel", state=str(known + 1)
            )
            return ToolResult(call_id="", name="book", content="waits", question=question)
        told = [dict(answer.content) or answer.action for answer in self.answers]
        return f"booked {city}: {told}"


def agent_of(
    client: AsyncOpenRouterClient, booking: Booking, path: Path | None = None, *, asks: bool = True
) -> AsyncAgentClient:
    tools = AsyncToolClient(client)
    tools.register_tool("book", "Book a trip", booking.book)
    store = SQLiteSessionStore(path) if path else None
    return AsyncAgentClient(tools, asks, session_handler=store)


def client_of(fake: FakeOpenRouter) -> AsyncOpenRouterClient:
    return AsyncOpenRouterClient("test-key-123456", "openai/gpt-4", fake.base_url, max_retries=0)


def told_to_model(fake: FakeOpenRouter) -> str:
    return json.dumps([request.body for request in fake.requests()])


async def test_a_tools_form_is_answered_by_another_agent_on_the_same_store(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    first, second = Booking(ToolQuestion(message="Who goes?", schema=PERSON)), Booking()
    second.questions = first.questions
    async with client_of(fake) as client:
        agent = agent_of(client, first, tmp_path / "s.db")
        waiting = await agent.agent("Book a trip", Story, agent_id="s")
        request = waiting.human_interaction_request
        await agent.aclose()
        other = agent_of(client, second, tmp_path / "s.db")
        assert request is not None
        with pytest.raises(InteractionMismatchError, match="age: must be at least 18"):
            await other.agent(
                agent_id="s",
                human_response=HumanInLoopResponse(
                    interaction_id=request.id,
                    response_type=request.interaction_type,
                    content={"name": "Bo", "age": 7},
                ),
            )
        done = await other.agent(
            final_response_structure=Story,
            agent_id="s",
            human_response=HumanInLoopResponse(
                interaction_id=request.id,
                response_type=request.interaction_type,
                content={"name": "Bo", "age": 30},
            ),
        )
        await other.aclose()

    assert waiting.is_waiting_for_human()
    assert (request.interaction_type, request.response_schema) == (
        HumanInteractionType.QUESTION,
        PERSON,
    )
    assert request.prompt == "The server 'travel' asks: Who goes?"
    assert done.is_complete()
    assert second.answers == [
        ToolAnswer(action="accept", content={"name": "Bo", "age": 30}, state="1")
    ]
    (began,), (went_on,) = first.runs, second.runs
    assert began.idempotency_key == went_on.idempotency_key
    assert began.call_id == went_on.call_id
    assert (began.attempt, went_on.attempt) == (1, 1)
    assert "booked Oslo: [{'name': 'Bo', 'age': 30}]" in told_to_model(fake)


async def test_a_tool_may_ask_again_and_be_declined(fake: FakeOpenRouter) -> None:
    sure = {"type": "object", "properties": {"sure": {"type": "boolean"}}}
    booking = Booking(
        ToolQuestion(message="Who?", schema=PERSON), ToolQuestion(message="Sure?", schema=sure)
    )
    async with client_of(fake) as client:
        agent = agent_of(client, booking)
        response = await agent.agent("Book a trip", Story)
        for fields in ({"decision": "decline"}, {"decision": "no"}):
            request = response.human_interaction_request
            assert request is not None
            answer = HumanInLoopResponse(
                interaction_id=request.id, response_type=request.interaction_type, **fields
            )
            response = await agent.agent(
                final_response_structure=Story,
                agent_id=response.agent_id,
                human_response=answer,
            )

    assert response.is_complete()
    assert booking.answers == [
        ToolAnswer(action="decline", state="1"),
        ToolAnswer(action="accept", content={"sure": False}, state="2"),
    ]


async def test_an_answer_that_looks_like_a_credential_reaches_its_tool_alone(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    secret = "sk-live-abcdefgh12345678"
    booking = Booking(ToolQuestion(message="Any note?", schema=NOTE))
    async with client_of(fake) as client:
        agent = agent_of(client, booking, tmp_path / "s.db")
        waiting = await agent.agent("Book a trip", Story, agent_id="s")
        request = waiting.human_interaction_request
        assert request is not None
        done = await agent.agent(
            final_response_structure=Story,
            agent_id="s",
            human_response=HumanInLoopResponse(
                interaction_id=request.id,
                response_type=request.interaction_type,
                answer=secret,
            ),
        )
        info = await agent.get_session_info("s")
        await agent.aclose()

    assert done.is_complete()
    assert booking.answers[0].content == {"note": secret}
    assert secret not in told_to_model(fake)
    assert secret not in json.dumps(info)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in stored


async def test_nobody_is_asked_for_a_password_and_the_log_says_so(
    fake: FakeOpenRouter, caplog: pytest.LogCaptureFixture
) -> None:
    form = {"type": "object", "properties": {"password": {"type": "string"}}}
    booking = Booking(ToolQuestion(message="Log in", schema=form))
    async with client_of(fake) as client:
        agent = agent_of(client, booking)
        with caplog.at_level(logging.WARNING, "mbxai.agent"):
            async with agent.stream("Book a trip", Story) as run:
                kinds = [event.type async for event in run]

    assert run.response.is_complete()
    assert "question_refused" in kinds
    assert "human_requested" not in kinds
    assert booking.answers == [ToolAnswer(action="decline", state="1")]
    assert "asks for a credential: password" in caplog.text


async def test_without_people_a_tool_is_not_let_pause(fake: FakeOpenRouter) -> None:
    booking = Booking(ToolQuestion(message="Who?", schema=PERSON))
    async with client_of(fake) as client:
        done = await agent_of(client, booking, asks=False).agent("Book a trip", Story)

    assert done.is_complete()
    assert [run.can_pause for run in booking.runs] == [False]


async def test_a_client_whose_calls_know_no_questions_is_called_as_before(
    fake: FakeOpenRouter,
) -> None:
    calls: list[dict[str, Any]] = []

    class Plain:
        def __init__(self, client: AsyncOpenRouterClient) -> None:
            self.tools = AsyncToolClient(client)
            self.tools.register_tool("book", "Book a trip", Booking().book)
            self.create, self.parse = client.create, self.tools.parse
            self.tool_infos = self.tools.tool_infos
            self.tool_definitions = self.tools.tool_definitions

        async def call_tool(self, name: str, arguments: str, **options: Any) -> ToolResult:
            calls.append(options)
            return await self.tools.call_tool(name, arguments, **options)

    async with client_of(fake) as client:
        done = await AsyncAgentClient(Plain(client), True).agent("Book a trip", Story)

    assert done.is_complete()
    assert [{"can_pause", "answer"} & set(options) for options in calls] == [set()]
