"""What a chat completion looks like when it arrives.

Models are lenient: no field is required, unknown fields are kept, `null` counts as absent, and
words such as `finish_reason` are open sets. Sources: OpenRouter's published schema for `ChatResult`
and recorded traffic, which carries fields that the schema lacks (`provider`,
`native_finish_reason`, `annotations`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeAlias, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

T = TypeVar("T")

WireObject: TypeAlias = dict[str, Any]  # Any: an open JSON object that is passed on unread
"""A JSON object that goes through unchanged, whatever it holds."""


def _joined_text(value: object) -> object:
    """Text of a content that came as a list of parts; anything else unchanged."""
    if not isinstance(value, list):
        return value
    texts: list[str] = []
    for part in cast("list[object]", value):
        if isinstance(part, Mapping):
            text = cast("Mapping[str, object]", part).get("text")
            if isinstance(text, str):
                texts.append(text)
    return "".join(texts)


def _empty_if_null(value: object) -> object:
    return "" if value is None else value


def no_items_if_null(value: object) -> object:
    """An empty list where a list field came as `null`."""
    return [] if value is None else value


def _zero_if_null(value: object) -> object:
    return 0 if value is None else value


Text = Annotated[str | None, BeforeValidator(_joined_text)]
"""Message text; a list of content parts is joined to its text."""

WireString = Annotated[str, BeforeValidator(_empty_if_null)]
"""A string that may arrive as `null`, which reads as empty."""


WireCount = Annotated[int, BeforeValidator(_zero_if_null)]
"""A number of tokens that may arrive as `null`, which reads as zero."""


class WireModel(BaseModel):
    """Base of all that arrives: unknown fields are kept, input never shows in an error."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow", hide_input_in_errors=True, defer_build=True
    )


class FunctionCall(WireModel):
    """Which function the model calls, with the arguments exactly as it wrote them."""

    name: WireString = ""
    arguments: WireString = ""
    """JSON text, byte for byte as it came; empty where the provider left it out."""


class ToolCallPart(WireModel):
    """One tool call inside an assistant message."""

    id: WireString = ""
    type: WireString = "function"
    function: FunctionCall = Field(default_factory=FunctionCall)


class PromptTokensDetails(WireModel):
    """How the prompt's tokens divide."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class CompletionTokensDetails(WireModel):
    """How the answer's tokens divide."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class Usage(WireModel):
    """What a call used, counted by the model's own tokenizer.

    Attributes:
        prompt_tokens: Tokens of the request.
        completion_tokens: Tokens of the answer, reasoning included.
        total_tokens: Both together.
        cost: USD that OpenRouter charged; None where the server does not say.
    """

    prompt_tokens: WireCount = 0
    completion_tokens: WireCount = 0
    total_tokens: WireCount = 0
    cost: float | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class Message(WireModel):
    """An assistant message.

    Attributes:
        content: Text; None when the message only calls tools.
        tool_calls: Calls in the model's order; None if there are none.
        reasoning_details: Opaque parts that go back unchanged in a tool loop.
    """

    role: WireString = "assistant"
    content: Text = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_details: list[WireObject] | None = None
    tool_calls: list[ToolCallPart] | None = None
    annotations: list[WireObject] | None = None
    images: list[WireObject] | None = None

    def to_param(self) -> dict[str, Any]:  # Any: a JSON object of the wire
        """Return the message as it goes back in a later request.

        Returns:
            `role`, `content` (null beside tool calls without text), and, where present,
            `tool_calls` with their argument strings unchanged and `reasoning_details` as received.
        """
        message: dict[str, Any] = {"role": self.role or "assistant", "content": self.content}
        if self.tool_calls:
            message["content"] = self.content or None
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": call.type or "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in self.tool_calls
            ]
        elif self.content is None:
            message["content"] = ""
        if self.reasoning_details is not None:
            message["reasoning_details"] = self.reasoning_details
        return message


class Choice(WireModel):
    """One answer."""

    index: int | None = 0
    message: Message = Field(default_factory=Message)
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    error: WireObject | str | None = None


class ChatCompletion(WireModel):
    """A whole answer.

    Attributes:
        id: OpenRouter's id of the generation.
        choices: Answers; at least one.
        usage: Tokens and cost; None where the server sent none.
        provider: Who served the request; None where the server does not say.
    """

    id: WireString = ""
    object: WireString = "chat.completion"
    created: int | None = None
    model: WireString = ""
    choices: Annotated[list[Choice], BeforeValidator(no_items_if_null)] = Field(
        default_factory=list[Choice]
    )
    usage: Usage | None = None
    provider: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None

    _request_id: str | None = PrivateAttr(default=None)
    _generation_id: str | None = PrivateAttr(default=None)
    _attempts: int = PrivateAttr(default=1)
    _headers: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def request_id(self) -> str | None:
        """The edge's id of the request (`cf-ray` or `x-request-id`), if it sent one."""
        return self._request_id

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id for `GET /generation`: the `X-Generation-Id` header, else `id`."""
        return self._generation_id or self.id or None

    @property
    def attempts(self) -> int:
        """How many times the request was sent until this answer came."""
        return self._attempts

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers, names in lower case."""
        return self._headers

    def set_origin(
        self,
        *,
        request_id: str | None,
        generation_id: str | None,
        attempts: int,
        headers: Mapping[str, str],
    ) -> None:
        """Note where the answer came from; called once by the client that received it.

        Args:
            request_id: The edge's id of the request.
            generation_id: OpenRouter's id of the generation.
            attempts: How many times the request was sent.
            headers: Response headers.
        """
        self._request_id = request_id
        self._generation_id = generation_id
        self._attempts = attempts
        self._headers = dict(headers)


class ParsedMessage(Message, Generic[T]):
    """An assistant message with its typed value.

    Attributes:
        parsed: The value. There is none only if `parse` was given `tools=` of the caller's own and
            the model called them.
    """

    parsed: T = cast("T", None)


class ParsedChoice(Choice, Generic[T]):
    """One answer with its typed value."""

    # A narrower type in a field that is only read.
    message: ParsedMessage[T] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ParsedMessage[T]
    )


class ParsedChatCompletion(ChatCompletion, Generic[T]):
    """A whole answer whose `choices[0].message.parsed` is an instance of the wanted type."""

    # A narrower list in a field that is only read.
    choices: Annotated[  # pyright: ignore[reportIncompatibleVariableOverride]
        list[ParsedChoice[T]], BeforeValidator(no_items_if_null)
    ] = Field(default_factory=list[ParsedChoice[T]])
