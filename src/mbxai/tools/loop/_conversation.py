"""One conversation of a model and its tools: what is sent next, and when it is over.

Pure: plain data and decisions; `_loop` does the talking.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from mbxai.errors import BudgetExceededError, ToolRepeatError, ToolRoundsExceededError
from mbxai.tools._call import PendingCall, ToolCall
from mbxai.tools.loop._offer import Offer
from mbxai.tools.loop._options import MAX_REPEATS, MAX_ROUNDS, ToolLoopOptions
from mbxai.tools.loop._resume import check_messages, unanswered_calls
from mbxai.tools.loop._run import ToolRun
from mbxai.tools.runner._argument_text import mended
from mbxai.wire import (
    Budget,
    ChatCompletion,
    Message,
    MessageParam,
    Messages,
    RepeatGuard,
    Spent,
    ToolCallPart,
    ToolResult,
    Usage,
    call_digest,
    sendable_param,
    sum_usages,
    with_preamble,
    with_unique_call_ids,
)

# What such an answer calls is not what the model wanted: arguments, or further calls, are missing.
_UNFINISHED: Final = {
    "length": "Your answer was cut at the token limit",
    "content_filter": "Your answer was withheld by the provider's filter",
    "error": "The provider stopped your answer with an error",
}
_MAX_STUCK_ROUNDS: Final = 2


class Conversation:
    """The messages so far, and what has happened between them.

    Attributes:
        messages: The caller's messages and those that came since; the caller's own list and its
            messages are never changed.
        offer: The tools that the model may call.
    """

    def __init__(
        self,
        messages: Messages,
        offer: Offer,
        params: Mapping[str, Any],
        *,
        model: str | None = None,
        options: ToolLoopOptions | None = None,
        preamble: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with the caller's messages.

        Args:
            messages: What the caller said.
            offer: The tools that the model may call.
            params: The caller's other parameters, without `tools`.
            model: Which model; None means the client's own.
            options: Bounds of the conversation.
            preamble: Said to the model as a system message in each request; it is no part of the
                conversation, so that one which is taken up later does not say it twice.
            clock: Returns seconds.
        """
        bounds = options or {}
        check_messages(
            [m.to_param() if isinstance(m, Message) else m for m in messages]
            if isinstance(messages, (list, tuple))
            else messages
        )
        self.messages: list[MessageParam] = [
            message.to_param() if isinstance(message, Message) else message for message in messages
        ]
        self.offer = offer
        self._params = dict(params)
        self._model = model
        self._preamble = preamble
        self._max_rounds = bounds.get("max_rounds", MAX_ROUNDS)
        self._max_repeats = bounds.get("max_repeats", MAX_REPEATS)
        self._repeats = RepeatGuard(self._max_repeats) if self._max_repeats is not None else None
        self._digests: dict[str, str] = {}
        self._budget = bounds.get("budget") or Budget()
        self._clock = clock
        self._began = clock()
        self._given = len(self.messages)
        # Taken up after a round, a choice that was forced for it must not force another one.
        self._follows_round = bool(self.messages) and self.messages[-1].get("role") == "tool"
        self._rounds = 0
        self._stuck_rounds = 0
        self._tool_calls = 0
        self._asked_again = False
        self._ids = {
            str(call.get("id")) for message in self.messages for call in _calls_of(message)
        }
        self._completions: list[ChatCompletion] = []
        self._usages: list[Usage] = []
        self._results: list[ToolResult] = []
        self._pending: list[PendingCall] = []

    @property
    def usage(self) -> Usage | None:
        """Tokens and cost of all calls so far; None if no answer named any."""
        if len(self._usages) < 2:
            return self._usages[0] if self._usages else None
        return sum_usages(self._usages)

    @property
    def pending(self) -> list[PendingCall]:
        """Calls of the last round that wait for the application."""
        return self._pending

    def run(self) -> ToolRun:
        """Return what has been said and done so far."""
        messages = [dict(message) for message in self.messages]
        return ToolRun(
            messages=messages,
            new_messages=messages[self._given :],
            results=list(self._results),
            pending=list(self._pending),
            rounds=self._rounds,
            completions=list(self._completions),
            usage=self.usage,
        )

    def request(self) -> dict[str, Any]:
        """Return the keywords of the next model call.

        Raises:
            BudgetExceededError: The budget allows no further call.
        """
        request = self._plain_request()
        if tools := self.offer.definitions():
            request["tools"] = tools
            has_had_round = self._rounds or self._follows_round
            if has_had_round and _is_forced(request.get("tool_choice")):
                # A choice that stays forced would make the model call tools for ever.
                request["tool_choice"] = "auto"
        else:
            return _without_tools(request)
        return request

    def typed_request(self) -> dict[str, Any]:
        """Return the keywords of a call for typed output that offers no tools.

        Raises:
            BudgetExceededError: The budget allows no further call.
        """
        return _without_tools(self._plain_request())

    def _plain_request(self) -> dict[str, Any]:
        """Return what every model call says.

        Raises:
            BudgetExceededError: The budget allows no further call.
        """
        self._check_budget("model")
        messages = with_preamble(self.messages, self._preamble)
        request: dict[str, Any] = {**self._params, "messages": messages}
        if self._model is not None:
            request["model"] = self._model
        return request

    def unanswered(self) -> list[ToolCall]:
        """Return the calls at the end of the caller's messages that have no result yet."""
        return unanswered_calls(self.messages)

    def take(self, completion: ChatCompletion) -> list[ToolCall] | None:
        """Take the model's answer to the last request.

        Args:
            completion: The answer. Its tool calls decide, not its finish reason, except that the
                calls of an answer that was cut or withheld are never run.

        Returns:
            The calls to run now, which may be none; None if this is the final answer.

        Raises:
            ToolRoundsExceededError: The answer was cut, and there may be no further round.
        """
        self.count(completion)
        message = completion.choices[0].message
        if not message.tool_calls:
            return None
        message = with_unique_call_ids(message, self._ids, seed=completion.id)
        self.messages.append(sendable_param(message, mended))
        calls = [
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
        ]
        self._ids.update(call.id for call in calls)
        reason = _UNFINISHED.get(completion.choices[0].finish_reason or "")
        if reason is None:
            return calls
        told = f"{reason}. Nothing was run. Call the tool again, with shorter arguments if need be."
        # Not counted as repeated: they were never run.
        self._take_results([_refusal(call, told) for call in calls])
        self._begin_round(calls)
        return []

    def begin_round(self, calls: Sequence[ToolCall]) -> tuple[list[ToolCall], list[ToolResult]]:
        """Decide which calls of a round may be run.

        Args:
            calls: What the model wants.

        Returns:
            The calls to run, and results of those that are refused.

        Raises:
            ToolRoundsExceededError: This is one round more than there may be.
            ToolRepeatError: The model does nothing but repeat calls that lead nowhere.
            BudgetExceededError: The budget does not allow so many calls.
        """
        self._begin_round(calls)
        self._check_budget("tool", wanted=len(calls))
        self._digests = {}
        refused: list[ToolResult] = []
        wanted: list[ToolCall] = []
        stuck = 0
        for call in calls:
            if self._is_stuck(call):
                stuck += 1
                refused.append(_refusal(call, self._stuck_text(call)))
            elif self.offer.is_withheld(call.name):
                shown = ", ".join(self.offer.names)[:1000] or "none"
                refused.append(_refusal(call, f"{call.name} cannot be used now. Tools: {shown}."))
            else:
                wanted.append(call)
        self._stuck_rounds = self._stuck_rounds + 1 if stuck and stuck == len(calls) else 0
        if self._stuck_rounds >= _MAX_STUCK_ROUNDS:
            names = ", ".join(sorted({call.name for call in calls}))[:200]
            raise ToolRepeatError(
                f"The model repeats the same calls ({names}) with the same results.",
                hint="See what the tool's result tells the model, or say may_repeat=True.",
                run=self.run(),
            )
        self._tool_calls += len(wanted)
        return wanted, refused

    def answer(self, results: Sequence[ToolResult], pending: Sequence[PendingCall] = ()) -> None:
        """Take what became of the calls of the last round.

        Args:
            results: In any order; those that were refused included.
            pending: Calls that wait for the application.
        """
        by_id = self._take_results(results)
        self._pending = list(pending)
        self._tool_calls -= len(self._pending)  # they have not been made
        if self._repeats is not None:
            for call_id, digest in self._digests.items():
                if (result := by_id.get(call_id)) is not None:
                    parts = call_digest("", {"parts": result.parts}) if result.parts else ""
                    self._repeats.note(digest, f"{result.content}{parts}")

    def should_ask_again(self, completion: ChatCompletion) -> bool:
        """Whether a final answer is empty, as small models give after a tool result; true once.

        Args:
            completion: A final answer.
        """
        message = completion.choices[0].message
        is_empty = not (message.content or message.refusal or message.images or message.audio)
        cut_off = completion.choices[0].finish_reason not in ("stop", None)
        if not self._rounds or self._asked_again or not is_empty or cut_off or message.model_extra:
            return False
        self._asked_again = True
        return True

    def finish(self, completion: ChatCompletion) -> ToolRun:
        """Take the final answer as the last message, and return what happened.

        Args:
            completion: The answer; if calls are pending, it is in the conversation already.
        """
        message = completion.choices[0].message
        if not self._pending:
            said = message.to_param()
            if said.pop("tool_calls", None):  # a typed answer in the form of a call
                said["content"] = (message.tool_calls or [ToolCallPart()])[0].function.arguments
            self.messages.append(said)
        return self.run()

    def count(self, completion: ChatCompletion) -> None:
        """Count what an answer used, and what its corrections used."""
        self._completions.append(completion)
        # Answers that did not fit were paid for as well.
        usage = completion.total_usage if completion.usage else None
        if usage is not None:
            self._usages.append(usage)

    def _take_results(self, results: Sequence[ToolResult]) -> dict[str, ToolResult]:
        by_id = {result.call_id: result for result in results}
        ordered = [by_id[call.id] for call in self.unanswered() if call.id in by_id]
        self.messages.extend(result.to_message() for result in ordered)
        self._results.extend(ordered)
        return by_id

    def _begin_round(self, calls: Sequence[ToolCall]) -> None:
        if self._rounds >= self._max_rounds:
            names = ", ".join(sorted({call.name for call in calls}))
            raise ToolRoundsExceededError(
                f"The model still calls tools ({names[:200]}) after {self._rounds} rounds.",
                hint="Raise max_rounds, or see whether a tool's result tells the model to go on.",
                run=self.run(),
            )
        self._rounds += 1

    def _is_stuck(self, call: ToolCall) -> bool:
        if self._repeats is None or self.offer.may_repeat(call.name):
            return False
        digest = call.digest
        if self._repeats.is_stuck(digest):
            return True
        self._digests[call.id] = digest
        return False

    def _stuck_text(self, call: ToolCall) -> str:
        return (
            f"{call.name} was not run: the same call gave the same result {self._max_repeats} times"
            " already. Do something else, or answer with what you have."
        )

    def _check_budget(self, kind: Literal["model", "tool"], *, wanted: int = 1) -> None:
        usage = self.usage or Usage()
        spent = Spent(
            cost_usd=usage.cost or 0.0,
            tokens=usage.total_tokens,
            requests=len(self._completions),
            tool_calls=self._tool_calls + wanted - 1,
            seconds=self._clock() - self._began,
        )
        reached = self._budget.reached(spent, kind)
        if reached is not None:
            limit, text = reached
            if limit == "max_tool_calls":
                text = (
                    f"The budget is used up: max_tool_calls is {self._budget.max_tool_calls},"
                    f" {self._tool_calls} are used and {wanted} more are wanted."
                )
            raise BudgetExceededError(
                text,
                hint="Nothing is lost: pass `error.run.messages` to the next call, with a larger"
                " budget.",
                limit=limit,
                run=self.run(),
            )


def _refusal(call: ToolCall, content: str) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content=content, is_error=True)


def _without_tools(request: dict[str, Any]) -> dict[str, Any]:
    """What is about tools would be refused where there are none."""
    dropped = ("tools", "tool_choice", "parallel_tool_calls", "max_tool_calls")
    return {name: value for name, value in request.items() if name not in dropped}


def _is_forced(choice: object) -> bool:
    return choice == "required" or isinstance(choice, Mapping)


def _calls_of(message: MessageParam) -> Sequence[Mapping[str, Any]]:
    calls: object = message.get("tool_calls")
    return calls if isinstance(calls, list) else ()  # pyright: ignore[reportUnknownVariableType]  # JSON of the caller
