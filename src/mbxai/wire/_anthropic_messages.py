"""What an answer of `POST /messages` and its events look like, and what the events add up to.

The operation speaks Anthropic's Messages API; OpenRouter adds `provider`, `usage.cost` and
`openrouter_metadata`. Lenient like all that arrives. Sources: OpenRouter's documentation of the
operation, and Anthropic's of streaming.
"""

import copy
from typing import Any, Final, cast

from pydantic import Field, PrivateAttr
from pydantic_core import from_json, to_json

from mbxai.wire._lenient import WireModel, WireObject
from mbxai.wire._result import WireResult

# Any in this file: the input of a tool is open JSON of the wire.

# `pause_turn` asks to be continued; all others are ends that the model or the request chose.
_CUT: Final = frozenset({"max_tokens", "model_context_window_exceeded", "pause_turn"})
_OF_THE_EVENT: Final = frozenset({"type", "message", "delta", "usage", "index", "content_block"})


class ContentBlock(WireModel):
    """A part of a message.

    Attributes:
        type: `text`, `thinking`, `redacted_thinking`, `tool_use`, `server_tool_use` or another
            word.
        text: The text of a text block.
        thinking: Thoughts; send them back unchanged, with their signature.
        signature: The provider's proof of the thoughts.
        data: Thoughts that only their provider can read.
        id: Of a tool call; its result names it.
        name: The tool to call.
        input: Arguments of the tool.
        citations: Sources of the text.
    """

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: WireObject | None = None
    citations: list[WireObject] | None = None

    _input_json: str | None = PrivateAttr(default=None)

    @property
    def input_json(self) -> str:
        """The arguments as JSON text; of a stream byte for byte as they came."""
        if self._input_json is not None:
            return self._input_json
        return to_json(self.input or {}).decode()

    def keep_input_json(self, text: str) -> None:
        """Note the arguments as they came; called once by what adds up a stream.

        Args:
            text: The pieces, joined.
        """
        self._input_json = text


class MessageUsage(WireModel):
    """What a message used, counted by the model's own tokenizer.

    Attributes:
        input_tokens: Tokens of the request that came from no cache.
        output_tokens: Tokens of the answer, thinking included.
        cache_creation_input_tokens: Tokens of the request that were written to a cache.
        cache_read_input_tokens: Tokens of the request that came from one.
        cost: USD that OpenRouter charged; None where the server does not say.
        service_tier: Which tier served the request.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cost: float | None = None
    is_byok: bool | None = None
    service_tier: str | None = None


class MessageResult(WireResult):
    """An answer of `POST /messages`.

    Attributes:
        id: Of the message.
        role: `assistant`.
        model: Slug of the model that answered.
        content: What the model gave, in its order.
        stop_reason: `end_turn`, `max_tokens`, `stop_sequence`, `tool_use` or another word; None
            in a message that is not whole.
        stop_sequence: Which text ended the answer.
        usage: Tokens and cost; None where the server does not say.
        provider: Who served the request, where OpenRouter says.
        openrouter_metadata: How the request was routed, if the request asked.
    """

    id: str = ""
    type: str = ""
    role: str = ""
    model: str = ""
    content: list[ContentBlock] = Field(default_factory=list[ContentBlock])
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: MessageUsage | None = None
    provider: str | None = None
    openrouter_metadata: WireObject | None = None

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id for `GET /generation`: the `X-Generation-Id` header, else `id`."""
        return super().generation_id or self.id or None

    @property
    def text(self) -> str:
        """The text of all blocks, joined; empty where the model only calls tools."""
        return "".join(block.text or "" for block in self.content if block.type == "text")

    @property
    def tool_uses(self) -> list[ContentBlock]:
        """The tools that the model wants called, in its order."""
        return [block for block in self.content if block.type == "tool_use"]

    def is_complete(self) -> bool:
        """Whether the answer is whole; false where it was cut, for example by a token limit."""
        return self.stop_reason is not None and self.stop_reason not in _CUT

    def to_param(self) -> WireObject:
        """Return the message for the `messages` of the next request, its content as it came."""
        return {"role": self.role or "assistant", "content": self.to_dict().get("content", [])}


class MessageDelta(WireModel):
    """What an event adds.

    Attributes:
        type: `text_delta`, `input_json_delta`, `thinking_delta`, `signature_delta` or another
            word; empty where it adds to the message itself.
        text: More text.
        partial_json: More of the JSON text of a tool's arguments.
        thinking: More thoughts.
        signature: The proof of the thoughts.
        citation: A source of the text.
        stop_reason: Why the message ended.
        stop_sequence: Which text ended it.
    """

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: WireObject | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class MessageEvent(WireModel):
    """Something that happened while a message was written.

    Attributes:
        type: `message_start`, `content_block_start`, `content_block_delta`, `content_block_stop`,
            `message_delta`, `message_stop`, `ping`, `error` or another word.
        message: The message as it begins.
        index: Which block it is about.
        content_block: The block as it begins.
        delta: What is added.
        usage: Tokens so far.
        error: What went wrong.
    """

    type: str = ""
    message: MessageResult | None = None
    index: int | None = None
    content_block: ContentBlock | None = None
    delta: MessageDelta | None = None
    usage: MessageUsage | None = None
    error: WireObject | None = None

    @property
    def is_end(self) -> bool:
        """Whether the message is whole with this event, or was cut at a limit."""
        return self.type == "message_stop"

    @property
    def text_delta(self) -> str:
        """What this event adds to the text of the message; empty where it adds none."""
        return (self.delta.text or "") if self.delta and self.delta.type == "text_delta" else ""


class MessageBuilder:
    """Adds up the events of a message.

    Attributes:
        is_whole: Whether the event that ends the message has come.
    """

    def __init__(self) -> None:
        """Start before the first event."""
        self._message: WireObject = {}
        self._blocks: dict[int, WireObject] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}
        self.is_whole: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come."""
        return not self._message and not self._blocks

    @property
    def id(self) -> str:
        """The id of the message; empty as long as it is unknown."""
        return str(self._message.get("id") or "")

    def add(self, event: MessageEvent) -> None:
        """Take the next event."""
        self.is_whole = self.is_whole or event.is_end
        if event.type == "content_block_delta":
            if event.delta is not None:
                self._add_to_block(event.index or 0, event.delta)
            return
        if event.type in {"ping", "content_block_stop", "error"}:
            return
        fields = event.to_dict()
        if event.type == "message_start":
            self._message = copy.deepcopy(_object(fields.get("message")))
        elif event.type == "content_block_start":
            self._blocks[event.index or 0] = copy.deepcopy(_object(fields.get("content_block")))
        else:  # message_delta, message_stop, and what else may tell of the message
            self._message.update(_object(fields.get("delta")))
            usage = {k: v for k, v in _object(fields.get("usage")).items() if v is not None}
            if usage:
                self._message["usage"] = {**_object(self._message.get("usage")), **usage}
            more = {name: value for name, value in fields.items() if name not in _OF_THE_EVENT}
            self._message.update(more)

    def build(self) -> MessageResult:
        """Return the message as far as it has come, as the call without a stream would give it."""
        blocks = {index: dict(block) for index, block in self._blocks.items()}
        inputs: dict[int, str] = {}
        for (index, field), pieces in self._pieces.items():
            block = blocks.setdefault(index, {})
            text = "".join(pieces)
            if field == "partial_json":
                inputs[index] = text
                block["input"] = _input_of(text, block.get("input"))
            else:
                block[field] = str(block.get(field) or "") + text
        began: object = self._message.get("content")
        content = [blocks[index] for index in sorted(blocks)]
        message = {**self._message, "content": content or began or []}
        result = MessageResult.from_object(message)
        for index, block in zip(sorted(blocks), result.content, strict=False):
            if index in inputs:
                block.keep_input_json(inputs[index])
        return result

    def _add_to_block(self, index: int, delta: MessageDelta) -> None:
        for name, value in delta.to_dict().items():
            if name == "type" or value is None:
                continue
            if name == "citation":
                block = self._blocks.setdefault(index, {})
                block["citations"] = [*(block.get("citations") or []), value]
            elif isinstance(value, str):
                self._pieces.setdefault((index, name), []).append(value)
            else:
                self._blocks.setdefault(index, {})[name] = value


def _object(value: object) -> WireObject:
    return cast("WireObject", value) if isinstance(value, dict) else {}


def _input_of(text: str, began: Any) -> Any:
    """The arguments that a JSON text holds; what the block began with where it holds none."""
    try:
        return from_json(text)
    except ValueError:
        return began
