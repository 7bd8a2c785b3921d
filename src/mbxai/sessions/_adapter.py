"""A five-method session handler as a session store."""

import inspect
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from anyio import CapacityLimiter, from_thread, to_thread
from anyio.lowlevel import RunVar

from mbxai.errors import ConfigurationError, SessionError, SessionStoreError
from mbxai.sessions._codec import RESERVED_KEYS, decode, encode, unreadable
from mbxai.sessions._guard import GuardedSessionStore
from mbxai.sessions._lease import StoredSession, check_claim, claimed, released, saved
from mbxai.sessions._memory import InMemorySessionStore
from mbxai.sessions._store import SessionRecord, SessionStore, check_agent_id

logger = logging.getLogger(__name__)

T = TypeVar("T")
D = TypeVar("D", bound=StoredSession | None)

MAX_THREADS: Final = 16
MAX_ATTEMPTS: Final = 32
LOCKS: Final = 64

# Handlers block, and their calls wait for one another: they get threads of their own, so that a
# handler which itself needs a worker thread can never wait for one that waits for it.
_limiter: RunVar[CapacityLimiter] = RunVar("mbxai_handler_limiter")

# Sessions of handlers without compare_and_set, by handler and id. Striped and kept for good: a
# session may share a lock with a stranger, which costs a little waiting and nothing else.
_locks: Final = [threading.Lock() for _ in range(LOCKS)]

_warned: Final[set[type]] = set()


def as_store(target: object = None) -> SessionStore:
    """Make a session store of whatever the caller has.

    Args:
        target: A store, an object with the handler's five methods, or None for this process's
            memory. A handler's methods are looked up when they are first needed.

    Returns:
        The store itself, or an adapter; a store that is not of mbxai behind a guard that makes its
        foreign exceptions SessionStoreErrors.

    Raises:
        ConfigurationError: It is a class, a path or other plain data.
    """
    if target is None:
        return InMemorySessionStore()
    if isinstance(target, type):
        raise ConfigurationError(
            f"A session handler must be an object, not the class {target.__name__}.",
            hint=f"Write {target.__name__}().",
        )
    kind = type(target).__name__
    if isinstance(target, (str, bytes, int, float, dict, Path)):
        raise ConfigurationError(
            f"A {kind} is no session handler.",
            hint="Give an object with get_session, set_session, delete_session, list_sessions and"
            " session_exists, or SQLiteSessionStore(path).",
        )
    if not isinstance(target, SessionStore):
        return HandlerSessionStore(target)
    is_ours = type(target).__module__.startswith("mbxai.")
    return target if is_ours else GuardedSessionStore(target)


class HandlerSessionStore:
    """Keeps sessions in a user's handler.

    Blocking methods run in worker threads, coroutine functions on the caller's loop. The dict that
    the handler stores is the session's data plus two keys: `version`, which grows with every write
    and is what the optional `compare_and_set` compares, and `_store` with fence and lease. Without
    `compare_and_set` the handler is guarded within this process; other processes see the lease, but
    two of them that claim in the same instant may both succeed.

    A caller that is cancelled does not wait for the handler: what it began may still be written.
    """

    def __init__(self, handler: object, *, now: Callable[[], float] = time.time) -> None:
        """Remember the handler; none of its methods is looked up yet.

        Args:
            handler: An object with the methods of `SessionHandler`, blocking or async. It stays
                the caller's to close.
            now: The clock, in seconds since the epoch.
        """
        self._handler = handler
        self._now = now

    async def load(self, agent_id: str) -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`.

        Args:
            agent_id: Which session.

        Returns:
            The session as last saved; None if there is none of this id.

        Raises:
            SessionDataError: The handler gave no session.
            SessionStoreError: The handler raised or lacks a method.
        """
        check_agent_id(agent_id)

        def read() -> SessionRecord | None:
            stored, _ = self._read(agent_id)
            return stored.record(agent_id) if stored else None

        return await _in_thread(read)

    async def claim(self, agent_id: str, *, owner: str, lease_seconds: float) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`.

        Args:
            agent_id: Which session.
            owner: Names one run.
            lease_seconds: How long the claim outlives its owner's last word.

        Returns:
            The session as it is now.

        Raises:
            SessionBusyError: Another owner's lease is running.
            SessionDataError: The handler gave no session; it is left as it is.
            SessionStoreError: The handler raised or lacks a method.
        """
        check_agent_id(agent_id)
        check_claim(owner, lease_seconds)

        def decide(stored: StoredSession | None) -> StoredSession:
            return claimed(
                stored, agent_id, owner=owner, lease_seconds=lease_seconds, now=self._now()
            )

        stored = await _in_thread(lambda: self._change(agent_id, decide))
        return stored.record(agent_id)

    async def save(
        self,
        record: SessionRecord,
        data: dict[str, Any],  # Any: JSON
        *,
        owner: str,
    ) -> SessionRecord:
        """Store new data by compare-and-set and renew the lease; see `SessionStore.save`.

        Args:
            record: What `claim` or the last `save` gave.
            data: JSON with string keys.
            owner: Who claimed it.

        Returns:
            The stored record, one version later.

        Raises:
            SessionConflictError: The session was taken over, saved or deleted by another.
            SessionDataError: `data` is no JSON.
            SessionStoreError: The handler raised or lacks a method.
        """
        check_agent_id(record.agent_id)
        text = encode(data, agent_id=record.agent_id)

        def decide(stored: StoredSession | None) -> StoredSession:
            return saved(stored, record, text, owner=owner, now=self._now())

        stored = await _in_thread(lambda: self._change(record.agent_id, decide))
        return stored.record(record.agent_id)

    async def release(self, record: SessionRecord, *, owner: str) -> None:
        """Give a claimed session back; see `SessionStore.release`.

        Args:
            record: Any record of the present claim.
            owner: Who claimed it.

        Raises:
            SessionStoreError: The handler raised or lacks a method.
        """
        check_agent_id(record.agent_id)

        def decide(stored: StoredSession | None) -> StoredSession | None:
            return released(stored, record, owner=owner, now=self._now())

        await _in_thread(lambda: self._change(record.agent_id, decide))

    async def delete(self, agent_id: str) -> bool:
        """Remove a session, readable or not; see `SessionStore.delete`.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one, as far as the handler says so.

        Raises:
            SessionStoreError: The handler raised or lacks a method.
        """
        check_agent_id(agent_id)
        return bool(await _in_thread(lambda: self._call("delete_session", agent_id)))

    async def aclose(self) -> None:
        """Do nothing: the handler belongs to the caller."""

    async def list(self) -> list[str]:
        """Name every session.

        Returns:
            The ids, sorted.

        Raises:
            SessionStoreError: The handler raised, lacks a method, or gave no list.
        """
        ids = await _in_thread(lambda: self._call("list_sessions"))
        if not isinstance(ids, (list, tuple, set, frozenset)):
            name = type(self._handler).__name__
            raise SessionStoreError(f"{name}.list_sessions() gave no list of agent ids.")
        return sorted(
            agent_id.decode(errors="replace") if isinstance(agent_id, bytes) else str(agent_id)
            for agent_id in cast("list[object]", ids)
        )

    def _change(self, agent_id: str, decide: Callable[[StoredSession | None], D]) -> D:
        if _method(self._handler, "compare_and_set") is None:
            self._warn_once()
            with _locks[hash((id(self._handler), agent_id)) % LOCKS]:
                before, revision = self._read(agent_id)
                after = decide(before)
                if after is not before:
                    self._write(agent_id, after, revision)
                return after
        for _ in range(MAX_ATTEMPTS):
            before, revision = self._read(agent_id)
            after = decide(before)
            if after is before or self._write(agent_id, after, revision, compare=True):
                return after
            # Somebody else was faster; decide anew about what is stored now. Nothing is merged.
        raise SessionStoreError(
            f"Session {agent_id!r} changed {MAX_ATTEMPTS} times while it was being written.",
            hint=f"Check {type(self._handler).__name__}.compare_and_set.",
            agent_id=agent_id,
        )

    def _read(self, agent_id: str) -> tuple[StoredSession | None, int]:
        session = self._call("get_session", agent_id)
        if session is None:
            return None, 0
        if not isinstance(session, Mapping):
            raise unreadable(agent_id)
        return _unpack(dict(cast("Mapping[str, Any]", session)), agent_id)

    def _write(
        self, agent_id: str, stored: StoredSession | None, revision: int, *, compare: bool = False
    ) -> bool:
        if stored is None:
            # Only a session of ours that was never saved; its lease keeps others away meanwhile.
            self._call("delete_session", agent_id)
            return True
        session = _pack(stored, revision + 1, agent_id)
        if compare:
            return bool(self._call("compare_and_set", agent_id, revision, session))
        self._call("set_session", agent_id, session)
        return True

    def _call(self, name: str, *args: object) -> object:
        """Call a handler's method from a worker thread, wherever it has to run."""
        kind = type(self._handler).__name__
        method = _method(self._handler, name)
        if method is None:
            raise SessionStoreError(
                f"The session handler {kind} has no method {name}().",
                hint="A handler needs get_session, set_session, delete_session, list_sessions and"
                " session_exists.",
            )
        try:
            if inspect.iscoroutinefunction(method):
                return from_thread.run(method, *args)
            result = method(*args)
            return from_thread.run(_awaited, result) if inspect.isawaitable(result) else result
        except SessionError:
            raise
        except Exception as error:  # foreign code; also the cancellation of a coroutine of its own
            raise SessionStoreError(
                f"{kind}.{name}() raised {type(error).__name__}.",
                hint="Its own error is the cause of this one (__cause__).",
                agent_id=str(args[0]) if args else "",
            ) from error

    def _warn_once(self) -> None:
        kind = type(self._handler)
        if kind not in _warned:
            _warned.add(kind)
            logger.warning(
                "%s has no compare_and_set: only one process at a time may run a session",
                kind.__name__,
            )


def _method(handler: object, name: str) -> Callable[..., object] | None:
    method = getattr(handler, name, None)
    return method if callable(method) else None


async def _awaited(result: Awaitable[object]) -> object:
    return await result


async def _in_thread(function: Callable[[], T]) -> T:
    try:
        limiter = _limiter.get()
    except LookupError:
        _limiter.set(limiter := CapacityLimiter(MAX_THREADS))
    # How long a foreign handler takes is not ours to say: a cancelled caller does not wait for it.
    return await to_thread.run_sync(function, limiter=limiter, abandon_on_cancel=True)


def _pack(stored: StoredSession, revision: int, agent_id: str) -> dict[str, Any]:  # Any: JSON
    session = decode(stored.text, agent_id=agent_id)
    session["version"] = revision
    session["_store"] = {
        "version": stored.version,
        "fence": stored.fence,
        "owner": stored.owner,
        "until": stored.until,
        "lease_seconds": stored.lease_seconds,
    }
    return session


def _unpack(
    session: dict[str, Any],  # Any: whatever the handler gave
    agent_id: str,
) -> tuple[StoredSession, int]:
    data = {key: value for key, value in session.items() if key not in RESERVED_KEYS}
    text = encode(data, agent_id=agent_id)
    try:
        revision = int(session.get("version", 0))
        # A dict that another program put there counts as saved once, so that no release removes it.
        lease = session.get("_store", {"version": 1, "fence": 0})
        owner = lease.get("owner")
        stored = StoredSession(
            version=int(lease["version"]),
            fence=int(lease["fence"]),
            owner=None if owner is None else str(owner),
            until=float(lease.get("until", 0.0)),
            lease_seconds=float(lease.get("lease_seconds", 0.0)),
            text=text,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unreadable(agent_id) from error
    return stored, revision


def _renew_locks() -> None:
    _locks[:] = [threading.Lock() for _ in range(LOCKS)]


if hasattr(os, "register_at_fork"):  # who held a lock in the parent is not there in the child
    os.register_at_fork(after_in_child=_renew_locks)
