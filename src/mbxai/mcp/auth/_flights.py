"""One renewal at a time: who comes while one is under way waits for it and shares its outcome.

Two connections to one server, on one loop or on two, must not open two browser windows, nor use a
refresh token twice that the authorization server accepts once.
"""

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Final

from mbxai.errors import MCPAuthError

_under_way: Final[dict[Hashable, "Flight"]] = {}
_lock: Final = threading.Lock()  # guards `_under_way`


class Flight:
    """A renewal that is under way."""

    def __init__(self, key: Hashable) -> None:
        """Begin.

        Args:
            key: What is renewed.
        """
        self._key = key
        self.outcome: Future[MCPAuthError | None] = Future()

    def land(self, problem: MCPAuthError | None = None) -> None:
        """End it, and tell those who wait; a second time does nothing.

        Args:
            problem: Why it failed; None if it did not, or was given up.
        """
        with _lock:
            if _under_way.get(self._key) is self:
                del _under_way[self._key]
        if not self.outcome.done():
            self.outcome.set_result(problem)


async def begin_or_wait(
    key: Hashable, waiting: Callable[[], AbstractContextManager[None]]
) -> Flight | None:
    """Begin a renewal, or wait for the one that is under way.

    Args:
        key: What is renewed.
        waiting: Entered while we wait; the other may be waiting for a person.

    Returns:
        The flight that the caller must `land`; None when somebody else's has ended.

    Raises:
        MCPAuthError: Somebody else's has failed.
    """
    with _lock:
        other = _under_way.get(key)
        if other is None:
            flight = _under_way[key] = Flight(key)
            return flight
    with waiting():
        # Shielded: our own cancellation must not end the other's future.
        problem = await asyncio.shield(asyncio.wrap_future(other.outcome))
    if problem is not None:
        raise MCPAuthError(problem.message, hint=problem.hint, server=problem.server)
    return None
