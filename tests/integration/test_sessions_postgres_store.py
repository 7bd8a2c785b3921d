"""PostgresSessionStore keeps what every store promises, on a real Postgres."""

import time
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import anyio
import psycopg
import pytest
from support.timed_checks import TIMED_CHECKS

from mbxai.sessions import PostgresSessionStore
from mbxai.testing.store_conformance import CHECKS, Check, CheckOutcome


@pytest.fixture
def schema(postgres_url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    yield name
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_it_keeps_what_every_store_promises(
    check: Check, postgres_url: str, schema: str
) -> None:
    result = await check.run(partial(PostgresSessionStore, postgres_url, schema=schema))
    assert result.outcome is CheckOutcome.PASSED, result


@pytest.mark.parametrize("check", TIMED_CHECKS, ids=str)
async def test_by_the_servers_own_clock_as_well(
    check: Check, postgres_url: str, schema: str
) -> None:
    def open_store(*, ttl_seconds: float | None = None) -> PostgresSessionStore:
        return PostgresSessionStore(postgres_url, schema=schema, ttl_seconds=ttl_seconds)

    result = await check.run(open_store)
    assert result.outcome is CheckOutcome.PASSED, result


@pytest.mark.alone
async def test_a_follower_hears_of_a_row_at_once(postgres_url: str, schema: str) -> None:
    follower = PostgresSessionStore(postgres_url, schema=schema)
    writer = PostgresSessionStore(postgres_url, schema=schema)
    record = await writer.claim("s", owner="me", lease_seconds=60)
    record = await writer.save(record, {}, owner="me", rows=[{"n": 1}])
    heard: list[float] = []

    async def follow() -> None:
        assert await follower.wait("s", after=1, timeout_seconds=9)
        heard.append(time.monotonic())

    async with anyio.create_task_group() as group:
        for _ in range(20):  # more than there are connections
            group.start_soon(follow)
        await anyio.sleep(0.5)
        assert heard == []
        assert not await follower.wait("s", after=9, timeout_seconds=0.1)
        began = time.monotonic()
        await writer.save(record, {}, owner="me", rows=[{"n": 2}])
    assert len(heard) == 20
    assert max(heard) - began < 0.5
    await follower.aclose()
    await writer.aclose()


@pytest.mark.alone
async def test_claims_and_saves_take_a_few_milliseconds(postgres_url: str, schema: str) -> None:
    store = PostgresSessionStore(postgres_url, schema=schema)
    claims: list[float] = []
    saves: list[float] = []
    for number in range(60):
        began = time.perf_counter()
        record = await store.claim(f"s{number}", owner="me", lease_seconds=60)
        claims.append(time.perf_counter() - began)
        began = time.perf_counter()
        await store.save(record, {"n": number}, owner="me", rows=[{"text": "x" * 1500}])
        saves.append(time.perf_counter() - began)
    await store.aclose()
    print(f"claim p50 {sorted(claims)[30] * 1e3:.2f} ms, save {sorted(saves)[30] * 1e3:.2f} ms")
    assert sorted(claims)[30] < 0.05
    assert sorted(saves)[30] < 0.1
