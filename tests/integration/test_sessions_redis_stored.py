"""RedisSessionStore: what is stored, for how long, for whom."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio

from mbxai.errors import (
    ConfigurationError,
    SessionBusyError,
    SessionConflictError,
    SessionNotFoundError,
    SessionStoreError,
)
from mbxai.sessions import RedisSessionStore
from mbxai.sessions._redis_keys import Keyring


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


def names(prefix: str, agent_id: str = "a", scope: str = "") -> dict[str, bytes]:
    kinds = ("head", "log", "inbox", "list", "due", "saved")
    return dict(zip(kinds, Keyring(prefix).of(agent_id, scope).names, strict=True))


async def test_the_clock_of_the_server_decides_about_leases(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str
) -> None:
    record = await store.claim("a", owner="one", lease_seconds=0.2)
    seconds, _ = await raw.time()
    until = float(await raw.hget(names(prefix)["head"], "until") or 0)
    assert abs(until - seconds) < 2
    with pytest.raises(SessionBusyError):
        await store.claim("a", owner="two", lease_seconds=5)
    await asyncio.sleep(0.25)
    taken = await store.claim("a", owner="two", lease_seconds=5)
    assert taken.fence == record.fence + 1
    with pytest.raises(SessionConflictError):
        await store.save(record, {"n": 1}, owner="one")


async def test_redis_drops_every_key_of_an_old_session_but_not_before_its_lease_ends(
    redis_url: str, raw: redis.asyncio.Redis, prefix: str
) -> None:
    store = RedisSessionStore(redis_url, prefix=prefix, ttl_seconds=0.3)
    record = await store.create("a", {}, rows=[{"row": 1}], due_at=0.0)
    await store.post_answer("a", "question", {"yes": True})
    record = await store.claim("a", owner="one", lease_seconds=30)
    keys = [names(prefix)[kind] for kind in ("head", "log", "inbox")]
    assert all([25_000 < await raw.pttl(key) <= 30_000 for key in keys])
    record = await store.save(record, {"n": 1}, owner="one")
    assert all([25_000 < await raw.pttl(key) <= 30_000 for key in keys])
    await store.release(record, owner="one", due_at=0.0)
    assert await store.load("a") is not None
    await asyncio.sleep(0.35)
    assert await raw.exists(*keys) == 0
    assert await store.load("a") is None
    assert await raw.zcard(names(prefix)["saved"]) == 1
    assert await store.sweep() == 0  # Redis did it; what is left in the indexes goes
    assert [key async for key in raw.scan_iter(match=f"{prefix}*")] == []
    await store.aclose()


async def test_a_store_without_a_time_to_live_keeps_what_another_one_would_drop(
    store: RedisSessionStore, redis_url: str, raw: redis.asyncio.Redis, prefix: str
) -> None:
    mortal = RedisSessionStore(redis_url, prefix=prefix, ttl_seconds=100)
    await mortal.create("a", {"n": 1})
    assert 0 < await raw.pttl(names(prefix)["head"]) <= 100_000
    record = await store.claim("a", owner="one", lease_seconds=1)
    assert await raw.pttl(names(prefix)["head"]) == -1
    assert (await store.save(record, {"n": 2}, owner="one")).version == 2
    await mortal.aclose()


async def test_a_claim_that_nothing_became_of_does_not_stay_for_ever(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str
) -> None:
    record = await store.claim("a", owner="one", lease_seconds=1)
    day = 86_400_000
    assert day <= await raw.pttl(names(prefix)["head"]) <= day + 1000
    await store.save(record, {"n": 1}, owner="one")
    assert await raw.pttl(names(prefix)["head"]) == -1


async def test_clients_that_decode_and_clients_that_do_not_understand_each_other(
    store: RedisSessionStore, redis_url: str, prefix: str
) -> None:
    decoding = RedisSessionStore(
        lambda: redis.asyncio.Redis.from_url(
            redis_url, decode_responses=True, encoding="latin-1", protocol=2
        ),
        prefix=prefix,
    )
    record = await store.claim("ä", owner="öwner", lease_seconds=10, scope="übung/{}*")
    rows = [{"row": "Grüße 🦜" * 50}]
    record = await store.save(
        record, {"text": "Grüße" * 100}, owner="öwner", status="läuft \ud800", rows=rows
    )
    assert await decoding.load("ä", scope="übung/{}*") == record
    (listed,) = (await decoding.list(scope="übung/{}*")).sessions
    assert (listed.agent_id, listed.status) == ("ä", "läuft \ud800")
    (row,) = await decoding.read_log("ä", scope="übung/{}*")
    assert row.content == rows[0]
    record = await decoding.save(record, {"n": 2}, owner="öwner")
    assert await store.load("ä", scope="übung/{}*") == record
    await decoding.aclose()


PROCESS = """
import asyncio, json, sys
from mbxai.errors import SessionBusyError
from mbxai.sessions import RedisSessionStore
from mbxai.sessions._redis_keys import Keyring

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
    assert len((await store.list()).sessions) == 40


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


def test_a_negative_number_of_replicas_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="min_replicas"):
        RedisSessionStore("redis://localhost", min_replicas=-1)


def test_a_prefix_that_a_cluster_cannot_share_out_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="braces"):
        RedisSessionStore("redis://localhost", prefix="app{}:")


async def test_a_target_that_cannot_make_a_client_is_refused_with_its_cause() -> None:
    def client() -> redis.asyncio.Redis:
        raise KeyError("REDIS_URL")

    with pytest.raises(ConfigurationError, match="KeyError") as caught:
        await RedisSessionStore(client).load("a")
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("due_at", [float("nan"), float("-inf")])
async def test_a_time_that_is_none_is_refused(store: RedisSessionStore, due_at: float) -> None:
    with pytest.raises(ConfigurationError, match="due_at"):
        await store.create("a", {}, due_at=due_at)
    assert await store.load("a") is None


@pytest.mark.parametrize("agent_id", ["a\x00b", "x" * 10_000, "", "\ud800"])
async def test_an_impossible_id_is_not_found(store: RedisSessionStore, agent_id: str) -> None:
    for call in (
        store.load(agent_id),
        store.read_log("a", scope=agent_id or "\n"),
        store.post_answer("a", agent_id, {}),
        store.list(scope=agent_id or "\n"),
        store.due(scope=agent_id or "\n"),
    ):
        with pytest.raises(SessionNotFoundError):
            await call


async def test_paths_braces_and_patterns_are_plain_data(store: RedisSessionStore) -> None:
    odd = ["../../etc/passwd", "{a}", "}{", "*", "a/b", "%2F", "a%2Fb", "[x]", "/"]
    for agent_id in odd:
        for scope in ("", *odd):
            await store.create(agent_id, {"of": [scope, agent_id]}, scope=scope, due_at=0.0)
    for scope in ("", *odd):
        page = await store.list(scope=scope)
        assert sorted(session.agent_id for session in page.sessions) == sorted(odd)
        for agent_id in odd:
            record = await store.load(agent_id, scope=scope)
            assert record is not None
            assert record.data == {"of": [scope, agent_id]}
        assert sorted(due.agent_id for due in await store.due(scope=scope)) == sorted(odd)
    assert len(await store.due(limit=1000)) == len(odd) * (len(odd) + 1)


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
from mbxai.sessions._redis_keys import Keyring
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
