"""`submit(request_key=...)`: the same request twice is one turn, however the two meet."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from support.agent_worker_shop import Receipt, Shop, plan, until

from mbxai.agent import AsyncAgentWorker
from mbxai.errors import ConfigurationError, SessionBusyError
from mbxai.sessions import id_of_request
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


async def turns(agent: object, agent_id: str) -> int:
    return (await agent.sessions.info(agent_id))["turn"]


async def test_a_request_that_comes_twice_begins_one_session(shop: Shop) -> None:
    async with shop.open() as agent:
        first = await agent.submit(ORDER, Receipt, request_key="k-1")
        assert await agent.submit(ORDER, Receipt, request_key="k-1") == first
        await AsyncAgentWorker(agent).run(until_idle=True)
        assert await agent.submit(ORDER, Receipt, request_key="k-1") == first  # it is over by now
        await AsyncAgentWorker(agent).run(until_idle=True)

        assert len(shop.notes("begun")) == await turns(agent, first) == 1
        assert await agent.submit(ORDER, Receipt, request_key="k-2") != first
        assert await agent.store.due() != []


async def test_so_does_one_that_comes_while_a_worker_is_at_it(shop: Shop) -> None:
    async with shop.open() as agent, anyio.create_task_group() as group:
        first = await agent.submit(ORDER, Receipt, request_key="k")
        worker = AsyncAgentWorker(agent, poll_seconds=0.05)
        group.start_soon(worker.run)
        await until(lambda: shop.notes("begun"))
        assert await agent.submit(ORDER, Receipt, request_key="k") == first
        with pytest.raises(SessionBusyError):  # another one, of the same session
            await agent.submit(ORDER, Receipt, request_key="other", agent_id=first)
        await until(lambda: shop.notes("ended"))
        worker.stop()


async def test_twenty_at_the_same_moment_are_one(shop: Shop) -> None:
    async with shop.open() as agent:
        ids: set[str] = set()

        async def submit() -> None:
            ids.add(await agent.submit(ORDER, Receipt, request_key="k"))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(submit)
        assert len(ids) == 1
        await AsyncAgentWorker(agent).run(until_idle=True)
        assert len(shop.notes("begun")) == 1


async def test_a_further_turn_is_begun_once_as_well(shop: Shop) -> None:
    async with shop.open() as agent:
        agent_id = await agent.submit(ORDER, Receipt, request_key="first")
        await AsyncAgentWorker(agent).run(until_idle=True)
        for _ in range(3):
            await agent.submit("Another", Receipt, agent_id=agent_id, request_key="second")
            await AsyncAgentWorker(agent).run(until_idle=True)
        assert await turns(agent, agent_id) == 2
        await agent.submit("Another", Receipt, agent_id=agent_id)
        assert await turns(agent, agent_id) == 3


async def test_a_key_means_another_session_in_another_scope(shop: Shop) -> None:
    async with shop.open() as agent:
        acme, other = agent.for_scope("acme"), agent.for_scope("other")
        first = await acme.submit(ORDER, Receipt, request_key="k")
        assert await other.submit(ORDER, Receipt, request_key="k") != first
        assert first == id_of_request("k", "acme")


@pytest.mark.parametrize("key", ["", "a\n", "x" * 257, 5])
async def test_what_is_no_key_is_refused(shop: Shop, key: object) -> None:
    async with shop.open() as agent:
        with pytest.raises(ConfigurationError, match="request_key"):
            await agent.submit(ORDER, Receipt, request_key=key)
        with pytest.raises(TypeError, match="request_key"):
            await agent.agent(ORDER, Receipt, request_key="k")
