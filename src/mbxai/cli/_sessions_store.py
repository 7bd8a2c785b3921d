"""Session stores as the command line names them, and an agent that only looks after sessions."""

import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

from mbxai.agent import AgentClient
from mbxai.errors import ConfigurationError
from mbxai.sessions import RedisSessionStore, SessionStore, SQLiteSessionStore
from mbxai.wire import ToolDefinition, ToolInfo, ToolResult

STORE_VARIABLE: Final = "MBXAI_SESSION_STORE"
"""Names the store where `--store` does not."""

KEY_VARIABLE: Final = "MBXAI_SESSION_KEY"
"""Holds the keys of sealed sessions."""

_REDIS: Final = {"redis", "rediss"}
_POSTGRES: Final = {"postgresql", "postgres"}
_HINT: Final = "Write sqlite:PATH, a path, redis://..., rediss://... or postgresql://..."
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def store_of(
    url: str, *, ttl_seconds: float | None = None, must_exist: bool = False
) -> SessionStore:
    """Return the store that a text names; nothing is opened yet.

    With keys in the environment (MBXAI_SESSION_KEY) it seals what it keeps.

    Args:
        url: `sqlite:PATH` or a plain path, `redis://`, `rediss://`, `postgresql://`.
        ttl_seconds: After how many seconds without a save a session is dropped; None: never.
        must_exist: Whether a file that is not there is a mistake, and not a new store.

    Raises:
        ConfigurationError: It is no such text, or there is no such file.
    """
    kind, colon, rest = url.partition(":")
    if kind in _REDIS and rest.startswith("//"):
        return _sealed(RedisSessionStore(url, ttl_seconds=ttl_seconds))
    if kind in _POSTGRES and rest.startswith("//"):
        from mbxai.sessions import PostgresSessionStore

        return _sealed(PostgresSessionStore(url, ttl_seconds=ttl_seconds))
    if kind == "sqlite" and colon:
        path = rest.removeprefix("//")
    elif rest.startswith("//"):  # not repeated as a whole: it may hold a password
        raise ConfigurationError(f"There is no session store of the kind {kind!r}.", hint=_HINT)
    else:
        path = url
    if not path:
        raise ConfigurationError("The session store has no name.", hint=_HINT)
    if must_exist and not Path(path).is_file():
        raise ConfigurationError(f"There is no session store {path!r}.", hint=_HINT)
    return _sealed(SQLiteSessionStore(path, ttl_seconds=ttl_seconds))


def without_password(url: str) -> str:
    """Return the name of a store as it may be shown.

    Args:
        url: As for `store_of`.
    """
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
        secret = parts.password
    except ValueError:
        return f"{url.partition('://')[0]}://..."
    shown = url if secret is None else url.replace(f":{secret}@", ":***@", 1)
    return re.sub(r"([?&]password=)[^&#]*", r"\1***", shown)


def seconds_of(text: str) -> float:
    """Return how long a text says, in seconds.

    Args:
        text: A whole number and a unit, such as `90s`, `30m`, `12h` or `30d`.

    Raises:
        ConfigurationError: It has another shape.
    """
    found = re.fullmatch(r"\s*(\d{1,9})\s*([smhd])\s*", text, re.IGNORECASE)
    if found is None or int(found[1]) == 0:
        raise ConfigurationError(
            f"{text!r:.40} is no span of time.", hint="Write 90s, 30m, 12h or 30d."
        )
    return float(int(found[1]) * _SECONDS[found[2].lower()])


@contextmanager
def opened_sessions(
    url: str, *, scope: str = "", tools: Sequence[str] = (), ttl_seconds: float | None = None
) -> Generator[AgentClient]:
    """Return an agent for the sessions of a store, which is closed with the block; it runs none.

    Args:
        url: As for `store_of`.
        scope: Whose sessions.
        tools: Names of tools that those who run the sessions have.
        ttl_seconds: As for `store_of`.

    Yields:
        The agent.

    Raises:
        ConfigurationError: There is no such store.
    """
    store = store_of(url, ttl_seconds=ttl_seconds, must_exist=True)
    with AgentClient(_Nobody(tools), session_handler=store) as agent:
        yield agent.for_scope(scope) if scope else agent


class _Nobody:
    """A client without a model: what looks at sessions makes no calls."""

    def __init__(self, tools: Sequence[str]) -> None:
        self._tools = tools

    def parse(self, **_given: object) -> NoReturn:
        raise ConfigurationError("This command makes no model calls.")

    def tool_infos(self) -> list[ToolInfo]:
        return [ToolInfo(name=name, description="", parameters={}) for name in self._tools]

    def tool_definitions(self, names: Sequence[str] | None = None) -> list[ToolDefinition]:  # noqa: ARG002
        return []

    async def call_tool(self, name: str, arguments: str, **_given: object) -> ToolResult:  # noqa: ARG002
        raise ConfigurationError("This command runs no tools.")


def _sealed(store: SessionStore) -> SessionStore:
    if not os.environ.get(KEY_VARIABLE, "").strip():
        return store
    from mbxai.sessions import SealedSessionStore

    return SealedSessionStore(store)
