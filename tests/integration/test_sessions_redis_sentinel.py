"""RedisSessionStore while Sentinel makes a replica the master, in the middle of fifty runs.

What Redis can promise: replication is asynchronous. A master that is killed may have acknowledged
writes that no replica has. The first test checks what holds then: every run ends properly, and a
run whose acknowledged saves are lost is told so by a conflict. The second one checks what
`min_replicas` adds: with two replicas, of which one has to confirm each write, the one that knows
most becomes the master, and nothing that was acknowledged is lost.
"""

import asyncio
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis.asyncio
from redis.asyncio.sentinel import Sentinel
from support.redis_groups import Guarded, own_sentinels

from mbxai.errors import SessionConflictError, SessionStoreError
from mbxai.sessions import RedisSessionStore, SessionRecord

RUNS = 50
SAVES_AFTER = 3


@dataclass
class Run:
    """One session that is saved in a loop.

    Attributes:
        agent_id: Which session.
        sent: The last number that a save was sent with.
        acknowledged: Numbers that were stored, as the store said, since the last setback.
        setbacks: What the run was told, conflicts and errors.
        saves_after: Saves that were acknowledged after the master was killed.
    """

    agent_id: str
    sent: int = 0
    acknowledged: list[int] = field(default_factory=list[int])
    setbacks: list[Exception] = field(default_factory=list[Exception])
    saves_after: int = 0


def store_of(group: Guarded, min_replicas: int = 0) -> RedisSessionStore:
    return RedisSessionStore(
        lambda: Sentinel(group.guards, socket_timeout=0.5).master_for(
            group.name, socket_timeout=1.0
        ),
        wait_seconds=20,
        min_replicas=min_replicas,
    )


async def going_on(store: RedisSessionStore, run: Run, is_killed: asyncio.Event) -> None:
    """Save until enough saves came after the kill; claim again after a setback."""
    record: SessionRecord | None = None
    while run.saves_after < SAVES_AFTER:
        try:
            if record is None:
                record = await store.claim(run.agent_id, owner=run.agent_id, lease_seconds=60)
            run.sent += 1
            after = is_killed.is_set()
            record = await store.save(
                record, {"n": run.sent}, owner=run.agent_id, rows=[{"n": run.sent}]
            )
            run.acknowledged.append(run.sent)
            run.saves_after += after
        except (SessionConflictError, SessionStoreError) as error:
            record = None
            run.setbacks.append(error)
            run.acknowledged.clear()
        await asyncio.sleep(0.01)
    assert record is not None
    await store.release(record, owner=run.agent_id)


async def fail_over(group: Guarded, store: RedisSessionStore) -> list[Run]:
    runs = [Run(f"run-{n}") for n in range(RUNS)]
    is_killed = asyncio.Event()
    tasks = [asyncio.create_task(going_on(store, run, is_killed)) for run in runs]
    while not all(len(run.acknowledged) > SAVES_AFTER for run in runs):
        await asyncio.sleep(0.01)
    group.master.send_signal(signal.SIGKILL)
    is_killed.set()
    await asyncio.gather(*tasks)
    return runs


async def check(store: RedisSessionStore, run: Run) -> None:
    """Whatever was lost, what is there is whole, and all that was not told as lost is there."""
    stored = await store.load(run.agent_id)
    assert stored is not None
    assert stored.data == {"n": run.sent}
    rows = await store.read_log(run.agent_id)
    assert [row.seq for row in rows] == list(range(1, stored.seq + 1))
    numbers = [row.content["n"] for row in rows]
    assert numbers == sorted(set(numbers))  # nothing twice, nothing out of order
    assert stored.version == len(numbers)  # a save and its row: both or none
    assert set(run.acknowledged) <= set(numbers)
    assert numbers[-1] == run.sent
    taken = await store.claim(run.agent_id, owner="next", lease_seconds=60)
    assert taken.version == stored.version  # it was released


@pytest.mark.long
async def test_of_fifty_runs_all_end_properly_and_none_loses_a_save_without_being_told(
    tmp_path: Path,
) -> None:
    with own_sentinels(tmp_path, replicas=1) as group:
        store = store_of(group)
        runs = await fail_over(group, store)
        async with redis.asyncio.Redis(port=group.replicas[0]) as client:
            assert (await client.info("replication"))["role"] == "master"
        for run in runs:
            await check(store, run)
        # Setbacks may come of saves that the replica had not got; nothing else may go wrong.
        assert {type(error) for run in runs for error in run.setbacks} <= {SessionConflictError}
        assert len((await store.list(limit=100)).sessions) == RUNS
        await store.aclose()


@pytest.mark.long
async def test_nothing_that_replicas_have_confirmed_is_lost_with_the_master(
    tmp_path: Path,
) -> None:
    with own_sentinels(tmp_path, replicas=2) as group:
        store = store_of(group, min_replicas=1)
        runs = await fail_over(group, store)
        for run in runs:
            await check(store, run)
        assert [error for run in runs for error in run.setbacks] == []
        assert all(run.acknowledged == list(range(1, run.sent + 1)) for run in runs)
        await store.aclose()
