"""The conversation that ends with a typed answer: ask, read, ask again or in another way.

Nothing is sent here; `complete` sends one request with its transport retries.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar, overload

from pydantic import TypeAdapter

from mbxai.errors import (
    ConfigurationError,
    OpenRouterAPIError,
    OpenRouterConfigurationError,
    OpenRouterError,
    OutputError,
)
from mbxai.openrouter._ladder import (
    ANSWER_TOOL,
    STRATEGIES,
    Strategy,
    has_tools,
    is_unsupported,
    next_strategy,
    request_changes,
)
from mbxai.openrouter._prompts import correction
from mbxai.openrouter._request import checked_messages
from mbxai.openrouter._strategy_memory import StrategyMemory
from mbxai.openrouter._structured import Misfit, misfit_error, read_answer
from mbxai.wire import ChatCompletion, MessageParam, ParsedChatCompletion
from mbxai.wire._output_type import OutputType, output_type_of
from mbxai.wire._parsed import total_usage_of

T = TypeVar("T")
E = TypeVar("E", bound=OutputError)

# Any in this file: parameters and messages are open JSON of the wire.

Complete: TypeAlias = Callable[
    [Sequence[MessageParam], Mapping[str, Any]], Awaitable[ParsedChatCompletion[Any]]
]
"""Sends one request and returns its answer."""

SupportedParameters: TypeAlias = Callable[[], Awaitable[frozenset[str] | None]]
"""Looks up what the model's endpoints support; None where nobody knows."""


@overload
async def complete_typed(
    complete: Complete,
    supported_parameters: SupportedParameters,
    messages: Sequence[MessageParam],
    response_format: type[T] | TypeAdapter[T],
    params: Mapping[str, Any],
    *,
    strategy: Strategy | Literal["auto"] = "auto",
    max_validation_retries: int = 1,
    memory: StrategyMemory | None = None,
    model: str = "",
) -> ParsedChatCompletion[T]: ...
@overload
async def complete_typed(
    complete: Complete,
    supported_parameters: SupportedParameters,
    messages: Sequence[MessageParam],
    response_format: object,
    params: Mapping[str, Any],
    *,
    strategy: Strategy | Literal["auto"] = "auto",
    max_validation_retries: int = 1,
    memory: StrategyMemory | None = None,
    model: str = "",
) -> ParsedChatCompletion[Any]: ...
async def complete_typed(
    complete: Complete,
    supported_parameters: SupportedParameters,
    messages: Sequence[MessageParam],
    response_format: object,
    params: Mapping[str, Any],
    *,
    strategy: Strategy | Literal["auto"] = "auto",
    max_validation_retries: int = 1,
    memory: StrategyMemory | None = None,
    model: str = "",
) -> ParsedChatCompletion[Any]:
    """Return an answer whose text is a value of the type.

    At most `1 + max_validation_retries` answers are paid for: asking in another way because the
    answer was no JSON counts as a retry as well. Requests that OpenRouter refuses cost nothing and
    do not count.

    Args:
        complete: Sends one request.
        supported_parameters: Called at most once, and only where the first way does not work.
        messages: The conversation, oldest message first, not empty; not changed.
        response_format: What the answer shall be: any type that pydantic can describe.
        params: Parameters of the call with the client's defaults below them; not changed.
        strategy: How to ask; "auto" starts with what is known to work, else with the best way,
            and goes down from there.
        max_validation_retries: How often an answer that does not fit is asked for again, with the
            problems named.
        memory: Remembers what worked; None remembers nothing.
        model: Under which name it is remembered.

    Raises:
        OpenRouterConfigurationError: An argument cannot be used; the message names it.
        OutputError: No value could be had; it holds every answer and their usage.
        OpenRouterError: As `complete` raises it.
    """
    output_type = checked_output_type(response_format)
    check_typed_options(strategy=strategy, max_validation_retries=max_validation_retries)
    talk = _Talk(complete, output_type, checked_messages(messages), params)
    if strategy != "auto":
        talk.start(strategy)
        return await talk.run(max_validation_retries, None)
    memory = StrategyMemory() if memory is None else memory
    first = memory.first(model)
    # What worked without tools of the caller's own cannot be used beside them.
    talk.start(STRATEGIES[0] if first == "tool" and talk.has_tools else first)
    answer = await talk.run(max_validation_retries, supported_parameters)
    if talk.is_answered:
        memory.worked(model, talk.strategy)
    return answer


def checked_output_type(response_format: object) -> OutputType[Any]:
    """Return the output type of what a caller gave.

    Args:
        response_format: A class, a typing form or a `TypeAdapter`.

    Raises:
        OpenRouterConfigurationError: It is no type, or has no JSON Schema.
    """
    try:
        return output_type_of(response_format)
    except ConfigurationError as error:
        raise OpenRouterConfigurationError(
            f"response_format cannot be used: {error.message}", hint=error.hint
        ) from error


def check_typed_options(*, strategy: object, max_validation_retries: object) -> None:
    """Check the options of a call for typed output.

    Args:
        strategy: A `Strategy` or "auto".
        max_validation_retries: 0 or more.

    Raises:
        OpenRouterConfigurationError: One of them is neither; the message names it.
    """
    if strategy not in (*STRATEGIES, "auto"):
        raise OpenRouterConfigurationError(
            f"strategy must be one of auto, {', '.join(STRATEGIES)}.",
            hint='Leave it out for "auto".',
        )
    if (
        isinstance(max_validation_retries, bool)
        or not isinstance(max_validation_retries, int)
        or max_validation_retries < 0
    ):
        raise OpenRouterConfigurationError("max_validation_retries must be 0 or a whole number.")


class _Talk:
    """One call for typed output: what is sent next, and what has come back."""

    def __init__(
        self,
        complete: Complete,
        output_type: OutputType[Any],
        messages: Sequence[MessageParam],
        params: Mapping[str, Any],
    ) -> None:
        self._complete = complete
        self._output_type = output_type
        self._given_messages = messages
        self._given_params = params
        self._messages = messages
        self._params = params
        self._misfits: list[ChatCompletion] = []
        self.has_tools = has_tools(params)
        self.strategy: Strategy = STRATEGIES[0]
        self.is_answered = False

    def start(self, strategy: Strategy) -> None:
        """Ask in this way from now on, without what was said about earlier answers."""
        self.strategy = strategy
        self._messages, self._params = request_changes(
            strategy, self._output_type, self._given_params, self._given_messages
        )

    async def run(
        self, max_retries: int, supported_parameters: SupportedParameters | None
    ) -> ParsedChatCompletion[Any]:
        """Ask until an answer fits or the retries are used up.

        Args:
            max_retries: How often an answer may be asked for again.
            supported_parameters: None where no other strategy may be used.
        """
        look_up = None if supported_parameters is None else _once(supported_parameters)
        while True:
            try:
                answer = await self._complete(self._messages, self._params)
            except OpenRouterError as error:
                error.completions = tuple(self._misfits)  # they were paid for
                if not isinstance(error, OpenRouterAPIError):
                    raise
                if not is_unsupported(error, has_tools=self.has_tools):
                    raise
                if not await self._descends(look_up):
                    raise
                continue
            misfit = self._read(answer)
            if misfit is None:
                return answer
            self._misfits.append(answer)
            if len(self._misfits) > max_retries:
                error = misfit_error(misfit, self._output_type, tuple(self._misfits))
                raise _with_usage(error) from misfit.cause
            if not (misfit.is_prose and await self._descends(look_up)):
                self._correct(answer, misfit)

    def _read(self, answer: ParsedChatCompletion[Any]) -> Misfit | None:
        """Set the value of an answer, or say why there is none."""
        message = answer.choices[0].message
        message.parsed = None  # a server may send a field of this name
        answer.set_outcome(strategy=self.strategy, earlier=self._misfits)
        if self.has_tools and message.tool_calls:
            return None  # the model wants a tool first; words beside a call are no answer
        tool = ANSWER_TOOL if self.strategy == "tool" else None
        try:
            reading = read_answer(answer, self._output_type, answer_tool=tool)
        except OutputError as error:
            error.completions = (*self._misfits, answer)
            _with_usage(error)
            raise
        if isinstance(reading, Misfit):
            return reading
        message.set_parsed(reading.value, repaired=reading.repaired)
        self.is_answered = True
        return None

    async def _descends(self, look_up: SupportedParameters | None) -> bool:
        """Go on with the next strategy that the model supports, if there is one."""
        if look_up is None:
            return False
        below = next_strategy(self.strategy, await look_up(), has_tools=self.has_tools)
        if below is not None:
            self.start(below)
        return below is not None

    def _correct(self, answer: ParsedChatCompletion[Any], misfit: Misfit) -> None:
        """Ask again, with the answer and its problems at the end of the conversation."""
        message, text = answer.choices[0].message, correction(misfit.problems)
        added: list[MessageParam] = []
        if self.strategy == "tool" and message.tool_calls:
            # Every call of a conversation must be followed by its result.
            added.append(message.to_param())
            added += [
                {"role": "tool", "tool_call_id": call.id, "content": text}
                for call in message.tool_calls
            ]
        else:
            # Calls of tools that nobody offered have no results, and empty messages are refused.
            if message.content:
                added.append(message.model_copy(update={"tool_calls": None}).to_param())
            added.append({"role": "user", "content": text})
        self._messages = [*self._messages, *added]


def _with_usage(error: E) -> E:
    error.total_usage = total_usage_of(error.completions)
    return error


def _once(supported_parameters: SupportedParameters) -> SupportedParameters:
    """Look a model up at its first need only; a look-up that fails tells nothing."""
    known: list[frozenset[str] | None] = []

    async def look_up() -> frozenset[str] | None:
        if not known:
            try:
                known.append(await supported_parameters())
            except OpenRouterError:
                known.append(None)
        return known[0]

    return look_up
