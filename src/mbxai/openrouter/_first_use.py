"""Slow steps at the first use, in a thread, so that the event loop goes on meanwhile."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")


class FirstUse(Generic[T]):
    """What is loaded or made once for the process, when it is first needed."""

    def __init__(self, name: str, known: Callable[[], T | None], make: Callable[[], T]) -> None:
        """Do nothing yet.

        Args:
            name: Unlike that of any other.
            known: Returns what was made; None before it is whole.
            make: Makes it and keeps it where `known` finds it; may run in two threads at once.
        """
        self._known: Final = known
        self._make: Final = make
        self._turn: Final[RunVar[anyio.Lock]] = RunVar(f"mbxai first use of {name}")

    async def get(self) -> T:
        """Return what was made; the first call on a loop makes it, others wait for that."""
        made = self._known()
        if made is not None:
            return made
        turn = self._turn.get(None)
        if turn is None:
            turn = anyio.Lock()
            self._turn.set(turn)
        async with turn:  # a thousand first calls must not start a thousand threads
            made = self._known()
            if made is None:
                # Not the limiter of all, whose tokens may be held by those that wait for this.
                made = await anyio.to_thread.run_sync(self._make, limiter=anyio.CapacityLimiter(1))
            return made
