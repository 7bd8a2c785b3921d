"""RedisSessionStore where Redis is away, full, locked, or holds something else."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio
from redis.asyncio.sentinel import Sentinel
from support.losing_proxy import LosingProxy
from support.services import answers, free_port, own_redis, program

from mbxai.errors import (
    ConfigurationError,
    SessionBusyError,
    SessionConflictError,
    SessionDataError,
    SessionStoreError,
)
from mbxai.sessions import RedisSessionStore


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}:"


@pytest.fixture
async def raw(redis_url: str, prefix: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
        async for key in client.scan_iter(match=f"{prefix}*"):
            await client.delete(key)


@pytest.fixture
async def store(
    redis_url: str, prefix: str, raw: redis.asyncio.Redis
) -> AsyncIterator[RedisSessionStore]:
    made = RedisSessionStore(redis_url, prefix=prefix)
    yield made
    await made.aclose()


# --- what is stored -------------------------------------------------------------------------------


async def test_the_clock_of_the_server_decides_about_leases(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str
) -> None:
    record = await store.claim("a", owner="one", lease_seconds=0.2)
    seconds, _ = await raw.time()
    until = float(await raw.hget(f"{prefix}a", "until") or 0)
    assert abs(until - seconds) < 2
    with pytest.raises(SessionBusyError):
        await store.claim("a", owner="two", lease_seconds=5)
    await asyncio.sleep(0.25)
    taken = await store.claim("a", owner="two", lease_seconds=5)
    assert taken.fence == record.fence + 1
    with pytest.raises(SessionConflictError):
        await store.save(record, {"n": 1}, owner="one")


async def test_a_session_that_nobody_writes_is_dropped_but_not_before_its_lease_ends(
    redis_url: str, raw: redis.asyncio.Redis, prefix: str
) -> None:
    store = RedisSessionStore(redis_url, prefix=prefix, ttl_seconds=0.3)
    record = await store.claim("a", owner="one", lease_seconds=30)
    assert 25_000 < await raw.pttl(f"{prefix}a") <= 30_000
    record = await store.save(record, {"n": 1}, owner="one")
    assert 25_000 < await raw.pttl(f"{prefix}a") <= 30_000
    await store.release(record, owner="one")
    assert await store.load("a") is not None
    await asyncio.sleep(0.35)
    assert await store.load("a") is None
    await store.aclose()


@pytest.mark.parametrize("change", ["field", "number", "json", "type"])
async def test_a_damaged_session_is_left_as_it_is_and_can_be_removed(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str, change: str
) -> None:
    record = await store.claim("a", owner="one", lease_seconds=10)
    record = await store.save(record, {"n": 1}, owner="one")
    await store.release(record, owner="one")
    key = f"{prefix}a"
    if change == "field":
        await raw.hdel(key, "data")
    elif change == "type":
        await raw.delete(key)
        await raw.set(key, "something else")
    else:
        await raw.hset(key, *{"number": ("version", "one"), "json": ("data", "{half")}[change])
    for call in (store.load("a"), store.claim("a", owner="two", lease_seconds=10)):
        with pytest.raises(SessionDataError):
            await call
    if change == "json":
        assert await raw.hget(key, "data") == "{half"
        assert await raw.hget(key, "owner") == ""
    assert await store.list() == ["a"]
    assert await store.delete("a") is True


async def test_clients_that_decode_and_clients_that_do_not_understand_each_other(
    store: RedisSessionStore, redis_url: str, prefix: str
) -> None:
    decoding = RedisSessionStore(
        lambda: redis.asyncio.Redis.from_url(redis_url, decode_responses=True), prefix=prefix
    )
    record = await store.claim("ä", owner="one", lease_seconds=10)
    record = await store.save(record, {"text": "Grüße"}, owner="one")
    assert await decoding.load("ä") == record
    assert await decoding.list() == ["ä"]
    await decoding.aclose()


PROCESS = """
import asyncio, json, sys
from mbxai.errors import SessionBusyError
from mbxai.sessions import RedisSessionStore

async def main(url, prefix, me):
    store, won = RedisSessionStore(url, prefix=prefix), []
    for number in range(40):
        try:
            record = await store.claim(str(number), owner=me, lease_seconds=60)
            await store.save(record, {"by": me}, owner=me)
            won.append(number)
        except SessionBusyError:
            pass
    print(json.dumps(won))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_of_several_processes_exactly_one_gets_each_session(
    store: RedisSessionStore, redis_url: str, prefix: str
) -> None:
    command = [sys.executable, "-W", "error", "-c", PROCESS, redis_url, prefix]
    running = [
        subprocess.Popen([*command, f"worker-{n}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for n in range(4)
    ]
    outputs = [await asyncio.to_thread(process.communicate) for process in running]
    # A store that nobody closed is closed with its loop, and nothing warns of it.
    assert [error for _, error in outputs] == [b""] * 4
    won = sorted(number for output, _ in outputs for number in json.loads(output))
    assert won == list(range(40))
    assert len(await store.list()) == 40


# --- Redis is away --------------------------------------------------------------------------------


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


async def test_a_write_whose_answer_was_lost_is_not_done_twice(tmp_path: Path) -> None:
    port = free_port()
    with own_redis(port, str(tmp_path)), LosingProxy(port) as proxy:

        def client() -> redis.asyncio.Redis:
            # The store's patience alone is tested, not that of redis-py.
            return redis.asyncio.Redis(port=proxy.port, retry=None)

        store = RedisSessionStore(client, wait_seconds=5)
        record = await store.claim("a", owner="one", lease_seconds=60)
        record = await store.save(record, {"n": 1}, owner="one")  # both scripts are known now
        proxy.lose.set()
        record = await store.save(record, {"n": 2}, owner="one")
        assert not proxy.lose.is_set()
        assert record.version == 2
        proxy.lose.set()
        again = await store.claim("a", owner="one", lease_seconds=60)
        assert (again.version, again.fence) == (2, record.fence)
        proxy.lose.set()
        await store.release(record, owner="one")
        assert (await store.claim("a", owner="two", lease_seconds=60)).fence == record.fence + 1
        await store.aclose()


async def test_a_server_that_never_answers_is_an_error_in_time() -> None:
    port = free_port()
    store = RedisSessionStore(f"redis://:hunter2-secret@127.0.0.1:{port}/0", wait_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(SessionStoreError, match="can be reached") as caught:
        await store.load("a")
    assert time.monotonic() - began < 3
    assert "hunter2" not in f"{caught.value}{store!r}"
    await store.aclose()


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


async def test_a_full_server_refuses_the_write_and_keeps_what_it_has(tmp_path: Path) -> None:
    port = free_port()
    with own_redis(port, str(tmp_path), "--maxmemory-policy", "noeviction"):
        store = RedisSessionStore(f"redis://127.0.0.1:{port}/0", wait_seconds=30)
        record = await store.claim("a", owner="one", lease_seconds=60)
        record = await store.save(record, {"n": 1}, owner="one")
        async with redis.asyncio.Redis(port=port) as client:
            await client.config_set("maxmemory", "1mb")
            with pytest.raises(SessionStoreError, match="full"):
                await store.save(record, {"n": 2}, owner="one")
            assert await store.load("a") == record
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
                assert await store.list() == ["a"]
                await store.aclose()
            finally:
                sentinel.terminate()
    assert not answers(guard)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, 7, redis.Redis, {"host": "localhost"}])
def test_what_is_no_target_is_refused(target: Any) -> None:
    with pytest.raises(ConfigurationError, match="no target"):
        RedisSessionStore(target)


@pytest.mark.parametrize("options", [{"ttl_seconds": 0}, {"ttl_seconds": float("inf")}])
def test_impossible_seconds_are_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match="ttl_seconds"):
        RedisSessionStore("redis://localhost", **options)


def test_impossible_patience_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="wait_seconds"):
        RedisSessionStore("redis://localhost", wait_seconds=-1)


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port/0"])
async def test_a_url_of_something_else_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises((ConfigurationError, SessionStoreError)) as caught:
        await RedisSessionStore(f"{url}#hunter2", wait_seconds=0).load("a")
    assert "hunter2" not in str(caught.value)


async def test_a_client_that_blocks_is_refused(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        store = RedisSessionStore(lambda: client)
        with pytest.raises(ConfigurationError, match=r"redis\.asyncio"):
            await store.load("a")


def test_without_redis_py_the_extra_is_named() -> None:
    code = """
import asyncio, sys
sys.modules["redis"] = sys.modules["redis.exceptions"] = None
from mbxai.sessions import RedisSessionStore
try:
    asyncio.run(RedisSessionStore("redis://localhost").load("a"))
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.stdout.startswith("ConfigurationError")
    assert "mbxai[redis]" in done.stdout
