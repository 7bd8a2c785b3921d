"""What happens in a streamed answer, as typed events made from its chunks; no I/O."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from mbxai.wire._chunks import ChatCompletionChunk, ChunkChoice, CompletionBuilder
from mbxai.wire._completion import Annotation, ChatCompletion, Image, ToolCallPart


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The answer's text grew.

    Attributes:
        text: What was added.
        index: Which answer, from 0.
    """

    text: str
    index: int = 0
    type: Literal["text_delta"] = field(default="text_delta", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """What the model lets see of its thoughts grew.

    Attributes:
        text: What was added.
        index: Which answer, from 0.
    """

    text: str
    index: int = 0
    type: Literal["reasoning_delta"] = field(default="reasoning_delta", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """The reason of a refusal grew.

    Attributes:
        text: What was added.
        index: Which answer, from 0.
    """

    text: str
    index: int = 0
    type: Literal["refusal_delta"] = field(default="refusal_delta", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class AudioDelta:
    """Speech was added.

    Attributes:
        data: Base64 of the added sound; empty where only the transcript grew.
        transcript: What was added to the transcript.
        index: Which answer, from 0.
    """

    data: str = ""
    transcript: str = ""
    index: int = 0
    type: Literal["audio_delta"] = field(default="audio_delta", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolCallArgumentsDelta:
    """A tool call began, or its arguments grew.

    Attributes:
        position: Which call of the answer, from 0.
        id: Id of the call; may be empty until the call is done.
        name: Name of the tool.
        arguments: What was added to the arguments' JSON text.
        index: Which answer, from 0.
    """

    position: int
    id: str
    name: str
    arguments: str
    index: int = 0
    type: Literal["tool_call_arguments_delta"] = field(
        default="tool_call_arguments_delta", init=False, repr=False
    )


@dataclass(frozen=True, slots=True)
class ToolCallDone:
    """A tool call is whole; sent when its answer has ended.

    Attributes:
        position: Which call of the answer, from 0.
        call: The call with its id, name and arguments.
        index: Which answer, from 0.
    """

    position: int
    call: ToolCallPart
    index: int = 0
    type: Literal["tool_call_done"] = field(default="tool_call_done", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class AttachmentAdded:
    """An image, a source or a parsed file was added.

    Attributes:
        attachment: What was added.
        index: Which answer, from 0.
    """

    attachment: Image | Annotation
    index: int = 0
    type: Literal["attachment_added"] = field(default="attachment_added", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class AnswerDone:
    """The answer is whole; the last event of a stream.

    Attributes:
        completion: The answer, as the call without streaming would have given it.
    """

    completion: ChatCompletion
    type: Literal["answer_done"] = field(default="answer_done", init=False, repr=False)


StreamEvent: TypeAlias = (
    TextDelta
    | ReasoningDelta
    | RefusalDelta
    | AudioDelta
    | ToolCallArgumentsDelta
    | ToolCallDone
    | AttachmentAdded
    | AnswerDone
)
"""Anything that `events` of a stream gives."""


class EventMaker:
    """Makes events of chunks."""

    def __init__(self) -> None:
        """Start before the first chunk."""
        self._builder = CompletionBuilder()

    @property
    def text(self) -> str:
        """Text of the first answer so far."""
        return self._builder.text

    def add(self, chunk: ChatCompletionChunk) -> list[StreamEvent]:
        """Return what a chunk makes happen, often one event.

        Args:
            chunk: The next chunk of the stream.
        """
        self._builder.add(chunk)
        events: list[StreamEvent] = []
        for choice in chunk.choices:
            events.extend(self._choice_events(choice))
        return events

    def finish(self, completion: ChatCompletion) -> list[StreamEvent]:
        """Return what follows the last chunk.

        Args:
            completion: The whole answer.
        """
        events: list[StreamEvent] = []
        for choice in completion.choices:
            for position, call in enumerate(choice.message.tool_calls or ()):
                events.append(ToolCallDone(position, call, choice.index or 0))
        events.append(AnswerDone(completion))
        return events

    def _choice_events(self, choice: ChunkChoice) -> list[StreamEvent]:
        delta, index = choice.delta, choice.index or 0
        events: list[StreamEvent] = []
        if delta.reasoning:
            events.append(ReasoningDelta(delta.reasoning, index))
        if delta.content:
            events.append(TextDelta(delta.content, index))
        if delta.refusal:
            events.append(RefusalDelta(delta.refusal, index))
        if delta.audio is not None:
            audio = delta.audio
            events.append(AudioDelta(audio.data or "", audio.transcript or "", index))
        for piece in delta.tool_calls or ():
            position, call = self._builder.tool_call_of(index, piece)
            arguments = (piece.function.arguments if piece.function else None) or ""
            events.append(ToolCallArgumentsDelta(position, call.id, call.name, arguments, index))
        attached = (*(delta.images or ()), *(delta.annotations or ()))
        events.extend(AttachmentAdded(attachment, index) for attachment in attached)
        return events
