"""What a check works with: stores onto one place, a clock, and ids that nobody else has."""

import inspect
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar

import anyio

from mbxai.errors import ConfigurationError
from mbxai.sessions import SessionStore
from mbxai.testing.store_conformance._expect import NotApplicable

T = TypeVar("T")

OpenStore: TypeAlias = Callable[..., SessionStore]
"""Makes a store; called several times, for several workers, which must all see the same sessions.

It may take two keyword arguments, and is given those that its signature has: `now`, a clock
(seconds since the epoch) by which the store then tells the time, and `ttl_seconds`. Without `now`
the suite waits for short leases to run out; without `ttl_seconds` it says nothing about expiry.
`functools.partial(MyStore, address)` will do where the class has these arguments. A store that
lives in one object has to be given again for the same arguments, as `functools.cache` does it.
"""

LONG_SECONDS: Final = 60.0
"""A lease that does not run out while a check runs, except where its clock is set."""

_CLOCK_LEASE_SECONDS: Final = 10.0
_CLEANING_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much the suite does at once; lower the numbers for a slow store.

    Attributes:
        workers: Stores that claim at the same time, each of its own.
        sessions: Sessions that they claim.
        updates: Sessions that are read, changed and saved at the same time.
        tasks: Calls under way at the same time, at most.
        listed: Sessions that a list is asked for in pages.
        log_bytes: How long the longest log is.
        row_bytes: How long one of its rows is.
        cancellations: Saves that are cancelled at different moments.
        lease_seconds: How long a lease is that the suite waits for, where `open_store` takes no
            clock. The store and the machine must manage a call in a third of it.
        check_seconds: How long one check may take.
    """

    workers: int = 8
    sessions: int = 100
    updates: int = 200
    tasks: int = 64
    listed: int = 120
    log_bytes: int = 10 * 1024 * 1024
    row_bytes: int = 64 * 1024
    cancellations: int = 24
    lease_seconds: float = 0.3
    check_seconds: float = 120.0

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing would be checked.

        Raises:
            ConfigurationError: One of them is too low.
        """
        for name, least in (
            ("workers", 2),
            ("sessions", 1),
            ("updates", 1),
            ("tasks", 2),
            ("listed", 10),
            ("row_bytes", 16),
            ("cancellations", 1),
        ):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name} must be at least {least}.")
        if self.log_bytes < self.row_bytes:
            raise ConfigurationError("log_bytes must be at least row_bytes.")
        if not (self.lease_seconds > 0 and self.check_seconds > 0):
            raise ConfigurationError("lease_seconds and check_seconds must be above zero.")


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        """Begin at the present time."""
        self.time = float(int(time.time()))

    def __call__(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self.time


class Trial:
    """One run of one check; its stores are closed and its sessions removed at the end.

    Attributes:
        sizes: How much to do at once.
        clock: The clock of all stores; None where they tell the time themselves.
        lease: A lease that `outlive` gets to the end of, in seconds.
    """

    def __init__(self, open_store: OpenStore, sizes: Sizes) -> None:
        """Remember how stores are made; none is made yet."""
        self._open_store = open_store
        self._takes = _options_of(open_store)
        self._stores: list[SessionStore] = []
        self._sessions: dict[tuple[str, str], None] = {}  # a set that keeps the order
        self._run = secrets.token_hex(6)
        self.sizes = sizes
        self.clock = Clock() if "now" in self._takes else None
        self.lease = _CLOCK_LEASE_SECONDS if self.clock else sizes.lease_seconds

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what was written and close every store, whatever the check found."""
        with anyio.move_on_after(_CLEANING_SECONDS, shield=True):
            if self._stores:
                await self.at_once([self._removal(*key) for key in self._sessions])
            for store in self._stores:
                with suppress(Exception):  # a store is foreign code, and the check has its result
                    await store.aclose()

    @property
    def store(self) -> SessionStore:
        """The store of the first worker."""
        return self._stores[0] if self._stores else self.open()

    def open(self, *, ttl_seconds: float | None = None) -> SessionStore:
        """Make a store, for one more worker.

        Args:
            ttl_seconds: How long a session is kept after its last save; None: for ever.

        Returns:
            The store, which the trial closes.

        Raises:
            NotApplicable: Stores of this kind cannot be given that time.
        """
        options: dict[str, Any] = {}  # Any: keyword arguments of a foreign function
        if self.clock is not None:
            options["now"] = self.clock
        if ttl_seconds is not None:
            if "ttl_seconds" not in self._takes:
                raise NotApplicable("open_store takes no ttl_seconds")
            options["ttl_seconds"] = ttl_seconds
        store = self._open_store(**options)
        self._stores.append(store)
        return store

    def id(self, name: str = "a", scope: str = "") -> str:
        """Give a session's id, which no other run has, and remember it for the end.

        Args:
            name: Tells the sessions of one check apart.
            scope: The scope in which the check makes it.

        Returns:
            Some letters more than the name.
        """
        return self.remember(f"{name}-{self._run}", scope)

    def remember(self, agent_id: str, scope: str = "") -> str:
        """Note a session that has to be removed at the end.

        Args:
            agent_id: Its id.
            scope: Its scope.

        Returns:
            The id.
        """
        self._sessions[scope, agent_id] = None
        return agent_id

    def scope(self, name: str = "scope") -> str:
        """Give a scope that no other run has.

        Args:
            name: Tells the scopes of one check apart.

        Returns:
            Some letters more than the name.
        """
        return f"{name}-{self._run}"

    def now(self) -> float:
        """Tell the time of the stores' clock, or where there is none, one that runs as fast."""
        return self.clock() if self.clock else time.monotonic()

    async def pass_time(self, seconds: float) -> None:
        """Set the clock forward, or wait for as long.

        Args:
            seconds: How long.
        """
        if self.clock is None:
            await anyio.sleep(seconds)
        else:
            self.clock.time += seconds

    async def outlive(self, seconds: float) -> None:
        """Let a lease or a time to live run out.

        Args:
            seconds: How long it is.
        """
        await self.pass_time(seconds + (1 if self.clock else 0.05))

    def needs_whole_log(self) -> None:
        """Leave the check if the store keeps only the newest rows.

        Raises:
            NotApplicable: It does.
        """
        if not self.store.keeps_log:
            raise NotApplicable("keeps_log is False: only the newest rows are kept")

    async def at_once(self, calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
        """Make many calls, each in a task of its own, not more than `sizes.tasks` at a time.

        Args:
            calls: Functions without arguments.

        Returns:
            What they gave, in the order of the calls.

        Raises:
            Exception: What the first call that failed has raised.
        """
        made = list(calls)
        results: dict[int, T] = {}
        errors: dict[int, Exception] = {}
        limiter = anyio.Semaphore(self.sizes.tasks)

        async def run(number: int, call: Callable[[], Awaitable[T]]) -> None:
            async with limiter:
                if errors:
                    return
                try:
                    results[number] = await call()
                except Exception as error:  # noqa: BLE001  # foreign code; raised again below
                    errors[number] = error

        async with anyio.create_task_group() as group:
            for number, call in enumerate(made):
                group.start_soon(run, number, call)
        if errors:
            raise errors[min(errors)]
        return [results[number] for number in range(len(made))]

    def _removal(self, scope: str, agent_id: str) -> Callable[[], Awaitable[None]]:
        async def remove() -> None:
            with suppress(Exception):  # a store is foreign code, and the check has its result
                await self._stores[0].delete(agent_id, scope=scope)

        return remove


def _options_of(open_store: OpenStore) -> frozenset[str]:
    """Tell which of the suite's keyword arguments a function has a place for."""
    known = frozenset({"now", "ttl_seconds"})
    try:
        parameters = inspect.signature(open_store).parameters.values()
    except ValueError:  # some functions that are not written in Python have none
        return frozenset()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return known
    by_name = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return known & {parameter.name for parameter in parameters if parameter.kind in by_name}
