"""The application's own functions around a call: asked before it, asked after it.

They fail closed: where one fails, nothing is run, or nothing is shown.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias

import pydantic_core

from mbxai._cancellation import is_being_cancelled
from mbxai._redaction import get_logger
from mbxai.tools._call import ToolCall
from mbxai.tools._context import ToolContext
from mbxai.tools.runner._attempt import is_coroutine_function
from mbxai.tools.runner._cleaning import Cleaner
from mbxai.tools.runner._failures import failure
from mbxai.tools.runner._results import tool_result
from mbxai.tools.runner._threads import in_thread
from mbxai.wire import ToolResult

logger = get_logger(__name__)

_NOTE_BYTES: Final = 200

# Any in this file: the application's own dependencies.
BeforeCall: TypeAlias = Callable[
    [ToolCall, ToolContext[Any]],
    ToolCall | ToolResult | Awaitable[ToolCall | ToolResult | None] | None,
]
"""Called before a call is validated and run.

Returns None to let it be, the call with other arguments, or a result that stands for a run. A call
that was answered by a person's approval passes here again before it runs.
"""

AfterCall: TypeAlias = Callable[
    [ToolCall, ToolResult, ToolContext[Any]], ToolResult | Awaitable[ToolResult | None] | None
]
"""Called with the result of a run before the model sees it; returns another result, or None."""


class CallbackFailedError(Exception):
    """A function of the application raised; the cause says what."""


async def ask(function: Callable[..., Any], *arguments: object) -> object:
    """Return what a function of the application answers.

    Args:
        function: Coroutine functions are awaited, others run in a worker thread.
        *arguments: What it is called with.

    Raises:
        CallbackFailedError: It raised anything but Ctrl-C.
    """
    try:
        if is_coroutine_function(function):
            answer: object = function(*arguments)
        else:
            answer = await in_thread(partial(_in_order, function, *arguments))
        return await answer if inspect.isawaitable(answer) else answer
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        raise CallbackFailedError from error
    except BaseException as error:  # SystemExit would end the loop
        raise CallbackFailedError from error


async def before(
    hook: BeforeCall | None,
    call: ToolCall,
    context: ToolContext[Any],
    clean: Cleaner,
    max_bytes: int,
) -> ToolCall | ToolResult:
    """Ask the hook before a call.

    Args:
        hook: The application's function; None changes nothing.
        call: What the model wants.
        context: What surrounds the call.
        clean: Takes credentials out of an answer that stands for a run.
        max_bytes: How much of such an answer the model is shown.

    Returns:
        The call to be run, or the result that stands for its run.
    """
    if hook is None:
        return call
    try:
        answer = await ask(hook, call, context)
    except CallbackFailedError as error:
        log_failed("before_call", call, clean, error)
        return _not_run(call)
    if answer is None:
        return call
    if isinstance(answer, ToolResult):
        return tool_result(call, answer, max_bytes, clean)
    changed = _with_text(answer) if isinstance(answer, ToolCall) else None
    if changed is not None and (changed.id, changed.name) == (call.id, call.name):
        return changed
    logger.error(
        "before_call= must return None, a ToolResult, or the ToolCall with its id and name and JSON"
        " text as arguments; not %s",
        type(answer).__name__,
    )
    return _not_run(call)


async def after(
    hook: AfterCall,
    call: ToolCall,
    result: ToolResult,
    context: ToolContext[Any],
    clean: Cleaner,
    max_bytes: int,
) -> ToolResult:
    """Ask the hook after a run.

    Args:
        hook: The application's function.
        call: The call that was run.
        result: What the model would be shown.
        context: What surrounded the run.
        clean: Takes credentials out of another result.
        max_bytes: How much of another result the model is shown.
    """
    try:
        answer = await ask(hook, call, result, context)
    except CallbackFailedError as error:
        log_failed("after_call", call, clean, error)
        return withheld(call, result)
    if answer is None or answer is result:
        return result
    if not isinstance(answer, ToolResult):
        logger.error("after_call= must return None or a ToolResult, not %s", type(answer).__name__)
        return withheld(call, result)
    # A result that was cut bears a note beyond the limit, which may stay.
    changed = tool_result(call, answer, max_bytes + _NOTE_BYTES, clean)
    return replace(changed, seconds=result.seconds, attempts=result.attempts)


def _in_order(function: Callable[..., Any], *arguments: object) -> object:
    try:
        return function(*arguments)
    except StopIteration as error:  # a future cannot hold it
        raise RuntimeError("it raised StopIteration") from error


def _with_text(call: ToolCall) -> ToolCall | None:
    """The call with its arguments as text: a hook may well give a dict; None for anything else."""
    given: Any = call.arguments
    if isinstance(given, str):
        return call
    try:
        text = pydantic_core.to_json(given, inf_nan_mode="constants").decode()
    except (ValueError, TypeError, RecursionError):
        return None
    return replace(call, arguments=text) if isinstance(given, dict) else None


def log_failed(name: str, call: ToolCall, clean: Cleaner, error: BaseException) -> None:
    """Log that a function of the application failed.

    Args:
        name: The option that it was given as.
        call: The call that it was asked about.
        clean: Knows whether a traceback may be shown.
        error: What it raised, or the `CallbackFailedError` of it.
    """
    cause = error.__cause__ if isinstance(error, CallbackFailedError) else error
    # Where secrets are known, a traceback may show one.
    logger.error(
        "%s= failed for tool %.64s (%s)",
        name,
        call.name,
        type(cause).__name__,
        exc_info=cause if clean.is_idle else None,
    )


def _not_run(call: ToolCall) -> ToolResult:
    text = "was not run: the application could not check the call"
    return failure(call, f"{call.name} {text}.")


def withheld(call: ToolCall, result: ToolResult) -> ToolResult:
    """Return what the model is told where a result was not checked.

    Args:
        call: The call that was run.
        result: Its result.
    """
    text = "was run, and its result is withheld: the application could not check it"
    told = failure(call, f"{call.name} {text}.")
    return replace(told, seconds=result.seconds, attempts=result.attempts)
