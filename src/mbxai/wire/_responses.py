"""What an answer of `POST /responses` looks like when it arrives.

Lenient like all that arrives: no field is required, unknown fields are kept, words are open sets.
Sources: OpenRouter's published `OpenResponsesResult` and recorded traffic, which leaves out fields
that the schema requires (`status`) and sends an empty `output_text` beside an output with text.
"""

from typing import Final, cast

from pydantic import Field

from mbxai.wire._completion import ServerToolUse
from mbxai.wire._lenient import WireModel, WireObject
from mbxai.wire._result import WireResult

_UNFINISHED: Final = frozenset({"incomplete", "in_progress", "failed", "cancelled", "queued"})


class OutputContent(WireModel):
    """A part of what an output item says.

    Attributes:
        type: `output_text`, `refusal`, `reasoning_text`, `summary_text` or another word.
        text: The text; None where the part has none.
        refusal: Why the model refused; None where it did not.
        annotations: Sources of the text, each an object with a `type`.
    """

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[WireObject] | None = None


class OutputItem(WireModel):
    """One thing that the model gave: a message, a call, thoughts, a picture.

    Attributes:
        type: `message`, `function_call`, `reasoning`, `image_generation_call`, `web_search_call`,
            one of OpenRouter's own tools (`openrouter:...`) or another word.
        id: Of the item; None where the server sent none.
        status: `completed`, `in_progress`, `incomplete`, `failed` or another word.
        role: Who speaks in a message.
        content: Parts of a message or of thoughts; a text where a tool fetched one.
        call_id: Which call this is; the output of a function names it.
        name: The function to call.
        arguments: JSON text of the arguments, byte for byte as it came.
        input: Text for a custom tool.
        summary: Summaries of thoughts.
        encrypted_content: Thoughts that only their provider can read; send them back unchanged.
        signature: The provider's proof of the thoughts; send it back unchanged.
        format: Whose thoughts these are.
        result: What a tool of OpenRouter gave, for a picture its base64 text.
        error: Why a tool of OpenRouter failed.
    """

    type: str = ""
    id: str | None = None
    status: str | None = None
    role: str | None = None
    content: list[OutputContent] | str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    summary: list[OutputContent] | None = None
    encrypted_content: str | None = None
    signature: str | None = None
    format: str | None = None
    result: str | None = None
    error: str | WireObject | None = None

    @property
    def text(self) -> str:
        """All text of the item, joined; empty where it has none."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or "" for part in self.content or ())


class InputTokensDetails(WireModel):
    """How the tokens of the request divide."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputTokensDetails(WireModel):
    """How the tokens of the answer divide."""

    reasoning_tokens: int | None = None


class ResponseCostDetails(WireModel):
    """How the cost divides, in USD; upstream figures are there for keys of your own (BYOK)."""

    upstream_inference_cost: float | None = None
    upstream_inference_input_cost: float | None = None
    upstream_inference_output_cost: float | None = None
    server_tool_cost: float | None = None


class ResponseUsage(WireModel):
    """What a response used, counted by the model's own tokenizer.

    Attributes:
        input_tokens: Tokens of the request.
        output_tokens: Tokens of the answer, reasoning included.
        total_tokens: Both together.
        cost: USD that OpenRouter charged; None where the server does not say.
        is_byok: Whether a provider key of your own was used; then `cost` is OpenRouter's fee.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cost: float | None = None
    is_byok: bool | None = None
    input_tokens_details: InputTokensDetails | None = None
    output_tokens_details: OutputTokensDetails | None = None
    cost_details: ResponseCostDetails | None = None
    server_tool_use_details: ServerToolUse | None = None


class IncompleteDetails(WireModel):
    """Why an answer was cut.

    Attributes:
        reason: `max_output_tokens`, `content_filter` or another word.
    """

    reason: str | None = None


class Response(WireResult):
    """An answer of `POST /responses`.

    Attributes:
        id: OpenRouter's id of the generation.
        created_at: Seconds since the epoch.
        completed_at: Seconds since the epoch; None where the server does not say.
        model: Slug of the model that answered.
        status: `completed`, `incomplete` or another word; None where the server does not say.
        output: What the model gave, in its order.
        usage: Tokens and cost; None where the server does not say.
        incomplete_details: Why the answer was cut; None where it was not.
        error: Why the answer failed. A result that a call returns has none.
        error_type: OpenRouter's own word for the error.
        service_tier: Which tier served the request.
        openrouter_metadata: How the request was routed, if the request asked.
    """

    id: str = ""
    object: str = ""
    created_at: int | None = None
    completed_at: int | None = None
    model: str = ""
    status: str | None = None
    output: list[OutputItem] = Field(default_factory=list[OutputItem])
    usage: ResponseUsage | None = None
    incomplete_details: IncompleteDetails | None = None
    error: WireObject | None = None
    error_type: str | None = None
    service_tier: str | None = None
    openrouter_metadata: WireObject | None = None

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id for `GET /generation`: the `X-Generation-Id` header, else `id`."""
        return super().generation_id or self.id or None

    @property
    def output_text(self) -> str:
        """The text of all messages, joined; empty where the model only calls tools."""
        return "".join(item.text for item in self.output if item.type == "message")

    @property
    def function_calls(self) -> list[OutputItem]:
        """The functions that the model wants called, in its order."""
        return [item for item in self.output if item.type == "function_call"]

    def is_complete(self) -> bool:
        """Whether the answer is whole; false where it was cut, for example by a token limit."""
        return self.status not in _UNFINISHED and self.incomplete_details is None

    def to_input(self) -> list[WireObject]:
        """Return the output as items for the `input` of the next request.

        OpenRouter stores no responses, so the whole conversation is sent again. Items are as they
        came, which thoughts and arguments must be; a message without a status, which is refused,
        gets one.
        """
        sent: object = self.to_dict().get("output")
        items = cast("list[object]", sent) if isinstance(sent, list) else []
        return [_as_input(cast("WireObject", item)) for item in items if isinstance(item, dict)]


def _as_input(item: WireObject) -> WireObject:
    if item.get("type") == "message" and not item.get("status"):
        return {**item, "status": "completed"}
    return item
