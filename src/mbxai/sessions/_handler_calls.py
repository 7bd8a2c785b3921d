"""Calling a user's session handler: blocking or not, in a thread of its own, errors translated."""

import inspect
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from anyio import CapacityLimiter, from_thread, to_thread
from anyio.lowlevel import RunVar

from mbxai.errors import SessionError, SessionStoreError
from mbxai.sessions._handler_dicts import Kept, pack, unpack

logger = logging.getLogger(__name__)

T = TypeVar("T")
K = TypeVar("K", bound=Kept | None)

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


class HandlerCalls:
    """A handler, called from worker threads."""

    def __init__(self, handler: object) -> None:
        """Remember the handler; none of its methods is looked up yet.

        Args:
            handler: An object with the five methods.
        """
        self._handler = handler

    def read(self, key: str) -> Kept | None:
        """Read a session; blocks.

        Args:
            key: The handler's name for it.

        Returns:
            What is kept; None if there is none.

        Raises:
            SessionDataError: What the handler gave is no session.
            SessionStoreError: The handler raised or lacks a method.
        """
        session = self.call("get_session", key)
        return None if session is None else unpack(session, key)

    def change(self, key: str, decide: Callable[[Kept | None], K]) -> K:
        """Read a session and write what becomes of it, in one step as far as the handler can.

        Args:
            key: The handler's name for it.
            decide: Gets what is kept and returns what shall be, or the same object where nothing
                is to be written. It may be called several times.

        Returns:
            What is kept now.

        Raises:
            SessionError: As `decide` says, or the handler cannot be read or written.
        """
        if _method(self._handler, "compare_and_set") is None:
            self._warn_once()
            with _locks[hash((id(self._handler), key)) % LOCKS]:
                before = self.read(key)
                after = decide(before)
                if after is not before:
                    self._write(key, before, after)
                return after
        for _ in range(MAX_ATTEMPTS):
            before = self.read(key)
            after = decide(before)
            if after is before or self._write(key, before, after, compare=True):
                return after
            # Somebody else was faster; decide anew about what is stored now. Nothing is merged.
        raise SessionStoreError(
            f"Session {key!r} changed {MAX_ATTEMPTS} times while it was being written.",
            hint=f"Check {type(self._handler).__name__}.compare_and_set.",
            agent_id=key,
        )

    def names(self) -> list[str]:
        """Return the handler's names of all sessions; raise SessionStoreError if it cannot say."""
        found = self.call("list_sessions")
        if not isinstance(found, (list, tuple, set, frozenset)):
            name = type(self._handler).__name__
            raise SessionStoreError(f"{name}.list_sessions() gave no list of agent ids.")
        names: list[object] = list(found)  # pyright: ignore[reportUnknownArgumentType] - a user's
        return [
            name.decode(errors="replace") if isinstance(name, bytes) else str(name)
            for name in names
        ]

    def call(self, name: str, *args: object) -> object:
        """Call a handler's method from a worker thread, wherever it has to run.

        Args:
            name: The method.
            *args: What it gets; a key first, if it gets one.

        Returns:
            What it returned.

        Raises:
            SessionStoreError: It raised, or there is no such method.
        """
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

    def _write(
        self, key: str, before: Kept | None, after: Kept | None, *, compare: bool = False
    ) -> bool:
        if after is None:
            # Only a session of ours that was never saved; its lease keeps others away meanwhile.
            self.call("delete_session", key)
            return True
        session = pack(after, key)
        if compare:
            revision = before.revision if before else 0
            return bool(self.call("compare_and_set", key, revision, session))
        self.call("set_session", key, session)
        return True

    def _warn_once(self) -> None:
        kind = type(self._handler)
        if kind not in _warned:
            _warned.add(kind)
            logger.warning(
                "%s has no compare_and_set: only one process at a time may run a session",
                kind.__name__,
            )


async def in_thread(function: Callable[[], T]) -> T:
    """Run a function that calls a handler in a worker thread.

    How long a foreign handler takes is not ours to say: a cancelled caller does not wait for it.

    Args:
        function: What is to be run.

    Returns:
        What it returned.
    """
    try:
        limiter = _limiter.get()
    except LookupError:
        _limiter.set(limiter := CapacityLimiter(MAX_THREADS))
    return await to_thread.run_sync(function, limiter=limiter, abandon_on_cancel=True)


def _method(handler: object, name: str) -> Callable[..., object] | None:
    method = getattr(handler, name, None)
    return method if callable(method) else None


async def _awaited(result: Awaitable[object]) -> object:
    return await result


def _renew_locks() -> None:
    _locks[:] = [threading.Lock() for _ in range(LOCKS)]


if hasattr(os, "register_at_fork"):  # who held a lock in the parent is not there in the child
    os.register_at_fork(after_in_child=_renew_locks)
