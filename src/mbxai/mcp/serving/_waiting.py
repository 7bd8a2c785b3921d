"""How a blocking function waits for something that runs on the loop."""

import asyncio
import concurrent.futures
import inspect
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar, cast

from mbxai.tools.runner._progress import RunControl

T = TypeVar("T")


def wait_on_loop(
    work: Awaitable[T], loop: asyncio.AbstractEventLoop, control: RunControl | None
) -> T:
    """Run something on a loop, and wait in this thread, which is not the loop's, for its end.

    Args:
        work: What runs.
        loop: Where it runs.
        control: Says when nobody waits for this thread's function any more; None never does.

    Raises:
        asyncio.CancelledError: Nobody waits any more, or the loop has ended.
    """
    # A coroutine itself, so that one which is cancelled before it begins counts as awaited.
    run = cast("Coroutine[Any, Any, T]", work) if inspect.iscoroutine(work) else _awaited(work)
    try:
        future = asyncio.run_coroutine_threadsafe(run, loop)
    except RuntimeError as error:  # the loop is closed
        run.close()
        raise asyncio.CancelledError from error
    give_up = future.cancel
    if control is not None:
        control.on_stop(give_up)
    try:
        return future.result()
    except concurrent.futures.CancelledError:
        # That one is an ordinary exception, which functions catch as a failure.
        raise asyncio.CancelledError from None
    finally:
        if control is not None:
            control.no_longer_on_stop(give_up)


def is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this thread is the one that runs a loop.

    Args:
        loop: The loop.
    """
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def discard(work: Awaitable[object]) -> None:
    """Close a coroutine that nobody will await, so that Python does not complain.

    Args:
        work: A coroutine, or something else, which is left alone.
    """
    if inspect.iscoroutine(work):
        work.close()


async def _awaited(work: Awaitable[T]) -> T:
    return await work
