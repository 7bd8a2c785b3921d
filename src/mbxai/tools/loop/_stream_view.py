"""What a reader of a streamed conversation sees: chunks of the answer, or typed events; pure."""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from mbxai.wire import (
    AnswerDone,
    ChatCompletion,
    ChatCompletionChunk,
    EventMaker,
    StreamEvent,
    ToolEvent,
    ToolEventBase,
)


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """The model's answer of one round is whole.

    Attributes:
        completion: The answer; the final one has its `run`.
        is_final: Whether the conversation is over.
        is_told: Whether the calls of the answer are known to the reader already.
    """

    completion: ChatCompletion
    is_final: bool
    is_told: bool = False


StreamItem: TypeAlias = ChatCompletionChunk | ToolEvent | RoundEnded
"""What a conversation gives as it goes on."""

ToolStreamEvent: TypeAlias = StreamEvent | ToolEvent
"""Anything that `events` of a tool stream gives."""


class ChunkView:
    """Picks the chunks of the answer: what the model says, without its tool calls."""

    def __init__(self) -> None:
        """Start before the first chunk."""
        # Until a round says something its chunks are held back: most often tool calls follow.
        self._has_spoken = False
        self._calls_tools = False
        self._held: deque[ChatCompletionChunk] = deque()

    def add(self, item: StreamItem) -> list[ChatCompletionChunk]:
        """Return the chunks that are now known to be part of the answer.

        Args:
            item: The next item.
        """
        if isinstance(item, ToolEventBase):
            return []
        if isinstance(item, RoundEnded):
            rest = list(self._held) if item.is_final and not self._calls_tools else []
            self._has_spoken = self._calls_tools = False
            self._held.clear()
            return rest
        if any(choice.delta.tool_calls for choice in item.choices):
            self._calls_tools = True
        if self._calls_tools:
            self._held.clear()
            return []
        if not (self._has_spoken or _says_something(item)):
            self._held.append(item)
            return []
        self._has_spoken = True
        chunks = [*self._held, item]
        self._held.clear()
        return chunks


class TextView:
    """Picks the text of the answer, with what the model said beside its calls."""

    def __init__(self) -> None:
        """Start before the first chunk."""
        self._is_new_round = False
        self._has_text = False

    def add(self, item: StreamItem) -> list[str]:
        """Return the text that has come.

        Args:
            item: The next item.
        """
        if isinstance(item, RoundEnded):
            self._is_new_round = self._has_text
        if not isinstance(item, ChatCompletionChunk):
            return []
        texts = [
            choice.delta.content
            for choice in item.choices
            if choice.delta.content and not choice.index
        ]
        if texts and self._is_new_round:
            texts.insert(0, "\n\n")
            self._is_new_round = False
        self._has_text = self._has_text or bool(texts)
        return texts


class EventView:
    """Makes typed events of everything that happens."""

    def __init__(self) -> None:
        """Start before the first chunk."""
        self._maker = EventMaker()

    def add(self, item: StreamItem) -> list[ToolStreamEvent]:
        """Return what happened, often one event.

        Args:
            item: The next item.
        """
        if isinstance(item, ChatCompletionChunk):
            return [*self._maker.add(item)]
        if not isinstance(item, RoundEnded):
            return [item]
        events = [] if item.is_told else self._maker.finish(item.completion)[:-1]
        self._maker = EventMaker()
        return [*events, AnswerDone(item.completion)] if item.is_final else [*events]


def _says_something(chunk: ChatCompletionChunk) -> bool:
    names = ("content", "reasoning", "refusal", "images", "audio")
    return any(getattr(choice.delta, name, None) for choice in chunk.choices for name in names)
