"""The conversation of model and tools, from the caller's messages to the final answer."""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final, TypeVar
from uuid import uuid4

from mbxai._redaction import get_logger
from mbxai.errors import OpenRouterError, OutputError, ToolCallsPendingError, ToolLoopError
from mbxai.tools._call import ToolCall
from mbxai.tools._context import Secret, ToolContext
from mbxai.tools.loop._conversation import Conversation
from mbxai.tools.loop._options import ToolLoopOptions
from mbxai.tools.loop._resume import check_answers, last_answer
from mbxai.tools.runner._failures import failure, failure_text
from mbxai.tools.runner._progress import ToolListener, emit
from mbxai.tools.runner._results import tool_result
from mbxai.tools.runner._round import RoundLog
from mbxai.tools.runner._runner import ToolRunner
from mbxai.wire import ChatCompletion, ToolEnded, ToolEvent, ToolResult

logger = get_logger(__name__)

C = TypeVar("C", bound=ChatCompletion)

_INTERRUPTED: Final = "was interrupted before it ended. It may have had an effect."


class Rounds:
    """Runs the rounds of one conversation."""

    def __init__(
        self, conversation: Conversation, runner: ToolRunner, options: ToolLoopOptions
    ) -> None:
        """Take the parts.

        Args:
            conversation: Begun with the caller's messages; holds every round afterwards.
            runner: The tools.
            options: Results and approvals that the caller gives, the context, the listener.

        Raises:
            ConfigurationError: A result or an approval belongs to no call that waits.
        """
        self.conversation: Conversation = conversation
        self._runner = runner
        self._context = _context_of(options)
        self._results: Mapping[str, object] = options.get("tool_results") or {}
        self._approvals = options.get("approvals") or ()
        self._listener = options.get("on_event")
        self._secrets: list[Secret] = []
        self.unanswered: list[ToolCall] = conversation.unanswered()
        external = conversation.offer.is_external
        check_answers(self.unanswered, self._results, self._approvals, external)

    async def run(self, calls: Sequence[ToolCall], listener: ToolListener | None = None) -> None:
        """Run one round; its results, and what waits, are in the conversation afterwards.

        Args:
            calls: What the model wants, or what was left unanswered.
            listener: Told of events besides the caller's own listener.

        Raises:
            ToolLoopError: A bound is reached, or a tool with `on_error="raise"` failed.
        """
        conversation = self.conversation
        listener = _both(self._listener, listener)
        given = [call for call in calls if call.id in self._results]
        wanted, results = conversation.begin_round([call for call in calls if call not in given])
        results += [self._given_result(call, listener) for call in given]
        log = RoundLog()
        try:
            outcome = await self._runner.run_round(
                wanted,
                replace(self._context, usage=conversation.usage),
                approvals=self._approvals,
                external=conversation.offer.external,
                listener=listener,
                secrets=self._secrets,
                log=log,
            )
        except BaseException:
            # Whoever goes on from here must not run what may have had its effect already; what had
            # not begun, or waits, stays open.
            conversation.answer([*results, *log.results, *_interrupted(wanted, log)], log.pending)
            raise
        for word in log.stale:
            logger.warning("The approval of call %s was given for other arguments", word.call_id)
        conversation.answer([*results, *outcome.results], outcome.pending)

    def _given_result(self, call: ToolCall, listener: ToolListener | None) -> ToolResult:
        value = self._results[call.id]
        if isinstance(value, BaseException):
            result = failure(call, failure_text(call.name, value))
        else:
            size = self.conversation.offer.max_result_bytes(call.name)
            result = tool_result(call, value, size, str)
        if listener is not None:
            text, failed = result.content, result.is_error
            ended = ToolEnded(call_id=call.id, name=call.name, is_error=failed, content=text)
            emit(listener, ended)
        return result


async def converse(rounds: Rounds, ask: Callable[..., Awaitable[C]]) -> C | ChatCompletion:
    """Ask the model and run its tools until it answers without calling one, or a call must wait.

    Args:
        rounds: The conversation with its tools.
        ask: Sends one request and returns the whole answer.

    Returns:
        The model's last answer, as it came. If `conversation.pending` is not empty, it calls tools
        that the application must run or approve.

    Raises:
        ToolLoopError: A bound of the conversation is reached.
        OpenRouterError: As `ask` raises it.
    """
    conversation = rounds.conversation
    if rounds.unanswered:
        await rounds.run(rounds.unanswered)
        if conversation.pending:
            return last_answer(conversation.messages)
    while True:
        completion = await ask(**conversation.request())
        calls = conversation.take(completion)
        if calls is None:
            if conversation.should_ask_again(completion):
                continue
            return completion
        if calls:
            await rounds.run(calls)
        if conversation.pending:
            return completion


def check_nothing_pending(conversation: Conversation) -> None:
    """Refuse to go on to a typed answer while calls wait for the application.

    Raises:
        ToolCallsPendingError: Calls wait.
    """
    if conversation.pending:
        names = ", ".join(sorted({waiting.call.name for waiting in conversation.pending}))[:200]
        raise ToolCallsPendingError(
            f"Calls of {names} wait to be approved or run.",
            hint="See `error.run.pending`; pass `error.run.messages` to the next call, with"
            " `approvals` or `tool_results`.",
            run=conversation.run(),
        )


@contextmanager
def keeping_run(conversation: Conversation) -> Generator[None]:
    """Note on an error what had been said and done, so that nothing is lost with it.

    Args:
        conversation: The conversation that goes on inside the block.
    """
    try:
        yield
    except (OpenRouterError, ToolLoopError) as error:
        if error.run is None:
            for completion in error.completions if isinstance(error, OutputError) else ():
                conversation.count(completion)  # answers that did not fit were paid for
            error.run = conversation.run()
        raise
    except Exception as error:
        # Of a user's own client: the class is not ours, and what was done must not be lost.
        with suppress(AttributeError, TypeError):
            error.run = conversation.run()  # pyright: ignore[reportAttributeAccessIssue]
        raise


def _context_of(options: ToolLoopOptions) -> ToolContext[Any]:
    """What surrounds the calls; its key tells this conversation from all others.

    The ids that models give to calls are often the same from one conversation to the next, and a
    service that drops repeated requests would drop those of somebody else.
    """
    context = options.get("context") or ToolContext[Any]()
    return replace(
        context,
        deps=options.get("deps", context.deps),
        secrets=options.get("secrets") or context.secrets,
        idempotency_key=context.idempotency_key or uuid4().hex,
        can_pause=False,  # the model goes on at once, and nobody would call again with an answer
        answer=None,
    )


def _interrupted(calls: Sequence[ToolCall], log: RoundLog) -> list[ToolResult]:
    """Results of calls that had begun and did not come to their end."""
    ended = {result.call_id for result in log.results}
    return [
        ToolResult(
            call_id=call.id,
            name=call.name,
            content=f"{call.name} {_INTERRUPTED}",
            is_error=True,
            attempts=1,
        )
        for call in calls
        if call.id in log.begun - ended
    ]


def _both(first: ToolListener | None, second: ToolListener | None) -> ToolListener | None:
    if first is None or second is None:
        return first or second

    def tell(event: ToolEvent) -> None:
        second(event)
        first(event)

    return tell
