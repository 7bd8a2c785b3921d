"""Workers of a durable agent are killed; others go on, and no effect happens twice."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from support.agent_safety_run import OVERRIDES, PROMPT, Effects, Report, check, script
from support.durable_program import Order, durable_of
from support.durable_stage import (
    cut_connections,
    database_of,
    listeners,
    played,
    until,
    worker,
)

from mbxai.errors import SessionStoreError
from mbxai.testing import FakeOpenRouter


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[str]:
    with database_of(postgres_url) as url:
        yield url


@pytest.fixture
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=OVERRIDES) as fake:
        script(fake, copies=5)
        yield fake


def order_of(fake: FakeOpenRouter, database: str, folder: Path, **given: str) -> Order:
    options = {"name": f"test_{uuid4().hex[:8]}"}
    return Order(url=fake.base_url, database=database, folder=str(folder), options=options, **given)


@pytest.mark.parametrize(
    ("moment", "who"),
    [
        ("charge effect", "that came later"),
        pytest.param("charge effect", "that ran already", marks=pytest.mark.long),
        pytest.param("charge begun", "that ran already", marks=pytest.mark.long),
        pytest.param("charge begun", "that came later", marks=pytest.mark.long),
        pytest.param("charge ended", "that ran already", marks=pytest.mark.long),
        pytest.param("charge ended", "that came later", marks=pytest.mark.long),
    ],
)
async def test_a_session_whose_worker_is_killed_in_a_tool_goes_on_in_another_one(
    fake: FakeOpenRouter, database: str, tmp_path: Path, moment: str, who: str
) -> None:
    doomed = order_of(fake, database, tmp_path, kill_at=moment)
    sound = Order(**{**vars(doomed), "kill_at": ""})
    effects = Effects(tmp_path / "effects")
    async with durable_of(sound) as (durable, agent):
        with worker(doomed) as process:
            await durable.start(PROMPT, Report, agent_id="s")
            await until((tmp_path / "reached").exists)
            if who == "that came later":
                (tmp_path / "go").touch()
                assert await anyio.to_thread.run_sync(process.wait) == -9
            with worker(sound):
                if who == "that ran already":
                    await until(lambda: listeners(database) >= 2)
                    (tmp_path / "go").touch()
                    assert await anyio.to_thread.run_sync(process.wait) == -9
                response = await durable.result("s", timeout_seconds=10)
                asked = [request.options for request in response.human_interaction_requests]
                assert any("skip" in options for options in asked)  # charge is in doubt
                response = await played(durable, "s")
        assert response.is_complete()
        assert len(effects.noted("charge", "begun")) == (moment != "charge begun")
        assert len(effects.noted("charge", "effect")) == (moment == "charge ended")
        assert len(effects.noted("ship", "effect")) == 1
        assert (await agent.get_session_info("s"))["state"] == "completed"


@pytest.mark.long
async def test_a_session_that_waits_for_people_is_taken_over_and_answered(
    fake: FakeOpenRouter, database: str, tmp_path: Path
) -> None:
    order = order_of(fake, database, tmp_path)
    async with durable_of(order) as (durable, _):
        with worker(order) as process:
            agent_id = await durable.start(PROMPT, Report)
            assert (await durable.result(agent_id, timeout_seconds=10)).is_waiting_for_human()
            with worker(order):
                await until(lambda: listeners(database) >= 2)
                process.kill()
                response = await played(durable, agent_id)
    assert response.is_complete()
    await check(Effects(tmp_path / "effects"), fake, everything=True)


async def test_a_session_that_was_stored_and_not_enqueued_is_enqueued_by_the_next_start(
    fake: FakeOpenRouter, database: str, tmp_path: Path
) -> None:
    order = order_of(fake, database, tmp_path)
    async with durable_of(order) as (durable, agent):
        await agent.submit(PROMPT, Report, agent_id="s")  # and here the caller died
        with worker(order):
            assert await durable.start(PROMPT, Report, agent_id="s") == "s"
            response = await played(durable, "s")
    assert response.is_complete()
    await check(Effects(tmp_path / "effects"), fake, everything=True)


@pytest.mark.long
async def test_work_that_is_cancelled_gives_its_sessions_back_and_can_begin_again(
    fake: FakeOpenRouter, database: str, tmp_path: Path
) -> None:
    order = order_of(fake, database, tmp_path)
    with FakeOpenRouter(auto_overrides=OVERRIDES, latency=1.0) as slow:
        order.url = slow.base_url
        async with durable_of(order) as (durable, agent), anyio.create_task_group() as group:

            async def is_claimed() -> bool:
                return any(one.is_claimed for one in (await agent.sessions.list()).sessions)

            group.start_soon(durable.work)
            agent_id = await durable.start(PROMPT, Report)
            await until(is_claimed)
            group.cancel_scope.cancel()
    order.url = fake.base_url
    async with durable_of(order) as (durable, agent):
        assert not any(one.is_claimed for one in (await agent.sessions.list()).sessions)
        with worker(order):
            assert (await played(durable, agent_id)).is_complete()


@pytest.mark.long
async def test_workers_outlive_the_loss_of_every_connection(
    fake: FakeOpenRouter, database: str, tmp_path: Path
) -> None:
    order = order_of(fake, database, tmp_path)
    with worker(order), worker(order):
        async with durable_of(order) as (durable, _):
            ids = [await durable.start(PROMPT, Report) for _ in range(3)]
            cut_connections(database)
            with anyio.fail_after(25):
                for agent_id in ids:
                    while True:
                        try:
                            response = await durable.result(agent_id)
                            break
                        except SessionStoreError:  # of this process: it is told
                            await anyio.sleep(0.1)
                    assert response.is_waiting_for_human()
            cut_connections(database)
            # An answer that comes while nobody listens is found within a minute only.
            await until(lambda: listeners(database) >= 2)
            for agent_id in ids:
                assert (await played(durable, agent_id)).is_complete()
    assert len(Effects(tmp_path / "effects").noted("ship", "effect")) == 3
