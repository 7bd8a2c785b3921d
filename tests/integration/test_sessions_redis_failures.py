"""RedisSessionStore where Redis is away, full, locked, or too slow."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
import redis.asyncio
from redis.asyncio.sentinel import Sentinel
from support.losing_proxy import LosingProxy
from support.services import answers, free_port, own_redis, program

from mbxai.errors import (
    SessionConflictError,
    SessionStoreError,
)
from mbxai.sessions import RedisSessionStore

T = TypeVar("T")


async def test_writes_wait_for_a_server_that_was_killed_and_lose_nothing(tmp_path: Path) -> None:
    port = free_port()
    store = RedisSessionStore(f"redis://127.0.0.1:{port}/0", wait_seconds=20)
    with own_redis(port, str(tmp_path)) as server:
        record = await store.claim("a", owner="one", lease_seconds=60)
        record = await store.save(record, {"n": 1}, owner="one")
        server.send_signal(signal.SIGKILL)
        server.wait()
        saving = asyncio.create_task(store.save(record, {"n": 2}, owner="one"))
        await asyncio.sleep(0.2)
        assert not saving.done()
    with own_redis(port, str(tmp_path)):
        record = await saving
        assert record.version == 2
        assert (await store.load("a")) == record
        await store.release(record, owner="one")
    await store.aclose()


async def test_whatever_loses_its_answer_is_done_once_and_answered_as_if_nothing_had_been(
    tmp_path: Path,
) -> None:
    port = free_port()
    with own_redis(port, str(tmp_path)), LosingProxy(port) as proxy:

        def client() -> redis.asyncio.Redis:
            # The store's patience alone is tested, not that of redis-py.
            return redis.asyncio.Redis(port=proxy.port, retry=None)

        store = RedisSessionStore(client, wait_seconds=5)

        async def losing(call: Awaitable[T]) -> T:
            proxy.lose.set()
            answer = await call
            assert not proxy.lose.is_set()
            return answer

        await the_whole_protocol(store, "warming up", just)  # every script is known now
        await the_whole_protocol(store, "a", losing)
        await store.aclose()


async def just(call: Awaitable[T]) -> T:
    return await call


async def the_whole_protocol(
    store: RedisSessionStore, agent_id: str, do: Callable[[Awaitable[Any]], Awaitable[Any]]
) -> None:
    made = await do(store.create(agent_id, {"n": 0}, rows=[{"row": 1}], status="new"))
    assert (made.version, made.fence, made.seq) == (1, 0, 1)
    assert await store.load(agent_id) == made
    record = await do(store.claim(agent_id, owner="one", lease_seconds=60))
    assert (record.version, record.fence) == (1, 1)
    first = await do(store.post_answer(agent_id, "question", {"yes": True}))
    assert (first.number, first.content) == (1, {"yes": True})
    record = await do(
        store.save(record, {"n": 1}, owner="one", rows=[{"row": 2}], answers_read=1, drop_rows=1)
    )
    assert (record.version, record.seq, record.answers_read) == (2, 2, 1)
    assert await store.load(agent_id) == record
    await do(store.heartbeat(record, owner="one"))
    assert [row.seq for row in await do(store.read_log(agent_id))] == [2]
    assert [answer.content for answer in await do(store.read_answers(agent_id))] == [None]
    again = await do(store.claim(agent_id, owner="one", lease_seconds=60))
    assert again == record
    await do(store.release(record, owner="one", due_at=0.0))
    assert [due.agent_id for due in await do(store.due())] == [agent_id]
    assert len((await do(store.list())).sessions) == 1
    taken = await do(store.claim(agent_id, owner="two", lease_seconds=60))
    assert (taken.version, taken.fence) == (2, 2)
    await do(store.wait(agent_id, after=2, timeout_seconds=0.05))
    assert await store.delete(agent_id) is True


async def test_a_save_that_was_done_is_told_even_if_another_worker_came_in_between(
    tmp_path: Path,
) -> None:
    port = free_port()
    with own_redis(port, str(tmp_path)), LosingProxy(port) as proxy:
        mine = RedisSessionStore(lambda: redis.asyncio.Redis(port=proxy.port, retry=None))
        other = RedisSessionStore(f"redis://127.0.0.1:{port}/0")
        record = await mine.claim("a", owner="one", lease_seconds=0.01)
        record = await mine.save(record, {"n": 1}, owner="one")
        made = asyncio.create_task(other.wait("a", after=0, timeout_seconds=5))
        proxy.lose.set()
        saving = asyncio.create_task(mine.save(record, {"n": 2}, owner="one", rows=[{}]))
        assert await made
        await asyncio.sleep(0.02)
        taken = await other.claim("a", owner="two", lease_seconds=5)
        assert taken.data == {"n": 2}
        assert (await saving).version == 2
        with pytest.raises(SessionConflictError):
            await mine.save(await saving, {"n": 3}, owner="one")
        await mine.aclose()
        await other.aclose()


@pytest.mark.alone
async def test_a_server_that_never_answers_is_an_error_in_time() -> None:
    port = free_port()
    store = RedisSessionStore(f"redis://:hunter2-secret@127.0.0.1:{port}/0", wait_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(SessionStoreError, match="can be reached") as caught:
        await store.load("a")
    assert time.monotonic() - began < 3
    assert "hunter2" not in f"{caught.value}{store!r}"
    await store.aclose()


@pytest.mark.alone
async def test_a_wrong_password_is_an_error_at_once(tmp_path: Path) -> None:
    port = free_port()
    with own_redis(port, str(tmp_path), "--requirepass", "right-password"):
        store = RedisSessionStore(f"redis://:wrong-password@127.0.0.1:{port}/0", wait_seconds=30)
        began = time.monotonic()
        with pytest.raises(SessionStoreError, match="password") as caught:
            await store.claim("a", owner="one", lease_seconds=5)
        assert time.monotonic() - began < 5
        assert "wrong-password" not in str(caught.value)
        await store.aclose()


@pytest.mark.alone
async def test_a_server_that_has_stopped_to_answer_is_an_error_in_time(tmp_path: Path) -> None:
    port = free_port()
    with own_redis(port, str(tmp_path)) as server:

        def client() -> redis.asyncio.Redis:
            return redis.asyncio.Redis(port=port, socket_timeout=0.3)  # tries ten times

        store = RedisSessionStore(client, wait_seconds=1.0)
        record = await store.claim("a", owner="one", lease_seconds=60)
        server.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(SessionStoreError, match="can be reached"):
                await store.save(record, {"n": 1}, owner="one", rows=[{"row": 1}])
            assert time.monotonic() - began < 8
        finally:
            server.send_signal(signal.SIGCONT)
        # It was sent, and nobody knows whether it was done: whole it is in any case.
        stored = await store.load("a")
        assert stored is not None
        assert (stored.version, stored.seq) in {(0, 0), (1, 1)}
        assert len(await store.read_log("a")) == stored.seq
        await store.aclose()


async def test_a_server_that_loads_its_data_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    store = RedisSessionStore(f"redis://127.0.0.1:{port}/0", wait_seconds=20)
    with own_redis(port, str(tmp_path)):
        await store.create("a", {"n": 1})
        async with redis.asyncio.Redis(port=port) as client:
            for n in range(200):
                await client.set(f"more-{n}", "x" * 100)
            await client.bgrewriteaof()
            while (await client.info("persistence"))["aof_rewrite_in_progress"]:
                await asyncio.sleep(0.05)
    slowly = ["--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"]
    with own_redis(port, str(tmp_path), *slowly):
        async with redis.asyncio.Redis(port=port, retry=None) as client:
            with pytest.raises(redis.BusyLoadingError):
                await client.get("more-0")
        loaded = await store.load("a")
        assert loaded is not None
        assert loaded.data == {"n": 1}
        await store.aclose()


async def test_a_replica_that_is_no_master_yet_is_waited_for(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    (tmp_path / "other").mkdir()
    with own_redis(port, str(tmp_path)), own_redis(other, str(tmp_path / "other")):
        store = RedisSessionStore(f"redis://127.0.0.1:{port}/0", wait_seconds=20)
        await store.create("a", {"n": 1})
        async with redis.asyncio.Redis(port=port) as client:
            await client.replicaof("127.0.0.1", other)
            while (await client.info("replication"))["master_link_status"] != "up":
                await asyncio.sleep(0.05)
            saving = asyncio.create_task(store.create("b", {"n": 1}))
            await asyncio.sleep(0.3)
            assert not saving.done()
            await client.replicaof("NO", "ONE")
        assert (await saving).version == 1
        await store.aclose()


async def test_a_master_with_too_few_replicas_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    with own_redis(port, str(tmp_path), "--min-replicas-to-write", "1"):
        store = RedisSessionStore(f"redis://127.0.0.1:{port}/0", wait_seconds=0.3)
        with pytest.raises(SessionStoreError, match="can be reached"):
            await store.create("a", {"n": 1}, rows=[{"row": 1}])
        assert await store.load("a") is None
        await store.aclose()


async def test_a_write_that_too_few_replicas_have_is_an_error_that_says_so(tmp_path: Path) -> None:
    port = free_port()
    with own_redis(port, str(tmp_path)):
        url = f"redis://127.0.0.1:{port}/0"
        store = RedisSessionStore(url, wait_seconds=0.2, min_replicas=1)
        with pytest.raises(SessionStoreError, match="replicas"):
            await store.create("a", {"n": 1})
        await store.aclose()


async def test_a_full_server_refuses_the_write_and_keeps_what_it_has(tmp_path: Path) -> None:
    port = free_port()
    with own_redis(port, str(tmp_path), "--maxmemory-policy", "noeviction"):
        store = RedisSessionStore(f"redis://127.0.0.1:{port}/0", wait_seconds=30)
        record = await store.claim("a", owner="one", lease_seconds=60)
        record = await store.save(record, {"n": 1}, owner="one")
        async with redis.asyncio.Redis(port=port) as client:
            await client.config_set("maxmemory", "1mb")
            for call in (
                store.save(record, {"n": 2}, owner="one", rows=[{"row": 1}, {"row": 2}]),
                store.save(record, {"n": 2}, owner="one"),
                store.create("b", {"n": 1}, rows=[{"row": 1}]),
                store.claim("b", owner="one", lease_seconds=60),
                store.post_answer("a", "question", {"yes": True}),
            ):
                with pytest.raises(SessionStoreError, match="full"):
                    await call
            assert await store.load("a") == record
            assert await store.read_log("a") == []
            assert await store.read_answers("a") == []
            assert await store.load("b") is None
            assert len((await store.list()).sessions) == 1
            await client.config_set("maxmemory", "0")
        assert (await store.save(record, {"n": 2}, owner="one")).version == 2
        await store.aclose()


async def test_the_master_is_found_through_a_sentinel(tmp_path: Path) -> None:
    port, guard = free_port(), free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(f"port {guard}\nsentinel monitor shop 127.0.0.1 {port} 1\n")
    with own_redis(port, str(tmp_path)):
        command = [program("redis-server"), str(config), "--sentinel"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sentinel:
            try:
                store = RedisSessionStore(
                    lambda: Sentinel([("127.0.0.1", guard)]).master_for("shop"), wait_seconds=8
                )
                record = await store.claim("a", owner="one", lease_seconds=60)
                assert (await store.save(record, {"n": 1}, owner="one")).version == 1
                assert [session.agent_id for session in (await store.list()).sessions] == ["a"]
                await store.aclose()
            finally:
                sentinel.terminate()
    assert not answers(guard)
