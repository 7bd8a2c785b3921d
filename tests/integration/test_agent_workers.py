"""A worker in this process: what it takes, how many at once, and what it goes on after."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from support import services
from support.agent_worker_shop import Receipt, Shop, all_completed, plan, until

from mbxai import AgentClient, OpenRouterClient
from mbxai.agent import AgentWorker, AsyncAgentWorker
from mbxai.errors import ConfigurationError
from mbxai.sessions import InMemorySessionStore, RedisSessionStore, SQLiteSessionStore
from mbxai.testing import FakeOpenRouter


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as fake:
        yield fake


@pytest.fixture
def shop(server: FakeOpenRouter, tmp_path: Path) -> Shop:
    server.reset()
    return Shop(url=server.base_url, folder=tmp_path)


async def test_a_worker_runs_what_was_submitted_and_leaves_when_nothing_is_due(shop: Shop) -> None:
    async with shop.open() as agent:
        ids = [await agent.submit(f"Ship lamp {n}", Receipt) for n in range(3)]
        assert shop.notes("begun") == []  # nothing runs where it was submitted

        await AsyncAgentWorker(agent).run(until_idle=True)

        for agent_id in ids:
            assert (await agent.get_response(agent_id, Receipt)).is_complete()
        assert sorted(note.agent_id for note in shop.notes("ended")) == sorted(ids)
        assert await agent.store.due() == []


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_at_most_so_many_sessions_run_at_once_and_all_places_are_used(
    shop: Shop, concurrency: int
) -> None:
    slow = Shop(url=shop.url, folder=shop.folder, seconds=0.15)
    async with slow.open(store=InMemorySessionStore()) as agent:
        for n in range(7):
            await agent.submit(f"Ship lamp {n}", Receipt)

        await AsyncAgentWorker(agent, concurrency=concurrency).run(until_idle=True)

    moments = [(note.at, 1) for note in slow.notes("begun")]
    moments += [(note.at, -1) for note in slow.notes("ended")]
    running = [sum(step for _, step in sorted(moments)[:n]) for n in range(1, len(moments) + 1)]
    assert len(moments) == 14
    assert max(running) <= concurrency
    # Runs of one worker begin together; that their tools never meet would be a great chance.
    assert concurrency == 1 or max(running) > 1


async def test_a_worker_finds_what_comes_later_and_stops_from_any_thread(shop: Shop) -> None:
    async with shop.open() as agent, anyio.create_task_group() as group:
        worker = AsyncAgentWorker(agent, poll_seconds=0.05)
        group.start_soon(worker.run)
        await anyio.sleep(0.3)
        await agent.submit("Ship a lamp", Receipt)
        await all_completed(agent, 1, seconds=5)

        threading.Thread(target=worker.stop).start()
    # The group has ended, so the worker has.
    assert len(shop.notes("ended")) == 1


async def test_a_worker_of_a_scope_leaves_the_sessions_of_others(shop: Shop) -> None:
    async with shop.open() as agent:
        ours, theirs = agent.for_scope("ours"), agent.for_scope("theirs")
        our_id, their_id = await ours.submit("Ship", Receipt), await theirs.submit("Ship", Receipt)

        await AsyncAgentWorker(agent, scope="ours").run(until_idle=True)
        assert (await ours.get_response(our_id)).is_complete()
        assert not (await theirs.get_response(their_id)).is_complete()

        await AsyncAgentWorker(agent).run(until_idle=True)
        assert (await theirs.get_response(their_id)).is_complete()


async def test_stopped_runs_have_their_grace_and_are_then_due_again_for_another_worker(
    shop: Shop,
) -> None:
    slow = Shop(url=shop.url, folder=shop.folder, seconds=60)
    async with slow.open() as agent:
        agent_id = await agent.submit("Ship a lamp", Receipt)
        worker = AsyncAgentWorker(agent, grace_seconds=0.5)
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await until(lambda: slow.notes("begun"))
            worker.stop()
            began = time.monotonic()
        assert 0.4 < time.monotonic() - began < 5
        assert [session.agent_id for session in await agent.store.due()] == [agent_id]

    async with shop.open() as agent:
        await AsyncAgentWorker(agent).run(until_idle=True)
        assert (await agent.get_response(agent_id)).is_complete()
    assert len({note.key for note in shop.notes("begun")}) == 1


async def test_a_run_that_rests_within_the_grace_is_seen_through(shop: Shop) -> None:
    slow = Shop(url=shop.url, folder=shop.folder, seconds=0.5)
    async with slow.open() as agent:
        agent_id = await agent.submit("Ship a lamp", Receipt)
        worker = AsyncAgentWorker(agent)
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await until(lambda: slow.notes("begun"))
            worker.stop()
            await agent.submit("Too late", Receipt)
        assert (await agent.get_response(agent_id)).is_complete()
        assert len(await agent.store.due()) == 1


async def test_a_cancelled_worker_cancels_its_runs_at_once(shop: Shop) -> None:
    slow = Shop(url=shop.url, folder=shop.folder, seconds=60)
    async with slow.open() as agent:
        agent_id = await agent.submit("Ship a lamp", Receipt)
        async with anyio.create_task_group() as group:
            group.start_soon(AsyncAgentWorker(agent).run)
            await until(lambda: slow.notes("begun"))
            began = time.monotonic()
            group.cancel_scope.cancel()
        assert time.monotonic() - began < 5
        assert [session.agent_id for session in await agent.store.due()] == [agent_id]


async def test_a_broken_session_is_told_of_not_hammered_and_hides_no_other(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, str]] = []

    async def on_error(error: Exception, agent_id: str) -> None:
        told.append((type(error).__name__, agent_id))
        raise RuntimeError("of the application")

    async with shop.open() as agent, anyio.create_task_group() as group:
        for n in range(10):
            data = {"schema_version": 10_000, "note": "hush"}
            await agent.store.create(f"bad-{n}", data, due_at=time.time() - 100)
            await agent.store.post_answer(f"bad-{n}", "asked", {})  # which keeps it due
        worker = AsyncAgentWorker(agent, concurrency=1, poll_seconds=0.1, on_error=on_error)
        with caplog.at_level(logging.INFO, "mbxai"):
            group.start_soon(worker.run)
            await agent.submit("Ship a lamp", Receipt)
            await all_completed(agent, 1, seconds=5)
            await anyio.sleep(0.4)
        worker.stop()
    assert {kind for kind, _ in told} == {"SessionDataError"}
    for n in range(10):
        assert 1 <= sum(agent_id == f"bad-{n}" for _, agent_id in told) <= 6
    assert "hush" not in caplog.text


async def test_a_session_that_somebody_runs_is_left_to_them(shop: Shop) -> None:
    slow = Shop(url=shop.url, folder=shop.folder, seconds=0.6)
    told: list[Exception] = []
    async with slow.open() as agent, slow.open() as other:
        await agent.submit("Ship a lamp", Receipt)
        async with anyio.create_task_group() as group:
            for one in (agent, other):
                worker = AsyncAgentWorker(
                    one, poll_seconds=0.05, on_error=lambda error, _: told.append(error)
                )
                group.start_soon(lambda worker=worker: worker.run(until_idle=True))
    assert len(slow.notes("begun")) == 1
    assert told == []


async def test_a_store_that_is_away_is_waited_for(shop: Shop, tmp_path: Path) -> None:
    port, folder = services.free_port(), tmp_path / "redis"
    folder.mkdir()
    told: list[tuple[str, str]] = []

    def on_error(error: Exception, agent_id: str) -> None:
        told.append((type(error).__name__, agent_id))

    store = RedisSessionStore(f"redis://127.0.0.1:{port}/0", wait_seconds=0.1)
    async with shop.open(store=store) as agent, anyio.create_task_group() as group:
        worker = AsyncAgentWorker(agent, poll_seconds=0.1, on_error=on_error)
        with services.own_redis(port, str(folder)):
            group.start_soon(worker.run)
            await agent.submit("Ship a lamp", Receipt)
            await all_completed(agent, 1, seconds=5)
        await anyio.sleep(2)
        with services.own_redis(port, str(folder)):
            await agent.submit("Ship another lamp", Receipt)
            await all_completed(agent, 2, seconds=5)
            worker.stop()
    assert told == [("SessionStoreError", "")]
    assert len(shop.notes("ended")) == 2


async def test_old_sessions_are_swept_while_a_worker_works(shop: Shop) -> None:
    clock = [time.time()]
    store = SQLiteSessionStore(shop.place, ttl_seconds=60, now=lambda: clock[0])
    async with shop.open(store=store) as agent, anyio.create_task_group() as group:
        await store.create("old", {"a": 1})
        clock[0] += 61
        worker = AsyncAgentWorker(agent, poll_seconds=0.05, sweep_seconds=0.1)
        group.start_soon(worker.run)
        young = SQLiteSessionStore(shop.place)
        with anyio.fail_after(5):
            while await young.load("old") is not None:
                await anyio.sleep(0.02)
        worker.stop()
        await young.aclose()
    assert await store.load("old") is None
    await store.aclose()


async def test_a_worker_runs_once_at_a_time_and_not_after_its_stop(shop: Shop) -> None:
    async with shop.open() as agent, anyio.create_task_group() as group:
        worker = AsyncAgentWorker(agent)
        group.start_soon(worker.run)
        await anyio.sleep(0.05)
        with pytest.raises(ConfigurationError, match="runs already"):
            await worker.run()
        worker.stop()
    await agent.submit("Too late", Receipt)
    with anyio.fail_after(5):
        await worker.run()
    assert shop.notes("begun") == []
    await agent.aclose()


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"poll_seconds": 0},
        {"poll_seconds": float("nan")},
        {"sweep_seconds": float("inf")},
        {"grace_seconds": -1},
        {"scope": "a\nb"},
        {"on_error": "tell me"},
        {"agent": object()},
    ],
)
async def test_an_impossible_option_is_refused(shop: Shop, options: dict[str, object]) -> None:
    async with shop.open(store=InMemorySessionStore()) as agent:
        given: dict[str, object] = {"agent": agent, **options}
        with pytest.raises(
            ConfigurationError, match=next(iter(options)).replace("scope", "(?i)scope")
        ):
            AsyncAgentWorker(**given)  # type: ignore[arg-type]


def test_the_blocking_worker_runs_a_blocking_agent(shop: Shop) -> None:
    with (
        OpenRouterClient("sk-or-v1-fake", "fake/model", shop.url) as client,
        AgentClient(client, session_handler=SQLiteSessionStore(shop.place)) as agent,
    ):
        agent_id = agent.submit("Say hello", Receipt)
        AgentWorker(agent).run(until_idle=True)
        assert agent.get_response(agent_id).is_complete()

        worker = AgentWorker(agent, poll_seconds=0.05)
        thread = threading.Thread(target=worker.run)
        thread.start()
        worker.stop()
        thread.join(5)
        assert not thread.is_alive()


async def test_a_worker_that_is_woken_looks_at_once_and_tells_what_happens(shop: Shop) -> None:
    seen: list[tuple[str, str]] = []
    async with shop.open(store=InMemorySessionStore()) as agent, anyio.create_task_group() as group:
        worker = AsyncAgentWorker(
            agent,
            poll_seconds=60,
            watcher=lambda session, event: seen.append((session.scope, event.type)),
        )
        group.start_soon(worker.run)
        await anyio.sleep(0.2)  # it looks once, and would look again in a minute
        acme = agent.for_scope("acme")
        agent_id = await acme.submit("Ship a lamp", Receipt)
        began = time.monotonic()
        worker.wake()
        await all_completed(acme, 1)
        assert time.monotonic() - began < 20
        logged = [event.type async for event in acme.sessions.events(agent_id)]
        await until(lambda: len(seen) >= len(logged))
        told = [kind for scope, kind in seen if scope == "acme"]
        assert len(told) == len(seen)
        submitted = logged.index("state_changed") + 1  # stored by submit, before the worker came
        assert [kind for kind in told if kind != "response_delta"] == logged[submitted:]
        assert "response_delta" in told
        worker.stop()
