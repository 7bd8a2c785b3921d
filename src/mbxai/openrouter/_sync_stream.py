"""Streamed answers for code without an event loop."""

from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, Self, TypeVar, cast

import mbxai.portal as portal
from mbxai.errors import OpenRouterConfigurationError, OpenRouterError
from mbxai.openrouter._chunk_assembly import DONE, READING_FAULTS, AnswerView
from mbxai.openrouter._parsed_stream import AsyncParsedChatStream
from mbxai.openrouter._partial import PartialParser
from mbxai.openrouter._stream import AsyncChatStream, EventBatch, EventBatches
from mbxai.wire import (
    ChatCompletion,
    ChatCompletionChunk,
    EventMaker,
    ParsedChatCompletion,
    ServerSentEvent,
    StreamEvent,
)

T = TypeVar("T")
ItemT = TypeVar("ItemT")


class ChatStream(AnswerView):
    """Iterates over the chunks of one answer; also a context manager.

    Reading to the end, leaving the `with` block, dropping the stream, or `close` frees the
    connection. Closing early is what stops the billing at providers that support it.
    """

    def __init__(self, pump: portal.StreamPump[EventBatch]) -> None:
        """Take over an open stream; `OpenRouterClient.create` does this."""
        self._pump = pump
        self._source = cast("EventBatches", pump.source)
        # From here on nobody else touches it: the event loop only takes bytes apart.
        self._assembly = self._source.assembly
        self._first = self._source.first
        self._events: deque[ServerSentEvent] = deque()
        self._is_last_batch = False
        self._is_closed = False
        self._failure: OpenRouterError | None = None

    @property
    def async_client(self) -> AsyncChatStream:
        """The stream that this one reads; for its attributes, not for reading."""
        return self._source.stream

    @property
    def text_stream(self) -> Generator[str]:
        """The text of the first answer as it grows; reads the stream."""
        return self._texts()

    def events(self) -> Generator[StreamEvent]:
        """Give what happens as typed events, the whole answer in the last one; reads the stream.

        Raises:
            OpenRouterError: As for iterating.
        """
        maker = EventMaker()
        for chunk in self:
            yield from maker.add(chunk)
        yield from maker.finish(self.completion)

    def get_final_completion(self) -> ChatCompletion:
        """Read what is left of the stream and return the whole answer.

        Returns:
            What the call without streaming would have given.

        Raises:
            OpenRouterError: As for iterating.
        """
        for _ in self:
            pass
        if self._failure is not None:
            raise self._failure
        return self._assembly.whole_completion()

    def __iter__(self) -> Self:
        """The stream itself."""
        return self

    def __next__(self) -> ChatCompletionChunk:
        """Return the next chunk; it has at least one choice.

        Raises:
            StopIteration: The answer is whole, or the stream is closed.
            StreamInterruptedError: The connection broke.
            StreamTruncatedError: The answer ended in the middle.
            StreamProtocolError: Something came that is no chunk.
            ProviderStreamError: The provider reported an error.
            OpenRouterTimeoutError: The time was up.
        """
        try:
            return self._first.popleft() if self._first else self._next_chunk()
        except OpenRouterError as error:
            error.history = error.history or self.history
            self._failure = self._failure or error
            self.close()
            raise

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connection if the answer is not read to its end."""
        self.close()

    def close(self) -> None:
        """End the stream now; safe more than once."""
        self._is_closed = True
        self._first.clear()
        self._events.clear()
        self._pump.close()

    def _next_chunk(self) -> ChatCompletionChunk:
        assembly, events = self._assembly, self._events
        while True:
            try:
                event = events.popleft()
            except IndexError:
                self._refill()
                continue
            if event.data == DONE:
                assembly.is_whole = True
                events.clear()
                continue  # the source ends with it, once the connection is free
            is_last = self._is_last_batch and not events
            if (chunk := assembly.take(event, is_last=is_last)) is not None:
                return chunk

    def _refill(self) -> None:
        """Wait for events.

        Raises:
            StopIteration: The answer is whole, or the stream is closed.
            StreamError: The stream is neither.
        """
        try:
            batch = next(self._pump)
        except StopIteration:
            if not self._is_closed:
                self._assembly.end()
            raise
        except READING_FAULTS as fault:
            self._assembly.raise_fault(fault)
        self._is_last_batch = batch.is_last
        self._events.extend(batch.events)

    def _texts(self) -> Generator[str]:
        for chunk in self:
            for choice in chunk.choices:
                if choice.delta.content and not choice.index:
                    yield choice.delta.content


class ParsedChatStream(ChatStream, Generic[T]):
    """A streamed answer whose text is JSON of the caller's type."""

    def __init__(self, pump: portal.StreamPump[EventBatch]) -> None:
        """Take over an open stream; `OpenRouterClient.stream` does this."""
        super().__init__(pump)
        self._items = PartialParser(self.async_client.output_type)

    @property
    def async_client(self) -> AsyncParsedChatStream[T]:
        """The stream that this one reads; for its attributes, not for reading."""
        return cast("AsyncParsedChatStream[T]", self._source.stream)

    def partials(self) -> Generator[T]:
        """Give the value as it grows, valid as far as it has arrived; reads the stream.

        A value comes as soon as every required field has begun; strings and lists may still grow.
        The last value is whole. What was read of the stream before counts, so the first value may
        hold much already; of a long answer not every piece makes a value.

        Raises:
            OutputError: The whole answer is no such value.
            OpenRouterError: As for iterating.
        """
        parser = PartialParser(self.async_client.output_type)
        last: T | None = None
        has_more = True
        while has_more:
            if (value := parser.feed(self._assembly.builder.text)) is not None:
                last = value
                yield value
            has_more = next(self, None) is not None
        whole = self.get_final_completion().choices[0].message.parsed
        if whole is not None and whole != last:
            yield whole

    def items(self: "ParsedChatStream[list[ItemT]]") -> Generator[ItemT]:
        """Give each item of a list as soon as it is whole; reads the stream.

        For `response_format=list[Item]` each value is an `Item`. Items of what was read of the
        stream before come first; a second call gives what is left.

        Raises:
            OutputError: The whole answer is no such list.
            OpenRouterError: As for iterating.
        """
        parser, has_more = self._items, True
        while has_more:
            yield from parser.take_items(self._assembly.builder.text)
            has_more = next(self, None) is not None
        self.get_final_completion()

    def get_final_completion(self) -> ParsedChatCompletion[T]:
        """Read what is left of the stream and return the whole answer with its value.

        Raises:
            OutputError: The answer is no such value.
            OpenRouterError: As for iterating.
        """
        return self.async_client.parsed(super().get_final_completion())


S = TypeVar("S", bound=ChatStream)


class StreamManager(Generic[S]):
    """Opens a stream at the start of a `with` block and closes it at its end."""

    def __init__(self, open_stream: Callable[[], S]) -> None:
        """Keep what opens the stream; nothing is sent yet."""
        self._open_stream = open_stream
        self._stream: S | None = None

    def __enter__(self) -> S:
        """Send the request; the stream is there when its first chunk is.

        Raises:
            OpenRouterError: As for `create`.
        """
        if self._stream is not None:
            raise OpenRouterConfigurationError("The stream was opened already.")
        self._stream = self._open_stream()
        return self._stream

    def __exit__(self, *exc_info: object) -> None:
        """Close the connection if the answer is not read to its end."""
        if self._stream is not None:
            self._stream.close()
