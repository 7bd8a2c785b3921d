"""A Redis that may be away for a moment: a client for each event loop, patience, and errors."""

# pyright: reportUnknownMemberType=false
# redis-py leaves its own **kwargs without types.

import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
from anyio.lowlevel import RunVar

from mbxai.errors import ConfigurationError, SessionStoreError
from mbxai.sessions._codec import unreadable

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

T = TypeVar("T")

MAX_CONNECTIONS: Final = 32
FIRST_PAUSE_SECONDS: Final = 0.05
MAX_PAUSE_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 5.0


class RedisLink:
    """A client on one event loop, closed with that loop."""

    def __init__(self, client: "Redis | RedisCluster") -> None:
        """Take a client; it is closed with this link."""
        self.client: Any = client  # Any: what both kinds have in common has no name
        self._keeper = self._keep()
        self._scripts: dict[str, Any] = {}  # Any: redis-py's AsyncScript

    async def open(self) -> None:
        """Begin to watch the loop: it closes the asynchronous generators that it has seen."""
        await anext(self._keeper)

    async def aclose(self) -> None:
        """Close the client."""
        await self._keeper.aclose()

    def script(self, text: str) -> Any:  # Any: redis-py's AsyncScript
        """Return a script that can be called; the server keeps it after its first run."""
        if text not in self._scripts:
            self._scripts[text] = self.client.register_script(text)
        return self._scripts[text]

    async def _keep(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.client.aclose()
            # A client that a Sentinel made leaves open those by which it asks for the master.
            pool = getattr(self.client, "connection_pool", None)
            for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
                await sentinel.aclose()


class RedisServer:
    """Where sessions are kept; it may be away for a moment."""

    def __init__(
        self, target: "str | Callable[[], Redis | RedisCluster]", *, wait_seconds: float
    ) -> None:
        """Remember where it is; nothing is connected yet.

        Args:
            target: A URL, or a function that makes a client of `redis.asyncio`.
            wait_seconds: How long an operation waits for a server that cannot be reached.
        """
        self._target = target
        self._wait_seconds = wait_seconds
        self._links: RunVar[RedisLink | None] = RunVar("mbxai_redis_link", None)

    async def run(self, operation: "Callable[[RedisLink], Awaitable[T]]", agent_id: str = "") -> T:
        """Run an operation, and again while the server cannot be reached and there is time.

        Args:
            operation: Gets the link; it must not matter whether it runs once more.
            agent_id: Whose session it is, for the error.

        Returns:
            What the operation returned.

        Raises:
            SessionDataError: The key holds something else.
            SessionStoreError: The server refused it, or could not be reached in time.
        """
        redis_error = _family()
        deadline, pause = time.monotonic() + self._wait_seconds, FIRST_PAUSE_SECONDS
        while True:
            try:
                return await operation(await self._link())
            except (redis_error, OSError) as error:
                if "WRONGTYPE" in str(error):
                    raise unreadable(agent_id) from error
                left = deadline - time.monotonic()
                if left <= 0 or not _is_passing(error):
                    raise _store_error(error, agent_id) from error
            await anyio.sleep(min(pause, left))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def aclose(self) -> None:
        """Close the client of this event loop; a later operation opens another."""
        link = self._links.get()
        self._links.set(None)
        if link is not None:
            await link.aclose()

    async def _link(self) -> RedisLink:
        link = self._links.get()
        if link is None:
            link = RedisLink(self._client())
            self._links.set(link)
            await link.open()  # does not give way, so no second task opens another one
        return link

    def _client(self) -> "Redis | RedisCluster":
        if not isinstance(self._target, str):
            client = self._target()
            if not inspect.iscoroutinefunction(getattr(client, "aclose", None)):
                raise ConfigurationError(
                    f"The target made a {type(client).__name__}, which cannot be awaited.",
                    hint="Make a client of redis.asyncio.",
                )
            return client
        from redis.asyncio import BlockingConnectionPool, Redis  # heavy

        try:
            pool = BlockingConnectionPool.from_url(
                self._target,
                max_connections=MAX_CONNECTIONS,
                timeout=max(self._wait_seconds, 1.0),
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
            )
        except ValueError:
            raise ConfigurationError(
                "The URL of the RedisSessionStore is not one that Redis knows.",
                hint="It looks like redis://host:6379/0, rediss:// or unix://.",
            ) from None
        return Redis.from_pool(pool)


def _family() -> type[Exception]:
    try:
        from redis.exceptions import RedisError  # heavy, and an extra
    except ImportError:
        raise ConfigurationError(
            "RedisSessionStore needs redis-py.", hint='Run: pip install "mbxai[redis]"'
        ) from None
    return RedisError


def _is_passing(error: Exception) -> bool:
    """Whether it may be over in a moment: a lost connection, a fail-over, a server that loads."""
    from redis import exceptions as known  # heavy

    if isinstance(error, known.AuthenticationError | known.AuthorizationError):
        return False
    return isinstance(
        error,
        known.ConnectionError
        | known.TimeoutError
        | known.ReadOnlyError
        | known.TryAgainError
        | known.ClusterDownError
        | OSError,
    )


def _store_error(error: Exception, agent_id: str) -> SessionStoreError:
    """Say what is wrong with Redis; its own words may hold an address, so they are the cause."""
    kind = type(error).__name__
    hint = "See the cause (__cause__)."
    if str(error).startswith("OOM") or kind == "OutOfMemoryError":
        hint = "Redis is full: raise maxmemory, or give sessions a ttl_seconds."
    elif kind in {"AuthenticationError", "AuthorizationError", "NoPermissionError"}:
        hint = "Check the user and password of the URL, and what the user may do."
    elif _is_passing(error):
        hint = "Check that Redis runs and can be reached from here."
    return SessionStoreError(f"Redis failed with {kind}.", hint=hint, agent_id=agent_id)
