"""Where a tool's function runs: in a worker thread, or in a task of its own with a deadline.

A function that does not come back is left behind and reported; the loop never waits for it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final, Generic, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from mbxai._redaction import get_logger

T = TypeVar("T")

logger = get_logger(__name__)

MAX_THREADS: Final = 40
"""Worker threads of one nesting depth; a function that is left behind keeps its thread's place."""

GRACE_SECONDS: Final = 1.0
"""How long a cancelled coroutine function may clean up before it is left behind."""

# How many sync tools are around the current call. A sync tool that calls a model whose tools are
# sync holds a thread while it waits for another; with one limiter for all depths, a full one would
# wait for itself.
_depth: ContextVar[int] = ContextVar("mbxai_tool_depth", default=0)
_limiters: RunVar[dict[tuple[int, bool], anyio.CapacityLimiter]] = RunVar("mbxai_tool_limiters")


async def in_thread(
    function: Callable[[], T],
    *,
    is_tool: bool = False,
    begin: Callable[[], object] | None = None,
) -> T:
    """Run a blocking function in a worker thread, with a copy of the caller's context variables.

    Cancelled, it returns at once; the thread runs on, and keeps its place until it is done.

    Args:
        function: Takes no arguments.
        is_tool: Whether it is a tool's. Tools have places of their own, so that those that hang
            keep nobody else from running.
        begin: Called in the thread right before the function, and only then; must be quick and not
            raise. Once this call has been given up, neither is called.

    Returns:
        What it returns; what it raises is raised here.
    """
    job = _Job(function, asyncio.get_running_loop(), _depth.get(), is_tool=is_tool, begin=begin)
    await job.limiter.acquire_on_behalf_of(job)
    try:
        # A limiter of its own: anyio would free the place of an abandoned thread at once, and a
        # tool that hangs would then start a new thread with every call.
        return await anyio.to_thread.run_sync(
            job.run, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
        )
    except BaseException:
        job.give_up()
        raise


class _Job(Generic[T]):
    """A blocking function and the place it takes in its limiter."""

    def __init__(
        self,
        function: Callable[[], T],
        loop: asyncio.AbstractEventLoop,
        depth: int,
        *,
        is_tool: bool,
        begin: Callable[[], object] | None,
    ) -> None:
        self.limiter = _limiter(depth, is_tool=is_tool)
        self._begin = begin
        self._function = function
        self._loop = loop
        self._depth = depth
        self._lock = threading.Lock()  # guards _started
        self._started = False

    def run(self) -> T:
        """Run the function; called in the worker thread."""
        with self._lock:
            if self._started:  # given up before the thread came to it
                raise TimeoutError
            self._started = True
            if self._begin is not None:
                self._begin()  # under the lock: whoever gives up knows for certain what has begun
        try:
            _depth.set(self._depth + 1)
            return self._function()
        finally:
            try:
                # Not a call that waits for the loop: it may be about to end, and would not answer.
                self._loop.call_soon_threadsafe(self.limiter.release_on_behalf_of, self)
            except RuntimeError:
                logger.debug("A tool outlived the event loop that called it")

    def give_up(self) -> None:
        """Free the place, unless the thread runs and will free it itself."""
        with self._lock:
            started, self._started = self._started, True
        if not started:
            self.limiter.release_on_behalf_of(self)


class StrayTasks:
    """Coroutine functions that ignored their cancellation, kept in sight until they end."""

    def __init__(self) -> None:
        """Start with none."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Return how many still run."""
        return len(self._tasks)

    async def call(
        self,
        function: Callable[[], Coroutine[Any, Any, T]],
        seconds: float | None,
        *,
        give_up: Callable[[], None],
        late: Callable[[T], object] | None = None,
    ) -> T:
        """Await a coroutine function for at most so many seconds.

        Args:
            function: Takes no arguments.
            seconds: Its time; None sets no limit. After that, and when the caller is cancelled, it
                is cancelled too and has one second for its clean-up.
            give_up: Called before it is cancelled.
            late: Given what it returns in that second, where the caller was cancelled and so
                cannot be given it.

        Raises:
            TimeoutError: The time was up, whether or not the function obeyed its cancellation.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(function())
        # What `asyncio.wait` does, for one task: it would take as long as a short tool itself.
        ended: asyncio.Future[None] = loop.create_future()
        task.add_done_callback(lambda _: _settle(ended))
        timer = None if seconds is None else loop.call_later(seconds, _settle, ended)
        try:
            await ended
        except BaseException:
            if not task.done():
                give_up()
                await self._end(task)
            if late is not None and _has_value(task):
                late(task.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if task.done():
            return task.result()
        give_up()
        await self._end(task)
        raise TimeoutError

    async def aclose(self) -> None:
        """Cancel once more what still runs, and wait a second for it."""
        loop = asyncio.get_running_loop()
        # Those of another loop went with it.
        self._tasks = {task for task in self._tasks if task.get_loop() is loop}
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=GRACE_SECONDS)

    async def _end(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        # Kept in sight from now on: a second cancellation may end the wait early.
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        with anyio.CancelScope(shield=True):
            await asyncio.wait({task}, timeout=GRACE_SECONDS)
        if not task.done():
            logger.warning("A tool ignores its cancellation and is left behind")

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # read, so that asyncio does not report it as never retrieved


def _has_value(task: "asyncio.Task[Any]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _limiter(depth: int, *, is_tool: bool) -> anyio.CapacityLimiter:
    try:
        limiters = _limiters.get()
    except LookupError:
        limiters: dict[tuple[int, bool], anyio.CapacityLimiter] = {}
        _limiters.set(limiters)
    return limiters.setdefault((depth, is_tool), anyio.CapacityLimiter(MAX_THREADS))
