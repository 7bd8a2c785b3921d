"""Requests that nobody answers in time, over real sockets."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from mbxai import (
    AgentState,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    HumanInLoopResponse,
    InteractionExpiredError,
)
from mbxai.agent.models import AnswerDeadline
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply


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
    return server


def client_of(fake: FakeOpenRouter) -> AsyncOpenRouterClient:
    return AsyncOpenRouterClient("test-key-123456", "openai/gpt-4", fake.base_url, max_retries=0)


def plan(*complexities: int) -> Reply:
    tasks = [
        {
            "key": f"t{number}",
            "title": f"Task {number}",
            "description": f"Do part {number}",
            "depends_on": [],
            "tools_needed": [],
            "estimated_complexity": complexity,
        }
        for number, complexity in enumerate(complexities, 1)
    ]
    value = {"tasks": tasks, "estimated_total_time": "1 min"}
    return Reply(when=Match(schema="TodoList"), json=value)


def calls(*given: tuple[str, dict[str, Any]], **when: Any) -> Reply:
    """The model's answer in a task of its own: it calls these tools."""
    wanted = Match(tool="ask_question", **when)
    return Reply(tool_calls=[{"name": n, "arguments": a} for n, a in given], when=wanted)


ASK = ("ask_question", {"prompt": "Which region?"})


def said(request: Any, **fields: Any) -> HumanInLoopResponse:
    kind = request.interaction_type
    return HumanInLoopResponse(interaction_id=request.id, response_type=kind, **fields)


def sent(fake: FakeOpenRouter) -> str:
    return str([request.body for request in fake.requests()])


async def expiry(request: Any) -> None:
    """Wait until a request's time is up."""
    with anyio.fail_after(5):
        while datetime.now(UTC) <= request.expires_at:
            await anyio.sleep(0.005)


async def test_a_session_that_nobody_answered_in_time_goes_on_without_the_answer(
    fake: FakeOpenRouter,
) -> None:
    fake.script(plan(1), calls(ASK), Auto(times=None))
    events = []
    async with client_of(fake) as client:
        agent = AsyncAgentClient(
            client, human_in_loop=True, answer_deadline=AnswerDeadline(seconds=0.05)
        )
        waiting = await agent.agent("Deploy", Story)
        await expiry(waiting.human_interaction_request)
        async with agent.stream(agent_id=waiting.agent_id, final_response_structure=Story) as run:
            events = [event async for event in run]

    assert run.response.is_complete()
    (gone,) = [event for event in events if event.type == "human_expired"]
    assert (gone.interaction_id, gone.action) == (waiting.human_interaction_request.id, "tell")
    assert "nobody answered in time" in sent(fake)


async def test_an_answer_after_the_deadline_is_refused_and_the_session_goes_on_without_it(
    fake: FakeOpenRouter,
) -> None:
    fake.script(plan(1), calls(ASK), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(
            client, human_in_loop=True, answer_deadline=AnswerDeadline(seconds=0.05)
        )
        waiting = await agent.agent("Deploy", Story)
        request = waiting.human_interaction_request
        await expiry(request)
        late = said(request, answer="eu-west-9")
        with pytest.raises(InteractionExpiredError, match=request.id):
            await agent.agent(agent_id=waiting.agent_id, human_response=late)
        with pytest.raises(InteractionExpiredError):
            await agent.agent(agent_id=waiting.agent_id, human_response=late)
        done = await agent.agent("", Story, agent_id=waiting.agent_id)

    assert done.is_complete()
    assert "eu-west-9" not in sent(fake)


async def test_a_deadline_can_abort_the_run(fake: FakeOpenRouter) -> None:
    fake.script(plan(5), Auto(times=None))
    deadline = AnswerDeadline(seconds=0.05, complexity="abort")
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True, answer_deadline=deadline)
        waiting = await agent.agent("Deploy", Story)
        await expiry(waiting.human_interaction_request)
        failed = await agent.agent(agent_id=waiting.agent_id, raise_on_failure=False)

    assert failed.state is AgentState.FAILED
    assert failed.error.type == "Aborted"
    assert not failed.needs_human_interaction()


async def test_a_request_expires_while_other_tasks_run(fake: FakeOpenRouter) -> None:
    expired = anyio.Event()

    async def wait_for_it() -> str:
        """Wait until the other task's request has expired."""
        with anyio.fail_after(5):
            await expired.wait()
        return "it did"

    fake.script(
        plan(5, 1),
        Reply(tool_calls=[{"name": "wait", "arguments": {}}], when=Match(contains="Do part 2")),
        Auto(times=None),
    )
    deadline = AnswerDeadline(seconds=0.3, complexity="skip")
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("wait", "Wait", wait_for_it, effect="read")
        agent = AsyncAgentClient(tools, human_in_loop=True, answer_deadline=deadline)
        async with agent.stream("Deploy", Story) as run:
            async for event in run:
                if event.type == "human_expired":
                    expired.set()

    assert run.response.is_complete()
    assert [task.status for task in run.response.todo_list.tasks] == ["skipped", "completed"]
