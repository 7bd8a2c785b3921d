"""The streamed answer of a conversation with tools, for code without an event loop."""

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Self, cast

from mbxai.errors import StreamTruncatedError
from mbxai.openrouter import AsyncChatStream, ChatStream
from mbxai.openrouter._stream import EventBatches
from mbxai.portal import StreamPump
from mbxai.tools._call import PendingCall
from mbxai.tools.loop._answer import ToolCompletion
from mbxai.tools.loop._port import ChunkSource
from mbxai.tools.loop._run import ToolRun
from mbxai.tools.loop._stream import AsyncToolChatStream
from mbxai.tools.loop._stream_view import (
    ChunkView,
    EventView,
    RoundEnded,
    StreamItem,
    TextView,
    ToolStreamEvent,
)
from mbxai.wire import ChatCompletion, ChatCompletionChunk, CompletionBuilder, Usage


class ToolChatStream:
    """The chunks of the final answer, after the tools have run; or everything, as typed events.

    A blocking iterator of `ChatCompletionChunk` and a context manager; leaving the loop early and
    calling `close`, or dropping the stream, closes the connection and cancels the tools that run.
    """

    def __init__(self, open_stream: Callable[[], Awaitable[AsyncToolChatStream]]) -> None:
        """Open the asynchronous stream on the background loop.

        Args:
            open_stream: What opens it.
        """

        async def opened() -> _Items:
            return _Items(await open_stream())

        self._pump: StreamPump[StreamItem] = StreamPump(opened)
        self._chunks = ChunkView()
        self._ready: deque[ChatCompletionChunk] = deque()
        # Its own, since the pump reads ahead on another thread.
        self._builder = CompletionBuilder()
        self._final: ChatCompletion | None = None
        self._failure: Exception | None = None

    @property
    def async_client(self) -> AsyncToolChatStream:
        """The stream that this one reads; for its attributes, not for reading."""
        return cast("_Items", self._pump.source).stream

    @property
    def completion(self) -> ChatCompletion:
        """The answer of the current round so far; at the end with the usage of all rounds."""
        return self._builder.build() if self._final is None else self._final

    @property
    def snapshot(self) -> ChatCompletion:
        """The answer so far; the same as `completion`."""
        return self.completion

    @property
    def usage(self) -> Usage | None:
        """Tokens and cost of all rounds that have ended; None if no answer named any."""
        return self.async_client.usage

    @property
    def run(self) -> ToolRun:
        """What has been said and done so far."""
        return self.async_client.run

    @property
    def pending(self) -> list[PendingCall]:
        """Calls that wait for the application; known when the stream has ended."""
        return self.async_client.pending

    @property
    def text_stream(self) -> Generator[str]:
        """The text as it grows, a blank line between what two rounds say; reads the stream."""
        return self._texts()

    def events(self) -> Generator[ToolStreamEvent]:
        """Give everything that happens as typed events; reads the stream.

        Text, reasoning and tool calls as the model writes them in every round, `ToolCalled`,
        `ToolProgressed`, `ToolEnded` and `ToolPending` as the tools run, and the whole answer in
        the last one, `AnswerDone`.

        Raises:
            ToolLoopError: A bound of the conversation is reached.
            OpenRouterError: As the wrapped client raises it.
        """
        view = EventView()
        for item in self._items():
            yield from view.add(item)

    def get_final_completion(self) -> ToolCompletion:
        """Read what is left of the stream and return the whole answer.

        Raises:
            StreamTruncatedError: The stream was closed before its end.
            ToolLoopError: A bound of the conversation is reached.
            OpenRouterError: As the wrapped client raises it.
        """
        for _ in self:
            pass
        if self._failure is not None:
            raise self._failure
        if not isinstance(self._final, ToolCompletion):
            raise StreamTruncatedError("The stream was closed before its end.")
        return self._final

    def __iter__(self) -> Self:
        """The stream itself."""
        return self

    def __next__(self) -> ChatCompletionChunk:
        """The next chunk of the answer.

        Raises:
            StopIteration: The answer is whole, or the stream is closed.
            ToolLoopError: A bound of the conversation is reached.
            OpenRouterError: As the wrapped client raises it.
        """
        while not self._ready:
            self._ready.extend(self._chunks.add(self._next_item()))
        return self._ready.popleft()

    def close(self) -> None:
        """Close the connection and cancel the tools that run; safe more than once."""
        self._ready.clear()
        self._pump.close()

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connection."""
        self.close()

    def _items(self) -> Generator[StreamItem]:
        while True:
            try:
                item = self._next_item()
            except StopIteration:
                return
            yield item

    def _next_item(self) -> StreamItem:
        try:
            item = next(self._pump)
        except Exception as error:
            if not isinstance(error, StopIteration):
                self._failure = error
            raise
        self._note(item)
        return item

    def _note(self, item: StreamItem) -> None:
        if isinstance(item, ChatCompletionChunk):
            self._builder.add(item)
        elif isinstance(item, RoundEnded):
            self._builder = CompletionBuilder()
            self._final = item.completion if item.is_final else None

    def _texts(self) -> Generator[str]:
        view = TextView()
        for item in self._items():
            yield from view.add(item)


class _Items:
    """Everything that happens in a stream, one after the other."""

    def __init__(self, stream: AsyncToolChatStream) -> None:
        self.stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamItem:
        item = await self.stream.next_item()
        if item is None:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        await self.stream.aclose()


def blocking_stream(
    create: Callable[[], Awaitable[object]],
) -> ChatStream | StreamPump[ChatCompletionChunk]:
    """Return the stream that a client's `create` opens, for code without an event loop.

    Args:
        create: Calls the client with `stream=True`.

    Returns:
        A `ChatStream` if it is an OpenRouter client, else an iterator and context manager with
        `close`.

    Raises:
        InvalidResponseError: What it gave cannot be iterated.
        OpenRouterError: As the client raises it.
    """

    async def opened() -> EventBatches | ChunkSource:
        stream = await create()
        return stream.batches() if isinstance(stream, AsyncChatStream) else ChunkSource(stream)

    pump: StreamPump[Any] = StreamPump(opened)  # what it gives shows when it is open
    if isinstance(pump.source, EventBatches):
        return ChatStream(pump)
    return cast("StreamPump[ChatCompletionChunk]", pump)
