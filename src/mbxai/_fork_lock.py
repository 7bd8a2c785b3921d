"""A lock that a forked child finds open, whoever held it in the parent."""

import os
import threading
import weakref
from typing import Final


class ForkLock:
    """A lock for a `with` block; a fork leaves the child with a new one.

    The thread that held it in the parent does not exist in the child, so nobody would open it
    there.
    """

    def __init__(self) -> None:
        """Start open."""
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        """Wait for the lock."""
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        """Open the lock."""
        self._lock.release()

    def renew(self) -> None:
        """Forget who holds it; in a forked child only."""
        self._lock = threading.Lock()


_locks: Final[weakref.WeakSet[ForkLock]] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in _locks:
        lock.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_renew_all)
