"""What a chat completion looks like when it arrives.

Models are lenient: no field is required, unknown fields are kept, `null` counts as absent, and
words such as `finish_reason` are open sets. Sources: OpenRouter's published schema for `ChatResult`
and recorded traffic, which carries fields that the schema lacks (`provider`,
`native_finish_reason`, `annotations`).
"""

from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field

from mbxai.wire._lenient import WireModel, WireObject
from mbxai.wire._result import WireResult


class FunctionCall(WireModel):
    """Which function the model calls, with the arguments exactly as it wrote them."""

    name: str = ""
    arguments: str = ""
    """JSON text, byte for byte as it came; empty where the provider left it out."""


class ToolCallPart(WireModel):
    """One tool call inside an assistant message."""

    id: str = ""
    type: str = "function"
    function: FunctionCall = Field(default_factory=FunctionCall)

    def to_param(self) -> WireObject:
        """Return the call as it goes back in a later request, with what the provider added to it.

        Providers sign calls in fields of their own and refuse a conversation without them. `index`
        belongs to the answer and not to the call.
        """
        added = {name: value for name, value in (self.model_extra or {}).items() if name != "index"}
        function: WireObject = {
            **(self.function.model_extra or {}),
            "name": self.function.name,
            "arguments": self.function.arguments,
        }
        return {**added, "id": self.id, "type": self.type or "function", "function": function}


class PromptTokensDetails(WireModel):
    """How the prompt's tokens divide."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    video_tokens: int | None = None


class CompletionTokensDetails(WireModel):
    """How the answer's tokens divide."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class CostDetails(WireModel):
    """How the cost divides, in USD; upstream figures are there for keys of your own (BYOK)."""

    upstream_inference_cost: float | None = None
    upstream_inference_prompt_cost: float | None = None
    upstream_inference_completions_cost: float | None = None
    server_tool_cost: float | None = None


class ServerToolUse(WireModel):
    """How often OpenRouter's own tools ran."""

    web_search_requests: int | None = None
    tool_calls_requested: int | None = None
    tool_calls_executed: int | None = None


class Usage(WireModel):
    """What a call used, counted by the model's own tokenizer.

    Attributes:
        prompt_tokens: Tokens of the request.
        completion_tokens: Tokens of the answer, reasoning included.
        total_tokens: Both together.
        cost: USD that OpenRouter charged; None where the server does not say.
        is_byok: Whether a provider key of your own was used; then `cost` is OpenRouter's fee.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost: float | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
    is_byok: bool | None = None
    cost_details: CostDetails | None = None
    server_tool_use: ServerToolUse | None = None
    server_tool_use_details: ServerToolUse | None = None


class URLCitation(WireModel):
    """Where a web search found what an answer says.

    Attributes:
        start_index: First character of the answer that it supports.
        end_index: The character after the last.
    """

    url: str = ""
    title: str | None = None
    content: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Annotation(WireModel):
    """A source of the answer, or a file that was parsed for it.

    Attributes:
        type: `url_citation`, `file` or another word.
        file: What a parsed file holds; sent back with its message, it is not parsed again.
    """

    type: str = ""
    url_citation: URLCitation | None = None
    file: WireObject | None = None


class ImageURL(WireModel):
    """Address of an image, mostly a `data:` URL that holds it."""

    url: str = ""


class Image(WireModel):
    """An image that the model made."""

    type: str = "image_url"
    image_url: ImageURL = Field(default_factory=ImageURL)


class Audio(WireModel):
    """Speech that the model made.

    Attributes:
        data: Base64.
        transcript: What is said.
        expires_at: Seconds since the epoch until which `id` can be named in a later turn.
    """

    id: str | None = None
    data: str | None = None
    transcript: str | None = None
    expires_at: int | None = None


class Message(WireModel):
    """An assistant message.

    Attributes:
        content: Text; None when the message only calls tools.
        tool_calls: Calls in the model's order; None if there are none.
        reasoning: What the model let see of its thoughts.
        reasoning_details: Opaque parts that go back unchanged in a tool loop.
        annotations: Sources of the answer and parsed files.
        images: Images that the model made.
        audio: Speech that the model made.
    """

    role: str = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_details: list[WireObject] | None = None
    tool_calls: list[ToolCallPart] | None = None
    annotations: list[Annotation] | None = None
    images: list[Image] | None = None
    audio: Audio | None = None

    def to_param(self) -> dict[str, Any]:  # Any: a JSON object of the wire
        """Return the message as it goes back in a later request.

        Returns:
            `role`, `content` (null beside tool calls without text), and, where present,
            `tool_calls` with their argument strings unchanged, `reasoning_details` as received and
            the `annotations` of parsed files.
        """
        message: dict[str, Any] = {"role": self.role or "assistant", "content": self.content}
        if self.tool_calls:
            message["content"] = self.content or None
            message["tool_calls"] = [call.to_param() for call in self.tool_calls]
        elif self.content is None:
            message["content"] = ""
        if self.reasoning_details is not None:
            message["reasoning_details"] = self.reasoning_details
        # A parsed file that comes back is not parsed, nor paid for, a second time.
        if files := [note.to_dict() for note in self.annotations or () if note.type == "file"]:
            message["annotations"] = files
        return message


class Choice(WireModel):
    """One answer."""

    index: int | None = 0
    message: Message = Field(default_factory=Message)
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    logprobs: WireObject | None = None
    error: WireObject | str | None = None


class ChatCompletion(WireResult):
    """A whole answer.

    Attributes:
        id: OpenRouter's id of the generation.
        choices: Answers; at least one.
        usage: Tokens and cost; None where the server sent none.
        provider: Who served the request; None where the server does not say.
        openrouter_metadata: How the request was routed; only where it was asked for.
    """

    id: str = ""
    object: str = "chat.completion"
    created: int | None = None
    model: str = ""
    choices: list[Choice] = Field(default_factory=list[Choice])
    usage: Usage | None = None
    provider: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    openrouter_metadata: WireObject | None = None

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id for `GET /generation`: the `X-Generation-Id` header, else `id`."""
        return super().generation_id or self.id or None

    @property
    def total_usage(self) -> Usage | None:
        """Tokens and cost of all answers that this call paid for; here of the only one."""
        return self.usage

    def with_usage(self, usage: Usage | None) -> Self:
        """Return a copy that counts more than itself, as the last answer of a conversation.

        Args:
            usage: Of all its answers.
        """
        return self.model_copy(update={"usage": usage})

    @property
    def message(self) -> Message:
        """The message of the first answer."""
        return self.choices[0].message

    @property
    def text(self) -> str:
        """The text of the first answer; empty where it only calls tools."""
        return self.choices[0].message.content or ""

    @property
    def finish_reason(self) -> str | None:
        """Why the first answer ended: `stop`, `length`, `tool_calls` or another word."""
        return self.choices[0].finish_reason

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:  # Any: `object` is a field here
        """Show what it is and what it took, not what it says."""
        from mbxai._notebook import completion_facts  # noqa: PLC0415  # only where it is looked at

        return completion_facts(self)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import completion_html  # noqa: PLC0415  # only where it is looked at

        return completion_html(self)
