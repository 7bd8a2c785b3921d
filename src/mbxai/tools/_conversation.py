"""One conversation of a model and its tools: what is sent next, and when it is over.

Pure: plain data and decisions; `_loop` does the talking.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from mbxai.errors import ConfigurationError, ToolRoundsExceededError
from mbxai.tools._call import ToolCall
from mbxai.wire import (
    ChatCompletion,
    Message,
    MessageParam,
    Messages,
    ToolDefinition,
    ToolResult,
    Usage,
    sum_usages,
    with_unique_call_ids,
)

C = TypeVar("C", bound=ChatCompletion)

MAX_ROUNDS: Final = 10
"""How many rounds of tool calls a conversation may have, unless the caller says otherwise."""

# What such an answer calls is not what the model wanted: arguments, or further calls, are missing.
_UNFINISHED: Final = {
    "length": "Your answer was cut at the token limit",
    "content_filter": "Your answer was withheld by the provider's filter",
    "error": "The provider stopped your answer with an error",
}


class Conversation:
    """The messages so far, and what has happened between them.

    Attributes:
        messages: The caller's messages and those that came since; the caller's own list and its
            messages are never changed.
    """

    def __init__(
        self,
        messages: Messages,
        definitions: Sequence[ToolDefinition],
        params: Mapping[str, Any],
        *,
        model: str | None,
        max_rounds: int,
    ) -> None:
        """Begin with the caller's messages.

        Args:
            messages: What the caller said.
            definitions: Tools to offer.
            params: The caller's other parameters; `tools` among them are offered as well.
            model: Which model; None means the client's own.
            max_rounds: How many rounds of tool calls there may be.

        Raises:
            ConfigurationError: `max_rounds` is less than 1.
        """
        if max_rounds < 1:
            raise ConfigurationError("max_rounds must be at least 1.")
        self.messages: list[MessageParam] = [
            message.to_param() if isinstance(message, Message) else message for message in messages
        ]
        self._params = dict(params)
        given: Sequence[Mapping[str, Any]] = self._params.pop("tools", None) or ()
        self._tools: list[Mapping[str, Any]] = [*definitions, *given]
        self._model = model
        self._max_rounds = max_rounds
        self._rounds = 0
        self._asked_again = False
        self._ids: set[str] = set()
        self._usages: list[Usage] = []

    @property
    def has_tools(self) -> bool:
        """Whether there is a tool to offer."""
        return bool(self._tools)

    def request(self) -> dict[str, Any]:
        """Return the keywords of the next model call."""
        request: dict[str, Any] = {**self._params, "messages": list(self.messages)}
        if self._model is not None:
            request["model"] = self._model
        if self._tools:
            request["tools"] = self._tools
            if self._rounds and _is_forced(request.get("tool_choice")):
                # A choice that stays forced would make the model call tools for ever.
                request["tool_choice"] = "auto"
        return request

    def take(self, completion: ChatCompletion) -> list[ToolCall] | None:
        """Take the model's answer to the last request.

        Args:
            completion: The answer. Its tool calls decide, not its finish reason, except that the
                calls of an answer that was cut or withheld are never run.

        Returns:
            The calls to run now, which may be none; None if this is the final answer.

        Raises:
            ToolRoundsExceededError: The model calls tools after the last round it may have.
        """
        self.add_usage(completion)
        message = completion.choices[0].message
        if not message.tool_calls:
            return None
        names = ", ".join(sorted({call.function.name for call in message.tool_calls}))
        if self._rounds >= self._max_rounds:
            raise ToolRoundsExceededError(
                f"The model still calls tools ({names[:200]}) after {self._rounds} rounds.",
                hint="Raise max_rounds, or see whether a tool's result tells the model to go on.",
            )
        self._rounds += 1
        message = with_unique_call_ids(message, self._ids, seed=completion.id)
        self.messages.append(message.to_param())
        calls = [
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
        ]
        self._ids.update(call.id for call in calls)
        reason = _UNFINISHED.get(completion.choices[0].finish_reason or "")
        if reason is None:
            return calls
        told = f"{reason}. Nothing was run. Call the tool again, with shorter arguments if need be."
        self.answer(
            [
                ToolResult(call_id=call.id, name=call.name, content=told, is_error=True)
                for call in calls
            ]
        )
        return []

    def answer(self, results: Sequence[ToolResult]) -> None:
        """Take the results of the calls, in their order."""
        self.messages.extend(result.to_message() for result in results)

    def should_ask_again(self, completion: ChatCompletion) -> bool:
        """Whether a final answer is empty, as small models give after a tool result; true once.

        Args:
            completion: A final answer.
        """
        message = completion.choices[0].message
        is_empty = not (message.content or message.refusal or message.images)
        cut_off = completion.choices[0].finish_reason not in ("stop", None)
        if not self._rounds or self._asked_again or not is_empty or cut_off or message.model_extra:
            return False
        self._asked_again = True
        return True

    @property
    def usage(self) -> Usage | None:
        """Tokens and cost of all calls so far; None if no answer named any."""
        if len(self._usages) < 2:
            return self._usages[0] if self._usages else None
        return sum_usages(self._usages)

    def with_usage(self, completion: C) -> C:
        """Return the final answer with the usage of the whole conversation.

        Args:
            completion: The final answer; it is not changed.
        """
        if len(self._usages) < 2:
            return completion
        return completion.with_usage(self.usage)

    def add_usage(self, completion: ChatCompletion) -> None:
        """Count what an answer used, and what its corrections used."""
        # Answers that did not fit were paid for as well.
        usage = completion.total_usage if completion.usage else None
        if usage is not None:
            self._usages.append(usage)


def _is_forced(choice: object) -> bool:
    return choice == "required" or isinstance(choice, Mapping)
