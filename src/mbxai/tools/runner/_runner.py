"""Runs the calls of a model: looks them up, asks who must be asked, and keeps them in order.

Whatever goes wrong with a tool becomes a result that says so. Only cancellation, Ctrl-C and the
failure of a tool with `on_error="raise"` leave here as exceptions.
"""

import difflib
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, cast

import anyio

from mbxai._cancellation import is_being_cancelled
from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError, ToolExecutionError
from mbxai.tools._call import PendingCall, ToolApproval, ToolCall
from mbxai.tools._context import Secret, ToolContext
from mbxai.tools._registry import ToolRegistry
from mbxai.tools._tool import Tool
from mbxai.tools.runner._approval import Approver, judge, needs_approval, takes_context
from mbxai.tools.runner._cleaning import Cleaner, Scrubber
from mbxai.tools.runner._execution import Execution, Watch, execution_error
from mbxai.tools.runner._failures import cut, failure, failure_text
from mbxai.tools.runner._hooks import AfterCall, BeforeCall, after, before, withheld
from mbxai.tools.runner._prepare import (
    Prepared,
    context_for,
    inject,
    prepared,
    takes_injections,
)
from mbxai.tools.runner._progress import ToolListener, emit
from mbxai.tools.runner._round import RoundLog, together
from mbxai.wire import NotDone, ToolCalled, ToolEnded, ToolPending, ToolResult

__all__ = [
    "MAX_PARALLEL_CALLS",
    "TOOL_TIMEOUT",
    "AfterCall",
    "Approver",
    "BeforeCall",
    "RoundLog",
    "RoundOutcome",
    "ToolRunner",
]

logger = get_logger(__name__)

MAX_PARALLEL_CALLS: Final = 8
"""How many calls of one round run at the same time, unless the caller says otherwise."""

TOOL_TIMEOUT: Final = 600.0
"""Seconds for one run of a tool that names no time of its own."""

_NOBODYS: Final = ToolContext[Any]()
_HANDLE: Final = "secret://"
_MAX_NAMES_SHOWN: Final = 50
_MAX_NAME_CHARS: Final = 64
_MAX_REASON_CHARS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOutcome:
    """What became of the calls of one assistant message.

    Attributes:
        results: Results in the order of the calls; a call that waits has none.
        pending: Calls that wait for the application, in the order of the calls.
        stale: Approvals that were given for a call of this round and do not fit what would be run,
            or are for a call that waits for its result; such a call is among the pending ones
            unless another approval fits it.
    """

    results: list[ToolResult]
    pending: list[PendingCall]
    stale: list[ToolApproval] = field(default_factory=list[ToolApproval])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What holds for all calls of one round, or for one call by itself.

    Attributes:
        decided: Whether the caller has decided already that the call may run.
        reconciles: Whether the tool is asked what an earlier run did, and not run.
        limiter: Bounds how many run at the same time.
        secrets: Credentials that are known.
        log: Gets what happens.
    """

    decided: bool
    listener: ToolListener | None
    scrub: Scrubber | None
    reconciles: bool = False
    approvals: Sequence[ToolApproval] = ()
    external: Collection[str] = ()
    limiter: AbstractAsyncContextManager[object] = field(default_factory=nullcontext[None])
    secrets: list[Secret] = field(default_factory=list[Secret])
    log: RoundLog = field(default_factory=RoundLog)


class ToolRunner:
    """Runs the tools of a registry."""

    def __init__(
        self,
        registry: ToolRegistry,
        *,
        approve: Approver | None = None,
        before_call: BeforeCall | None = None,
        after_call: AfterCall | None = None,
        max_parallel_calls: int = MAX_PARALLEL_CALLS,
        tool_timeout: float | None = TOOL_TIMEOUT,
        pause: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Take the tools.

        Args:
            registry: Where tools are looked up at each call.
            approve: Asked before a call of a round that needs approval; without it such a call
                waits for the application.
            before_call: Called before a call is validated and run.
            after_call: Called with the result of a run, before the model sees it.
            max_parallel_calls: How many calls of one round run at the same time.
            tool_timeout: Seconds for one run of a tool that names none; None waits for ever.
            pause: Waits some seconds before a run is repeated.

        Raises:
            ConfigurationError: `max_parallel_calls` is less than 1, or `tool_timeout` is not
                positive.
        """
        _check_count(max_parallel_calls)
        _check_seconds(tool_timeout)
        for name, function in (
            ("approve", approve),
            ("before_call", before_call),
            ("after_call", after_call),
        ):
            if not (function is None or callable(cast("object", function))):
                raise ConfigurationError(f"{name} must be a function, or None.")
        self._registry = registry
        self._approve = approve
        self._before_call = before_call
        self._after_call = after_call
        self._sees_context = bool(
            before_call or after_call or (approve is not None and takes_context(approve))
        )
        self._max_parallel_calls = max_parallel_calls
        self._execution = Execution(timeout=tool_timeout, pause=pause)

    async def run_round(
        self,
        calls: Sequence[ToolCall],
        context: ToolContext[Any] | None = None,
        *,
        approvals: Sequence[ToolApproval] = (),
        external: Collection[str] = (),
        listener: ToolListener | None = None,
        scrub: Scrubber | None = None,
        secrets: list[Secret] | None = None,
        log: RoundLog | None = None,
    ) -> RoundOutcome:
        """Run the calls of one assistant message, those at the same time that may.

        Args:
            calls: The calls; each id is unique.
            context: What surrounds them.
            approvals: Words of people; one counts only for the tool and the arguments that it was
                given for.
            external: Names of tools that the caller runs itself.
            listener: Gets an event for each call that begins, reports progress, ends or waits. A
                call that was refused or answered without a run only ends.
            scrub: Applied to all text that a model or the listener sees; if it fails, the text is
                withheld.
            secrets: What the conversation knows of credentials; added to, and taken out of all
                text.
            log: Gets what happens as it happens, also of a round that does not come to its end.

        Returns:
            Results and waiting calls.

        Raises:
            ToolExecutionError: A tool with `on_error="raise"` failed; the other calls of the round
                were cancelled.
        """
        most = self._max_parallel_calls
        terms = _Terms(
            decided=False,
            listener=listener,
            scrub=scrub,
            approvals=approvals,
            external=external,
            limiter=anyio.CapacityLimiter(most) if len(calls) > most else nullcontext(),
            secrets=[] if secrets is None else secrets,
            log=log or RoundLog(),
        )
        settled: list[ToolResult | PendingCall] = []
        for group in self._groups(calls, external):
            settled += await self._run_together(group, context, terms)
        return RoundOutcome(
            results=[item for item in settled if isinstance(item, ToolResult)],
            pending=[item for item in settled if isinstance(item, PendingCall)],
            stale=list(terms.log.stale),
        )

    async def run(
        self,
        call: ToolCall,
        context: ToolContext[Any] | None = None,
        *,
        scrub: Scrubber | None = None,
        listener: ToolListener | None = None,
    ) -> ToolResult:
        """Run one call; whether it may run has been decided.

        Args:
            call: What the model wants.
            context: What surrounds the call.
            scrub: Applied to all text of the result before it is cut to size; if it fails, the text
                is withheld.
            listener: Gets an event when the call begins, reports progress, ends.

        Returns:
            The result, or what went wrong, also for a tool with `on_error="raise"`.
        """
        terms = _Terms(decided=True, listener=listener, scrub=scrub)
        # Only calls of a round wait.
        return cast("ToolResult", await self._settle(call, context, terms))

    async def reconcile(
        self,
        call: ToolCall,
        context: ToolContext[Any] | None = None,
        *,
        scrub: Scrubber | None = None,
        listener: ToolListener | None = None,
    ) -> ToolResult:
        """Ask a tool what a run of it did that was cut off; the tool itself is not run.

        Args:
            call: What the model wanted.
            context: What surrounded the run.
            scrub: Applied to all text of the result, as by `run`.
            listener: Gets events, as by `run`.

        Returns:
            The result that the run had, one whose `value` is `NotDone`, or an error: not known.
        """
        terms = _Terms(decided=True, listener=listener, scrub=scrub, reconciles=True)
        return cast("ToolResult", await self._settle(call, context, terms))

    async def needs_approval(self, call: ToolCall) -> bool:
        """Say whether a person must agree to a call before it is given to `run`.

        Args:
            call: What the model wants.
        """
        tool = self._registry.get(call.name)
        if tool is None or tool.requires_approval is False:
            return False
        if tool.requires_approval is True:
            return True
        clean = Cleaner(call.name)
        ready = await prepared(tool, call, clean)
        if isinstance(ready, Prepared):
            return await needs_approval(tool, ready, clean)
        # Nothing will be run, unless the arguments are others by then: a hook may change them, and
        # a handle gives way to the value it stands for.
        return self._before_call is not None or _HANDLE in call.arguments

    async def aclose(self) -> None:
        """Cancel functions that were left behind and still run; waits at most a second."""
        await self._execution.strays.aclose()

    def _groups(
        self, calls: Sequence[ToolCall], external: Collection[str]
    ) -> Iterator[list[ToolCall]]:
        """Calls that may run side by side; a tool with `parallel=False` is alone."""
        group: list[ToolCall] = []
        for call in calls:
            tool = None if call.name in external else self._registry.get(call.name)
            if tool is None or tool.parallel:
                group.append(call)
                continue
            if group:
                yield group
            yield [call]
            group = []
        if group:
            yield group

    async def _run_together(
        self, calls: Sequence[ToolCall], context: ToolContext[Any] | None, terms: _Terms
    ) -> list[ToolResult | PendingCall]:
        if len(calls) == 1:
            return [await self._settle(calls[0], context, terms)]
        settled: dict[int, ToolResult | PendingCall] = {}

        async def settle(index: int, call: ToolCall) -> None:
            try:
                settled[index] = await self._settle(call, context, terms)
            except KeyboardInterrupt as interrupt:
                # Raised in a task of its own, Ctrl-C would end the event loop and not this round.
                raise _InterruptedRoundError from interrupt

        try:
            await together([partial(settle, *pair) for pair in enumerate(calls)])
        except _InterruptedRoundError:
            raise KeyboardInterrupt from None
        return [
            settled.get(index) or failure(call, f"{call.name} was cancelled.")
            for index, call in enumerate(calls)
        ]

    async def _settle(
        self, call: ToolCall, context: ToolContext[Any] | None, terms: _Terms
    ) -> ToolResult | PendingCall:
        """Bring one call to its end, or to where it waits, and tell the listener."""
        clean = Cleaner(call.name, terms.scrub, terms.secrets)
        try:
            settled = await self._decide(call, context, terms, clean)
        except (KeyboardInterrupt, GeneratorExit, ToolExecutionError):
            raise
        except BaseException as error:  # foreign code runs in there: a context, a result, a hook
            if isinstance(error, CancelledError) and is_being_cancelled():
                raise
            logger.error(  # noqa: TRY400  # the traceback may show a credential
                "Tool %.64s could not be run (%s)",
                call.name,
                type(error).__name__,
                exc_info=error if clean.is_idle else None,
            )
            settled = failure(call, failure_text(cut(call.name, _MAX_NAME_CHARS), error, clean))
        if isinstance(settled, ToolResult):
            terms.log.results.append(settled)
        else:
            terms.log.pending.append(settled)
        _tell_end(settled, terms, clean)
        return settled

    async def _decide(
        self,
        call: ToolCall,
        context: ToolContext[Any] | None,
        terms: _Terms,
        clean: Cleaner,
    ) -> ToolResult | PendingCall:
        tool = self._registry.get(call.name)
        if call.name in terms.external or (tool is not None and tool.function is None):
            return await self._left_to_caller(tool, call, terms, clean)
        if tool is not None and terms.reconciles:
            tool = tool.reconciler
        if tool is None:
            return failure(call, self._unknown_tool(clean(call.name)))
        # Most functions do not ask for their context, and making one takes time.
        surroundings = _NOBODYS
        if self._sees_context or takes_injections(tool):
            shared = not terms.decided
            surroundings = context_for(call, context, clean.secrets, shared=shared)
        answer = await before(self._before_call, call, surroundings, clean, tool.max_result_bytes)
        if isinstance(answer, ToolResult):
            return answer
        ready = await prepared(tool, answer, clean)
        if isinstance(ready, ToolResult):
            return ready
        if not terms.decided:
            verdict = await judge(tool, ready, terms.approvals, self._approve, surroundings, clean)
            terms.log.stale.extend(verdict.stale)
            if verdict.word == "wait":
                return PendingCall(call=ready.call, reason="approval")
            if verdict.word == "deny":
                return _denied(ready.call, verdict.reason, clean)
        async with terms.limiter:
            return await self._perform(tool, ready, surroundings, terms, clean)

    async def _left_to_caller(
        self, tool: Tool | None, call: ToolCall, terms: _Terms, clean: Cleaner
    ) -> ToolResult | PendingCall:
        if terms.decided:
            return failure(call, f"{call.name} is only described and cannot be run here.")
        described = None if call.name in terms.external else tool
        ready = await prepared(described, call, clean)
        if isinstance(ready, ToolResult):
            return ready
        terms.log.stale.extend(word for word in terms.approvals if word.call_id == call.id)
        return PendingCall(call=ready.call, reason="external")

    async def _perform(
        self,
        tool: Tool,
        ready: Prepared,
        context: ToolContext[Any],
        terms: _Terms,
        clean: Cleaner,
    ) -> ToolResult:
        missing = inject(tool, ready, context, clean)
        if missing is not None:
            return missing
        if terms.listener is not None:
            arguments = clean(ready.call.arguments)
            event = ToolCalled(call_id=ready.call.id, name=tool.name, arguments=arguments)
            emit(terms.listener, event)
        late = partial(self._keep_late, ready.call, terms, clean)
        watch = Watch(listener=terms.listener, begun=terms.log.begun, late=late)
        result, error = await self._execution.run(tool, ready, context, clean, watch)
        if error is not None and tool.on_error == "raise" and not terms.decided:
            terms.log.results.append(result)
            _tell_end(result, terms, clean)
            raise execution_error(tool, error, self._execution.seconds_for(tool))
        if self._after_call is None or NotDone.is_said_by(result.value):
            return result
        last = replace(context, attempt=context.attempt + result.attempts - 1)
        return await after(self._after_call, ready.call, result, last, clean, tool.max_result_bytes)

    def _keep_late(self, call: ToolCall, terms: _Terms, clean: Cleaner, result: ToolResult) -> None:
        """Note the result of a call that was cancelled, so that nobody repeats what it did."""
        if self._after_call is not None:
            result = withheld(call, result)  # nobody waits for a hook any more
        terms.log.results.append(result)
        _tell_end(result, terms, clean)

    def _unknown_tool(self, name: str) -> str:
        refusal = self._registry.refusal(name)
        if refusal:
            return f"{name} was not run: {refusal}."
        if self._registry.get(name) is not None:
            return f"{name} cannot say what its last run did."
        known = self._registry.names()
        name = cut(name, _MAX_NAME_CHARS)
        near = difflib.get_close_matches(name, known)
        guess = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        shown = ", ".join(known[:_MAX_NAMES_SHOWN]) or "none"
        more = f" and {len(known) - _MAX_NAMES_SHOWN} more" if len(known) > _MAX_NAMES_SHOWN else ""
        return f"There is no tool {name!r}.{guess} Tools: {shown}{more}."


def _check_count(count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigurationError("max_parallel_calls must be a whole number, at least 1.")


def _check_seconds(seconds: object) -> None:
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise ConfigurationError("tool_timeout must be more than 0 seconds, or None.")


class _InterruptedRoundError(BaseException):
    """Ctrl-C came while the tools of a round ran."""


def _denied(call: ToolCall, reason: str, clean: Scrubber) -> ToolResult:
    text = f"{call.name} was not run: a person must approve it and did not."
    return failure(call, f"{text} {cut(clean(reason), _MAX_REASON_CHARS)}" if reason else text)


def _tell_end(settled: ToolResult | PendingCall, terms: _Terms, clean: Scrubber) -> None:
    if terms.listener is None:
        return
    if isinstance(settled, PendingCall):
        event = ToolPending(
            call_id=settled.call.id,
            name=settled.call.name,
            arguments=clean(settled.call.arguments),
            reason=settled.reason,
        )
    else:
        event = ToolEnded(
            call_id=settled.call_id,
            name=settled.name,
            is_error=settled.is_error,
            content=settled.content,
            seconds=settled.seconds,
        )
    emit(terms.listener, event)
