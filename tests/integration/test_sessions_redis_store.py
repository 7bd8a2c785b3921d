"""RedisSessionStore on a real Redis: every promise of the protocol, and how fast a claim is."""

import statistics
import time
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
import redis.asyncio

from mbxai.sessions import RedisSessionStore, SessionStore
from mbxai.testing.store_conformance import CHECKS, Check, CheckOutcome


@pytest.fixture
async def prefix(redis_url: str) -> AsyncIterator[str]:
    """What keys begin with; a check leaves none of them behind."""
    made = f"test[{uuid4().hex}]:"
    yield made
    async with redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as client:
        escaped = made.replace("[", "\\[").replace("]", "\\]")
        left = [key async for key in client.scan_iter(match=f"{escaped}*")]
        for key in left:
            await client.delete(key)
    assert left == []


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_promise_of_every_store(check: Check, redis_url: str, prefix: str) -> None:
    def open_store(
        *, now: Callable[[], float], ttl_seconds: float | None = None
    ) -> RedisSessionStore:
        return RedisSessionStore(redis_url, prefix=prefix, now=now, ttl_seconds=ttl_seconds)

    result = await check.run(open_store)
    assert result.outcome is CheckOutcome.PASSED, result.reason


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_promise_by_the_clock_of_the_server_for_a_client_that_decodes(
    check: Check, redis_url: str, prefix: str
) -> None:
    def open_store(*, ttl_seconds: float | None = None) -> RedisSessionStore:
        return RedisSessionStore(
            lambda: redis.asyncio.Redis.from_url(redis_url, decode_responses=True),
            prefix=prefix,
            ttl_seconds=ttl_seconds,
        )

    result = await check.run(open_store)
    assert result.outcome is CheckOutcome.PASSED, result.reason


@pytest.mark.alone
async def test_claim_of_a_new_session_and_of_a_saved_one_takes_about_a_millisecond(
    redis_url: str, prefix: str
) -> None:
    store = RedisSessionStore(redis_url, prefix=prefix)
    assert isinstance(store, SessionStore)
    for kind in ("new", "saved"):
        seconds: list[float] = []
        for n in range(200):
            began = time.perf_counter()
            record = await store.claim(str(n), owner=kind, lease_seconds=60)
            seconds.append(time.perf_counter() - began)
            await store.release(
                await store.save(record, {"n": n}, owner=kind, rows=[{"n": n}]), owner=kind
            )
        median = statistics.median(seconds)
        print(f"claim of a {kind} session: p50 {median * 1000:.2f} ms")
        assert median < 0.005
    for n in range(200):
        assert await store.delete(str(n)) is True
    await store.aclose()
