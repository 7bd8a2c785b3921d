"""The stores that are here: each with what it needs, or the reason why it is left out.

What is written to a server lies under a prefix, or in a schema, of the run's own.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from socket import create_connection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from effects.counting import CountingStore

import mbxai.sessions as sessions

Store = Any  # a `SessionStore`

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
POSTGRES_URL = os.environ.get("POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
_KEYS_AT_ONCE = 1000


class Server(NamedTuple):
    """What a store on a server needs.

    Attributes:
        package: Its client.
        store: Name of its class in `mbxai.sessions`.
        url: Where it listens.
        port: Its usual port.
    """

    package: str
    store: str
    url: str
    port: int


_SERVERS = {
    "redis": Server("redis", "RedisSessionStore", REDIS_URL, 6379),
    "postgres": Server("psycopg", "PostgresSessionStore", POSTGRES_URL, 5432),
}


def opened(name: str, folder: Path) -> Store:
    """Return a store.

    Args:
        name: "memory", "sqlite", "redis", "postgres", or "counting": memory that counts bytes.
        folder: Where files go; its name keeps what runs have on a server apart.
    """
    return _MAKERS[name](folder)


def missing(name: str) -> str | None:
    """Say why a store cannot be measured here; None if it can."""
    server = _SERVERS.get(name)
    if server is None:
        return None
    if find_spec(server.package) is None:
        return f"{server.package} is not installed"
    if not hasattr(sessions, server.store):
        return f"there is no {server.store}"
    address = urlsplit(server.url)
    place = (address.hostname or "127.0.0.1", address.port or server.port)
    try:
        create_connection(place, timeout=1.0).close()
    except OSError:
        return f"nothing listens on port {place[1]}"
    return None


async def emptied(name: str, folder: Path) -> None:
    """Remove what a run has on a server; of other stores nothing outlives its folder.

    Args:
        name: Which store.
        folder: As it was opened with.
    """
    if name == "redis":
        from redis.asyncio import Redis  # optional

        async with Redis.from_url(REDIS_URL) as client:
            found = client.scan_iter(f"{_prefix(folder)}*", count=_KEYS_AT_ONCE)
            keys = [key async for key in found]
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                await client.unlink(*keys[start : start + _KEYS_AT_ONCE])
    if name == "postgres":
        from psycopg import AsyncConnection, sql  # optional

        dropping = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(
            sql.Identifier(_schema(folder))
        )
        async with await AsyncConnection.connect(POSTGRES_URL, autocommit=True) as connection:
            await connection.execute(dropping)


def _prefix(folder: Path) -> str:
    return f"mbxai-benchmark:{folder.name}:"


def _schema(folder: Path) -> str:
    return f"mbxai_benchmark_{folder.name}".lower()


_MAKERS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _folder: sessions.InMemorySessionStore(),
    "counting": lambda _folder: CountingStore(),
    "sqlite": lambda folder: sessions.SQLiteSessionStore(folder / "mbxai.db"),
    "redis": lambda folder: sessions.RedisSessionStore(REDIS_URL, prefix=_prefix(folder)),
    "postgres": lambda folder: sessions.PostgresSessionStore(POSTGRES_URL, schema=_schema(folder)),
}
