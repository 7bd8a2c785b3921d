"""A streamed answer: chunks as they come, and what they add up to."""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, Generic, NoReturn, Protocol, Self, TypeVar

from pydantic import ValidationError

from mbxai.errors import (
    InvalidResponseError,
    OpenRouterConfigurationError,
    OpenRouterError,
    OpenRouterTimeoutError,
    ProviderStreamError,
    RequestOrigin,
    StreamInterruptedError,
    StreamProtocolError,
    StreamTruncatedError,
)
from mbxai.openrouter._completions import ensure_call_ids
from mbxai.openrouter._event_reader import EventReader
from mbxai.openrouter._faults import (
    api_error,
    error_code,
    error_in,
    error_message,
    provider_of,
)
from mbxai.openrouter._transport_error import FaultKind, TransportError
from mbxai.wire import (
    Attempt,
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    CompletionBuilder,
    EventMaker,
    EventTooLargeError,
    ResponseInfo,
    ServerSentEvent,
    StreamEvent,
)


class Closable(Protocol):
    """A stream that can be ended."""

    async def aclose(self) -> None:
        """End the stream now; safe more than once."""
        ...


S = TypeVar("S", bound=Closable)

_DONE: Final = b"[DONE]"
_MAX_EMPTY_CHUNKS: Final = 64


class AsyncChatStream:
    """Iterates over the chunks of one answer; also an asynchronous context manager.

    Reading to the end, leaving the `async with` block, cancelling, or `aclose` frees the
    connection. Closing early is what stops the billing at providers that support it.
    """

    def __init__(self, reader: EventReader) -> None:
        """Take over an open answer; `AsyncOpenRouterClient.create` does this."""
        self._reader = reader
        self._events = reader.events
        self._first: deque[ChatCompletionChunk] = deque()
        self._is_opening = False
        self._builder = CompletionBuilder()
        self._response = ResponseInfo(reader.answer.status, reader.answer.headers)
        self._has_finish_reason = False
        self._is_over = False
        self._is_whole = False
        self._failure: OpenRouterError | None = None
        self._is_reading = False

    @property
    def response(self) -> ResponseInfo:
        """The HTTP response behind this stream: status, headers, every attempt."""
        return self._response

    @property
    def request_id(self) -> str | None:
        """The edge's id of the request, if it sent one."""
        return self._response.request_id

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id of the generation, as soon as it is known."""
        return self._response.generation_id or self._builder.id or None

    @property
    def attempts(self) -> int:
        """How many times the request was sent until this stream began."""
        return max(1, self._response.attempts)

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Every attempt, the successful one last."""
        return self._response.history

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers, names in lower case."""
        return self._response.headers

    @property
    def completion(self) -> ChatCompletion:
        """The answer so far, as the call without streaming would have given it."""
        completion = self._builder.build()
        ensure_call_ids(completion)
        completion.set_response(self._response)
        return completion

    @property
    def snapshot(self) -> ChatCompletion:
        """The answer so far; the same as `completion`."""
        return self.completion

    @property
    def text_stream(self) -> AsyncGenerator[str]:
        """The text of the first answer as it grows; reads the stream."""
        return self._texts()

    async def events(self) -> AsyncGenerator[StreamEvent]:
        """Give what happens as typed events, the whole answer in the last one; reads the stream.

        Raises:
            OpenRouterError: As for iterating.
        """
        maker = EventMaker()
        async for chunk in self:
            for event in maker.add(chunk):
                yield event
        for event in maker.finish(self.completion):
            yield event

    async def get_final_completion(self) -> ChatCompletion:
        """Read what is left of the stream and return the whole answer.

        Returns:
            What the call without streaming would have given.

        Raises:
            OpenRouterError: As for iterating.
        """
        async for _ in self:
            pass
        if self._failure is not None:
            raise self._failure
        if not self._is_whole:
            raise StreamTruncatedError(
                "The stream was closed before its end.",
                **self._stream_error(),
            )
        completion = self.completion
        if not completion.choices:
            raise InvalidResponseError("The answer has no choices.", **self._origin())
        return completion

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        """Return the next chunk; it has at least one choice.

        Raises:
            StopAsyncIteration: The answer is whole, or the stream is closed.
            StreamInterruptedError: The connection broke.
            StreamTruncatedError: The answer ended in the middle.
            StreamProtocolError: Something came that is no chunk.
            ProviderStreamError: The provider reported an error.
            OpenRouterTimeoutError: The time was up.
        """
        if self._is_reading:
            raise OpenRouterConfigurationError("The stream is being read by another task.")
        self._is_reading = True
        try:
            chunk = self._first.popleft() if self._first else None
            if chunk is None and not self._is_over:
                chunk = await self._next_chunk()
        except BaseException as error:
            was_closed = self._is_over and isinstance(error, OpenRouterError)
            if isinstance(error, OpenRouterError) and not was_closed:
                error.history = error.history or self.history
                self._failure = error
            await self.aclose()
            if not was_closed:
                raise
            chunk = None  # closed by another task, which is the end and no failure
        finally:
            self._is_reading = False
        if chunk is None:
            await self.aclose()
            raise StopAsyncIteration
        return chunk

    async def __aenter__(self) -> Self:
        """The stream itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection if the answer is not read to its end."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream now; safe more than once."""
        self._is_over = True
        self._first.clear()
        self._events.clear()
        await self._reader.aclose()

    async def open(self) -> None:
        """Read up to the first chunk that says something, so that failures before can be retried.

        Many providers begin with a chunk that names the role and nothing else.

        Raises:
            OpenRouterAPIError: The first thing that came is an error.
            InvalidResponseError: The stream is empty.
            StreamError: As for reading; nothing was delivered.
        """
        first, self._is_opening = self._first, True
        try:
            while len(first) < _MAX_EMPTY_CHUNKS and (chunk := await self._next_chunk()):
                first.append(chunk)
                if _says_something(chunk):
                    break
        except BaseException:
            await self.aclose()
            raise
        self._is_opening = False
        if not first:
            await self.aclose()
            raise InvalidResponseError("The stream is empty.", **self._origin())

    def set_response(self, response: ResponseInfo) -> None:
        """Note the attempts that it took; called once by the client that opened the stream.

        Args:
            response: The HTTP response behind this stream.
        """
        self._response = response

    async def _texts(self) -> AsyncGenerator[str]:
        async for chunk in self:
            for choice in chunk.choices:
                if choice.delta.content and not choice.index:
                    yield choice.delta.content

    async def _next_chunk(self) -> ChatCompletionChunk | None:
        while True:
            if self._events:
                event = self._events.popleft()
            elif (event := await self._next_event()) is None:
                break
            if event.data == _DONE:
                self._is_over = self._is_whole = True
                await self._reader.drain()
                return None
            chunk = self._parsed(event)
            if chunk is not None:
                return self._taken(chunk)
        if not self._has_finish_reason:
            raise StreamTruncatedError(
                "The stream ended in the middle of the answer.", **self._stream_error()
            )
        self._is_whole = True
        return None

    def _taken(self, chunk: ChatCompletionChunk) -> ChatCompletionChunk:
        if chunk.error is not None:
            self._raise_told_error(chunk, error_in({"error": chunk.error}))
        for choice in chunk.choices:
            reason = choice.finish_reason
            if reason:
                self._has_finish_reason = True
            if choice.error is not None or reason == "error":
                told = error_in({"error": choice.error})
                if told is None and reason == "error":
                    told = {"message": "The provider stopped with an error.", "code": 502}
                self._raise_told_error(chunk, told)
        self._builder.add(chunk)
        if not chunk.choices:  # usage, or debug; consumers index the first choice
            chunk.choices.append(ChunkChoice())
        return chunk

    def _parsed(self, event: ServerSentEvent) -> ChatCompletionChunk | None:
        try:
            return ChatCompletionChunk.from_wire(event.data)
        except ValidationError as error:
            if self._reader.is_at_end and not self._events:
                return None  # the last line, cut; its end is reported as truncation
            raise StreamProtocolError(
                f"The stream holds something that is no chunk ({len(event.data)} bytes).",
                **self._stream_error(),
            ) from error

    def _raise_told_error(self, chunk: ChatCompletionChunk, told: dict[str, Any] | None) -> None:
        if told is None:
            return
        provider = provider_of(told) or chunk.provider
        if self._is_opening:
            error = api_error(told, self.headers)
            error.provider = provider
            raise error
        self._builder.add(chunk)
        raise ProviderStreamError(
            error_message(told),
            code=error_code(told),
            provider=provider,
            **self._stream_error(),
        )

    async def _next_event(self) -> ServerSentEvent | None:
        try:
            return await self._reader.next()
        except EventTooLargeError as error:
            raise StreamProtocolError(str(error), **self._stream_error()) from error
        except TimeoutError as error:
            timeout = OpenRouterTimeoutError(str(error), **self._origin())
            timeout.partial = None if self._builder.is_empty else self.completion
            raise timeout from None
        except TransportError as fault:
            self._raise_fault(fault)

    def _raise_fault(self, fault: TransportError) -> NoReturn:
        if fault.kind is FaultKind.READ_TIMEOUT:
            raise OpenRouterTimeoutError(
                "The HTTP client's own read timeout was up.", **self._origin()
            ) from fault
        # What the engine says of it is for the cause; it reads like a status of the server.
        what = (
            "The bytes of the answer became unreadable in its middle."
            if fault.kind is FaultKind.GARBLED
            else "The connection broke in the middle of the answer."
        )
        raise StreamInterruptedError(what, **self._stream_error()) from fault

    def _origin(self) -> RequestOrigin:
        return {
            "request_id": self.request_id,
            "generation_id": self.generation_id,
            "attempts": self.attempts,
        }

    def _stream_error(self) -> "_StreamErrorFields":
        # What says nothing is no part of an answer that could not be thrown away.
        partial = None if self._is_opening or self._builder.is_empty else self.completion
        return {"partial": partial, **self._origin()}


def _says_something(chunk: ChatCompletionChunk) -> bool:
    return chunk.usage is not None or any(
        choice.finish_reason
        or any(getattr(choice.delta, name) for name in choice.delta.model_fields_set - {"role"})
        for choice in chunk.choices
    )


class _StreamErrorFields(RequestOrigin):
    partial: ChatCompletion | None


class AsyncStreamManager(Generic[S]):
    """Opens a stream at the start of an `async with` block and closes it at its end."""

    def __init__(self, open_stream: Callable[[], Awaitable[S]]) -> None:
        """Keep what opens the stream; nothing is sent yet."""
        self._open_stream = open_stream
        self._stream: S | None = None

    def __await__(self) -> Generator[object, None, S]:
        """Open the stream without a block; then it is closed by reading it or by `aclose`."""
        return self.__aenter__().__await__()

    async def __aenter__(self) -> S:
        """Send the request; the stream is there when its first chunk is.

        Raises:
            OpenRouterError: As for `create`.
        """
        if self._stream is not None:
            raise OpenRouterConfigurationError("The stream was opened already.")
        self._stream = await self._open_stream()
        return self._stream

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection if the answer is not read to its end."""
        if self._stream is not None:
            await self._stream.aclose()
