"""`RunManager` without a web framework: runs that outlive who began them, and who follows them."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from support.agent_worker_shop import Receipt, Shop, all_completed, plan, until

from mbxai import (
    AgentState,
    ConfigurationError,
    SessionBusyError,
    SessionNotFoundError,
    SessionStoreError,
    TooManyRunsError,
)
from mbxai.agent import AsyncAgentWorker
from mbxai.serving import (
    RunManager,
    encode_comment,
    encode_end,
    encode_event,
    is_counted,
    last_event_number,
    problem_of,
)
from mbxai.sessions import InMemorySessionStore, RedisSessionStore
from mbxai.testing import FakeOpenRouter

ORDER = "Ship the lamp"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as fake:
        yield fake


@pytest.fixture
def shop(server: FakeOpenRouter, tmp_path: Path) -> Shop:
    server.reset()
    return Shop(url=server.base_url, folder=tmp_path, seconds=0.3)


async def over(runs: RunManager, agent_id: str, scope: str = "") -> AgentState:
    with anyio.fail_after(20):
        while (view := await runs.view(agent_id, scope=scope)).is_running:
            await anyio.sleep(0.02)
    return view.response.state


async def test_a_run_is_begun_followed_and_over(shop: Shop) -> None:
    async with shop.open() as agent, RunManager(agent) as runs:
        agent_id = await runs.start(ORDER, Receipt, scope="ann")
        async with await runs.follow(agent_id, scope="ann") as events:
            seen = [event async for event in events]
        assert [e.seq for e in seen if is_counted(e)] == list(range(1, seen[-1].seq + 1))
        assert any(event.type == "response_delta" for event in seen)
        view = await runs.view(agent_id, Receipt, scope="ann")
        assert isinstance(view.response.final_response, Receipt)
        assert not view.is_running
        with pytest.raises(SessionNotFoundError):
            await runs.view(agent_id, scope="ben")
        with pytest.raises(SessionNotFoundError):
            await runs.follow(agent_id, scope="ben")


async def test_at_the_end_a_run_has_its_grace_and_then_is_another_workers(shop: Shop) -> None:
    slow = Shop(url=shop.url, folder=shop.folder, seconds=30)
    async with slow.open() as agent:
        async with RunManager(agent, grace_seconds=0.2) as runs:
            agent_id = await runs.start(ORDER, Receipt)
            follower = await runs.follow(agent_id)
            await until(lambda: slow.notes("begun"))
        assert [event async for event in follower]  # what came; then it ends
        assert [due.agent_id for due in await agent.store.due()] == [agent_id]
    async with shop.open() as agent:
        await AsyncAgentWorker(agent).run(until_idle=True)
        assert (await agent.sessions.get(agent_id)).is_complete()


async def test_who_follows_elsewhere_sees_the_same_events(shop: Shop, redis_url: str) -> None:
    def store() -> RedisSessionStore:
        return RedisSessionStore(redis_url, prefix=f"serving-{shop.folder.name}-{id(shop)}:")

    async with (
        shop.open(store=store()) as one,
        shop.open(store=store()) as two,
        RunManager(one) as working,
        RunManager(two, works=False) as watching,
    ):
        agent_id = await watching.start(ORDER, Receipt)
        seen: dict[str, list[int]] = {}

        async def follow(name: str, runs: RunManager) -> None:
            async with await runs.follow(agent_id) as events:
                seen[name] = [event.seq async for event in events if is_counted(event)]

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(follow, "here", working)
                for n in range(20):
                    group.start_soon(follow, f"there {n}", watching)
        assert all(numbers == seen["here"] for numbers in seen.values())
        assert seen["here"] == list(range(1, len(seen["here"]) + 1))


async def test_a_follower_that_is_dropped_or_closed_leaves_nothing(shop: Shop) -> None:
    async with shop.open() as agent, RunManager(agent, works=False) as runs:
        agent_id = await runs.start(ORDER, Receipt)
        before = len(asyncio.all_tasks())
        for _ in range(10):
            await runs.follow(agent_id)
        closed = await runs.follow(agent_id)
        await closed.aclose()
        await closed.aclose()
        assert [event async for event in closed] == []
        gc.collect()
        with anyio.fail_after(5):
            while len(asyncio.all_tasks()) > before:
                await anyio.sleep(0.02)


async def test_a_deleted_session_ends_who_follows_it(shop: Shop) -> None:
    async with shop.open(store=InMemorySessionStore()) as agent, RunManager(agent) as runs:
        agent_id = await runs.start(ORDER, Receipt)
        await over(runs, agent_id)
        follower = await runs.follow(agent_id)
        await agent.sessions.delete(agent_id)
        with anyio.fail_after(5):
            assert len([event async for event in follower]) >= 0
        with pytest.raises(SessionNotFoundError):
            await runs.follow(agent_id)


class _Breaking(InMemorySessionStore):
    is_broken = False

    async def read_log(self, *args: object, **kwargs: object) -> list:
        if self.is_broken:
            raise SessionStoreError("away")
        return await super().read_log(*args, **kwargs)


async def test_a_store_that_fails_ends_one_follower_and_not_the_service(shop: Shop) -> None:
    store = _Breaking()
    async with shop.open(store=store) as agent, RunManager(agent, works=False) as runs:
        agent_id = await runs.start(ORDER, Receipt)
        follower = await runs.follow(agent_id)
        store.is_broken = True
        with pytest.raises(SessionStoreError), anyio.fail_after(5):
            [event async for event in follower]
        store.is_broken = False
        assert (await runs.view(agent_id)).is_running


async def test_bounds_and_turns_that_are_not_over(shop: Shop) -> None:
    async with shop.open() as agent, RunManager(agent, works=False, max_waiting=2) as runs:
        first = await runs.start(ORDER, Receipt)
        with pytest.raises(SessionBusyError, match="not over"):
            await runs.start("Another", Receipt, agent_id=first)
        with pytest.raises(SessionNotFoundError):
            await runs.start("Another", Receipt, agent_id="nobody")
        await runs.start(ORDER, Receipt)
        with pytest.raises(TooManyRunsError) as caught:
            await runs.start(ORDER, Receipt)
        assert problem_of(caught.value).retry_after == 5
        assert await runs.cancel(first)
        assert await over(runs, first) is AgentState.FAILED


async def test_twenty_runs_at_once_in_two_scopes(shop: Shop) -> None:
    async with shop.open(store=InMemorySessionStore()) as agent, RunManager(agent) as runs:
        for n in range(20):
            await runs.start(ORDER, Receipt, scope=f"s{n % 2}")
        for scope in ("s0", "s1"):
            await all_completed(agent.for_scope(scope), 10)


async def test_a_manager_is_entered_once_and_needs_an_agent(shop: Shop) -> None:
    async with shop.open() as agent:
        with pytest.raises(ConfigurationError, match="max_waiting"):
            RunManager(agent, max_waiting=0)
        with pytest.raises(ConfigurationError, match="agent"):
            RunManager("agent")
        runs = RunManager(agent)
        with pytest.raises(ConfigurationError, match="async with"):
            await runs.follow(await runs.start(ORDER, Receipt))
        async with runs:
            with pytest.raises(ConfigurationError, match="already"):
                await runs.__aenter__()


async def test_events_on_the_wire(shop: Shop) -> None:
    async with shop.open() as agent, RunManager(agent) as runs:
        agent_id = await runs.start(ORDER, Receipt)
        await over(runs, agent_id)
        events = [event async for event in agent.sessions.events(agent_id)]
    text = encode_event(events[0]).decode()
    assert text.startswith("id: 1\nevent: state_changed\ndata: {")
    assert text.endswith("}\n\n")
    assert encode_comment("x\ny").count(b"\n") == 2
    assert encode_end("done").endswith(b"\n\n")
    assert [last_event_number(h) for h in ("7", None, "", "-1", "٣", "9" * 40, "x")] == [
        7,
        0,
        0,
        0,
        0,
        0,
        0,
    ]


class _Incomplete(InMemorySessionStore):
    async def due(self, **kwargs: object) -> list:
        raise ConfigurationError("no index")


async def test_what_the_block_or_the_worker_raises_arrives_as_itself(shop: Shop) -> None:
    async with shop.open(store=InMemorySessionStore()) as agent:
        with pytest.raises(LookupError, match="mine"):
            async with RunManager(agent):
                raise LookupError("mine")
    async with shop.open(store=_Incomplete()) as agent:
        with pytest.raises(ConfigurationError, match="no index"):
            async with RunManager(agent):
                await anyio.sleep(10)
