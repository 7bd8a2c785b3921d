"""A callback that is told what happens in a run, beside the run and without power over it."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Final, TypeAlias, TypeVar

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream

from mbxai._cancellation import is_being_cancelled
from mbxai._redaction import get_logger
from mbxai.agent._events import AgentEvent

logger = get_logger(__name__)

T = TypeVar("T")

Observer: TypeAlias = Callable[[AgentEvent], object]
"""Gets each event at once, on the event loop."""

LAST_SECONDS: Final = 5.0
"""How long a run that has come to rest waits for its callback to take the last events."""


async def watched(
    callback: Observer,
    run: Callable[[Observer], Awaitable[T]],
    *,
    last_seconds: float = LAST_SECONDS,
) -> T:
    """Run, and tell a callback what happens.

    It is told one event after the other, in order: coroutine functions on the event loop, others in
    a worker thread. The run does not wait for it, except at its end, and not for ever: a callback
    that takes longer misses the rest. What it raises is logged by its type.

    Args:
        callback: The application's own function.
        run: Runs the session, giving each event to the observer that it is called with.
        last_seconds: How long the last events are waited for.

    Returns:
        What the run returned; what it raised is raised.
    """
    # Unbounded, since the machine must not wait for an observer.
    outbox, inbox = anyio.create_memory_object_stream[AgentEvent](math.inf)
    told = anyio.Event()
    outcome: list[T] = []
    failure: Exception | None = None
    with inbox:
        async with anyio.create_task_group() as group:
            group.start_soon(_tell_all, callback, inbox, told)
            try:
                with outbox:
                    outcome.append(await run(outbox.send_nowait))
            except Exception as error:  # noqa: BLE001  # raised below, after the last events
                failure = error
            with anyio.move_on_after(last_seconds):
                await told.wait()
            if not told.is_set():
                logger.warning("on_event takes too long; it misses the last events")
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return outcome[0]


def both(first: Observer | None, second: Observer) -> Observer:
    """Return an observer that tells two, one of which may be missing.

    Args:
        first: Told first.
        second: Told then.
    """
    if first is None:
        return second

    def tell(event: AgentEvent) -> None:
        first(event)
        second(event)

    return tell


async def _tell_all(
    callback: Observer, inbox: MemoryObjectReceiveStream[AgentEvent], told: anyio.Event
) -> None:
    async for event in inbox:
        try:
            await _tell(callback, event)
        # The application's own function; also if something that it awaits was cancelled.
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            logger.warning("on_event failed for a %s: %s", event.type, type(error).__name__)
    told.set()


async def _tell(callback: Observer, event: AgentEvent) -> None:
    if iscoroutinefunction(callback):
        await callback(event)
        return
    call = partial(callback, event)
    # Left behind if the run is cancelled: nothing can stop a function that blocks.
    result = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
    if isawaitable(result):
        await result
