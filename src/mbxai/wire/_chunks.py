"""Chunks of a streamed answer, and how they add up to the whole answer."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

from pydantic import Field

from mbxai.wire._completion import Annotation, Audio, ChatCompletion, Image, Usage
from mbxai.wire._lenient import WireModel, WireObject


class FunctionCallDelta(WireModel):
    """A piece of a function call."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(WireModel):
    """A piece of a tool call; `id` and `index` may each be missing or repeated."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionCallDelta | None = None


class Delta(WireModel):
    """What a chunk adds to a message."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_details: list[WireObject] | None = None
    tool_calls: list[ToolCallDelta] | None = None
    annotations: list[Annotation] | None = None
    images: list[Image] | None = None
    audio: Audio | None = None


class ChunkChoice(WireModel):
    """What a chunk adds to one answer."""

    index: int | None = 0
    delta: Delta = Field(default_factory=Delta)
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    logprobs: WireObject | None = None
    error: WireObject | str | None = None


class ChatCompletionChunk(WireModel):
    """One event of a streamed answer.

    Attributes:
        choices: What is added; a stream gives at least one, with an empty delta where the server
            sent none (the chunk that carries the usage).
        usage: Tokens and cost; only in the last chunk.
        error: The provider's error in mid-stream; streams raise it.
    """

    id: str = ""
    object: str = "chat.completion.chunk"
    created: int | None = None
    model: str = ""
    choices: list[ChunkChoice] = Field(default_factory=list[ChunkChoice])
    usage: Usage | None = None
    provider: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    error: WireObject | str | None = None


@dataclass(slots=True, eq=False)
class _Call:
    id: str = ""
    type: str = "function"
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])
    index: int | None = None
    extra: WireObject = field(default_factory=dict[str, Any])
    function_extra: WireObject = field(default_factory=dict[str, Any])

    def is_whole(self) -> bool:
        """Whether the arguments are complete JSON already."""
        try:
            json.loads("".join(self.arguments))
        except ValueError:
            return False
        return True


class _Calls:
    """Sorts pieces of tool calls by the id that is known, then by index, then by order."""

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}
        self.last: list[tuple[ToolCallDelta, _Call]] = []  # of the last chunk

    def add(self, delta: ToolCallDelta) -> None:
        call = self._call_of(delta)
        self.last.append((delta, call))
        function = delta.function or FunctionCallDelta()
        if delta.type:
            call.type = delta.type
        # A repeated name is a repetition, never a second half.
        call.name = call.name or function.name or ""
        if function.arguments:
            call.arguments.append(function.arguments)
        if delta.model_extra:  # such as signatures that must go back with the call
            _keep_last(call.extra, delta.model_extra)
        if function.model_extra:
            _keep_last(call.function_extra, function.model_extra)

    def to_calls(self) -> list[WireObject]:
        return [
            {
                **call.extra,
                "id": call.id,
                "type": call.type,
                "function": {
                    **call.function_extra,
                    "name": call.name,
                    "arguments": "".join(call.arguments),
                },
            }
            for call in self.calls
        ]

    def _call_of(self, delta: ToolCallDelta) -> _Call:
        same_index = None if delta.index is None else self._by_index.get(delta.index)
        if delta.id:
            known = self._by_id.get(delta.id)
            if known is not None and not self._is_second(known, delta):
                return known
            if known is None and same_index is not None and not same_index.id:
                same_index.id = delta.id
                self._by_id[delta.id] = same_index
                return same_index
            return self._new(delta)
        if same_index is not None:
            return same_index
        if delta.index is None and self.calls:
            return self.calls[-1]
        return self._new(delta)

    def _is_second(self, known: _Call, delta: ToolCallDelta) -> bool:
        """Whether another call, with a place and a name of its own, reuses the id of a call."""
        function = delta.function
        if function is None or not function.name:
            return False
        elsewhere = delta.index is not None and delta.index not in self._by_index
        return elsewhere and (not function.arguments or known.is_whole())

    def _new(self, delta: ToolCallDelta) -> _Call:
        call = _Call(id=delta.id or "", index=delta.index)
        self.calls.append(call)
        if delta.id:
            self._by_id[delta.id] = call
        if delta.index is not None:
            self._by_index[delta.index] = call
        return call


_JOINED_DETAILS = {"reasoning.text": "text", "reasoning.summary": "summary"}


@dataclass(slots=True, eq=False)
class _Detail:
    """A part of the reasoning; without `text_key` it is opaque."""

    fields: WireObject
    text_key: str | None = None
    texts: list[str] = field(default_factory=list[str])


class _ReasoningDetails:
    """Joins pieces of readable reasoning; opaque parts stay as they came."""

    def __init__(self) -> None:
        self._parts: list[_Detail] = []

    def add(self, piece: WireObject) -> None:
        kind = piece.get("type")
        text_key = _JOINED_DETAILS.get(kind) if isinstance(kind, str) else None
        if text_key is None or not isinstance(piece.get(text_key), str | None):
            self._parts.append(_Detail(dict(piece)))
            return
        part = self._open_part(piece, text_key)
        if part is None:
            part = _Detail(dict(piece), text_key)
            self._parts.append(part)
        else:
            # The first value of id, format and signature counts; a signature may come last, alone.
            known = part.fields
            known.update({name: value for name, value in piece.items() if known.get(name) is None})
            known[text_key] = known.get(text_key) or ""
        if text := piece.get(text_key):
            part.texts.append(text)

    def to_parts(self) -> list[WireObject]:
        return [
            {**part.fields, part.text_key: "".join(part.texts)}
            if part.text_key and part.texts
            else dict(part.fields)
            for part in self._parts
        ]

    def _open_part(self, piece: WireObject, text_key: str) -> "_Detail | None":
        for part in reversed(self._parts):
            known = part.fields
            if known.get("type") == piece.get("type") and known.get("index") == piece.get("index"):
                # A signed block is closed: text after the signature begins another block.
                closed = known.get("signature") is not None and piece.get(text_key)
                return None if closed or part.text_key is None else part
            if piece.get("index") is None:
                return None
        return None


class _AudioParts:
    """Collects speech, which is long: nothing is joined before the end."""

    def __init__(self) -> None:
        self._fields: WireObject = {}
        self._pieces: dict[str, list[str]] = {}

    def add(self, piece: WireObject) -> None:
        for name, value in piece.items():
            if name in _JOINED_AUDIO and isinstance(value, str):
                self._pieces.setdefault(name, []).append(value)
            elif value is not None:
                self._fields[name] = value

    def to_audio(self) -> WireObject:
        joined = {name: "".join(pieces) for name, pieces in self._pieces.items()}
        return {**self._fields, **joined}


_JOINED_AUDIO: Final = frozenset({"data", "transcript"})


class _ChoiceParts:
    """What one answer consists of so far."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.role = ""
        self.texts: dict[str, list[str]] = {}
        self.lists: dict[str, list[Any]] = {}
        self.details: _ReasoningDetails | None = None
        self.calls = _Calls()
        self.audio: _AudioParts | None = None
        self.logprobs: WireObject = {}
        self.delta_extra: WireObject = {}
        self.extra: WireObject = {}

    def add(self, choice: ChunkChoice) -> None:
        delta = choice.delta
        given = delta.__pydantic_fields_set__  # `model_fields_set` without a call
        # Most chunks hold text and nothing else; the names tell without a look at every field.
        for name in _TEXTS & given:
            text: str | None = getattr(delta, name)
            if text is not None:
                self.texts.setdefault(name, []).append(text)
        if not self.role and delta.role:
            self.role = delta.role
        if not given <= _PLAIN_DELTA:
            self._add_parts(delta)
        if (
            choice.finish_reason is not None
            or choice.logprobs is not None
            or not choice.__pydantic_fields_set__ <= _PLAIN_CHOICE
        ):
            self._add_choice_fields(choice)

    def _add_parts(self, delta: Delta) -> None:
        if delta.reasoning_details is not None:
            self.details = self.details or _ReasoningDetails()
            for piece in delta.reasoning_details:
                self.details.add(piece)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self.calls.add(call)
        for name, items in (("annotations", delta.annotations), ("images", delta.images)):
            if items is not None:
                self.lists.setdefault(name, []).extend(item.to_dict() for item in items)
        if delta.audio is not None:
            self.audio = self.audio or _AudioParts()
            self.audio.add(delta.audio.to_dict())
        _keep_last(self.delta_extra, delta.model_extra or {})

    def _add_choice_fields(self, choice: ChunkChoice) -> None:
        if choice.finish_reason:
            self.extra["finish_reason"] = choice.finish_reason
        if choice.native_finish_reason:
            self.extra["native_finish_reason"] = choice.native_finish_reason
        if choice.error is not None:
            self.extra["error"] = choice.error
        for name, tokens in (choice.logprobs or {}).items():
            known = self.logprobs.get(name)
            if not isinstance(tokens, list):
                self.logprobs.setdefault(name, tokens)
            elif isinstance(known, list):
                cast("list[object]", known).extend(cast("list[object]", tokens))
            else:
                self.logprobs[name] = list(cast("list[object]", tokens))
        _keep_last(self.extra, choice.model_extra or {})

    def to_choice(self) -> WireObject:
        message: WireObject = {**self.delta_extra, "role": self.role or "assistant"}
        message.update({name: "".join(texts) for name, texts in self.texts.items()})
        message.update(self.lists)
        if self.details is not None:
            message["reasoning_details"] = self.details.to_parts()
        if self.calls.calls:
            message["tool_calls"] = self.calls.to_calls()
        if self.audio is not None:
            message["audio"] = self.audio.to_audio()
        choice: WireObject = {**self.extra, "index": self.index, "message": message}
        if self.logprobs:
            # Copies, since the lists go on growing.
            choice["logprobs"] = {
                name: list(cast("list[object]", tokens)) if isinstance(tokens, list) else tokens
                for name, tokens in self.logprobs.items()
            }
        return choice

    def text(self) -> str:
        """The content so far; asked for with every chunk, so what is joined stays joined."""
        pieces = self.texts.get("content")
        if not pieces:
            return ""
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        return pieces[0]


_TEXTS: Final = frozenset({"content", "refusal", "reasoning"})
_PLAIN_DELTA: Final = _TEXTS | {"role"}
_PLAIN_CHOICE: Final = frozenset(
    {"index", "delta", "finish_reason", "native_finish_reason", "logprobs"}
)
_PLAIN_CHUNK: Final = frozenset(
    {"id", "object", "created", "choices", "model", "provider", "service_tier", "usage"}
)


class ToolCallHead(NamedTuple):
    """What is known of a tool call while its arguments arrive."""

    id: str
    name: str


class CompletionBuilder:
    """Adds chunks up to the completion that the same call without streaming would give."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._choices: dict[int, _ChoiceParts] = {}
        self._fields: dict[str, Any] = {}
        self._is_empty = True

    @property
    def is_empty(self) -> bool:
        """Whether no chunk has been added."""
        return self._is_empty

    @property
    def id(self) -> str:
        """Id of the generation; empty until a chunk has named it."""
        return self._fields.get("id", "")

    @property
    def text(self) -> str:
        """Text of the first answer so far."""
        parts = self._choices.get(0)
        return parts.text() if parts else ""

    def tool_call_of(self, index: int, delta: ToolCallDelta) -> "tuple[int, ToolCallHead]":
        """Return to which tool call a piece of the last chunk belongs.

        Args:
            index: Of the answer.
            delta: One of the last chunk's own objects.

        Returns:
            The call's place in the answer, from 0, and its id and name as far as they are known.
        """
        parts = self._choices.get(index)
        calls = _Calls() if parts is None else parts.calls
        call = next((call for piece, call in calls.last if piece is delta), None)
        if call is None:
            name = delta.function.name if delta.function else None
            return len(calls.calls), ToolCallHead(delta.id or "", name or "")
        return calls.calls.index(call), ToolCallHead(call.id, call.name)

    def add(self, chunk: ChatCompletionChunk) -> None:
        """Take the next chunk; a choice without any field counts as none."""
        for known in self._choices.values():
            known.calls.last.clear()
        for choice in chunk.choices:
            # A stream puts an empty choice where the server sent none.
            if not choice.__pydantic_fields_set__:
                continue
            index = choice.index or 0
            parts = self._choices.get(index)
            if parts is None:
                parts = self._choices[index] = _ChoiceParts(index)
            parts.add(choice)
        fields = self._fields
        if (
            self._is_empty
            or chunk.usage is not None
            or chunk.provider != fields.get("provider")
            or chunk.service_tier != fields.get("service_tier")
            or not chunk.__pydantic_fields_set__ <= _PLAIN_CHUNK
        ):
            self._add_fields(chunk)
            self._is_empty = False

    def _add_fields(self, chunk: ChatCompletionChunk) -> None:
        fields = self._fields
        fields["id"] = fields.get("id") or chunk.id
        fields["model"] = chunk.model or fields.get("model", "")
        if chunk.created is not None:
            fields.setdefault("created", chunk.created)
        for name in ("usage", "provider", "system_fingerprint", "service_tier"):
            value: object = getattr(chunk, name)
            if value is not None:
                fields[name] = value
        _keep_last(fields, chunk.model_extra or {})

    def build(self) -> ChatCompletion:
        """Return what has arrived so far as one completion."""
        payload = {name: _plain(value) for name, value in self._fields.items()}
        choices = [self._choices[index].to_choice() for index in sorted(self._choices)]
        return ChatCompletion.from_object({**payload, "choices": choices})


def fold_chunks(chunks: Iterable[ChatCompletionChunk]) -> ChatCompletion:
    """Return the completion that the chunks of one stream add up to.

    Args:
        chunks: All chunks, in the order in which they came.
    """
    builder = CompletionBuilder()
    for chunk in chunks:
        builder.add(chunk)
    return builder.build()


def _keep_last(target: WireObject, news: WireObject) -> None:
    target.update({name: value for name, value in news.items() if value is not None})


def _plain(value: object) -> object:
    return value.to_dict() if isinstance(value, WireModel) else value
