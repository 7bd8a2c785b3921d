"""Work on an event loop other than the running one."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

HANDOVER_SECONDS: Final = 5.0
"""How long the other loop may take to begin."""

_LOOK_SECONDS: Final = 0.5  # a loop that ends tells nobody


class LoopUnavailableError(Exception):
    """The other loop did not begin, or ended in the middle.

    Attributes:
        has_begun: Whether the work had begun.
    """

    def __init__(self, *, has_begun: bool) -> None:
        """Keep what is known."""
        super().__init__("ended in the middle" if has_begun else "did not begin")
        self.has_begun = has_begun


async def run_on(
    loop: asyncio.AbstractEventLoop, function: Callable[[], Coroutine[Any, Any, T]]
) -> T:
    """Call a coroutine function on another loop and await what it returns.

    The caller's context variables are copied in, and its cancellation is passed on.

    Args:
        loop: A loop that runs in another thread.
        function: What to call.

    Raises:
        LoopUnavailableError: The loop is gone, stands still, or ended in the middle.
    """
    outcome: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def begin() -> None:
        if outcome.set_running_or_notify_cancel():  # nobody has given up meanwhile
            tasks.append(loop.create_task(function()))
            tasks[0].add_done_callback(lambda task: _settle(outcome, task))

    try:
        loop.call_soon_threadsafe(begin)
    except RuntimeError as error:
        raise LoopUnavailableError(has_begun=False) from error
    answer = asyncio.wrap_future(outcome)
    try:
        await _until_done(answer, outcome, loop)
        return answer.result()
    finally:
        answer.cancel()
        if not outcome.cancel() and not outcome.done():  # begun, and nobody waits any more
            with suppress(RuntimeError):  # closed
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])


async def _until_done(
    answer: asyncio.Future[T], outcome: Future[T], loop: asyncio.AbstractEventLoop
) -> None:
    latest_start = time.monotonic() + HANDOVER_SECONDS
    while not answer.done():
        await asyncio.wait({answer}, timeout=_LOOK_SECONDS)
        if outcome.done():
            continue
        if not loop.is_running():
            raise LoopUnavailableError(has_begun=not outcome.cancel())
        if time.monotonic() > latest_start and outcome.cancel():
            raise LoopUnavailableError(has_begun=False)


def _settle(outcome: Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():  # by its loop's end, or by us, who no longer listen
        outcome.set_exception(LoopUnavailableError(has_begun=True))
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())
