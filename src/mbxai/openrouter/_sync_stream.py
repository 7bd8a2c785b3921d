"""Streamed answers for code without an event loop."""

from collections.abc import Callable, Generator, Mapping
from typing import Generic, Self, TypeVar, cast

import mbxai.portal as portal
from mbxai.errors import (
    InvalidResponseError,
    OpenRouterConfigurationError,
    OpenRouterError,
    RequestOrigin,
    StreamTruncatedError,
)
from mbxai.openrouter._completions import ensure_call_ids
from mbxai.openrouter._parsed_stream import AsyncParsedChatStream
from mbxai.openrouter._partial import PartialParser
from mbxai.openrouter._stream import AsyncChatStream
from mbxai.wire import (
    Attempt,
    ChatCompletion,
    ChatCompletionChunk,
    CompletionBuilder,
    EventMaker,
    ParsedChatCompletion,
    ResponseInfo,
    StreamEvent,
)

T = TypeVar("T")
ItemT = TypeVar("ItemT")


class ChatStream:
    """Iterates over the chunks of one answer; also a context manager.

    Reading to the end, leaving the `with` block, dropping the stream, or `close` frees the
    connection. Closing early is what stops the billing at providers that support it.
    """

    def __init__(self, pump: portal.StreamPump[ChatCompletionChunk]) -> None:
        """Take over an open stream; `OpenRouterClient.create` does this."""
        self._pump = pump
        # Its own, since the pump reads ahead on another thread.
        self._builder = CompletionBuilder()
        self._is_whole = False
        self._is_closed = False
        self._failure: OpenRouterError | None = None

    @property
    def async_client(self) -> AsyncChatStream:
        """The stream that this one reads; for its attributes, not for reading."""
        return cast("AsyncChatStream", self._pump.source)

    @property
    def response(self) -> ResponseInfo:
        """The HTTP response behind this stream: status, headers, every attempt."""
        return self.async_client.response

    @property
    def request_id(self) -> str | None:
        """The edge's id of the request, if it sent one."""
        return self.async_client.request_id

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id of the generation, as soon as it is known."""
        return self.async_client.generation_id

    @property
    def attempts(self) -> int:
        """How many times the request was sent until this stream began."""
        return self.async_client.attempts

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Every attempt, the successful one last."""
        return self.async_client.history

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers, names in lower case."""
        return self.async_client.headers

    @property
    def completion(self) -> ChatCompletion:
        """The answer so far, as the call without streaming would have given it."""
        completion = self._builder.build()
        ensure_call_ids(completion)
        completion.set_response(self.response)
        return completion

    @property
    def snapshot(self) -> ChatCompletion:
        """The answer so far; the same as `completion`."""
        return self.completion

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
        if not self._is_whole:
            partial = None if self._builder.is_empty else self.completion
            raise StreamTruncatedError(
                "The stream was closed before its end.", partial=partial, **self._origin()
            )
        completion = self.completion
        if not completion.choices:
            raise InvalidResponseError("The answer has no choices.", **self._origin())
        return completion

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
            chunk = next(self._pump)
        except StopIteration:
            self._is_whole = self._is_whole or not self._is_closed
            raise
        except OpenRouterError as error:
            self._failure = self._failure or error
            raise
        self._builder.add(chunk)
        return chunk

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connection if the answer is not read to its end."""
        self.close()

    def close(self) -> None:
        """End the stream now; safe more than once."""
        self._is_closed = True
        self._pump.close()

    def _origin(self) -> RequestOrigin:
        return {
            "request_id": self.request_id,
            "generation_id": self.generation_id,
            "attempts": self.attempts,
        }

    def _texts(self) -> Generator[str]:
        for chunk in self:
            for choice in chunk.choices:
                if choice.delta.content and not choice.index:
                    yield choice.delta.content


class ParsedChatStream(ChatStream, Generic[T]):
    """A streamed answer whose text is JSON of the caller's type."""

    def __init__(self, pump: portal.StreamPump[ChatCompletionChunk]) -> None:
        """Take over an open stream; `OpenRouterClient.stream` does this."""
        super().__init__(pump)
        self._items = PartialParser(self.async_client.output_type)

    @property
    def async_client(self) -> AsyncParsedChatStream[T]:
        """The stream that this one reads; for its attributes, not for reading."""
        return cast("AsyncParsedChatStream[T]", self._pump.source)

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
            if (value := parser.feed(self._builder.text)) is not None:
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
            yield from parser.take_items(self._builder.text)
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
