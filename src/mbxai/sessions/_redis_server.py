"""A Redis that may be away for a moment: a client for each event loop, patience, and errors."""

# pyright: reportUnknownMemberType=false
# redis-py leaves its own **kwargs without types.

import asyncio
import hashlib
import inspect
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import RunVar

from mbxai.errors import ConfigurationError, SessionStoreError
from mbxai.sessions._codec import unreadable

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

T = TypeVar("T")
Target: TypeAlias = "str | Callable[[], Redis | RedisCluster]"
Values: TypeAlias = list[Any]  # Any: bytes, whole numbers, None and lists of them

MAX_CONNECTIONS: Final = 32
MAX_BLOCKED: Final = 8
FIRST_PAUSE_SECONDS: Final = 0.05
MAX_PAUSE_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 5.0

_PASSING: Final = ("NOREPLICAS", "BUSY ", "UNBLOCKED")
_RAW: Final[dict[str, Any]] = {"NEVER_DECODE": True}  # Any: an option of redis-py


class RedisLink:
    """A client on one event loop, closed with that loop."""

    def __init__(self, client: "Redis | RedisCluster") -> None:
        """Take a client; it is closed with this link."""
        self._client: Any = client  # Any: what both kinds have in common has no name
        self._keeper = self._keep()
        self._pool = getattr(client, "connection_pool", None)
        self._is_cluster = self._pool is None
        # A client that a Sentinel made leaves open those by which it asks for the master. They are
        # noted now, since redis-py may lose one of them while it sorts its own list.
        manager = getattr(self._pool, "sentinel_manager", None)
        self._sentinels: tuple[Any, ...] = tuple(getattr(manager, "sentinels", ()))
        connections = getattr(self._pool, "max_connections", None)
        if self._is_cluster:
            connections = getattr(client, "connection_kwargs", {}).get("max_connections")
        connections = min(connections or MAX_CONNECTIONS, MAX_CONNECTIONS)
        blocked = min(MAX_BLOCKED, connections // 4)
        if getattr(client, "single_connection_client", False):
            blocked = 0
        # Many pools refuse whoever finds no connection: waiting for a turn is fairer than that.
        self._blocked = anyio.Semaphore(blocked, fast_acquire=True)
        self._running = anyio.Semaphore(connections - blocked, fast_acquire=True)
        self._is_ready = not self._is_cluster
        self._preparing = anyio.Lock()  # guards _is_ready

    async def open(self) -> None:
        """Begin to watch the loop: it closes the asynchronous generators that it has seen."""
        await anext(self._keeper)

    async def aclose(self) -> None:
        """Close the client."""
        await self._keeper.aclose()

    async def script(self, text: str, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Values:
        """Run a script, which the server keeps after its first run.

        Args:
            text: The script.
            keys: The keys that it touches.
            arguments: What it is given.

        Returns:
            What it returned, as bytes even from a client that decodes.
        """
        from redis.exceptions import NoScriptError  # heavy

        rest = (len(keys), *keys, *arguments)
        async with self._running:
            try:
                return await self._command("EVALSHA", _digest(text), *rest)
            except NoScriptError:
                return await self._command("EVAL", text, *rest)

    async def confirmed(
        self, text: str, keys: Sequence[bytes], arguments: Sequence[bytes], *, replicas: int
    ) -> Values:
        """Run a script that writes, and wait until replicas have what it wrote.

        Args:
            text: The script.
            keys: The keys that it touches.
            arguments: What it is given.
            replicas: How many replicas must confirm it.

        Returns:
            What the script returned.

        Raises:
            UnconfirmedError: It was written, and too few replicas said within a second that they
                have it.
        """
        from redis.exceptions import NoScriptError  # heavy

        rest = (len(keys), *keys, *arguments)
        for command, name in (("EVALSHA", _digest(text)), ("EVAL", text)):
            # One connection runs both, else WAIT would ask about the writes of another.
            async with self._running, self._client.pipeline(transaction=False) as pipeline:
                pipeline.execute_command(command, name, *rest, **_RAW)
                pipeline.execute_command("WAIT", replicas, 1000)
                answer, confirmed = await pipeline.execute(raise_on_error=False)
            if isinstance(answer, NoScriptError):
                continue
            for result in (answer, confirmed):
                if isinstance(result, Exception):
                    raise result
            if confirmed < replicas:
                raise UnconfirmedError
            return answer
        raise UnconfirmedError

    async def block(self, stream: bytes, *, after: int, seconds: float) -> bool:
        """Wait at the server for a later entry, unless many wait there already.

        Args:
            stream: The key of the stream.
            after: The number of the last entry that is known.
            seconds: How long to wait at most.

        Returns:
            Whether there was a place to wait at.
        """
        try:
            self._blocked.acquire_nowait()
        except anyio.WouldBlock:
            return False
        options = getattr(self._pool, "connection_kwargs", {})
        patience = options.get("socket_timeout") or ANSWER_SECONDS
        milliseconds = math.ceil(min(seconds, patience / 2) * 1000)
        streams = ("STREAMS", stream, f"{after}-0")
        failed: list[Exception] = []

        async def ask() -> None:
            try:
                await self._command("XREAD", "COUNT", 1, "BLOCK", milliseconds, *streams)
            except (*_families(), OSError) as error:  # raised below, and not in a group
                failed.append(error)

        try:
            # A scope cancels again where a cancellation gets lost; see `run`.
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
        finally:
            self._blocked.release()
        if failed:
            raise failed[0]
        return True

    async def _command(self, *words: Any) -> Values:  # Any: bytes, text and numbers
        if not self._is_ready:
            async with self._preparing:
                if not self._is_ready:
                    await self._client.initialize()
                    self._is_ready = True
        try:
            return await self._client.execute_command(*words, **_RAW)
        except AttributeError as error:
            if not self._is_cluster:
                raise
            # Where a node is lost, redis-py closes the connections that others are just opening.
            raise ConnectionResetError("a connection to the cluster was closed") from error

    async def _keep(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self._client.aclose()
            for sentinel in self._sentinels:
                await sentinel.aclose()


class UnconfirmedError(Exception):
    """Something was written, and too few replicas have confirmed it yet."""


class RedisServer:
    """Where sessions are kept; it may be away for a moment."""

    def __init__(self, target: Target, *, wait_seconds: float, min_replicas: int = 0) -> None:
        """Remember where it is; nothing is connected yet.

        Args:
            target: A URL, or a function that makes a client of `redis.asyncio`.
            wait_seconds: How long an operation waits for a server that cannot be reached.
            min_replicas: How many replicas must have a write before it counts as done.
        """
        self._target = target
        self._wait_seconds = wait_seconds
        self._min_replicas = min_replicas
        self._links: RunVar[RedisLink | None] = RunVar("mbxai_redis_link", None)

    async def read(
        self, text: str, keys: Sequence[bytes], arguments: Sequence[bytes], agent_id: str = ""
    ) -> Values:
        """Run a script that a session does not depend on; see `run`."""
        return await self.run(lambda link: link.script(text, keys, arguments), agent_id)

    async def write(
        self, text: str, keys: Sequence[bytes], arguments: Sequence[bytes], agent_id: str
    ) -> Values:
        """Run a script that writes a session, and may run again; see `run`."""
        if not self._min_replicas:
            return await self.read(text, keys, arguments, agent_id)
        return await self.run(
            lambda link: link.confirmed(text, keys, arguments, replicas=self._min_replicas),
            agent_id,
        )

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
        task = asyncio.current_task()
        cancelled = task.cancelling() if task is not None else 0
        families = (*_families(), UnconfirmedError, OSError)
        deadline, pause = time.monotonic() + self._wait_seconds, FIRST_PAUSE_SECONDS
        limit = max(self._wait_seconds, ANSWER_SECONDS)
        while True:
            try:
                # A client of the caller's own may try again for longer than we are to wait.
                with anyio.fail_after(limit):
                    answer = await operation(await self._link())
            except families as error:
                if "WRONGTYPE" in str(error) and agent_id:
                    raise unreadable(agent_id) from error
                limit = deadline - time.monotonic()
                if limit <= 0 or not _is_passing(error):
                    raise _store_error(error, agent_id) from error
            else:
                if task is not None and task.cancelling() > cancelled:
                    # Until Python 3.12 asyncio.wait_for, by which redis-py sends, loses a
                    # cancellation that comes in the moment in which it is done.
                    raise asyncio.CancelledError
                return answer
            await anyio.sleep(min(pause, limit))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)
            limit = max(deadline - time.monotonic(), FIRST_PAUSE_SECONDS)

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
            client = _made(self._target)
            if not inspect.iscoroutinefunction(getattr(client, "aclose", None)):
                raise ConfigurationError(
                    f"The target made a {type(client).__name__}, which cannot be awaited.",
                    hint="Make a client of redis.asyncio.",
                )
            if self._min_replicas and not hasattr(client, "connection_pool"):
                raise ConfigurationError(
                    "min_replicas is for a single master, and the target made a cluster's client.",
                    hint="Leave it out, or set min-replicas-to-write on the nodes.",
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


def _made(target: "Callable[[], Redis | RedisCluster]") -> "Redis | RedisCluster":
    try:
        return target()
    except Exception as error:  # a function of the caller's own
        raise ConfigurationError(
            f"The target of the RedisSessionStore raised {type(error).__name__}.",
            hint="Its own error is the cause of this one (__cause__).",
        ) from error


@cache
def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _families() -> tuple[type[Exception], ...]:
    try:
        from redis.exceptions import RedisClusterException, RedisError  # heavy, and an extra
    except ImportError:
        raise ConfigurationError(
            "RedisSessionStore needs redis-py.", hint='Run: pip install "mbxai[redis]"'
        ) from None
    return RedisError, RedisClusterException


def _is_passing(error: Exception) -> bool:
    """Whether it may be over in a moment: a lost connection, a fail-over, a server that loads."""
    from redis import exceptions as known  # heavy

    if isinstance(error, known.AuthenticationError | known.AuthorizationError):
        return False
    if str(error).startswith(_PASSING):
        return True
    return isinstance(
        error,
        known.ConnectionError
        | known.TimeoutError
        | known.ReadOnlyError
        | known.TryAgainError
        | known.ClusterDownError
        | known.AskError
        | known.RedisClusterException
        | UnconfirmedError
        | OSError,
    )


def _store_error(error: Exception, agent_id: str) -> SessionStoreError:
    """Say what is wrong with Redis; its own words may hold an address, so they are the cause."""
    kind, text = type(error).__name__, str(error)
    hint = "See the cause (__cause__)."
    if isinstance(error, UnconfirmedError):
        return SessionStoreError(
            "Too few replicas of Redis confirmed a write.",
            hint="It may be kept or lost. Load the session to see; check the replicas.",
            agent_id=agent_id,
        )
    if text.startswith("OOM") or kind == "OutOfMemoryError":
        hint = "Redis is full: raise maxmemory, or give sessions a ttl_seconds."
    elif text.startswith("MISCONF"):
        hint = "Redis cannot write to its disk and refuses writes until it can."
    elif kind in {"AuthenticationError", "AuthorizationError", "NoPermissionError"}:
        hint = "Check the user and password of the URL, and what the user may do."
    elif _is_passing(error):
        hint = "Check that Redis runs and can be reached from here."
    return SessionStoreError(f"Redis failed with {kind}.", hint=hint, agent_id=agent_id)
