"""Waiting for a store that tells nobody: asking now and then, less and less often."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

FIRST_PAUSE_SECONDS: Final = 0.02
MAX_PAUSE_SECONDS: Final = 0.5


async def wait_for_row(has_row: Callable[[], Awaitable[bool]], timeout_seconds: float) -> bool:
    """Ask until there is a row or the time is up.

    Args:
        has_row: Whether there is one.
        timeout_seconds: How long to wait at most.

    Returns:
        Whether there is one.
    """
    deadline, pause = time.monotonic() + timeout_seconds, FIRST_PAUSE_SECONDS
    while not await has_row():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        await anyio.sleep(min(pause, left))
        pause = min(pause * 1.5, MAX_PAUSE_SECONDS)
    return True
