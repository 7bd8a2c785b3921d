"""Bounds of what a session and a run may use up, over real sockets."""

from contextlib import suppress
from typing import Any

import anyio
import pytest
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
)

from mbxai import (
    AsyncAgentClient,
    AsyncToolClient,
    Budget,
    BudgetExceededError,
    HumanInLoopResponse,
)
from mbxai.agent import AsyncAgentStream
from mbxai.agent.events import BudgetReached
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply
from mbxai.wire import Spent

ASKING = Reply(
    tool_calls=[{"name": "ask_question", "arguments": {"prompt": "Which one?"}}],
    when=Match(tool="ask_question"),
)


def chats(fake: FakeOpenRouter) -> int:
    return sum(request.path.endswith("/chat/completions") for request in fake.requests())


async def read(run: AsyncAgentStream, types: list[str]) -> None:
    async for event in run:
        types.append(event.type)  # noqa: PERF401  # what came before an error counts


@pytest.mark.parametrize(
    ("limit", "small", "large"),
    [
        ("max_cost_usd", 3 / 1024, 1.0),
        ("max_tokens", 200, 1_000_000),
        ("max_requests", 2, 100),
    ],
)
@pytest.mark.parametrize("which", ["budget", "run_budget"])
async def test_a_bound_rests_the_session_and_a_larger_one_goes_on(
    fake: FakeOpenRouter, which, limit, small, large
):
    till = Till()
    fake.script(
        till.reply(json=REQUIREMENT),
        till.reply(json=TOOLS),
        till.reply(json=plan_of("One")),
        till.reply("done"),
        till.reply(json=EVALUATION),
        till.reply(json=STORY),
    )
    events: list[Any] = []
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, on_event=events.append)
        with pytest.raises(BudgetExceededError) as reached:
            await agent.agent("Tell it", Story, **{which: Budget(**{limit: small})})
        assert chats(fake) == 2
        assert reached.value.limit == limit
        response = reached.value.response
        assert response.requirement_analysis
        assert response.error is None
        assert which in reached.value.message
        told = events[-1]
        assert isinstance(told, BudgetReached)
        assert (told.limit, told.message) == (limit, reached.value.message)
        assert told.seq == len([e for e in events if e.type != "response_delta"])
        done = await agent.agent(
            agent_id=response.agent_id,
            final_response_structure=Story,
            **{which: Budget(**{limit: large})},
        )

    assert done.is_complete()
    fake.verify()


async def test_a_run_budget_counts_each_call_anew(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, run_budget=Budget(max_requests=2))
        for prompt in ("Tell it", "", ""):
            with suppress(BudgetExceededError):
                await agent.agent(prompt, Story, agent_id="s")
        done = await agent.get_response("s", Story)

    assert done.is_complete()
    assert len(done.ledger) == chats(fake) == 6


async def test_a_budget_counts_the_whole_session(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, budget=Budget(max_requests=2))
        for prompt in ("Tell it", "", ""):
            with pytest.raises(BudgetExceededError):
                await agent.agent(prompt, Story, agent_id="s")
    assert chats(fake) == 2


async def test_a_bound_is_kept_over_turns(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, budget=Budget(max_requests=8))
        done = await agent.agent("Tell it", Story)
        assert done.is_complete()
        with pytest.raises(BudgetExceededError) as reached:
            await agent.agent("Tell it again", Story, agent_id=done.agent_id)

    assert chats(fake) == 8
    assert len(reached.value.response.ledger) == 8


async def test_parallel_tasks_never_pass_the_bound_of_requests(fake: FakeOpenRouter):
    fake.script(planned(*"abcdef"), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, max_parallel_tasks=6)
        with pytest.raises(BudgetExceededError) as reached:
            await agent.agent("Tell it", Story, budget=Budget(max_requests=5))
        assert chats(fake) == 5
        statuses = [task.status.value for task in reached.value.response.todo_list.tasks]
        assert statuses.count("completed") == 2
        done = await agent.agent(
            agent_id=reached.value.response.agent_id, final_response_structure=Story
        )

    assert done.is_complete()
    assert chats(fake) == 11


async def test_parallel_tool_calls_never_pass_their_bound(fake: FakeOpenRouter):
    calls = [{"name": "look", "arguments": {"place": str(number)}} for number in range(4)]
    fake.script(planned("One"), Reply(tool_calls=calls, when=Match(tool="look")), Auto(times=None))
    places: list[str] = []

    async def look(place: str) -> str:
        """Look at a place."""
        places.append(place)
        return "nothing"

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look at a place", look, effect="read")
        agent = AsyncAgentClient(tools)
        with pytest.raises(BudgetExceededError) as reached:
            await agent.agent("Look", Story, budget=Budget(max_tool_calls=3))
        assert len(places) == 3
        assert reached.value.limit == "max_tool_calls"
        done = await agent.agent(
            agent_id=reached.value.response.agent_id, final_response_structure=Story
        )

    assert done.is_complete()
    assert sorted(places) == ["0", "1", "2", "3"]


async def test_calls_under_way_end_before_the_session_rests(fake: FakeOpenRouter):
    fake.script(
        planned("One", "Two"),
        Reply(
            tool_calls=[{"name": "slow", "arguments": {}}],
            when=Match(contains="Do One", tool="slow"),
        ),
        Reply("done", when=Match(contains="Do Two")),
        Auto(times=None),
    )
    is_over = anyio.Event()
    ended: list[str] = []

    async def slow() -> str:
        """Go on until the other task is over, whatever bound is reached then."""
        with anyio.fail_after(5):
            await is_over.wait()
        ended.append("slow")
        return "at last"

    async def note(event: Any) -> None:
        if event.type == "task_changed" and event.task.status.value == "completed":
            is_over.set()

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("slow", "Take long", slow, effect="once")
        agent = AsyncAgentClient(tools, on_event=note)
        with pytest.raises(BudgetExceededError):
            await agent.agent("Tell it", Story, agent_id="s", budget=Budget(max_requests=5))
        assert ended == ["slow"]
        done = await agent.agent(agent_id="s", final_response_structure=Story)

    assert done.is_complete()
    assert ended == ["slow"]


async def test_an_answer_of_a_person_is_kept_though_a_bound_is_reached(fake: FakeOpenRouter):
    fake.script(planned("One"), ASKING, Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, human_in_loop=True)
        waiting = await agent.agent("Tell it", Story)
        before = chats(fake)
        answer = HumanInLoopResponse(
            interaction_id=waiting.human_interaction_request.id,
            response_type="question",
            answer="the green one",
        )
        with pytest.raises(BudgetExceededError) as reached:
            await agent.agent(
                agent_id=waiting.agent_id, human_response=answer, budget=Budget(max_requests=1)
            )
        assert chats(fake) == before
        assert not reached.value.response.human_interaction_requests
        done = await agent.agent(agent_id=waiting.agent_id, final_response_structure=Story)

    assert done.is_complete()
    assert any("the green one" in str(request.body) for request in fake.requests())


async def test_a_stream_tells_of_the_bound_and_then_raises(fake: FakeOpenRouter):
    types: list[str] = []
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        async with agent.stream("Tell it", Story, run_budget=Budget(max_requests=1)) as run:
            with pytest.raises(BudgetExceededError) as reached:
                await read(run, types)
        assert types[-1] == "budget_reached"
        assert run.response is reached.value.response
        async with agent.stream(
            final_response_structure=Story, agent_id=run.response.agent_id
        ) as rest:
            assert [event async for event in rest]

    assert rest.response.is_complete()


async def test_seconds_are_those_of_one_call(fake: FakeOpenRouter):
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        for which in ("budget", "run_budget"):
            with pytest.raises(BudgetExceededError) as reached:
                await agent.agent(
                    "Tell it", Story, agent_id=which, **{which: Budget(max_seconds=1e-9)}
                )
            assert reached.value.limit == "max_seconds"
            done = await agent.agent(
                agent_id=which,
                final_response_structure=Story,
                **{which: Budget(max_seconds=60)},
            )
            assert done.is_complete()


def test_a_budget_names_itself_in_its_sentence():
    spent = Spent(requests=2)
    budget = Budget(max_requests=2)
    assert budget.reached(spent, "model") == (
        "max_requests",
        "The budget is used up: max_requests is 2, 2 are used.",
    )
    named = budget.reached(spent, "model", name="run_budget")
    assert named is not None
    assert named[1].startswith("The run_budget is used up")
    assert budget.reached(spent, "tool") is None
