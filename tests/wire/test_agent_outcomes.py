"""What a response says of a run that is not over, or has ended otherwise than a caller thinks."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from support.agent_scripts import EVALUATION, REQUIREMENT, STORY, TOOLS, Story, client_of, plan_of

from mbxai import (
    AgentState,
    AsyncAgentClient,
    AsyncToolClient,
    BudgetExceededError,
    ConfigurationError,
    HumanInLoopResponse,
)
from mbxai.agent.models import AnswerDeadline
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply, Stall
from mbxai.wire import Budget

NOT_REACHED = {
    **EVALUATION,
    "completed_criteria": [],
    "remaining_criteria": ["it is told"],
    "completion_percentage": 10,
    "goal_achieved": False,
}


class Order(BaseModel):
    number: int


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


def planned(*titles: str, **fields: Any) -> Reply:
    """The answer to merged planning."""
    todo = plan_of(*titles, tool_call=None, **fields)
    value = {"requirement_analysis": REQUIREMENT, "tool_analysis": TOOLS, "todo_list": todo}
    return Reply(when=Match(schema="Planning"), json=value)


def concluded(evaluation: dict[str, Any], response: dict[str, Any] | None) -> Reply:
    value = {"goal_evaluation": evaluation, "final_response": response}
    return Reply(when=Match(schema="Conclusion"), json=value)


# --- a final response is there when the run is complete -------------------------------------------


async def test_a_response_given_beside_a_goal_not_reached_is_none(fake: FakeOpenRouter) -> None:
    fake.script(planned("One"), Reply("one"), concluded(NOT_REACHED, STORY))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning="merged", max_replans=0)
        failed = await agent.agent("Tell it", Story, raise_on_failure=False)

    assert failed.state is AgentState.FAILED
    assert failed.final_response is None


async def test_a_run_that_is_over_has_no_current_task(fake: FakeOpenRouter) -> None:
    fake.script(planned("One", "Two"), Reply("one"), concluded(NOT_REACHED, None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning="merged", max_replans=0, max_task_iterations=1)
        failed = await agent.agent("Tell it", Story, raise_on_failure=False)

    assert [task.status for task in failed.todo_list.tasks] == ["completed", "pending"]
    assert failed.current_task is None


async def test_a_response_given_too_early_is_none_while_a_person_is_asked(
    fake: FakeOpenRouter,
) -> None:
    again = plan_of("Two", estimated_complexity=5, tool_call=None)
    more = Reply(when=Match(schema="TodoList"), json={**again, "retry": [], "skip": []})
    again["tasks"][0]["key"] = "t2"
    fake.script(planned("One"), Reply("one"), concluded(NOT_REACHED, STORY), more)
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True, planning="merged")
        waiting = await agent.agent("Tell it", Story)

    assert waiting.is_waiting_for_human()
    assert waiting.final_response is None


async def test_a_draft_that_is_not_judged_yet_is_no_final_response(fake: FakeOpenRouter) -> None:
    fake.script(planned("One"), Reply("one"), concluded(EVALUATION, STORY))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning="merged", quality_iterations=1)
        with pytest.raises(BudgetExceededError) as caught:
            await agent.agent("Tell it", Story, budget=Budget(max_requests=3))

    assert caught.value.response.state is AgentState.EVALUATING_GOAL
    assert caught.value.response.final_response is None


async def test_a_draft_that_cannot_be_judged_stands(fake: FakeOpenRouter) -> None:
    refused = Failure(400, message="no such judge", when=Match(schema="QualityCheck"))
    fake.script(planned("One"), Reply("one"), concluded(EVALUATION, STORY), refused)
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning="merged", quality_iterations=1)
        async with agent.stream("Tell it", Story) as run:
            rejected = [event async for event in run if event.type == "answer_rejected"]

    assert run.response.final_response == Story(**STORY)
    assert [event.problems for event in rejected] == [("no such judge",)]


# --- a turn that is over keeps what it was made as ------------------------------------------------


async def test_an_answer_that_came_before_changes_no_finished_response(
    fake: FakeOpenRouter,
) -> None:
    fake.script(planned("One", estimated_complexity=5), Reply("one"), concluded(EVALUATION, STORY))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True, planning="merged")
        waiting = await agent.agent("Tell it", Story)
        answer = HumanInLoopResponse(
            interaction_id=waiting.human_interaction_request.id,
            response_type="decision",
            decision="proceed",
        )
        same = {"agent_id": waiting.agent_id, "human_response": answer}
        done = await agent.agent("", Story, **same)
        before = await agent.get_session_info(waiting.agent_id)
        with pytest.raises(ConfigurationError, match="made as Story"):
            await agent.agent("", Order, **same)
        again = await agent.agent("", Story, **same)

        assert await agent.get_session_info(waiting.agent_id) == before
        assert (await agent.get_response(waiting.agent_id, Order)).final_response == STORY
    assert again == done
    assert done.final_response == Story(**STORY)


async def test_a_prompt_that_cannot_be_sent_is_refused_and_leaves_the_session_as_it_is(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning="merged")
        with pytest.raises(ConfigurationError, match="surrogate"):
            await agent.agent("Tell it \ud83d", Story, agent_id="tale")
        done = await agent.agent("Tell it \U0001f600", Story, agent_id="tale")

    assert done.is_complete()


# --- an abort in the middle of a run --------------------------------------------------------------


async def test_an_abort_stops_the_calls_of_the_model_that_are_under_way(
    fake: FakeOpenRouter,
) -> None:
    complex_one = plan_of("One", "Two", tool_call=None)
    complex_one["tasks"][1]["estimated_complexity"] = 5
    value = {"requirement_analysis": REQUIREMENT, "tool_analysis": TOOLS, "todo_list": complex_one}
    fake.script(
        Reply(when=Match(schema="Planning"), json=value),
        Stall(9, when=Match(contains="Do One")),
    )
    deadline = AnswerDeadline(seconds=0.2, complexity="abort")
    async with client_of(fake) as client:
        agent = AsyncAgentClient(
            client, human_in_loop=True, planning="merged", answer_deadline=deadline
        )
        with anyio.fail_after(5):
            failed = await agent.agent("Tell it", Story, raise_on_failure=False)
            while not fake.requests()[-1].aborted:
                await anyio.sleep(0.01)

    assert failed.error.type == "Aborted"
    assert [task.status for task in failed.todo_list.tasks] == ["skipped", "skipped"]
    assert len(failed.ledger) == 1


# --- calls that the plan has filled in ------------------------------------------------------------


async def test_a_tool_is_never_given_a_reference_that_was_not_filled_in(
    fake: FakeOpenRouter,
) -> None:
    sent: list[str] = []

    def mail(body: str) -> str:
        sent.append(body)
        return "sent"

    todo = plan_of("Look", "Mail")
    call = {"name": "mail", "arguments": '{"body": "Flights: {{t1}}"}'}
    todo["tasks"][0]["tool_call"] = None
    todo["tasks"][1] |= {"depends_on": ["t1"], "tool_call": call}
    tools = {**TOOLS, "relevant_tools": ["mail"]}
    value = {"requirement_analysis": REQUIREMENT, "tool_analysis": tools, "todo_list": todo}
    fake.script(
        Reply(when=Match(schema="Planning"), json=value),
        Reply("F7 at noon", when=Match(contains="Do Look")),
        Reply(
            tool_calls=[{"name": "mail", "arguments": {"body": "Flights: F7"}}],
            when=Match(contains="Do Mail"),
        ),
        Auto(times=None),
    )
    async with client_of(fake) as client, AsyncToolClient(client) as able:
        able.register_tool("mail", "Send a mail", mail)
        done = await AsyncAgentClient(able, planning="merged").agent("Tell it", Story)

    assert done.is_complete()
    assert sent == ["Flights: F7"]
