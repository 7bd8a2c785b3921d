"""Goals that are not reached, and evaluations that contradict themselves, over real sockets."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from mbxai import (
    AgentResponse,
    AgentState,
    AnswerDeadline,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    HumanInLoopResponse,
    HumanInteractionType,
)
from mbxai.sessions import SQLiteSessionStore
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


@pytest.fixture
async def client(fake: FakeOpenRouter) -> AsyncIterator[AsyncOpenRouterClient]:
    url = fake.base_url
    async with AsyncOpenRouterClient("test-key-123456", "openai/gpt-4", url, max_retries=0) as made:
        yield made


def evaluated(*remaining: str, achieved: bool, planning: str = "stepwise") -> Reply:
    """The answer to an evaluation, in whichever call it is given."""
    value: dict[str, Any] = {
        "feedback": "checked",
        "completed_criteria": [],
        "remaining_criteria": list(remaining),
        "next_steps": [],
        "completion_percentage": 100 if achieved else 40,
        "goal_achieved": achieved,
    }
    if planning == "stepwise":
        return Reply(json=value, when=Match(schema="GoalEvaluation"))
    early = {"title": "too early", "status": "open"}
    both = {"goal_evaluation": value, "final_response": early}
    return Reply(json=both, when=Match(schema="Conclusion"))


def decided(response: AgentResponse, decision: str) -> HumanInLoopResponse:
    request = response.human_interaction_request
    assert request is not None
    return HumanInLoopResponse(
        interaction_id=request.id,
        response_type=HumanInteractionType.DECISION,
        decision=decision,
    )


def evaluations(fake: FakeOpenRouter) -> list[str]:
    """What the model was asked in each evaluation."""
    names = ("GoalEvaluation", "Conclusion")
    asked = [request for request in fake.requests() if request.schema_name in names]
    return [str(request.body["messages"][-1]["content"]) for request in asked]


@pytest.mark.parametrize("planning", ["stepwise", "merged"])
async def test_an_evaluation_that_contradicts_itself_goes_back_to_the_model(
    fake: FakeOpenRouter, client: AsyncOpenRouterClient, planning: Any
) -> None:
    fake.script(evaluated(achieved=False, planning=planning))
    fake.script(evaluated("the cellar", achieved=True, planning=planning))
    fake.script(evaluated(achieved=True, planning=planning), Auto(times=None))
    response = await AsyncAgentClient(client, planning=planning).agent("Which doors?", Story)

    first, second, third = evaluations(fake)
    assert second.startswith(first)
    assert third.startswith(first)
    assert "remaining_criteria is empty" in second
    assert "remaining_criteria names 'the cellar'" in third
    assert response.is_complete()
    assert response.goal_evaluation.remaining_criteria == []
    assert len(response.ledger) == len(fake.requests()), "the refused answers are paid for, too"


@pytest.mark.parametrize("planning", ["stepwise", "merged"])
async def test_a_goal_is_not_reached_by_a_model_that_cannot_make_up_its_mind(
    fake: FakeOpenRouter, client: AsyncOpenRouterClient, planning: Any
) -> None:
    fake.script(*[evaluated("the cellar", achieved=True, planning=planning)] * 3)
    fake.script(Auto(times=None))
    agent = AsyncAgentClient(client, planning=planning, max_replans=0)
    response = await agent.agent("Which doors?", Story, raise_on_failure=False)

    assert response.state is AgentState.FAILED
    assert response.error.type == "GoalNotReached"
    assert "contradicts itself" in response.error.message
    assert response.goal_evaluation.goal_achieved is False
    assert response.final_response is None
    assert len(evaluations(fake)) == 3


@pytest.mark.parametrize("planning", ["stepwise", "merged"])
async def test_a_person_accepts_what_there_is_after_a_restart(
    fake: FakeOpenRouter, client: AsyncOpenRouterClient, tmp_path: Path, planning: Any
) -> None:
    fake.script(evaluated("the cellar", achieved=False, planning=planning), Auto(times=None))
    settings: dict[str, Any] = {"human_in_loop": True, "max_replans": 0, "planning": planning}
    for_one = AsyncAgentClient(
        client, session_handler=SQLiteSessionStore(tmp_path / "sessions.db"), **settings
    )
    waiting = await for_one.agent("Which doors?", Story)
    for_another = AsyncAgentClient(
        client, session_handler=SQLiteSessionStore(tmp_path / "sessions.db"), **settings
    )
    done = await for_another.agent(
        "", Story, agent_id=waiting.agent_id, human_response=decided(waiting, "accept")
    )

    assert waiting.state is AgentState.WAITING_FOR_HUMAN
    assert waiting.human_interaction_request.options == ["accept", "try_again", "abort"]
    assert waiting.human_interaction_request.context.endswith(": the cellar")
    assert done.is_complete()
    assert isinstance(done.final_response, Story)
    assert done.final_response.title != "too early"
    assert done.goal_evaluation.goal_achieved is False
    assert done.goal_evaluation.remaining_criteria == ["the cellar"]


async def test_a_person_wants_another_round_and_then_gives_up(
    fake: FakeOpenRouter, client: AsyncOpenRouterClient
) -> None:
    fake.script(*[evaluated("the cellar", achieved=False)] * 2, Auto(times=None))
    agent = AsyncAgentClient(client, human_in_loop=True, max_replans=0)
    first = await agent.agent("Which doors?", Story)
    second = await agent.agent(
        "", Story, agent_id=first.agent_id, human_response=decided(first, "try_again")
    )
    failed = await agent.agent(
        "",
        Story,
        agent_id=first.agent_id,
        human_response=decided(second, "abort"),
        raise_on_failure=False,
    )

    assert second.is_waiting_for_human()
    assert second.human_interaction_request.id != first.human_interaction_request.id
    assert len(second.todo_list.tasks) > len(first.todo_list.tasks)
    assert failed.state is AgentState.FAILED
    assert failed.error.type == "Aborted"


async def test_a_goal_on_which_nobody_decides_in_time_fails_as_it_does_without_people(
    fake: FakeOpenRouter, client: AsyncOpenRouterClient
) -> None:
    fake.script(evaluated("the cellar", achieved=False), Auto(times=None))
    deadline = AnswerDeadline(seconds=0.05)
    agent = AsyncAgentClient(client, human_in_loop=True, max_replans=0, answer_deadline=deadline)
    waiting = await agent.agent("Which doors?", Story)
    request = waiting.human_interaction_request
    with anyio.fail_after(5):
        while datetime.now(UTC) <= request.expires_at:
            await anyio.sleep(0.005)
    failed = await agent.agent(agent_id=waiting.agent_id, raise_on_failure=False)

    assert failed.state is AgentState.FAILED
    assert failed.error.type == "GoalNotReached"
    assert "the cellar" in failed.error.message
