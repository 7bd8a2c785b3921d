"""RedisSessionStore on a real Redis."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import redis.asyncio
from support.store_contract import *  # noqa: F403  # what every store does
from support.store_contract import Clock

from mbxai.sessions import RedisSessionStore, SessionStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def prefix() -> str:
    return f"test[{uuid4().hex}]:"


@pytest.fixture
async def raw(redis_url: str, prefix: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client that sees what is stored, and leaves nothing behind."""
    async with redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
        escaped = prefix.replace("[", "\\[").replace("]", "\\]")
        async for key in client.scan_iter(match=f"{escaped}*"):
            await client.delete(key)


@pytest.fixture
async def store(
    redis_url: str, prefix: str, clock: Clock, raw: redis.asyncio.Redis
) -> AsyncIterator[RedisSessionStore]:
    made = RedisSessionStore(redis_url, prefix=prefix, now=clock)
    assert isinstance(made, SessionStore)
    yield made
    await made.aclose()
