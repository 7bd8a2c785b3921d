"""Lists, what is due, sweeping and following in a RedisSessionStore: many at once, and stale."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import redis.asyncio

from mbxai.sessions import RedisSessionStore, SessionStore
from mbxai.sessions import _redis_scripts as scripts
from mbxai.sessions._redis_keys import SHARDS, Keyring

MANY = 20_000
PAGE_SECONDS = 0.5  # ten times what it may take: this machine may be busy with other tests


class Clock:
    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}:"


@pytest.fixture
async def raw(redis_url: str, prefix: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        yield client
        left = [key async for key in client.scan_iter(match=f"{prefix}*", count=5000)]
        for start in range(0, len(left), 5000):
            await client.unlink(*left[start : start + 5000])


@pytest.fixture
async def store(
    redis_url: str, prefix: str, raw: redis.asyncio.Redis
) -> AsyncIterator[RedisSessionStore]:
    made = RedisSessionStore(redis_url, prefix=prefix)
    yield made
    await made.aclose()


async def fill(raw: redis.asyncio.Redis, prefix: str, count: int) -> None:
    """Make many sessions in a short time: one in 5 000 is "rare", ten are made at each instant."""
    digest = hashlib.sha1(scripts.CREATE.encode()).hexdigest()
    await raw.script_load(scripts.CREATE)
    for start in range(0, count, 2000):
        async with raw.pipeline(transaction=False) as pipeline:
            for n in range(start, min(start + 2000, count)):
                keys = Keyring(prefix).of(f"agt_{n:06}", "")
                status = "rare" if n % 5000 == 7 else "done"
                given = (str(n // 10), "0", keys.agent_id, keys.member, "token", "{}", status, "")
                pipeline.execute_command("EVALSHA", digest, 6, *keys.names, *given)
            await pipeline.execute()


async def pages(store: SessionStore, **asked: Any) -> tuple[list[str], list[float]]:
    """The ids of all pages, and how many seconds each page took."""
    ids: list[str] = []
    seconds: list[float] = []
    cursor = None
    while True:
        began = time.perf_counter()
        page = await store.list(cursor=cursor, **asked)
        seconds.append(time.perf_counter() - began)
        ids += [session.agent_id for session in page.sessions]
        cursor = page.next_cursor
        if cursor is None:
            return ids, seconds


@pytest.mark.alone
async def test_no_page_of_a_long_list_is_slow_and_none_has_a_session_twice(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str
) -> None:
    await fill(raw, prefix, MANY)
    expected = [f"agt_{n:06}" for n in reversed(range(MANY))]
    ids, seconds = await pages(store, limit=1000)
    assert ids == expected
    ids, rare = await pages(store, status="rare")
    assert ids == [name for name in expected if int(name[4:]) % 5000 == 7]
    first, more = await store.list(), time.perf_counter()
    middle = await store.list(cursor=first.next_cursor)
    assert [s.agent_id for s in first.sessions + middle.sessions] == expected[:200]
    seconds += [time.perf_counter() - more, *rare]
    print(f"{len(seconds)} pages, the slowest {max(seconds) * 1000:.0f} ms")
    assert max(seconds) < PAGE_SECONDS


async def test_a_list_goes_on_where_it_was_though_that_session_is_gone(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str
) -> None:
    await fill(raw, prefix, 100)
    page = await store.list(limit=35)
    for session in page.sessions[-5:]:
        await store.delete(session.agent_id)
    rest = await store.list(cursor=page.next_cursor, limit=100)
    assert [s.agent_id for s in rest.sessions] == [f"agt_{n:06}" for n in reversed(range(65))]
    assert rest.next_cursor is None


async def test_what_redis_dropped_is_not_listed_and_its_places_are_removed(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str
) -> None:
    for n in range(40):
        await store.create(str(n), {}, due_at=0.0)
    keyring = Keyring(prefix)
    for n in range(0, 40, 2):
        await raw.delete(keyring.of(str(n), "").names[0])
    odd = {str(n) for n in range(1, 40, 2)}
    assert {session.agent_id for session in (await store.list()).sessions} == odd
    assert {session.agent_id for session in await store.due()} == odd
    for index in (lambda shard: keyring.listed(shard, ""), keyring.due):
        left = [name for n in range(len(SHARDS)) for name in await raw.zrange(index(n), 0, -1)]
        assert {name.decode().removeprefix("/") for name in left} == odd


async def test_a_place_that_a_save_left_behind_is_mended_by_whoever_asks_what_is_due(
    redis_url: str, raw: redis.asyncio.Redis, prefix: str
) -> None:
    clock = Clock()
    store = RedisSessionStore(redis_url, prefix=prefix, now=clock)
    keys = Keyring(prefix).of("a", "")

    async def place() -> float | None:
        return await raw.zscore(keys.names[4], keys.member)

    record = await store.claim("a", owner="one", lease_seconds=10)
    assert await place() is None  # nobody wants what was never saved
    record = await store.save(record, {"n": 1}, owner="one")
    assert await place() == clock.time + 10
    clock.time += 9
    record = await store.save(record, {"n": 2}, owner="one")
    await store.heartbeat(record, owner="one")
    assert await place() == clock.time + 1
    clock.time += 5
    assert await store.due() == []
    assert await place() == clock.time + 5
    clock.time += 5
    assert [due.agent_id for due in await store.due()] == ["a"]
    await store.release(record, owner="one")
    assert await place() is None
    await store.post_answer("a", "question", {"yes": True})
    assert [due.agent_id for due in await store.due()] == ["a"]
    await store.aclose()


async def test_sweeping_by_a_clock_of_ones_own_removes_old_sessions_whole(
    redis_url: str, raw: redis.asyncio.Redis, prefix: str
) -> None:
    clock = Clock()
    store = RedisSessionStore(redis_url, prefix=prefix, now=clock, ttl_seconds=100)
    for n in range(30):
        await store.create(str(n), {}, rows=[{"n": n}], due_at=0.0)
        await store.post_answer(str(n), "question", {"yes": True})
    held = await store.claim("0", owner="one", lease_seconds=200)
    young = await store.claim("1", owner="one", lease_seconds=10)
    clock.time += 50
    young = await store.save(young, {"n": 1}, owner="one")
    await store.release(young, owner="one")
    assert await store.sweep() == 0
    clock.time += 60
    assert [s.agent_id for s in (await store.list()).sessions] == ["1", "0"]
    assert await store.sweep(limit=20) == 20
    assert await store.sweep(limit=20) == 8
    assert await store.sweep() == 0
    left = {key.decode().partition(":head:")[2] async for key in raw.scan_iter(f"{prefix}*:head:*")}
    assert left == {"/0", "/1"}
    assert sum([1 async for _ in raw.scan_iter(f"{prefix}*:log:*")]) == 2
    assert (await store.save(held, {"n": 2}, owner="one")).version == 2
    await store.aclose()


@pytest.mark.alone
async def test_many_followers_leave_connections_for_everybody_else(
    store: RedisSessionStore,
) -> None:
    records = {
        name: await store.claim(name, owner="one", lease_seconds=60)
        for name in (f"run-{n}" for n in range(60))
    }
    waiting = [
        asyncio.create_task(store.wait(name, after=0, timeout_seconds=8)) for name in records
    ]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in waiting)
    began = time.perf_counter()
    for name, record in records.items():
        await store.save(record, {"n": 1}, owner="one", rows=[{"n": 1}])
        assert len(await store.read_log(name)) == 1
    assert time.perf_counter() - began < 5
    assert await asyncio.gather(*waiting) == [True] * 60


@pytest.mark.alone
async def test_a_follower_hears_of_a_row_at_once_and_of_nothing_else(
    store: RedisSessionStore,
) -> None:
    record = await store.claim("a", owner="one", lease_seconds=60)
    waiting = asyncio.create_task(store.wait("a", after=0, timeout_seconds=30))
    for n in range(5):
        await asyncio.sleep(0.02)
        record = await store.save(record, {"n": n}, owner="one")
    assert not waiting.done()
    began = time.perf_counter()
    await store.save(record, owner="one", rows=[{"n": 1}])
    assert await waiting is True
    assert time.perf_counter() - began < 1
    assert await store.wait("a", after=1, timeout_seconds=0) is False
    assert await store.wait("nobody", after=0, timeout_seconds=0.05) is False


@pytest.mark.alone
async def test_followers_and_writers_that_are_cancelled_leave_a_store_that_works(
    store: RedisSessionStore,
) -> None:
    record = await store.claim("a", owner="one", lease_seconds=60)
    for n in range(100):
        calls = (
            store.wait("a", after=0, timeout_seconds=30),
            store.save(record, {"n": n}, owner="one"),
            store.read_log("a"),
            store.list(),
        )
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(n * 0.0001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        record = await store.claim("a", owner="one", lease_seconds=60)
    began = time.perf_counter()
    loads = await asyncio.gather(*(store.load("a") for _ in range(100)))
    assert all(loaded == record for loaded in loads)
    assert time.perf_counter() - began < 5
    assert await store.wait("a", after=0, timeout_seconds=0.05) is False


async def test_a_follower_of_a_client_with_one_connection_asks_now_and_then(
    redis_url: str, prefix: str, raw: redis.asyncio.Redis
) -> None:
    store = RedisSessionStore(
        lambda: redis.asyncio.Redis.from_url(redis_url, max_connections=1), prefix=prefix
    )
    record = await store.claim("a", owner="one", lease_seconds=60)
    waiting = asyncio.create_task(store.wait("a", after=0, timeout_seconds=8))
    await asyncio.sleep(0.1)
    await store.save(record, {"n": 1}, owner="one", rows=[{"n": 1}])
    assert await waiting is True
    await store.aclose()


async def test_a_long_log_comes_whole_though_its_beginning_is_dropped_meanwhile(
    store: RedisSessionStore,
) -> None:
    record = await store.create("a", {}, rows=[{"n": n} for n in range(1, 3001)])
    record = await store.claim("a", owner="one", lease_seconds=60)
    reading = asyncio.create_task(store.read_log("a", limit=5000))
    record = await store.save(record, owner="one", drop_rows=700)
    rows = await reading
    assert rows[-1].seq == 3000
    assert [row.seq for row in rows] == list(range(rows[0].seq, 3001))
    assert rows[0].seq in {1, 701}
    assert all(row.content == {"n": row.seq} for row in rows)
    assert [row.seq for row in await store.read_log("a", limit=3)] == [701, 702, 703]
    assert [row.seq for row in await store.read_log("a", after=2998)] == [2999, 3000]
    record = await store.save(record, owner="one", drop_rows=10**9, rows=[{"n": 3001}])
    assert record.seq == 3001
    assert await store.read_log("a") == []
    record = await store.save(record, owner="one", rows=[{"n": 3002}])
    assert [row.seq for row in await store.read_log("a")] == [3002]
