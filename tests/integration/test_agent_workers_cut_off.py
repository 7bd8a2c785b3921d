"""A session whose run is cut off, or cannot begin, stays due, at whatever moment that was."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.agent_worker_shop import Receipt, Shop, plan

from mbxai.errors import SessionDataError
from mbxai.sessions import InMemorySessionStore, SessionStore
from mbxai.testing import FakeOpenRouter

MOMENTS = 40


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as fake:
        yield fake


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_run_that_is_cancelled_at_any_moment_leaves_its_session_due(
    server: FakeOpenRouter, tmp_path: Path, kind: str
) -> None:
    server.reset()
    shop = Shop(url=server.base_url, folder=tmp_path, seconds=60)
    store: SessionStore = InMemorySessionStore() if kind == "memory" else shop.open_store()
    lost: list[int] = []
    cut_off = 0
    async with shop.open(store=store) as agent:
        for moment in range(MOMENTS):
            agent_id = await agent.submit("Ship a lamp", Receipt)
            run = asyncio.create_task(agent.resume(agent_id))
            for _ in range(moment):
                await asyncio.sleep(0.0005 if moment > MOMENTS // 2 else 0)
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run
            cut_off += run.cancelled()
            if agent_id not in {session.agent_id for session in await store.due()}:
                lost.append(moment)
            await store.delete(agent_id)
    assert lost == []
    assert cut_off == MOMENTS


async def test_a_session_of_a_newer_mbxai_stays_due_for_a_newer_worker(
    server: FakeOpenRouter, tmp_path: Path
) -> None:
    async with Shop(url=server.base_url, folder=tmp_path).open() as agent:
        await agent.store.create("newer", {"schema_version": 10_000}, due_at=time.time() - 1)
        with pytest.raises(SessionDataError, match="schema version"):
            await agent.resume("newer")
        assert [session.agent_id for session in await agent.store.due()] == ["newer"]
