"""A streamed answer: chunks as they come, and what they add up to."""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from operator import attrgetter
from typing import Final, Generic, NamedTuple, Protocol, Self, TypeVar

from mbxai.errors import (
    InvalidResponseError,
    OpenRouterConfigurationError,
    OpenRouterError,
)
from mbxai.openrouter._chunk_assembly import DONE, READING_FAULTS, AnswerView, ChunkAssembly
from mbxai.openrouter._event_reader import EventReader
from mbxai.wire import (
    ChatCompletion,
    ChatCompletionChunk,
    EventMaker,
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

_MAX_EMPTY_CHUNKS: Final = 64
_BATCH_EVENTS: Final = 256
_DATA: Final = attrgetter("data")


class AsyncChatStream(AnswerView):
    """Iterates over the chunks of one answer; also an asynchronous context manager.

    Reading to the end, leaving the `async with` block, cancelling, or `aclose` frees the
    connection. Closing early is what stops the billing at providers that support it.
    """

    def __init__(self, reader: EventReader) -> None:
        """Take over an open answer; `AsyncOpenRouterClient.create` does this."""
        self._reader = reader
        self._events = reader.events
        self._first: deque[ChatCompletionChunk] = deque()
        self._assembly = ChunkAssembly(ResponseInfo(reader.answer.status, reader.answer.headers))
        self._is_over = False
        self._failure: OpenRouterError | None = None
        self._is_reading = False

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
        return self._assembly.whole_completion()

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
        first, self._assembly.is_opening = self._first, True
        try:
            while len(first) < _MAX_EMPTY_CHUNKS and (chunk := await self._next_chunk()):
                first.append(chunk)
                if _says_something(chunk):
                    break
        except BaseException:
            await self.aclose()
            raise
        self._assembly.is_opening = False
        if not first:
            await self.aclose()
            raise InvalidResponseError("The stream is empty.", **self._assembly.origin())

    def batches(self) -> "EventBatches":
        """Hand the reading over to another thread; nobody reads the stream itself then."""
        first, self._first = self._first, deque()  # closing this stream takes none away
        return EventBatches(self, self._reader, self._assembly, first)

    def set_response(self, response: ResponseInfo) -> None:
        """Note the attempts that it took; called once by the client that opened the stream.

        Args:
            response: The HTTP response behind this stream.
        """
        self._assembly.response = response

    async def _texts(self) -> AsyncGenerator[str]:
        async for chunk in self:
            for choice in chunk.choices:
                if choice.delta.content and not choice.index:
                    yield choice.delta.content

    async def _next_chunk(self) -> ChatCompletionChunk | None:
        assembly = self._assembly
        while True:
            if self._events:
                event = self._events.popleft()
            elif (event := await self._next_event()) is None:
                break
            if event.data == DONE:
                self._is_over = assembly.is_whole = True
                await self._reader.drain()
                return None
            is_last = self._reader.is_at_end and not self._events
            if (chunk := assembly.take(event, is_last=is_last)) is not None:
                return chunk
        assembly.end()
        return None

    async def _next_event(self) -> ServerSentEvent | None:
        try:
            return await self._reader.next()
        except READING_FAULTS as fault:
            self._assembly.raise_fault(fault)


def _says_something(chunk: ChatCompletionChunk) -> bool:
    return chunk.usage is not None or any(
        choice.finish_reason
        or any(getattr(choice.delta, name) for name in choice.delta.model_fields_set - {"role"})
        for choice in chunk.choices
    )


class EventBatch(NamedTuple):
    """Events that were there at once.

    Attributes:
        events: One or more.
        is_last: Whether the body has ended with them, so that the last one may be cut.
    """

    events: list[ServerSentEvent]
    is_last: bool


class EventBatches:
    """The events of an open stream in batches, for a reader in another thread.

    What the events mean is worked out there: a chunk that crosses from thread to thread by itself
    costs as much again as its parsing.
    """

    read_ahead = 2

    def __init__(
        self,
        stream: AsyncChatStream,
        reader: EventReader,
        assembly: ChunkAssembly,
        first: deque[ChatCompletionChunk],
    ) -> None:
        """Take over reading; `AsyncChatStream.batches` does this.

        Args:
            stream: Closed by `aclose`.
            reader: Of the stream.
            assembly: Of the stream; takes the events, in the other thread.
            first: Chunks that were read while the stream was opened.
        """
        self.stream = stream
        self.assembly = assembly
        self.first = first
        self._reader = reader
        self._is_over = False

    def __aiter__(self) -> Self:
        """The batches themselves."""
        return self

    async def __anext__(self) -> EventBatch:
        """Return the next batch; the one with `[DONE]` is the last.

        Raises:
            Exception: One of `READING_FAULTS`.
        """
        if self._is_over or not (events := await self._reader.next_batch(_BATCH_EVENTS)):
            raise StopAsyncIteration
        if DONE in map(_DATA, events):
            self._is_over = True
            await self._reader.drain()
        return EventBatch(events, self._reader.is_at_end and not self._reader.events)

    async def aclose(self) -> None:
        """End the stream now; safe more than once."""
        await self.stream.aclose()


async def batches_of(opening: Awaitable[AsyncChatStream]) -> EventBatches:
    """Open a stream and hand its reading over.

    Args:
        opening: A call that opens one.
    """
    return (await opening).batches()


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
