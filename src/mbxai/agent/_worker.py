"""A worker: takes sessions that are due from an agent's store and lets them go on, many at once."""

import asyncio
import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from typing import Final, TypeAlias

import anyio
from anyio.abc import TaskGroup

from mbxai._cancellation import is_being_cancelled
from mbxai._redaction import get_logger
from mbxai.agent._client import AsyncAgentClient
from mbxai.agent._events import AgentEvent
from mbxai.agent._sync import AgentClient
from mbxai.agent._worker_pauses import Pauses
from mbxai.errors import (
    BudgetExceededError,
    ConfigurationError,
    SessionBusyError,
    SessionConflictError,
    SessionError,
    SessionNotFoundError,
)
from mbxai.sessions import DueSession, is_id

logger = get_logger(__name__)

EventCallback: TypeAlias = Callable[[DueSession, AgentEvent], object]
"""Gets what happens in a session that the worker runs."""

FailureCallback: TypeAlias = Callable[[Exception, str], object]
"""Gets what went wrong, and the session's id, which is empty where it is the store's problem."""

_IDLE_FACTOR: Final = 4
"""How much longer than usual a worker pauses that has found nothing for a while."""

_WINDOW: Final = 4
"""How many due sessions are looked at for each that can be taken; workers choose among them."""

_MAX_LIMIT: Final = 1000
_SWEPT_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    concurrency: int
    poll_seconds: float
    grace_seconds: float
    scope: str | None
    sweep_seconds: float
    on_error: FailureCallback | None
    watcher: EventCallback | None


class AsyncAgentWorker:
    """Runs the sessions of an agent's store that want a worker, in any number of processes.

    These are sessions that `agent.submit()` stored, that people answered, whose request expired,
    that failed for a passing reason, and that another worker left when it died. Workers need not
    know of each other: who claims a session runs it, and the others go on with something else.
    """

    def __init__(
        self,
        agent: AsyncAgentClient | AgentClient,
        *,
        concurrency: int = 8,
        poll_seconds: float = 1.0,
        grace_seconds: float = 30.0,
        scope: str | None = None,
        sweep_seconds: float = 300.0,
        on_error: FailureCallback | None = None,
        watcher: EventCallback | None = None,
    ) -> None:
        """Make a worker; nothing happens before it runs.

        Args:
            agent: Runs the sessions; its client needs the tools that they were planned with. It
                stays the caller's to close.
            concurrency: Sessions that run at once, at most.
            poll_seconds: Pause between two looks for work, about; four times as long while there is
                none. After a find the worker looks again at once.
            grace_seconds: After `stop()`, how long runs may take to come to rest; those that do not
                are cancelled, and are due again at once for another worker.
            scope: Whose sessions; None: everybody's.
            sweep_seconds: Pause between two removals of sessions whose time is up, about.
            on_error: Told of each failure that the worker goes on after: the error, and the
                session's id, which is empty where the store cannot be reached. A coroutine function
                is awaited, another one must not block.
            watcher: Gets each event of the sessions that this worker runs, pieces of text
                included, on the event loop; it must not block.

        Raises:
            ConfigurationError: The agent is none, or an option is impossible.
        """
        core: object = getattr(agent, "async_client", agent)
        if not isinstance(core, AsyncAgentClient):
            raise ConfigurationError(
                f"agent must be an agent client, not a {type(agent).__name__}."
            )
        if isinstance(concurrency, bool) or not concurrency >= 1:
            raise ConfigurationError(f"concurrency must be 1 or more, not {concurrency!r}.")
        for name, seconds in (("poll", poll_seconds), ("sweep", sweep_seconds)):
            if not 0 < seconds < math.inf:
                raise ConfigurationError(f"{name}_seconds must be positive, not {seconds!r}.")
        if not grace_seconds >= 0:
            raise ConfigurationError(
                f"grace_seconds must not be negative, but is {grace_seconds!r}."
            )
        if scope and not is_id(scope):
            raise ConfigurationError("A scope has up to 256 characters and no control characters.")
        for name, function in (("on_error", on_error), ("watcher", watcher)):
            if function is not None and not callable(function):
                raise ConfigurationError(f"{name} must be a function, not a {_kind(function)}.")
        self._agent = core
        self._terms = _Terms(
            concurrency=concurrency,
            poll_seconds=poll_seconds,
            grace_seconds=grace_seconds,
            scope=scope,
            sweep_seconds=sweep_seconds,
            on_error=on_error,
            watcher=watcher,
        )
        self._is_stopped = False
        self._shift: _Shift | None = None

    async def run(self, *, until_idle: bool = False) -> None:
        """Take and run sessions until `stop()`, or until this is cancelled.

        A store that cannot be reached is waited for. A session that fails in a way that nobody
        foresaw is logged and tried again, ever more rarely.

        Args:
            until_idle: Whether to return once nothing is due and nothing runs.

        Raises:
            ConfigurationError: It runs already, or the store lacks something that it needs.
        """
        if self._shift is not None:
            raise ConfigurationError(
                "This worker runs already.", hint="Make another AsyncAgentWorker."
            )
        shift = self._shift = _Shift(self._agent, self._terms)
        try:
            if not self._is_stopped:  # read after the line above: stop() does it the other way
                await shift.work(until_idle=until_idle)
        finally:
            self._shift = None

    def wake(self) -> None:
        """Have `run()` look for work now instead of in a while; from any thread."""
        shift = self._shift
        if shift is not None:
            shift.wake()

    def stop(self) -> None:
        """Have `run()` take nothing new and return; from any thread, or from a signal's handler.

        A worker that was stopped does not run again.
        """
        self._is_stopped = True
        shift = self._shift
        if shift is not None:
            shift.stop()


class _Shift:
    """One run of a worker."""

    def __init__(self, agent: AsyncAgentClient, terms: _Terms) -> None:
        self._agent = agent
        self._terms = terms
        self._loop = asyncio.get_running_loop()
        self._stopping = anyio.Event()
        self._running: set[DueSession] = set()
        self._changes = 0  # runs that ended, and times that somebody woke the worker
        self._change = anyio.Event()  # the next one
        self._pauses = Pauses(first_seconds=terms.poll_seconds)
        self._is_away = False
        self._chance = random.Random()  # noqa: S311 - to spread load

    def stop(self) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._stopping.set)

    def wake(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._something_changed)

    async def work(self, *, until_idle: bool) -> None:
        failure: ConfigurationError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._sweep)
            with anyio.CancelScope() as taking:
                group.start_soon(self._cancel_when_stopped, taking)
                try:
                    await self._take(group, until_idle=until_idle)
                except ConfigurationError as error:
                    failure = error
            with anyio.move_on_after(self._terms.grace_seconds):
                while self._running:
                    await self._change.wait()
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _cancel_when_stopped(self, taking: anyio.CancelScope) -> None:
        await self._stopping.wait()
        taking.cancel()

    # --- taking -----------------------------------------------------------------------------------

    async def _take(self, group: TaskGroup, *, until_idle: bool) -> None:
        """Start runs of due sessions, as many as may run at once."""
        pause = self._terms.poll_seconds
        while True:
            while len(self._running) >= self._terms.concurrency:
                await self._change.wait()
            changes = self._changes
            found = await self._look()
            for session in found or ():
                self._running.add(session)
                group.start_soon(self._run, session)
            if found:
                pause = self._terms.poll_seconds
                continue
            # A run that ended since then may have left something to do.
            is_idle = found is not None and not self._running and self._changes == changes
            if is_idle and until_idle:
                return
            if self._changes == changes:
                with anyio.move_on_after(pause * self._chance.uniform(0.75, 1.25)):
                    await self._change.wait()
                pause = min(pause * 2, self._terms.poll_seconds * _IDLE_FACTOR)

    async def _look(self) -> list[DueSession] | None:
        """Return due sessions that can be taken now; None if the store cannot tell.

        Raises:
            ConfigurationError: The store lacks something that waiting does not bring.
        """
        free = self._terms.concurrency - len(self._running)
        # Sessions that are not to be taken now must not hide the others.
        limit = free * _WINDOW + len(self._running) + len(self._pauses)
        try:
            due = await self._agent.store.due(scope=self._terms.scope, limit=min(limit, _MAX_LIMIT))
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - a worker outlives its store's troubles
            await self._lost(error)
            return None
        if self._is_away:
            logger.info("the session store is back")
        self._is_away = False
        wanted = [s for s in due if s not in self._running and s not in self._pauses]
        # Others look at the same sessions at this moment; chance sends each to other ones.
        return self._chance.sample(wanted, min(free, len(wanted)))

    async def _lost(self, error: Exception) -> None:
        """Tell once that the store cannot be used."""
        if not self._is_away:
            logger.warning("a worker waits for its session store: %s", _words(error))
            self._is_away = True
            await self._tell(error, "")

    # --- running ----------------------------------------------------------------------------------

    async def _run(self, session: DueSession) -> None:
        try:
            await self._resume(session)
        finally:
            self._running.discard(session)
            self._something_changed()

    def _something_changed(self) -> None:
        self._changes += 1
        self._change.set()
        self._change = anyio.Event()

    async def _resume(self, session: DueSession) -> None:
        agent_id, agent = session.agent_id, self._agent
        try:
            if session.scope != agent.scope:
                agent = agent.for_scope(session.scope)
            watcher = self._terms.watcher
            await agent.resume(agent_id, watcher=watcher and partial(watcher, session))
        except (SessionBusyError, SessionConflictError, SessionNotFoundError) as error:
            logger.debug("agent %s: left to others: %s", agent_id, type(error).__name__)
            self._pauses.once(session)
        except BudgetExceededError as error:
            logger.info("agent %s: stopped at its bound %s", agent_id, error.limit)
            self._pauses.forget(session)
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            # Something that a tool or a client awaited; it is not to end the other runs.
            await self._failed(session, RuntimeError(type(error).__name__))
        except Exception as error:  # noqa: BLE001 - of one session; the others go on
            await self._failed(session, error)
        else:
            self._pauses.forget(session)

    async def _failed(self, session: DueSession, error: Exception) -> None:
        seconds = self._pauses.longer(session)
        logger.warning(
            "agent %s: the run broke, again in %.0f s or more: %s",
            session.agent_id,
            seconds,
            _words(error),
        )
        await self._tell(error, session.agent_id)

    async def _tell(self, error: Exception, agent_id: str) -> None:
        if self._terms.on_error is None:
            return
        try:
            outcome = self._terms.on_error(error, agent_id)
            if isawaitable(outcome):
                await outcome
        except Exception as raised:  # noqa: BLE001 - the application's own function
            logger.warning("on_error raised %s", type(raised).__name__)

    # --- sweeping ---------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        pause = self._terms.sweep_seconds
        while True:
            # Chance keeps workers that were started together from sweeping together.
            await anyio.sleep(pause * self._chance.uniform(0.5, 1.0))
            pause = self._terms.sweep_seconds
            try:
                if await self._agent.store.sweep(limit=_SWEPT_AT_ONCE) >= _SWEPT_AT_ONCE:
                    pause = min(pause, self._terms.poll_seconds)
            except Exception as error:  # noqa: BLE001 - the next one may do
                logger.info("the session store is not swept: %s", _words(error))


def _words(error: Exception) -> str:
    """Say what is certain to hold nothing of a session's content."""
    is_ours = isinstance(error, SessionError | ConfigurationError)
    return str(error) if is_ours else type(error).__name__


def _kind(value: object) -> str:
    return type(value).__name__
