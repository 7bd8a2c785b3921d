"""One run of a tool's function: in a thread or as a task, to its value, within its time.

Nothing that a function raises leaves here as an exception; it is part of the outcome.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial
from types import GeneratorType
from typing import Any, Final, cast

import anyio

from mbxai._cancellation import is_being_cancelled
from mbxai.tools._context import Progress
from mbxai.tools.runner._progress import RunControl
from mbxai.tools.runner._results import Shown, described, is_light
from mbxai.tools.runner._threads import StrayTasks, in_thread
from mbxai.tools.schema._signature import AnyFunction, innermost

_MAX_AWAITS: Final = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run: a value and what may be shown of it, an error, or nothing in time.

    Attributes:
        value: What the function returned.
        shown: What may be shown of it; None until it has been read, and on failure.
        error: What it raised.
        timed_out: Whether its time was up.
        is_begun: Whether the function was called at all.
    """

    value: object = None
    shown: Shown | None = None
    error: BaseException | None = None
    timed_out: bool = False
    is_begun: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A function with its arguments, ready to be run once.

    Attributes:
        function: The tool's function.
        call: Calls it; takes no arguments.
        control: Takes its progress, tells it to stop.
        seconds: Its time; None sets no limit.
        max_bytes: How much of the result the model is shown.
    """

    function: AnyFunction
    call: Callable[[], Any]
    control: RunControl
    seconds: float | None
    max_bytes: int

    async def run(
        self, strays: StrayTasks, late: Callable[[Outcome], object] | None = None
    ) -> Outcome:
        """Run it.

        Args:
            strays: Where a coroutine function is kept that ignores its cancellation.
            late: Given what became of a coroutine function that was cancelled and ended by itself.
        """
        try:
            if is_coroutine_function(self.function):
                return await self._as_task(strays, self._call_async, self.seconds, late)
            return await self._in_thread(strays, late)
        except TimeoutError:  # only the deadline's: an outcome holds the function's own
            return Outcome(timed_out=True, is_begun=self.control.is_begun)
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            return Outcome(error=error)  # somebody else cancelled the function's task
        except Exception as error:  # noqa: BLE001  # no thread could be started
            return Outcome(error=error)
        finally:
            self.control.stop()
            self.control.end()

    async def _in_thread(
        self, strays: StrayTasks, late: Callable[[Outcome], object] | None
    ) -> Outcome:
        started = time.monotonic()
        with anyio.fail_after(self.seconds):
            outcome = await in_thread(self._call_sync, is_tool=True, begin=self.control.begin)
        if outcome.shown is not None or outcome.error is not None:
            return outcome
        # A plain function around a coroutine function: it has what is left of its time.
        left = None if self.seconds is None else self.seconds - (time.monotonic() - started)
        return await self._as_task(strays, partial(self._settled, outcome.value), left, late)

    def _call_sync(self) -> Outcome:
        """Call the function; in the worker thread."""
        try:
            value: Any = self.call()
            if isinstance(value, GeneratorType):
                value = _gathered(cast("Generator[object]", value), self.control)
            if not _needs_loop(value):
                return Outcome(value, described(value, self.max_bytes))
            if self.control.is_stopped:
                _discard(value)
            return Outcome(value)
        except BaseException as error:  # noqa: BLE001  # SystemExit would end the loop
            return Outcome(error=error)

    async def _as_task(
        self,
        strays: StrayTasks,
        work: Callable[[], Any],
        seconds: float | None,
        late: Callable[[Outcome], object] | None,
    ) -> Outcome:
        guarded = partial(_guarded, work)
        return await strays.call(guarded, seconds, give_up=self.control.stop, late=late)

    async def _call_async(self) -> Outcome:
        self.control.begin()
        return await self._settled(self.call())

    async def _settled(self, value: Any) -> Outcome:
        for _ in range(_MAX_AWAITS):
            if inspect.isasyncgen(value):
                items = cast("AsyncGenerator[object]", value)
                value = await _gathered_async(items, self.control)
            elif isinstance(value, GeneratorType):
                value = await in_thread(partial(_gathered, value, self.control), is_tool=True)
            elif inspect.isawaitable(value):
                value = await value
            else:
                break
        else:
            _discard(value)
            raise TypeError("it returns one awaitable after the other")
        if is_light(value):
            return Outcome(value, described(value, self.max_bytes, light=True))
        # Whatever it is may be huge, and the loop has other work.
        return Outcome(value, await in_thread(partial(described, value, self.max_bytes)))


def is_coroutine_function(function: AnyFunction) -> bool:
    """Whether calling the function gives a coroutine or an async generator at once."""
    inner = innermost(function)
    return inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)


async def _guarded(work: Callable[[], Any]) -> Outcome:
    """Await a function in a task of its own; only the task's cancellation is raised."""
    try:
        return cast("Outcome", await work())
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        return Outcome(error=error)  # the tool awaited something that somebody else cancelled
    except BaseException as error:  # noqa: BLE001  # SystemExit would end the loop
        return Outcome(error=error)


def _gathered(generator: Generator[object], control: RunControl) -> object:
    """What a generator gives, while its progress is reported."""
    items: list[object] = []
    progressed = False
    with closing(generator):
        for item in generator:
            if control.is_stopped:
                break
            if isinstance(item, Progress):
                progressed = True
                control.report(item.message, item.fraction)
            else:
                items.append(item)
    return _yielded(items, progressed=progressed)


async def _gathered_async(generator: AsyncGenerator[object], control: RunControl) -> object:
    items: list[object] = []
    progressed = False
    async with aclosing(generator):
        async for item in generator:
            if isinstance(item, Progress):
                progressed = True
                control.report(item.message, item.fraction)
            else:
                items.append(item)
    return _yielded(items, progressed=progressed)


def _yielded(items: list[object], *, progressed: bool) -> object:
    if not progressed or len(items) > 1:
        return items
    return items[0] if items else None


def _needs_loop(value: object) -> bool:
    return inspect.isawaitable(value) or inspect.isasyncgen(value)


def _discard(value: object) -> None:
    """Close a coroutine that nobody will await, so that Python does not complain."""
    if inspect.iscoroutine(value):
        value.close()
