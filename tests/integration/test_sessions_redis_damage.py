"""RedisSessionStore where something else was written to Redis."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import redis
import redis.asyncio

from mbxai.errors import (
    SessionDataError,
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


async def a_session(store: RedisSessionStore) -> None:
    """A session with two rows and two answers, one of them taken in."""
    await store.create("a", {"n": 1}, rows=[{"row": 1}])
    record = await store.claim("a", owner="one", lease_seconds=10)
    await store.post_answer("a", "first", {"yes": True})
    await store.post_answer("a", "second", {"yes": False})
    record = await store.save(record, {"n": 2}, owner="one", rows=[{"row": 2}], answers_read=1)
    await store.release(record, owner="one")


DAMAGE: dict[str, tuple[str, ...]] = {
    "a field is gone": ("HDEL", "head", "data"),
    "a number is none": ("HSET", "head", "version", "one"),
    "a time is none": ("HSET", "head", "until", "0x10"),
    "half of the JSON": ("HSET", "head", "data", "{half"),
    "half of the packed JSON": ("HSET", "head", "data", "x\x9chalf"),
    "something else": ("SET", "head", "text"),
    "something else for a log": ("SET", "log", "text"),
    "no log": ("DEL", "log"),
    "a row is gone": ("XDEL", "log", "1-0"),
    "no inbox": ("DEL", "inbox"),
    "an answer is gone": ("HDEL", "inbox", "content 2"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_a_damaged_session_is_left_as_it_is_and_can_be_removed(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str, damage: tuple[str, ...]
) -> None:
    await a_session(store)
    await store.create("b", {})
    keys = names(prefix)
    command, kind, *rest = damage
    await raw.execute_command(command, keys[kind], *rest)
    stored = [await raw.dump(keys[kind]) for kind in ("log", "inbox")]
    for call in (store.load("a"), store.claim("a", owner="two", lease_seconds=10)):
        with pytest.raises(SessionDataError):
            await call
    assert stored == [await raw.dump(keys[kind]) for kind in ("log", "inbox")]
    if await raw.type(keys["head"]) == "hash":
        assert await raw.hget(keys["head"], "owner") == ""
    assert "b" in [session.agent_id for session in (await store.list()).sessions]
    assert {session.agent_id for session in await store.due()} <= {"a"}
    assert await store.delete("a") is True
    assert await store.delete("a") is False
    assert [session.agent_id for session in (await store.list()).sessions] == ["b"]
    assert await store.due() == []
    assert (await store.create("a", {"n": 3})).version == 1


async def test_garbage_in_a_log_is_told_and_does_not_cost_a_half_write(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str
) -> None:
    await a_session(store)
    key = names(prefix)
    record = await store.claim("a", owner="one", lease_seconds=10)
    await raw.xtrim(key["log"], maxlen=0, approximate=False)
    for name in ("7-0", "9-0"):  # as many rows as there should be
        await raw.xadd(key["log"], {"row": '{"foreign": 1}'}, id=name)
    with pytest.raises(SessionDataError):
        await store.read_log("a")
    before = await raw.dump(key["head"])
    with pytest.raises(SessionDataError):
        await store.save(record, {"n": 3}, owner="one", rows=[{"row": 3}])
    assert await raw.dump(key["head"]) == before
    await raw.delete(key["log"])
    await raw.xadd(key["log"], {"row": "{half"}, id="1-0")
    await raw.xadd(key["log"], {"other": '{"row": 2}'}, id="2-0")
    for after in (0, 1):
        with pytest.raises(SessionDataError):
            await store.read_log("a", after=after)
    assert await store.delete("a") is True


async def test_a_damaged_answer_is_told(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str
) -> None:
    await a_session(store)
    assert [answer.number for answer in await store.read_answers("a")] == [1, 2]
    await raw.hset(names(prefix)["inbox"], "content 2", "{half")
    assert [answer.number for answer in await store.read_answers("a", after=2)] == []
    with pytest.raises(SessionDataError):
        await store.read_answers("a", after=1)
    await raw.hset(names(prefix)["inbox"], mapping={"content 2": "{}", "label 2": "yesterday"})
    with pytest.raises(SessionDataError):
        await store.read_answers("a")


@pytest.mark.parametrize("index", ["list", "due", "saved"])
async def test_an_index_that_is_something_else_fails_before_anything_is_written(
    store: RedisSessionStore, raw: redis.asyncio.Redis, prefix: str, index: str
) -> None:
    await raw.set(names(prefix)[index], "something else")
    with pytest.raises(SessionStoreError, match="prefix"):
        await store.create("a", {"n": 1})
    assert [key async for key in raw.scan_iter(match=f"{prefix}*")] == [
        names(prefix)[index].decode()
    ]
    for call in (store.claim("a", owner="one", lease_seconds=5), store.load("a")):
        with pytest.raises(SessionStoreError, match="prefix"):
            await call
    assert await store.delete("a") is False
