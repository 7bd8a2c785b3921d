"""Durable agents on a real Postgres: sessions are started here and run in other processes."""

import asyncio
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from support.agent_safety_run import OVERRIDES, PROMPT, Effects, Report, check, script
from support.durable_program import Order, durable_of
from support.durable_stage import answer, database_of, played, texts_of, until, worker

from mbxai import HumanInLoopResponse
from mbxai.errors import (
    AgentError,
    ConfigurationError,
    SessionBusyError,
    SessionNotFoundError,
    SessionStoreError,
)
from mbxai.testing import FakeOpenRouter


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[str]:
    with database_of(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=OVERRIDES, latency=0.02) as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    script(server, copies=20)
    return server


@pytest.fixture
def order(fake: FakeOpenRouter, database: str, tmp_path: Path) -> Order:
    """What the processes of a test have in common; each test has a durable agent of its own."""
    options = {"name": f"test_{uuid4().hex[:8]}"}
    return Order(url=fake.base_url, database=database, folder=str(tmp_path), options=options)


async def test_a_session_runs_in_another_process_is_answered_from_here_and_read_by_the_plain_api(
    order: Order, fake: FakeOpenRouter
) -> None:
    with worker(order):
        async with durable_of(order) as (durable, agent):
            agent_id = await durable.start(PROMPT, Report)
            response = await durable.result(agent_id, Report, timeout_seconds=20)
            assert response.is_waiting_for_human()
            asked = await agent.get_response(agent_id)
            assert asked.human_interaction_requests == response.human_interaction_requests

            response = await played(durable, agent_id)

            assert isinstance(response.final_response, Report)
            assert (await agent.get_session_info(agent_id))["state"] == "completed"
            events = [event.type async for event in agent.sessions.events(agent_id)]
            assert {"task_changed", "human_resolved"} <= set(events)
            await check(Effects(Path(order.folder) / "effects"), fake, everything=True)


async def test_the_engine_keeps_neither_prompts_nor_answers_nor_results(order: Order) -> None:
    with worker(order):
        async with durable_of(order) as (durable, _):
            agent_id = await durable.start(PROMPT, Report)
            response = await played(durable, agent_id)

    assert response.final_response is not None
    kept = "\n".join(texts_of(order.database))
    assert agent_id in kept
    for secret in (PROMPT, "approve", response.final_response.summary, "MARK-"):
        assert secret not in kept


async def test_who_starts_a_session_again_gets_the_same_run(
    order: Order, fake: FakeOpenRouter
) -> None:
    async with durable_of(order) as (durable, _):
        again = [durable.start(PROMPT, Report, agent_id="one") for _ in range(5)]
        assert set(await asyncio.gather(*again)) == {"one"}
        with worker(order):
            response = await played(durable, "one")
            assert response.is_complete()
            asked = len(fake.requests())

            assert await durable.start(PROMPT, Report, agent_id="one") == "one"
            await durable.start("Another prompt", Report, agent_id="one")

            assert (await durable.result("one", Report)).is_complete()
            assert len(fake.requests()) == asked
            await check(Effects(Path(order.folder) / "effects"), fake, everything=True)


async def test_a_turn_begins_once_and_after_the_one_before(order: Order) -> None:
    async with durable_of(order) as (durable, agent):
        await durable.start(PROMPT, Report, agent_id="two")
        with pytest.raises(SessionBusyError, match="is not over"):
            await durable.start("And then?", Report, agent_id="two", turn=2)
        with worker(order):
            await played(durable, "two")
            for _ in range(2):
                await durable.start("And then?", Report, agent_id="two", turn=2)
            assert (await played(durable, "two")).is_complete()
        assert (await agent.get_session_info("two"))["turn"] == 2


async def test_a_session_that_the_plain_api_has_ended_ends_its_workflow(order: Order) -> None:
    with worker(order):
        async with durable_of(order) as (durable, agent):
            agent_id = await durable.start(PROMPT, Report)
            response = await durable.result(agent_id, Report, timeout_seconds=20)
            answers = [
                HumanInLoopResponse(
                    interaction_id=request.id, response_type="decision", decision="approve"
                )
                for request in response.human_interaction_requests
            ]
            response = await agent.agent("", Report, agent_id=agent_id, human_response=answers)
            assert response.is_complete()

            await durable.resume(agent_id)

            async def has_ended() -> bool:
                workflow = await durable._desk.latest("", agent_id, 1)
                return workflow is not None and not workflow.is_going()

            await until(has_ended)
            assert not await durable.cancel(agent_id)


@pytest.mark.long
async def test_no_more_sessions_run_at_once_than_are_allowed(order: Order) -> None:
    order.options |= {"max_runs": 2}
    with worker(order), worker(order):
        async with durable_of(order) as (durable, agent):
            ids = [await durable.start(PROMPT, Report) for _ in range(6)]
            most = 0

            async def all_rest() -> bool:
                nonlocal most
                page = await agent.sessions.list()
                most = max(most, sum(one.is_claimed for one in page.sessions))
                return {one.status for one in page.sessions} == {"waiting_for_human"}

            await until(all_rest)
            assert len(ids) == 6
            assert most == 2


@pytest.mark.long
async def test_a_schedule_starts_sessions_once_each_over_all_workers(order: Order) -> None:
    order.cron = "*/2 * * * * *"
    with worker(order), worker(order):
        async with durable_of(order) as (durable, agent):

            async def has_two() -> bool:
                return len((await agent.sessions.list()).sessions) >= 2

            await until(has_two)
            await durable.unschedule("often")
            page = await agent.sessions.list()
            assert (await durable.result(page.sessions[-1].agent_id)).is_waiting_for_human()
            begun = sorted(one.created_at for one in page.sessions)
            assert all(later - earlier > 0.5 for earlier, later in itertools.pairwise(begun))


@pytest.mark.long
async def test_a_worker_that_is_told_to_stop_lets_runs_come_to_rest(order: Order) -> None:
    async with durable_of(order) as (durable, agent):
        with worker(order) as process:
            agent_id = await durable.start(PROMPT, Report)

            async def is_claimed() -> bool:
                return any(one.is_claimed for one in (await agent.sessions.list()).sessions)

            await until(is_claimed)
            process.send_signal(signal.SIGTERM)
            assert await anyio.to_thread.run_sync(process.wait) == 0
        [session] = (await agent.sessions.list()).sessions
        assert (session.status, session.is_claimed) == ("waiting_for_human", False)
        with worker(order):
            assert (await played(durable, agent_id)).is_complete()


@pytest.mark.long
async def test_a_cancelled_session_is_kept_and_goes_on_when_it_is_resumed(order: Order) -> None:
    with worker(order):
        async with durable_of(order) as (durable, _):
            agent_id = await durable.start(PROMPT, Report)
            response = await durable.result(agent_id, Report, timeout_seconds=20)
            assert await durable.cancel(agent_id)
            assert not await durable.cancel(agent_id)
            with pytest.raises(AgentError, match="was cancelled"):
                await durable.result(agent_id)

            await answer(durable, response)

            assert (await played(durable, agent_id)).is_complete()


async def test_a_credential_is_not_taken_where_it_would_be_kept_in_clear(order: Order) -> None:
    with worker(order):
        async with durable_of(order) as (durable, _):
            agent_id = await durable.start(PROMPT, Report)
            response = await durable.result(agent_id, timeout_seconds=20)
            request = response.human_interaction_requests[0]
            with pytest.raises(ConfigurationError, match="clear text"):
                await durable.send(
                    agent_id,
                    HumanInLoopResponse(
                        interaction_id=request.id,
                        response_type="decision",
                        decision="approve",
                        additional_context="password: correct-horse-battery",
                    ),
                )
            assert (await durable.result(agent_id)).is_waiting_for_human()
    assert "correct-horse" not in "\n".join(texts_of(order.database))


async def test_what_cannot_be_is_said_in_our_errors(order: Order) -> None:
    async with durable_of(order) as (durable, _):
        for call in (durable.resume, durable.result, durable.cancel):
            with pytest.raises(SessionNotFoundError):
                await call("nobody")
        assert (await durable.result(await durable.start(PROMPT, Report), timeout_seconds=0)).state

    async with durable_of(Order(**{**vars(order), "cron": "at noon"})) as (durable, _):
        with pytest.raises(ConfigurationError, match="Invalid cron"):
            await durable.work()

    order.database = "postgresql://someone:hunter2@127.0.0.1:1/nowhere"
    async with durable_of(order) as (durable, _):
        for call in (durable.start(PROMPT, Report), durable.work()):
            with pytest.raises(SessionStoreError) as caught:
                await call
            assert "hunter2" not in str(caught.value)


async def test_one_durable_agent_works_in_a_process_and_works_again_after_it_stopped(
    order: Order,
) -> None:
    other = Order(**{**vars(order), "options": {"name": f"test_{uuid4().hex[:8]}"}})
    async with durable_of(order) as (durable, _), durable_of(other) as (second, _):
        for _ in range(2):
            async with anyio.create_task_group() as group:
                group.start_soon(durable.work)
                agent_id = await durable.start(PROMPT, Report)
                assert (await durable.result(agent_id, timeout_seconds=20)).is_waiting_for_human()
                with pytest.raises(ConfigurationError, match="in use in this process"):
                    await second.work()
                durable.stop()
