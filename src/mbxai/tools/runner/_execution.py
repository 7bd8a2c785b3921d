"""Runs one call that may run: its time, its repetitions, and its result for the model."""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, cast

import anyio

from mbxai._redaction import get_logger
from mbxai.errors import ToolExecutionError, ToolRetry
from mbxai.tools._context import ToolContext
from mbxai.tools._tool import Tool
from mbxai.tools.runner._attempt import Attempt, Outcome
from mbxai.tools.runner._cleaning import Cleaner
from mbxai.tools.runner._failures import (
    FailedRunError,
    advice_text,
    failure,
    failure_text,
    leaves_of,
)
from mbxai.tools.runner._prepare import Prepared, contexts_of
from mbxai.tools.runner._progress import RunControl, ToolListener
from mbxai.tools.runner._results import Shown, finished, tool_result
from mbxai.tools.runner._threads import StrayTasks, in_thread
from mbxai.tools.schema._signature import AnyFunction
from mbxai.wire import ToolResult

logger = get_logger(__name__)

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_LARGE_CHARS: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told how a call goes on.

    Attributes:
        listener: Told of progress.
        begun: Gets the call's id once its function is called.
        late: Given the result of a function that was cancelled and ended by itself.
    """

    listener: ToolListener | None
    begun: set[str]
    late: Callable[[ToolResult], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Runs calls, one after the other or side by side.

    Attributes:
        timeout: Seconds for one run of a tool that names none; None sets no limit.
        pause: Waits some seconds between two runs of one call.
        jitter: Gives a number from 0 to 1, by which a pause is shortened.
        strays: Functions that ignored their cancellation.
    """

    timeout: float | None
    pause: Callable[[float], Awaitable[None]] = anyio.sleep
    jitter: Callable[[], float] = random.random
    strays: StrayTasks = field(default_factory=StrayTasks)

    async def run(
        self,
        tool: Tool,
        ready: Prepared,
        context: ToolContext[Any],
        clean: Cleaner,
        watch: Watch,
    ) -> tuple[ToolResult, BaseException | None]:
        """Run a call until it succeeds or has been repeated as often as it may.

        Args:
            tool: The tool; it has a function.
            ready: The call with its values, secrets included.
            context: What surrounds the call.
            clean: Takes credentials out of what is shown.
            watch: Told how it goes on.

        Returns:
            The result, and what the function raised, if it is not advice for the model.

        Raises:
            KeyboardInterrupt: The function raised it.
        """
        started = time.perf_counter()
        tries = 1 if tool.effect == "once" else 1 + tool.retries
        late = partial(self._late, tool, ready, clean, watch, started)
        outcome = await self._attempt(tool, ready, context, clean, watch, partial(late, 1))
        attempts, is_begun = 1, outcome.is_begun
        while attempts < tries and _may_repeat(outcome):
            logger.info("Tool %s failed; run %d of %d follows", tool.name, attempts + 1, tries)
            longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempts - 1))
            await self.pause(self.jitter() * longest)
            again = replace(context, attempt=context.attempt + attempts)
            attempts += 1
            last = partial(late, attempts)
            outcome = await self._attempt(tool, ready, again, clean, watch, last)
            is_begun = is_begun or outcome.is_begun
        if is_begun and not outcome.is_begun:
            outcome = replace(outcome, is_begun=True)  # an earlier run may have had its effect
        took = (time.perf_counter() - started, attempts)
        return await self._result(tool, ready, outcome, clean, took)

    def seconds_for(self, tool: Tool) -> float | None:
        """Return the time of one run of a tool; None for one that keeps its time itself."""
        if tool.keeps_own_time:
            return None
        return self.timeout if tool.timeout is None else tool.timeout

    async def _attempt(
        self,
        tool: Tool,
        ready: Prepared,
        context: ToolContext[Any],
        clean: Cleaner,
        watch: Watch,
        late: Callable[[Outcome], object],
    ) -> Outcome:
        function = cast("AnyFunction", tool.function)
        control = RunControl(ready.call.id, tool.name, watch.listener, clean, watch.begun)
        contexts = contexts_of(tool, context, control)
        signature, values = tool.signature, ready.values
        positional, keywords = signature.bind(values, contexts) if signature else ([], values)
        attempt = Attempt(
            function=function,
            call=partial(function, *positional, **keywords),
            control=control,
            seconds=self.seconds_for(tool),
            max_bytes=tool.max_result_bytes,
        )
        return await attempt.run(self.strays, late)

    def _late(
        self,
        tool: Tool,
        ready: Prepared,
        clean: Cleaner,
        watch: Watch,
        started: float,
        attempts: int,
        outcome: Outcome,
    ) -> None:
        """Tell of a function that ended while its cancellation was waited for."""
        took = (time.perf_counter() - started, attempts)
        try:
            if outcome.error is None:
                shown, size = cast("Shown", outcome.shown), tool.max_result_bytes
                result = finished(ready.call, outcome.value, shown, size, clean, took=took)
            else:
                result = _timed(self._failure(tool, ready, outcome.error, clean)[0], took)
        except Exception as error:  # noqa: BLE001  # a foreign result; the caller is to be cancelled
            result = _timed(failure(ready.call, failure_text(tool.name, error, clean)), took)
        watch.late(result)

    async def _result(
        self,
        tool: Tool,
        ready: Prepared,
        outcome: Outcome,
        clean: Cleaner,
        took: tuple[float, int],
    ) -> tuple[ToolResult, BaseException | None]:
        call, error = ready.call, outcome.error
        if outcome.timed_out:
            text = f"it did not finish in {self.seconds_for(tool):g} s"
            logger.warning("Tool %s failed: %s", tool.name, text)
            doubt = "" if tool.effect == "read" else " It may still have an effect."
            if not outcome.is_begun:
                text = f"no worker thread was free for {self.seconds_for(tool):g} s"
                doubt = " Nothing was run."
            late = f"{tool.name} failed: {text}.{doubt}"
            return _timed(failure(call, late), took), TimeoutError(text)
        if error is not None:
            told, error = self._failure(tool, ready, error, clean)
            return _timed(told, took), error
        shown = cast("Shown", outcome.shown)  # a run without an error has it
        size = tool.max_result_bytes
        work = partial(finished, call, outcome.value, shown, size, clean, took=took)
        if len(shown.text) > _LARGE_CHARS or (shown.parts and not clean.is_idle):
            return await in_thread(work), None
        return work(), None

    def _failure(
        self, tool: Tool, ready: Prepared, error: BaseException, clean: Cleaner
    ) -> tuple[ToolResult, BaseException | None]:
        leaves = leaves_of(error)
        interrupt = next((leaf for leaf in leaves if isinstance(leaf, KeyboardInterrupt)), None)
        if interrupt is not None:
            raise interrupt
        only = leaves[0] if len(leaves) == 1 else None
        if isinstance(only, ToolRetry):
            return failure(ready.call, advice_text(only, clean)), None
        if isinstance(only, FailedRunError):
            told = tool_result(ready.call, only.result, tool.max_result_bytes, clean)
            return replace(told, is_error=True), only.__cause__ or only
        logger.warning(
            "Tool %s failed (%s)",
            tool.name,
            type(error).__name__,
            # A traceback may show a secret that was given to the function.
            exc_info=error if clean.is_idle else None,
        )
        return failure(ready.call, failure_text(tool.name, error, clean)), error


def _timed(result: ToolResult, took: tuple[float, int]) -> ToolResult:
    return replace(result, seconds=took[0], attempts=took[1])


def execution_error(tool: Tool, error: BaseException, seconds: float | None) -> ToolExecutionError:
    """Return what ends a conversation: which tool failed and how, and nothing that it said.

    Args:
        tool: The tool.
        error: What its function raised.
        seconds: The time of one run.
    """
    late = isinstance(error, TimeoutError) and error.__traceback__ is None
    how = f"it did not finish in {seconds:g} s" if late else type(error).__name__
    failed = ToolExecutionError(
        f"Tool {tool.name} failed: {how}.", hint="The cause is in `__cause__`."
    )
    failed.__cause__ = error
    return failed


def _may_repeat(outcome: Outcome) -> bool:
    if outcome.timed_out:
        return True
    leaves = leaves_of(outcome.error) if outcome.error is not None else []
    # Advice is for the model; Ctrl-C and the like are no failures of the tool.
    return bool(leaves) and all(
        isinstance(leaf, Exception) and not isinstance(leaf, ToolRetry) for leaf in leaves
    )
