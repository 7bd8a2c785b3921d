"""Promises of the agent, rows 7 to 11: decisions, options, who asks, batches, stable requests."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.agent_promises import Story, answer, bodies, offered, results, said
from support.agent_story_stage import calls, plan, says, task

from mbxai import (
    AgentFailedError,
    AgentState,
    AsyncAgentClient,
    AsyncToolClient,
    DialogOption,
    HumanInLoopResponseBatch,
    HumanInteractionType,
    InteractionExpiredError,
    InteractionMismatchError,
    InteractionNotFoundError,
    TaskStatus,
    ToolContext,
    ToolResult,
)
from mbxai.agent.models import AnswerDeadline
from mbxai.sessions import SQLiteSessionStore
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply
from mbxai.tools import ToolQuestion

JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in to Jira")
GITHUB = DialogOption(id="github_auth", title="GitHub", description="Log in to GitHub")


async def complex_first(fake: FakeOpenRouter, agent: AsyncAgentClient) -> Any:
    """A run that waits: is the complex task `a`, on which `b` depends, to be done?"""
    fake.script(plan(task("a", complexity=5), task("b", "a")), Auto(times=None))
    return await agent.agent("Deploy it", Story)


# --- row 7 ----------------------------------------------------------------------------------------


async def test_row_07_the_decision_to_proceed_has_the_task_done(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await complex_first(fake, agent)
    assert waiting.todo_list.tasks[0].status is TaskStatus.IN_PROGRESS
    assert bodies(fake) == []
    reply = answer(waiting.human_interaction_request, decision="proceed")
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=reply)

    assert done.is_complete()
    assert [t.status for t in done.todo_list.tasks] == [TaskStatus.COMPLETED] * 2
    assert ["do-a." in said(body) for body in bodies(fake)] == [True, False]


async def test_row_07_the_decision_to_skip_leaves_the_task_out_and_goes_on(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await complex_first(fake, agent)
    reply = answer(waiting.human_interaction_request, decision="skip")
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=reply)

    assert done.is_complete()
    assert [t.status for t in done.todo_list.tasks] == [TaskStatus.SKIPPED, TaskStatus.COMPLETED]
    assert "person" in done.todo_list.tasks[0].error_message
    assert ["do-a." in said(body) for body in bodies(fake)] == [False]


async def test_row_07_the_decision_to_modify_changes_the_task(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await complex_first(fake, agent)
    request = waiting.human_interaction_request
    reply = answer(request, decision="modify")
    with pytest.raises(InteractionMismatchError, match="additional_context"):
        await agent.agent("", Story, agent_id=waiting.agent_id, human_response=reply)
    reply = answer(request, decision="modify", additional_context="Only to staging.")
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=reply)

    assert done.is_complete()
    assert "Only to staging." in done.todo_list.tasks[0].description
    assert done.todo_list.tasks[0].status is TaskStatus.COMPLETED
    assert "Only to staging." in said(bodies(fake)[0])


async def test_row_07_the_decision_to_abort_fails_the_run_and_runs_nothing_more(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await complex_first(fake, agent)
    reply = answer(waiting.human_interaction_request, decision="abort")
    with pytest.raises(AgentFailedError, match="aborted") as caught:
        await agent.agent("", Story, agent_id=waiting.agent_id, human_response=reply)
    response = caught.value.response

    assert response.state is AgentState.FAILED
    assert response.error.type == "Aborted"
    assert not response.error.retryable
    assert [t.status for t in response.todo_list.tasks] == [TaskStatus.SKIPPED] * 2
    assert not response.needs_human_interaction()
    assert bodies(fake) == []


async def test_row_07_a_chosen_option_reaches_the_task_that_asked_which_goes_on(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(task("a")),
        calls("a", "request_decision", prompt="Which cloud?", options=["AWS", "GCP"]),
        says("a", "It runs on GCP."),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await agent.agent("Deploy it", Story)
    chosen = answer(
        waiting.human_interaction_request, decision="GCP", additional_context="In Zurich."
    )
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=chosen)

    assert done.todo_list.tasks[0].result == "It runs on GCP."
    told = json.loads(results(bodies(fake)[-1])[0])
    assert told == {"decision": "GCP", "remark": "In Zurich."}


# --- row 8 ----------------------------------------------------------------------------------------


async def test_row_08_the_model_gives_the_options_and_an_answer_must_be_one_of_them(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(task("a")),
        calls("a", "request_decision", prompt="Where?", options=["Frankfurt", "Zurich"]),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await agent.agent("Deploy it", Story)
    request = waiting.human_interaction_request
    assert request.options == ["Frankfurt", "Zurich"]
    reply = answer(request, decision="proceed")
    with pytest.raises(InteractionMismatchError, match="Frankfurt, Zurich"):
        await agent.agent(agent_id=waiting.agent_id, human_response=reply)
    with pytest.raises(ValueError, match="Zurich"):
        await agent.agent(agent_id=waiting.agent_id, human_response=answer(request))
    same = await agent.get_response(waiting.agent_id)
    assert same.human_interaction_request == request
    reply = answer(request, decision="zurich")
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=reply)

    assert done.is_complete()
    assert '"Zurich"' in results(bodies(fake)[-1])[0]


async def test_row_08_a_developers_tool_gives_the_options_too(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    regions = {
        "type": "object",
        "properties": {"region": {"type": "string", "enum": ["eu", "us"]}},
        "required": ["region"],
    }
    chosen: list[object] = []

    def deploy(context: ToolContext[Any]) -> ToolResult | str:
        """Deploy."""
        if context.answer is None:
            question = ToolQuestion(message="Which region?", schema=regions, state="asked")
            return ToolResult(call_id="", name="deploy", content="waits", question=question)
        chosen.append(context.answer.content)
        return "deployed"

    client.register_tool("deploy", "Deploy", deploy)
    fake.script(plan(task("a", tools=["deploy"])), calls("a", "deploy"), Auto(times=None))
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await agent.agent("Deploy it", Story)
    request = waiting.human_interaction_request
    assert request.interaction_type is HumanInteractionType.DECISION
    assert request.options == ["eu", "us", "decline"]
    reply = answer(request, decision="asia")
    with pytest.raises(InteractionMismatchError, match="eu, us"):
        await agent.agent(agent_id=waiting.agent_id, human_response=reply)
    reply = answer(request, decision="us")
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=reply)

    assert done.is_complete()
    assert chosen == [{"region": "us"}]


# --- row 9 ----------------------------------------------------------------------------------------


async def test_row_09_the_model_asks_while_it_works_and_picks_one_dialogue_by_its_id(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(task("a", complexity=3)),
        calls("a", "open_dialog", dialog_option_id="github_auth", reason="The code is private."),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, human_in_loop=True, dialog_options=[JIRA, GITHUB])
    waiting = await agent.agent("Read the code", Story)

    assert set(offered(bodies(fake)[0])) == {"ask_question", "request_decision", "open_dialog"}
    request = waiting.human_interaction_request
    assert request.interaction_type is HumanInteractionType.DIALOG_OPTION
    assert [option.id for option in request.dialog_options] == ["github_auth"]
    assert "The code is private." in request.context
    assert len(waiting.human_interaction_requests) == 1


async def test_row_09_where_nothing_is_to_ask_nobody_is_asked(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(task("a", complexity=3, title="Authenticate the user, deploy to production")),
        says("a", "Done."),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, human_in_loop=True, dialog_options=[JIRA, GITHUB])
    response = await agent.agent("Authenticate and deploy", Story)

    assert response.is_complete()
    assert response.human_interaction_requests == []


async def test_row_09_a_tool_may_need_the_approval_of_a_person(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    ran: list[str] = []

    def deploy(environment: str) -> str:
        """Deploy."""
        ran.append(environment)
        return "deployed"

    client.register_tool("deploy", "Deploy", deploy, requires_approval=True)
    fake.script(
        plan(task("a", tools=["deploy"])),
        calls("a", "deploy", environment="production"),
        calls("a", "deploy", environment="staging"),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await agent.agent("Deploy it", Story)
    request = waiting.human_interaction_request
    assert ran == []
    assert request.options == ["approve", "decline"]
    assert "production" in request.context
    no = answer(request, decision="decline", additional_context="Not on a Friday.")
    again = await agent.agent(agent_id=waiting.agent_id, human_response=no)
    assert "Not on a Friday." in results(bodies(fake)[-1])[0]
    yes = answer(again.human_interaction_request, decision="approve")
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=yes)

    assert done.is_complete()
    assert ran == ["staging"]


# --- rows 10 and 11 -------------------------------------------------------------------------------

ASKING = Reply(
    tool_calls=[
        {"name": "ask_question", "arguments": {"prompt": "Which region?"}},
        {"name": "request_decision", "arguments": {"prompt": "Cloud?", "options": ["A", "B"]}},
    ],
    when=Match(contains="do-a."),
)


async def three_requests(fake: FakeOpenRouter, agent: AsyncAgentClient) -> Any:
    fake.script(plan(task("a"), task("b", complexity=5)), ASKING, Auto(times=None))
    waiting = await agent.agent("Deploy it", Story)
    assert len(waiting.human_interaction_requests) == 3
    assert waiting.human_interaction_request == waiting.human_interaction_requests[0]
    return waiting


def fitting(requests: list[Any]) -> list[Any]:
    fields = {
        "Which region?": {"answer": "eu-west"},
        "Cloud?": {"decision": "B"},
    }
    return [answer(r, **fields.get(r.prompt, {"decision": "proceed"})) for r in requests]


async def test_row_10_answers_come_one_by_one_in_lists_and_in_partial_batches(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await three_requests(fake, agent)
    replies = fitting(waiting.human_interaction_requests)
    batch = HumanInLoopResponseBatch(responses=[replies[2]])
    partly = await agent.agent(agent_id=waiting.agent_id, human_response=batch)
    assert partly.human_interaction_requests == waiting.human_interaction_requests[:2]
    one = await agent.agent(agent_id=waiting.agent_id, human_response=replies[1])
    assert one.human_interaction_requests == waiting.human_interaction_requests[:1]
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=[replies[0]])

    assert done.is_complete()
    told = results(next(b for b in reversed(bodies(fake)) if "do-a." in said(b)))
    assert [json.loads(result) for result in told] == [{"answer": "eu-west"}, {"decision": "B"}]


async def test_row_10_a_whole_batch_is_applied_at_once(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await three_requests(fake, agent)
    batch = HumanInLoopResponseBatch(responses=fitting(waiting.human_interaction_requests)[::-1])
    done = await agent.agent("", Story, agent_id=waiting.agent_id, human_response=batch)

    assert done.is_complete()


async def test_row_10_unknown_and_changed_answers_are_errors_and_repeated_ones_are_nothing(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await three_requests(fake, agent)
    first, *others = fitting(waiting.human_interaction_requests)
    unknown = first.model_copy(update={"interaction_id": "no-such-request"})
    before = await agent.get_session_info(waiting.agent_id)
    with pytest.raises(InteractionNotFoundError, match="no-such-request"):
        await agent.agent(agent_id=waiting.agent_id, human_response=[*others, unknown])
    assert await agent.get_session_info(waiting.agent_id) == before
    partly = await agent.agent(agent_id=waiting.agent_id, human_response=first)
    made = len(fake.requests())
    again = await agent.agent(agent_id=waiting.agent_id, human_response=first)
    assert again == partly
    assert len(fake.requests()) == made
    other = {"answer": "us-east"} if first.answer else {"decision": "skip"}
    changed = first.model_copy(update=other)
    with pytest.raises(InteractionMismatchError, match="already answered"):
        await agent.agent(agent_id=waiting.agent_id, human_response=changed)

    assert (await agent.get_response(waiting.agent_id)).human_interaction_requests == (
        again.human_interaction_requests
    )


async def test_row_11_requests_keep_their_ids_until_they_are_answered(
    fake: FakeOpenRouter, client: AsyncToolClient, tmp_path: Path
) -> None:
    path = tmp_path / "sessions.sqlite"
    async with AsyncAgentClient(client, True, session_handler=SQLiteSessionStore(path)) as agent:
        waiting = await three_requests(fake, agent)
        made = len(fake.requests())
        polled = [await agent.agent("", Story, agent_id=waiting.agent_id) for _ in range(3)]
    async with AsyncAgentClient(client, True, session_handler=SQLiteSessionStore(path)) as other:
        polled.append(await other.agent("Are you done?", Story, agent_id=waiting.agent_id))
        assert len(fake.requests()) == made
        replies = fitting(waiting.human_interaction_requests)
        done = await other.agent("", Story, agent_id=waiting.agent_id, human_response=replies)

    ids = [request.id for request in waiting.human_interaction_requests]
    assert [[r.id for r in p.human_interaction_requests] for p in polled] == [ids] * 4
    assert done.is_complete()


@pytest.mark.slow
async def test_row_11_a_request_that_has_expired_takes_no_answer_and_the_run_goes_on(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client, True, answer_deadline=AnswerDeadline(seconds=1.0))
    waiting = await three_requests(fake, agent)
    replies = fitting(waiting.human_interaction_requests)
    assert all(request.expires_at for request in waiting.human_interaction_requests)
    await anyio.sleep(1.05)
    with pytest.raises(InteractionExpiredError, match="in time"):
        await agent.agent("", Story, agent_id=waiting.agent_id, human_response=replies)
    done = await agent.agent("", Story, agent_id=waiting.agent_id)

    assert done.is_complete()
    assert "nobody answered" in said(bodies(fake))
    assert [t.status for t in done.todo_list.tasks] == ["completed", "skipped"]
