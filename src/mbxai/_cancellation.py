"""Whose cancellation a `CancelledError` is, and clean-ups that none of them cuts short."""

import asyncio
import time
from typing import Any

import anyio


def is_being_cancelled() -> bool:
    """Whether the current task has been cancelled, and not only something that it awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def outlast(
    task: "asyncio.Future[Any]",  # Any: whatever it returns
    seconds: float | None = None,
) -> asyncio.CancelledError | None:
    """Wait until a task has ended, however often this one is cancelled meanwhile.

    Args:
        task: What is waited for; it is neither cancelled nor asked for its outcome.
        seconds: How long at most; None waits for ever.

    Returns:
        The last cancellation, for the caller to raise; None if there was none.
    """
    cancelled: asyncio.CancelledError | None = None
    give_up = None if seconds is None else time.monotonic() + seconds
    with anyio.CancelScope(shield=True):  # which task.cancel() passes
        while not task.done():
            left = None if give_up is None else give_up - time.monotonic()
            if left is not None and left <= 0:
                break
            try:
                await asyncio.wait({task}, timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled
