"""A Postgres that may be away for a moment: connections of each event loop, patience, and errors.

The connections are kept here and not in a pool of psycopg's, which connects in tasks of its own:
there is nothing that runs on after its caller, and why a connection fails is told at once.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import RunVar

from mbxai.errors import ConfigurationError, SessionStoreError
from mbxai.sessions._postgres_schema import Tables

if TYPE_CHECKING:
    from psycopg import AsyncConnection

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]  # Any: columns
Connection: TypeAlias = "AsyncConnection[Row]"

FIRST_PAUSE_SECONDS: Final = 0.05
MAX_PAUSE_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
POLL_SECONDS: Final = 5.0
CANCEL_SECONDS: Final = 1.0

# A connection that is refused has no SQLSTATE, only words.
_FOR_GOOD: Final = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password",
    "invalid integer value",
    "invalid port number",
)
_TOO_MANY: Final = ("too many clients", "too many connections", "connection slots")
# By the first letters of SQLSTATE: what may be over in a moment.
_PASSING: Final = (
    *("08", "25006", "25P03", "25P04", "40001", "40P01", "53300", "55P03", "57014", "57P"),
)


class PostgresLink:
    """The connections of one event loop, closed with that loop."""

    def __init__(self, target: str, tables: Tables, *, max_connections: int) -> None:
        """Remember where the server is; nothing is connected yet.

        Args:
            target: A URL or a connection string.
            tables: What must be there.
            max_connections: How many connections there may be at once, without the listening one.
        """
        self._target = target
        self._tables = tables
        self._places = anyio.Semaphore(max_connections)
        self._idle: list[Connection] = []
        self._is_open = True
        self._is_ready = False
        self._preparing = anyio.Lock()
        self._listening: Connection | None = None
        self._is_subscribed = False
        self._subscribing = anyio.Lock()
        self._leading = anyio.Lock()  # who has it reads notifications, for all who wait
        self._waiting: dict[str, set[anyio.Event]] = {}
        self._keeper = self._keep()

    async def open(self) -> None:
        """Begin to watch the loop: it closes the asynchronous generators that it has seen."""
        await anext(self._keeper)

    async def aclose(self) -> None:
        """Close all connections that nobody uses now, and each other one after its use."""
        await self._keeper.aclose()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Lend a connection; one that comes back within a transaction is not used again."""
        async with self._places:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                await self._prepare(connection)
                yield connection
            finally:
                if self._is_open and _is_at_rest(connection):
                    self._idle.append(connection)
                else:
                    # What has ended this one has most likely ended those that nobody uses, too.
                    idle: list[Connection] = []
                    if connection.closed:
                        idle, self._idle = self._idle, []
                    for ended in (connection, *idle):
                        await _close(ended)

    @asynccontextmanager
    async def registered(self, key: str) -> AsyncGenerator[anyio.Event]:
        """Give an event that is set by the next notification with a key."""
        told = anyio.Event()
        self._waiting.setdefault(key, set()).add(told)
        try:
            yield told
        finally:
            self._waiting[key].discard(told)
            if not self._waiting[key]:
                del self._waiting[key]
            if not self._waiting:
                await self._unlisten()

    async def listen(self) -> Connection:
        """Subscribe to notifications, if that is not done yet."""
        async with self._subscribing:
            if self._listening is None or self._listening.closed:
                self._listening, self._is_subscribed = await self._connect(), False
            if not self._is_subscribed:
                try:
                    await self._listening.execute(self._tables.listen)
                except BaseException:
                    await _close(self._listening)
                    raise
                self._is_subscribed = True
            return self._listening

    async def _unlisten(self) -> None:
        """End the subscription when nobody waits any more.

        A server keeps notifications for everybody until the last subscriber has read them, and in
        the end refuses to send new ones.
        """
        from psycopg import Error  # heavy, and an extra

        with anyio.CancelScope(shield=True):
            async with self._subscribing:
                connection = self._listening
                if self._waiting or connection is None:
                    return
                if self._is_open and not connection.closed:
                    with suppress(Error, OSError), anyio.fail_after(CANCEL_SECONDS):
                        await connection.execute(b"UNLISTEN *")
                        self._is_subscribed = False
                        return
                self._listening = None
                await _close(connection)

    async def told(self, event: anyio.Event, timeout_seconds: float) -> None:
        """Wait for an event of `registered`, and read notifications for all if nobody else does.

        Args:
            event: What to wait for.
            timeout_seconds: How long to wait at most.
        """
        with anyio.move_on_after(timeout_seconds):
            async with anyio.create_task_group() as group:
                group.start_soon(self._lead)
                await event.wait()
                group.cancel_scope.cancel()

    async def _lead(self) -> None:
        from psycopg import Error  # heavy, and an extra

        async with self._leading:
            while True:
                connection, before = None, self._listening
                try:
                    connection = await self.listen()
                    if connection is not before:
                        self._wake_all()  # nobody knows what was announced in between
                    async with aclosing(connection.notifies()) as notifications:
                        async for notification in notifications:
                            for event in self._waiting.get(notification.payload, ()):
                                event.set()
                except (Error, OSError):  # those who wait look for themselves now and then
                    if connection is not None:
                        await _close(connection)
                    await anyio.sleep(MAX_PAUSE_SECONDS)

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def _connect(self) -> Connection:
        from psycopg import AsyncConnection, IsolationLevel  # heavy, and an extra

        with anyio.fail_after(CONNECT_SECONDS):
            connection = await AsyncConnection.connect(
                self._target, autocommit=True, client_encoding="utf8"
            )
        # Whatever the server's default is: a row must be read after the wait for its lock.
        await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)
        return connection

    async def _prepare(self, connection: Connection) -> None:
        if not self._is_ready:
            async with self._preparing:
                if not self._is_ready:
                    await self._tables.prepare(connection)
                    self._is_ready = True

    async def _keep(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._is_open = False
            idle, self._idle = self._idle, []
            listening, self._listening = self._listening, None
            for connection in [*idle, *filter(None, [listening])]:
                await _close(connection)


class PostgresServer:
    """Where sessions are kept; it may be away for a moment."""

    def __init__(
        self, target: str, tables: Tables, *, wait_seconds: float, max_connections: int
    ) -> None:
        """Remember where it is; nothing is connected yet.

        Args:
            target: A URL or a connection string.
            tables: What must be there.
            wait_seconds: How long an operation waits for a server that cannot be reached.
            max_connections: How many connections an event loop may have.
        """
        self._target = target
        self._tables = tables
        self._wait_seconds = wait_seconds
        self._max_connections = max_connections
        self._links: RunVar[PostgresLink | None] = RunVar("mbxai_postgres_link", None)

    async def run(self, operation: Callable[[Connection], Awaitable[T]], agent_id: str = "") -> T:
        """Run an operation, and again while the server cannot be reached and there is time.

        Args:
            operation: Gets a connection; it must not matter whether it runs once more.
            agent_id: Whose session it is, for the error.

        Returns:
            What the operation returned.

        Raises:
            SessionStoreError: The server refused it, or could not be reached in time.
        """
        family = _family()
        deadline, pause = time.monotonic() + self._wait_seconds, FIRST_PAUSE_SECONDS
        limit = max(self._wait_seconds, ANSWER_SECONDS)
        reason: Exception | None = None
        while True:
            try:
                with anyio.fail_after(limit):
                    return await _cancelled_once(self._attempt(operation))
            except (family, OSError, UnicodeError) as error:
                if reason is None or not isinstance(error, TimeoutError):
                    reason = error  # what the server said tells more than that time is up
                limit = deadline - time.monotonic()
                if limit <= 0 or not _is_passing(error):
                    raise _store_error(reason, agent_id) from reason
            await anyio.sleep(min(pause, limit))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)
            limit = max(deadline - time.monotonic(), FIRST_PAUSE_SECONDS)

    async def wait_for(
        self, key: str, look: Callable[[], Awaitable[bool]], timeout_seconds: float
    ) -> bool:
        """Look, and again at each notification with a key, until there is something.

        Args:
            key: The text of the notifications.
            look: Whether there is something.
            timeout_seconds: How long to wait at most.

        Returns:
            Whether there is.
        """
        family = _family()
        deadline = time.monotonic() + timeout_seconds
        if await look():
            return True
        while deadline > time.monotonic():
            link = await self._link()
            async with link.registered(key) as event:
                with suppress(family, OSError):  # then it is looked at now and then
                    await link.listen()
                if await look():
                    return True
                await link.told(event, min(deadline - time.monotonic(), POLL_SECONDS))
        return False

    async def aclose(self) -> None:
        """Close the connections of this event loop; a later operation opens others."""
        link = self._links.get()
        self._links.set(None)
        if link is not None:
            await link.aclose()

    async def _attempt(self, operation: Callable[[Connection], Awaitable[T]]) -> T:
        link = await self._link()
        async with link.connection() as connection:
            return await operation(connection)

    async def _link(self) -> PostgresLink:
        link = self._links.get()
        if link is None:
            _check_target(self._target)
            link = PostgresLink(self._target, self._tables, max_connections=self._max_connections)
            self._links.set(link)
            await link.open()  # does not give way, so no second task opens another one
        return link


async def _cancelled_once(work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine is sent
    """Run work to its end in a task of its own, which is cancelled once when the caller is.

    psycopg then cancels the query at the server. anyio cancels at every step, which psycopg takes
    for the wish to leave at once, and the query would go on with nobody waiting for it.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            while not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task], timeout=CANCEL_SECONDS)
        if not task.cancelled():
            task.exception()  # it has been looked at: nobody is left who could use it
        raise
    return task.result()


def _check_target(target: str) -> None:
    """Refuse what is no address here, as psycopg repeats it in its error with the password."""
    from psycopg import ProgrammingError  # heavy, and an extra
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(target)
    except (ProgrammingError, ValueError):
        raise ConfigurationError(
            "The address of the PostgresSessionStore is not one that Postgres knows.",
            hint="It looks like postgresql://user@host:5432/database or host=... dbname=...",
        ) from None


def _is_at_rest(connection: Connection) -> bool:
    from psycopg.pq import TransactionStatus  # heavy, and an extra

    return connection.info.transaction_status == TransactionStatus.IDLE


async def _close(connection: Connection) -> None:
    with anyio.CancelScope(shield=True), suppress(Exception):
        with anyio.move_on_after(1.0):
            await connection.close()


def _family() -> type[Exception]:
    try:
        from psycopg import Error  # heavy, and an extra
    except ImportError:
        raise ConfigurationError(
            "PostgresSessionStore needs psycopg.", hint='Run: pip install "mbxai[postgres]"'
        ) from None
    return Error


def _is_passing(error: Exception) -> bool:
    """Whether it may be over in a moment: a lost connection, a restart, a fail-over."""
    from psycopg import InterfaceError, OperationalError  # heavy

    if not isinstance(error, OperationalError):
        return isinstance(error, OSError | InterfaceError) or _state(error).startswith(_PASSING)
    if _state(error):
        return _state(error).startswith(_PASSING)
    return not any(words in str(error) for words in _FOR_GOOD)


def _state(error: Exception) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _store_error(error: Exception, agent_id: str) -> SessionStoreError:
    """Say what is wrong with Postgres; its own words may hold an address, so they are the cause."""
    state = _state(error)
    hint = "See the cause (__cause__)."
    if state == "53300" or any(words in str(error) for words in _TOO_MANY):
        hint = "Postgres has no connection left: raise its max_connections, or lower the store's."
    elif state.startswith("53"):
        hint = "Postgres has no room: free some disk or memory."
    elif state in {"57014", "55P03"}:
        hint = "A time limit of the server ended it: it is slow, or somebody holds the session."
    elif state.startswith("42501"):
        hint = "Grant the user CREATE on the database once, or the rights on the tables."
    elif state.startswith("25006"):
        hint = "This server takes no writes: give the address of the primary."
    elif state.startswith("28") or any(words in str(error) for words in _FOR_GOOD):
        hint = "Check user, password and database of the address."
    elif isinstance(error, UnicodeError) or state == "22P05" or "(0x00)" in str(error):
        hint = "An owner or a status has a letter that this database does not store."
    elif _is_passing(error):
        hint = "Check that Postgres runs and can be reached from here."
    return SessionStoreError(
        f"Postgres failed with {type(error).__name__}.", hint=hint, agent_id=agent_id
    )
