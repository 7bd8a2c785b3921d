"""`agent.sessions.cancel`: a turn that is not wanted any more ends, whoever runs it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from support.agent_worker_shop import Receipt, Shop, plan, until

from mbxai import (
    AgentClient,
    AgentFailedError,
    AgentState,
    AsyncAgentClient,
    OpenRouterClient,
    SessionNotFoundError,
    TaskStatus,
)
from mbxai.agent import AsyncAgentWorker
from mbxai.sessions import InMemorySessionHandler, InMemorySessionStore
from mbxai.testing import FakeOpenRouter, Stall

ORDER = "Ship the lamp"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as fake:
        yield fake


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def shop(request: pytest.FixtureRequest, server: FakeOpenRouter, tmp_path: Path) -> Shop:
    server.reset()
    places = {"sqlite": lambda: ""}
    if request.param != "sqlite":
        places[request.param] = lambda: request.getfixturevalue(f"{request.param}_url")
    return Shop(
        url=server.base_url,
        folder=tmp_path,
        store=places[request.param](),
        prefix=f"cancelling_{uuid4().hex[:20]}",
        seconds=1.4,  # longer than a run waits between two looks into its inbox
    )


@pytest.fixture
def local(server: FakeOpenRouter, tmp_path: Path) -> Shop:
    server.reset()
    return Shop(url=server.base_url, folder=tmp_path, seconds=0.5)


async def over(agent: AsyncAgentClient, agent_id: str, seconds: float = 20.0) -> None:
    with anyio.fail_after(seconds):
        while (await agent.sessions.get(agent_id)).error is None:
            await anyio.sleep(0.02)


async def test_a_run_of_another_worker_ends_once_its_tool_has_come_back(shop: Shop) -> None:
    async with shop.open() as caller, shop.open() as worker, anyio.create_task_group() as group:
        agent_id = await caller.submit(ORDER, Receipt)
        group.start_soon(AsyncAgentWorker(worker, poll_seconds=0.05).run)
        await until(lambda: shop.notes("begun"))

        assert await caller.sessions.cancel(agent_id)
        assert await caller.sessions.cancel(agent_id)  # the same wish twice
        await over(caller, agent_id)

        response = await caller.sessions.get(agent_id)
        assert (response.state, response.error.type) == (AgentState.FAILED, "Cancelled")
        assert not response.error.retryable
        assert [task.status for task in response.todo_list.tasks] == [TaskStatus.SKIPPED]
        assert len(shop.notes("ended")) == 1  # what ran was not torn
        assert not await caller.sessions.cancel(agent_id)
        assert await caller.store.due() == []
        group.cancel_scope.cancel()


async def test_a_call_of_the_model_is_cut_off_within_a_second_or_so(
    local: Shop, server: FakeOpenRouter
) -> None:
    server.script(Stall(60))
    async with local.open() as agent, anyio.create_task_group() as group:
        raised: list[AgentFailedError] = []

        async def call() -> None:
            with pytest.raises(AgentFailedError) as caught:
                await agent.agent(ORDER, Receipt, agent_id="mine")
            raised.append(caught.value)

        group.start_soon(call)
        with anyio.fail_after(10):
            while not (await agent.sessions.list()).sessions:
                await anyio.sleep(0.02)
        assert await agent.sessions.cancel("mine")
        await over(agent, "mine", seconds=5)
    assert raised[0].response.error.type == "Cancelled"
    assert "new turn" in raised[0].hint


async def test_who_waits_for_people_is_cancelled_at_once_and_asks_nobody_any_more(
    local: Shop,
) -> None:
    with FakeOpenRouter(auto_overrides=plan(estimated_complexity=5)) as people:
        shop = Shop(url=people.base_url, folder=local.folder, people=True)
        async with shop.open() as agent:
            response = await agent.agent(ORDER, Receipt)
            assert response.is_waiting_for_human()
            assert await agent.sessions.cancel(response.agent_id)

            after = await agent.sessions.get(response.agent_id)
            assert (after.state, after.human_interaction_requests) == (AgentState.FAILED, [])
            assert after.error.message == "The run was cancelled."


async def test_a_session_that_was_submitted_and_cancelled_never_runs(local: Shop) -> None:
    async with local.open() as agent:
        agent_id = await agent.submit(ORDER, Receipt)
        assert await agent.sessions.cancel(agent_id)
        await AsyncAgentWorker(agent).run(until_idle=True)
        assert local.notes("begun") == []
        assert (await agent.sessions.get(agent_id)).error.type == "Cancelled"


async def test_the_next_prompt_begins_a_new_turn(local: Shop) -> None:
    async with local.open() as agent:
        agent_id = await agent.submit(ORDER, Receipt)
        await agent.sessions.cancel(agent_id)
        response = await agent.agent(ORDER, Receipt, agent_id=agent_id)
        assert response.is_complete()
        assert not await agent.sessions.cancel(agent_id)  # its turn is over


async def test_a_late_note_does_not_end_the_next_turn(local: Shop) -> None:
    async with local.open(store=InMemorySessionStore()) as agent:
        agent_id = await agent.submit(ORDER, Receipt)
        await agent.sessions.cancel(agent_id)
        await agent.submit(ORDER, Receipt, agent_id=agent_id)
        await agent.store.post_answer(agent_id, "cancel:1", {})
        await AsyncAgentWorker(agent).run(until_idle=True)
        assert (await agent.sessions.get(agent_id)).is_complete()


async def test_what_a_dead_worker_left_open_is_said_to_be_unknown(local: Shop) -> None:
    async with local.open(lease_seconds=0.3) as agent:
        agent_id = await agent.submit(ORDER, Receipt)
        with anyio.move_on_after(5) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(AsyncAgentWorker(agent, poll_seconds=0.05).run)
                await until(lambda: local.notes("begun"))
                group.cancel_scope.cancel()  # as a kill would, in the middle of the tool
        assert not scope.cancelled_caught
        assert await agent.sessions.cancel(agent_id)
        await over(agent, agent_id)
        assert "ship is not known" in (await agent.sessions.get(agent_id)).error.message


def test_without_a_loop_and_in_a_handler_of_ones_own(server: FakeOpenRouter) -> None:
    client = OpenRouterClient("sk-or-v1-fake", "fake/model", server.base_url)
    with AgentClient(client, session_handler=InMemorySessionHandler()) as agent:
        agent_id = agent.submit(ORDER, Receipt)
        assert agent.sessions.cancel(agent_id) is True
        assert agent.sessions.get(agent_id).error.type == "Cancelled"
        assert agent.sessions.cancel(agent_id) is False
        with pytest.raises(SessionNotFoundError):
            agent.sessions.cancel("nobody")
        with pytest.raises(SessionNotFoundError):
            agent.for_scope("another").sessions.cancel(agent_id)
