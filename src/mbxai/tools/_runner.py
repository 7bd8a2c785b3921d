"""Runs what a model calls: arguments, injection, the function, its result as text.

Whatever goes wrong with a tool becomes a result that says so; only cancellation and Ctrl-C leave
here as exceptions.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias, cast

import anyio

from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError, ToolArgumentError, ToolRetry
from mbxai.tools._arguments import read_object
from mbxai.tools._call import ToolCall
from mbxai.tools._context import Secret, ToolContext
from mbxai.tools._registry import ToolRegistry
from mbxai.tools._results import collected, cut, failure_text, limited, result_text, scrubbed
from mbxai.tools._signature import AnyFunction, Injection, innermost
from mbxai.tools._threads import StrayTasks, in_thread
from mbxai.tools._tool import Tool
from mbxai.wire import ToolResult

logger = get_logger(__name__)

Approver: TypeAlias = Callable[[ToolCall], bool | Awaitable[bool]]
"""Says whether a call may run; it may ask a person, and may block."""

Scrubber: TypeAlias = Callable[[str], str]
"""Takes credentials out of a text that a model will see."""

MAX_PARALLEL_CALLS: Final = 8
"""How many calls of one round run at the same time."""

_MAX_NAMES_SHOWN: Final = 50
_MAX_ADVICE_CHARS: Final = 4_000


class ToolRunner:
    """Runs the tools of a registry."""

    def __init__(
        self,
        registry: ToolRegistry,
        *,
        approve: Approver | None = None,
        max_parallel_calls: int = MAX_PARALLEL_CALLS,
    ) -> None:
        """Take the tools.

        Args:
            registry: Where tools are looked up at each call.
            approve: Asked before a tool with `requires_approval` runs in a round; without it such
                a tool is refused.
            max_parallel_calls: How many calls of one round run at the same time.

        Raises:
            ConfigurationError: `max_parallel_calls` is less than 1.
        """
        if max_parallel_calls < 1:
            raise ConfigurationError("max_parallel_calls must be at least 1.")
        self._registry = registry
        self._approve = approve
        self._max_parallel_calls = max_parallel_calls
        self._strays = StrayTasks()

    async def run_round(
        self, calls: Sequence[ToolCall], context: ToolContext[Any] | None = None
    ) -> list[ToolResult]:
        """Run the calls of one assistant message at the same time.

        Args:
            calls: The calls; each id is unique.
            context: What surrounds them.

        Returns:
            One result a call, in the order of the calls.
        """
        results: list[ToolResult | None] = [None] * len(calls)
        interrupts: list[KeyboardInterrupt] = []
        limiter = anyio.CapacityLimiter(self._max_parallel_calls)

        async def run_one(index: int, call: ToolCall) -> None:
            try:
                async with limiter:
                    results[index] = await self._run_if_approved(call, context)
            except KeyboardInterrupt as interrupt:
                # Raised in a child task, it would end the event loop instead of this round.
                interrupts.append(interrupt)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for index, call in enumerate(calls):
                group.start_soon(run_one, index, call)
        if interrupts:
            raise interrupts[0]
        return [result for result in results if result is not None]

    async def run(
        self,
        call: ToolCall,
        context: ToolContext[Any] | None = None,
        *,
        scrub: Scrubber | None = None,
    ) -> ToolResult:
        """Run one call; whether it may run has been decided.

        Args:
            call: What the model wants.
            context: What surrounds the call.
            scrub: Applied to all text of the result before it is cut to size; if it fails, the text
                is withheld.

        Returns:
            The result, or what went wrong.
        """
        secrets: list[Secret] = []
        clean = partial(_cleaned, call.name, secrets, scrub)
        tool = self._registry.get(call.name)
        if tool is None:
            return _failure(call, self._unknown_tool(clean(call.name)))
        if tool.function is None:
            return _failure(call, f"{tool.name} is only described and cannot be run here.")
        surroundings = context or ToolContext[Any]()
        surroundings = replace(
            surroundings,
            call_id=call.id,
            idempotency_key=surroundings.idempotency_key or call.id,
        )
        try:
            positional, keywords = _bound(tool, call.arguments, surroundings, secrets)
        except ToolArgumentError as error:
            advice = "Nothing was run. Call the tool again with corrected arguments."
            problems = clean(error.message)
            return _failure(call, f"Invalid arguments for {tool.name}:\n{problems}\n{advice}")
        except _MissingCredentialError as error:
            return _failure(call, str(error))
        except Exception as error:  # noqa: BLE001  # a user's validator or secret source
            return _failure(call, failure_text(tool.name, error, clean))
        work = partial(_perform, tool.function, partial(tool.function, *positional, **keywords))
        outcome = await self._within_timeout(tool, work)
        # A traceback may show a secret that was given to the function.
        return _to_result(tool, call, outcome, clean, traceback=not secrets)

    async def aclose(self) -> None:
        """Cancel functions that were left behind and still run; waits at most a second."""
        await self._strays.aclose()

    async def _run_if_approved(
        self, call: ToolCall, context: ToolContext[Any] | None
    ) -> ToolResult:
        tool = self._registry.get(call.name)
        if tool is not None and tool.requires_approval and not await self._is_approved(call):
            return _failure(call, f"{call.name} was not run: a person must approve it and did not.")
        if context is not None and context.idempotency_key:
            context = replace(context, idempotency_key=f"{context.idempotency_key}:{call.id}")
        return await self.run(call, context)

    async def _is_approved(self, call: ToolCall) -> bool:
        if self._approve is None:
            logger.warning("Tool %s needs approval, and this client has no approve=", call.name)
            return False
        try:
            if is_coroutine_function(self._approve):
                answer: object = self._approve(call)
            else:
                answer = await in_thread(partial(self._approve, call))
            return (await answer if inspect.isawaitable(answer) else answer) is True
        except Exception:  # the application's own function; without its word nothing runs
            logger.exception("approve= failed for tool %s", call.name)
            return False

    async def _within_timeout(self, tool: Tool, work: Callable[[], Any]) -> "_Outcome":
        attempt = partial(_attempt, work)
        if tool.timeout is None:
            return await attempt()
        try:
            if is_coroutine_function(cast("AnyFunction", tool.function)):
                return await self._strays.call(attempt, tool.timeout)
            with anyio.fail_after(tool.timeout):
                return await attempt()
        except TimeoutError:  # only the deadline's: an attempt never raises the tool's own
            logger.warning("Tool %s took more than %g s", tool.name, tool.timeout)
            return _Outcome(timed_out=True)

    def _unknown_tool(self, name: str) -> str:
        known = self._registry.names()
        shown = ", ".join(known[:_MAX_NAMES_SHOWN]) or "none"
        more = f" and {len(known) - _MAX_NAMES_SHOWN} more" if len(known) > _MAX_NAMES_SHOWN else ""
        return f"There is no tool {cut(name, 64)!r}. Tools: {shown}{more}."


class _MissingCredentialError(Exception):
    """A tool needs a credential that nobody has given."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one attempt: a value with its text, an error, or nothing in time."""

    value: object = None
    text: str = ""
    error: BaseException | None = None
    timed_out: bool = False


def is_coroutine_function(function: AnyFunction) -> bool:
    """Whether calling the function gives a coroutine or an async generator at once."""
    inner = innermost(function)
    return inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)


async def _attempt(work: Callable[[], Awaitable[tuple[object, str]]]) -> _Outcome:
    """Run a tool once; its exceptions become part of the outcome, never of the event loop."""
    try:
        value, text = await work()
    except GeneratorExit:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return _Outcome(error=error)  # the tool awaited something that somebody else cancelled
    except BaseException as error:  # noqa: BLE001  # SystemExit would end the loop
        return _Outcome(error=error)
    return _Outcome(value, text)


async def _perform(function: AnyFunction, call: Callable[[], Any]) -> tuple[object, str]:
    if is_coroutine_function(function):
        return await _with_text(call())
    value, text = await in_thread(partial(_call_and_describe, call))
    return (value, text) if text is not None else await _with_text(value)


def _call_and_describe(call: Callable[[], Any]) -> tuple[object, str | None]:
    value: object = collected(call())
    if inspect.isawaitable(value) or inspect.isasyncgen(value):
        return value, None  # a plain wrapper around a coroutine function
    return value, _text_of(value)


async def _with_text(value: Any) -> tuple[object, str]:
    if inspect.isasyncgen(value):
        value = [item async for item in value]
    elif inspect.isawaitable(value):
        value = await value
    if value is None or isinstance(value, (str, bool, int, float, ToolResult)):
        return value, _text_of(value)
    # Whatever it is may be huge, and the loop has other work.
    return value, await in_thread(partial(_text_of, value))


def _text_of(value: object) -> str:
    return value.content if isinstance(value, ToolResult) else result_text(value)


def _bound(
    tool: Tool, arguments: str, context: ToolContext[Any], secrets: list[Secret]
) -> tuple[list[Any], dict[str, Any]]:
    signature = tool.signature
    if signature is None:  # a tool always has one with its function
        return [], read_object(arguments)
    if tool.checker is not None:
        given = read_object(arguments)
        tool.checker.check(given)
    values = signature.validate(arguments)
    for parameter in signature.parameters:
        if parameter.injection is None:
            continue
        value = _injected(parameter.injection, context)
        if isinstance(value, Secret):
            secrets.append(value)
        elif value is None and not parameter.is_required:
            continue
        elif value is None and not parameter.injection.nullable:
            name = parameter.injection.secret_name
            raise _MissingCredentialError(
                f"{tool.name} needs the credential {name!r}, which nobody has given. Nothing was"
                " run. Ask for the credential, or go on without this tool."
            )
        values[parameter.name] = value
    return signature.bind(values)


def _injected(injection: Injection, context: ToolContext[Any]) -> object:
    if injection.kind == "context":
        return context
    return context.secret(injection.secret_name)


def _cleaned(name: str, secrets: Sequence[Secret], scrub: Scrubber | None, text: str) -> str:
    """Text of a result without credentials, those of the call and those the caller knows."""
    text = scrubbed(text, secrets)
    if scrub is None:
        return text
    try:
        return scrub(text)
    except Exception:  # the application's own function; without its word nothing is shown
        logger.exception("scrub= failed for tool %s", cut(name, 64))
        return "[withheld: it could not be checked for credentials]"


def _to_result(
    tool: Tool, call: ToolCall, outcome: _Outcome, clean: Scrubber, *, traceback: bool
) -> ToolResult:
    error, value = outcome.error, outcome.value
    if outcome.timed_out:
        text = f"{tool.name} failed: it did not finish in {tool.timeout:g} s."
        return _failure(call, f"{text} It may still have an effect.")
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, ToolRetry):
        return _failure(call, cut(clean(str(error)), _MAX_ADVICE_CHARS))
    if error is not None:
        logger.warning(
            "Tool %s failed (%s)",
            tool.name,
            type(error).__name__,
            exc_info=error if traceback else None,
        )
        return _failure(call, failure_text(tool.name, error, clean))
    content = limited(clean(outcome.text), tool.max_result_bytes)
    if isinstance(value, ToolResult):
        return replace(value, call_id=call.id, name=call.name, content=content)
    return ToolResult(call_id=call.id, name=call.name, content=content, value=value)


def _failure(call: ToolCall, content: str) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content=content, is_error=True)
