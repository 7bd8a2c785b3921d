"""One run of an agent, its calls, its answers and what they cost, over real sockets."""

import logging
import pickle
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from support.agent_scripts import (
    EVALUATION,
    REQUIREMENT,
    STORY,
    TOOLS,
    Story,
    Till,
    client_of,
    plan_of,
    planned,
    schemas_of,
)
from support.stored_state import state_of

from mbxai import (
    AgentClient,
    AgentFailedError,
    AgentResponse,
    AgentState,
    AnswerDeadline,
    AsyncAgentClient,
    AsyncToolClient,
    Budget,
    ConfigurationError,
    HumanInLoopResponse,
    ModelCallUsage,
)
from mbxai.errors import InteractionExpiredError
from mbxai.sessions import InMemorySessionStore
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

QUESTION = [{"name": "ask_question", "arguments": {"prompt": "Which one?"}}]
ASKING = Reply(tool_calls=QUESTION, when=Match(tool="ask_question"))


def look(place: str) -> str:
    """Look at a place."""
    return f"nothing at {place}"


def costly_story(till: Till) -> list[Reply]:
    """Every step, two of them with answers that do not fit, and a task with two tool rounds."""
    call = [{"name": "look", "arguments": {"place": "attic"}}]
    other = [{"name": "look", "arguments": {"place": "cellar"}}]
    return [
        till.reply(json=REQUIREMENT),
        till.reply(json=TOOLS),
        till.reply(json={"tasks": "none"}),
        till.reply(json=plan_of("Look around")),
        till.reply(tool_calls=call),
        till.reply(tool_calls=other),
        till.reply("There is nothing."),
        till.reply(json=EVALUATION),
        till.reply(json={"title": "The end"}),
        till.reply(json=STORY),
    ]


@pytest.mark.parametrize("is_watched", [False, True], ids=["at once", "streamed"])
async def test_ledger_summary_and_what_was_charged_are_equal(fake: FakeOpenRouter, is_watched):
    till = Till()
    fake.script(*costly_story(till))
    seen: list[Any] = []
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look at a place", look, effect="read")
        agent = AsyncAgentClient(tools)
        on_event = seen.append if is_watched else None
        response = await agent.agent("Tell it", Story, on_event=on_event)

    assert response.is_complete()
    fake.verify()
    total = response.token_summary.total()
    assert len(response.ledger) == till.count
    for field, name in (
        ("prompt_tokens", "prompt"),
        ("completion_tokens", "completion"),
        ("cached_tokens", "cached"),
        ("reasoning_tokens", "reasoning"),
        ("cost_usd", "usd"),
    ):
        assert getattr(total, field) == till.charged[name], field
        assert sum(getattr(entry, field) for entry in response.ledger) == till.charged[name], field
    assert [entry.is_usable for entry in response.ledger].count(False) == 2
    assert len(response.token_summary.task_execution) == 3
    assert response.token_summary.final_response.completion_tokens == 19 + 20
    # Only the final response is streamed, and only if somebody watches.
    streamed = [r.schema_name for r in fake.requests() if r.body.get("stream")]
    assert streamed == (["Story", "Story"] if is_watched else [])


async def test_an_entry_of_the_ledger_names_model_answer_and_task(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        response = await AsyncAgentClient(client).agent("Tell it", Story)

    entries = response.ledger
    assert all(isinstance(entry, ModelCallUsage) for entry in entries)
    assert {entry.model for entry in entries} == {"openai/gpt-4"}
    assert len({entry.generation_id for entry in entries}) == len(entries)
    assert all(entry.generation_id.startswith("gen-") for entry in entries)
    assert [entry.task_id is not None for entry in entries] == [
        entry.step == "task_execution" for entry in entries
    ]


async def test_a_refused_answer_is_in_the_ledger_with_its_price(fake: FakeOpenRouter):
    till = Till()
    fake.script(*[till.reply(json={"goal": 1}) for _ in range(3)])
    async with client_of(fake) as client:
        with pytest.raises(AgentFailedError) as failed:
            await AsyncAgentClient(client).agent("Tell it", Story)

    response = failed.value.response
    assert response.token_summary.requirement_analysis.cost_usd == till.charged["usd"]
    assert [entry.attempt for entry in response.ledger] == [1, 2, 3]
    assert not any(entry.is_usable for entry in response.ledger)


# --- context windows ------------------------------------------------------------------------------


async def test_the_window_of_a_model_is_asked_for_once_and_only_for_long_conversations(
    fake: FakeOpenRouter,
):
    def asked() -> int:
        return sum(request.path.startswith("/api/v1/model/") for request in fake.requests())

    long = {"prompt_tokens": 9_000, "total_tokens": 9_001}
    async with client_of(fake) as client:
        store = InMemorySessionStore()
        agent = AsyncAgentClient(AsyncToolClient(client), session_handler=store)
        await agent.agent("Tell it", Story, agent_id="short")
        assert asked() == 0
        fake.script(
            planned("One", "Two"),
            Reply("done", usage=long, when=Match(contains="Do One")),
            Reply("done", usage=long, when=Match(contains="Do Two")),
            Auto(times=None),
        )
        await agent.agent("Tell it", Story, agent_id="long")
        state = await state_of(store, "long")

    assert asked() == 1
    assert state["context_window"] > 8_000


async def test_a_catalogue_that_fails_harms_no_run(fake: FakeOpenRouter):
    fake.script(
        planned("One"),
        Reply("done", usage={"total_tokens": 9_001}, when=Match(contains="Do One")),
        Reply("no catalogue", when=Match(path="/model/openai/gpt-4")),
        Auto(times=None),
    )
    async with client_of(fake) as client:
        response = await AsyncAgentClient(client).agent("Tell it", Story)
    assert response.is_complete()


# --- options --------------------------------------------------------------------------------------

WRONG: dict[str, Any] = {
    "planning": "slow",
    "quality_iterations": -1,
    "max_repeats": 0,
    "max_context_tokens": 0,
    "unplanned_tools": "forbid",
    "answer_deadline": 60,
    "budget": 5,
    "run_budget": {"max_requests": 1},
    "on_event": "print",
}


@pytest.mark.parametrize("name", WRONG)
def test_an_impossible_option_is_refused_by_name(name):
    client = SimpleNamespace(parse=lambda **_: None)
    agent = AgentClient(client)
    with pytest.raises(ConfigurationError, match=name):
        AgentClient(client, **{name: WRONG[name]})
    with pytest.raises(ConfigurationError, match=name):
        agent.agent("Tell it", Story, **{name: WRONG[name]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_task_iterations", 0),
        ("max_replans", -1),
        ("max_parallel_tasks", True),
        ("max_tool_rounds", "3"),
        ("approve_complexity", 0),
        ("lease_seconds", 0),
    ],
)
def test_an_impossible_bound_of_the_client_is_refused_by_name(name, value):
    with pytest.raises(ConfigurationError, match=name):
        AsyncAgentClient(SimpleNamespace(parse=lambda **_: None), **{name: value})


async def test_options_of_a_call_take_the_place_of_the_clients_and_are_kept_for_the_turn(
    fake: FakeOpenRouter,
):
    store = InMemorySessionStore()
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, session_handler=store, max_repeats=5, quality_iterations=0)
        await agent.agent(
            "Tell it",
            Story,
            agent_id="s",
            max_context_tokens=20_000,
            unplanned_tools="allow",
            answer_deadline=AnswerDeadline(seconds=60),
        )
        limits = (await state_of(store, "s"))["limits"]

    assert (limits["max_repeats"], limits["max_context_tokens"]) == (5, 20_000)
    assert limits["unplanned_tools"] == "allow"
    assert limits["deadline"]["seconds"] == 60


def test_an_unknown_keyword_is_a_type_error():
    agent = AsyncAgentClient(SimpleNamespace(parse=lambda **_: None))
    with pytest.raises(TypeError, match="speed"):
        agent.agent("Tell it", Story, speed=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="speed"):
        agent.stream("Tell it", Story, speed=1)  # type: ignore[call-arg]


# --- deprecated arguments -------------------------------------------------------------------------


async def test_a_deprecated_argument_is_told_of_at_the_callers_own_line(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            agent = AsyncAgentClient(client, max_iterations=5)
            await agent.agent("Tell it", Story, ask_questions=False)
            async with agent.stream("Tell it", Story, ask_questions=False) as run:
                assert [event async for event in run]
            await agent.agent("Tell it", Story, agent_id=run.response.agent_id, answers=None)

    assert [warning.category for warning in told] == [DeprecationWarning] * 3
    assert {Path(warning.filename) for warning in told} == {Path(__file__)}
    assert len({warning.lineno for warning in told}) == 3


# --- deadlines ------------------------------------------------------------------------------------


async def test_what_nobody_answered_goes_on_when_the_session_is_called_again(
    fake: FakeOpenRouter,
):
    fake.script(planned("One"), ASKING, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True)
        deadline = AnswerDeadline(seconds=0.01)
        waiting = await agent.agent("Tell it", Story, answer_deadline=deadline)
        assert waiting.is_waiting_for_human()
        while waiting.human_interaction_requests[0].expires_at.timestamp() > time.time():
            await anyio.sleep(0.01)
        done = await agent.agent(agent_id=waiting.agent_id, final_response_structure=Story)

    assert done.is_complete()


async def test_an_answer_that_comes_too_late_is_refused_and_the_run_has_gone_on(
    fake: FakeOpenRouter,
):
    fake.script(planned("One"), ASKING, Auto(times=None))
    events: list[Any] = []
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True, on_event=events.append)
        deadline = AnswerDeadline(seconds=0.01)
        waiting = await agent.agent("Tell it", Story, answer_deadline=deadline)
        request = waiting.human_interaction_requests[0]
        while request.expires_at.timestamp() > time.time():
            await anyio.sleep(0.01)
        late = HumanInLoopResponse(
            interaction_id=request.id, response_type="question", answer="the first"
        )
        with pytest.raises(InteractionExpiredError):
            await agent.agent(agent_id=waiting.agent_id, human_response=late)
        done = await agent.agent(agent_id=waiting.agent_id, final_response_structure=Story)

    assert done.is_complete()
    assert [event.interaction_id for event in events if event.type == "human_expired"] == [
        request.id
    ]


async def test_a_request_expires_while_other_tasks_run(fake: FakeOpenRouter):
    fake.script(
        planned("One", "Two"),
        Reply(tool_calls=QUESTION, when=Match(contains="Do One")),
        Reply(
            tool_calls=[{"name": "look", "arguments": {"place": "attic"}}],
            when=Match(contains="Do Two"),
        ),
        Auto(times=None),
    )
    expired = anyio.Event()

    async def wait(place: str) -> str:
        """Look until the other task's question is closed."""
        with anyio.fail_after(5):
            await expired.wait()
        return "nothing"

    async def note(event: Any) -> None:
        if event.type == "human_expired":
            expired.set()

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look", wait, effect="read")
        agent = AsyncAgentClient(tools, human_in_loop=True, on_event=note)
        response = await agent.agent("Tell it", Story, answer_deadline=AnswerDeadline(seconds=0.2))

    assert expired.is_set()
    assert response.is_complete()


# --- the response as a type -----------------------------------------------------------------------


async def test_the_response_says_of_which_model_its_final_response_is(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        response: AgentResponse[Story] = await AsyncAgentClient(client).agent("Tell it", Story)

    assert isinstance(response, AgentResponse)
    assert isinstance(response.final_response, Story)
    assert pickle.loads(pickle.dumps(response)) == response
    assert response.model_dump()["final_response"] == response.final_response.model_dump()
    again = AgentResponse[Story].model_validate_json(response.model_dump_json())
    assert again.final_response == response.final_response


def test_a_web_framework_shows_the_final_responses_schema():
    app = FastAPI()

    @app.get("/typed")
    def typed() -> AgentResponse[Story]:
        raise NotImplementedError

    @app.get("/plain")
    def plain() -> AgentResponse:
        raise NotImplementedError

    schemas = app.openapi()["components"]["schemas"]
    assert "Story" in schemas
    assert {"AgentResponse", "AgentResponse_Story_"} <= schemas.keys()


# --- logs -----------------------------------------------------------------------------------------


async def test_each_transition_is_one_line_without_anything_that_was_said(
    fake: FakeOpenRouter, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG, "mbxai.agent")
    events: list[Any] = []
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, on_event=events.append)
        await agent.agent("Tell the secret story", Story, agent_id="s")

    lines = [record for record in caplog.records if record.name.endswith("running._driver")]
    counted = [event for event in events if event.type != "response_delta"]
    assert len(lines) == len(counted)
    infos = [record.getMessage() for record in lines if record.levelno == logging.INFO]
    assert infos[0] == "agent s: analyzing_requirement -> analyzing_requirement"
    assert infos[-1] == "agent s: evaluating_goal -> completed"
    assert "secret story" not in caplog.text


async def test_a_session_that_is_looked_at_is_not_changed(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        done = await agent.agent("Tell it", Story)
        count = len(fake.requests())
        again = await agent.agent(agent_id=done.agent_id, final_response_structure=Story)

    assert again.state is AgentState.COMPLETED
    assert again.ledger == done.ledger
    assert len(fake.requests()) == count


async def test_merged_planning_needs_fewer_calls_and_fills_the_same_fields(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning="merged")
        response = await agent.agent("Tell it", Story)

    assert response.is_complete()
    assert isinstance(response.final_response, Story)
    assert response.requirement_analysis
    assert response.tool_analysis
    assert response.todo_list
    assert response.goal_evaluation
    assert "RequirementAnalysis" not in schemas_of(fake)


class Unusable(BaseModel):
    """Has no field, so nothing could be said in it."""


def test_a_model_without_fields_cannot_be_a_final_response():
    agent = AgentClient(SimpleNamespace(parse=lambda **_: None))
    with pytest.raises(ConfigurationError, match="with fields"):
        agent.agent("Tell it", Unusable, budget=Budget(max_requests=1))
