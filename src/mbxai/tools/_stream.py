"""The streamed answer of a conversation with tools."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, cast

import anyio

from mbxai.errors import InvalidResponseError
from mbxai.openrouter import AsyncChatStream, ChatStream
from mbxai.portal import StreamPump
from mbxai.tools._context import ToolContext
from mbxai.tools._conversation import Conversation
from mbxai.tools._port import ChunkSource, ModelPort
from mbxai.tools._runner import ToolRunner
from mbxai.wire import ChatCompletion, ChatCompletionChunk, Usage

_CLOSE_SECONDS: Final = 5.0


class AsyncToolChatStream:
    """The chunks of the final answer, after the tools have run.

    Every round is streamed. Once a round turns out to call tools, the rest of it is kept to
    itself, the tools run, and the next round begins; text that the model wrote before its first
    call has been passed on by then. An async iterator of `ChatCompletionChunk` and an async context
    manager; leaving either early and calling `aclose` closes the connection.
    """

    def __init__(
        self,
        conversation: Conversation,
        port: ModelPort,
        runner: ToolRunner,
        context: ToolContext[Any] | None,
    ) -> None:
        """Take the parts of the conversation; `open` sends the first request."""
        self._conversation = conversation
        self._port = port
        self._runner = runner
        self._context = context
        self._source: ChunkSource | None = None
        # Until a round says something its chunks are held back: most often tool calls follow.
        self._has_spoken = False
        self._held: deque[ChatCompletionChunk] = deque()
        self._ready: deque[ChatCompletionChunk] = deque()
        self._calls_tools = False
        self._completion: ChatCompletion | None = None
        self._is_closed = False

    @property
    def completion(self) -> ChatCompletion:
        """The answer of the current round so far; at the end with the usage of all rounds."""
        if self._completion is not None:
            return self._completion
        return ChatCompletion() if self._source is None else self._source.completion

    @property
    def usage(self) -> Usage | None:
        """Tokens and cost of all rounds that have ended; None if no answer named any."""
        return self._conversation.usage

    async def open(self) -> Self:
        """Send the first request.

        Raises:
            OpenRouterError: As the wrapped client raises it.
        """
        await self._open_round()
        return self

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        """The next chunk of the answer.

        Raises:
            StopAsyncIteration: The answer is whole, or the stream is closed.
            ToolRoundsExceededError: The model was still calling tools at the round limit.
            OpenRouterError: As the wrapped client raises it.
        """
        try:
            while not (self._ready or self._is_closed or self._completion):
                await self._advance()
        except BaseException:
            await self.aclose()
            raise
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Close the connection; safe more than once."""
        self._is_closed = True
        self._ready.clear()
        await self._close_round()

    async def __aenter__(self) -> Self:
        """The stream itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection."""
        await self.aclose()

    async def _advance(self) -> None:
        source = self._source or await self._open_round()
        try:
            chunk = await anext(source)
        except StopAsyncIteration:
            await self._end_round(source.completion)
            return
        if any(choice.delta.tool_calls for choice in chunk.choices):
            self._calls_tools = True
        if self._calls_tools:
            self._held.clear()
        elif self._has_spoken or _says_something(chunk):
            self._has_spoken = True
            self._ready.extend((*self._held, chunk))
            self._held.clear()
        else:
            self._held.append(chunk)

    async def _open_round(self) -> ChunkSource:
        self._calls_tools = self._has_spoken = False
        self._held.clear()
        self._source = await self._port.stream(**self._conversation.request())
        return self._source

    async def _close_round(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            # Also where the reader is being cancelled: an open connection goes on being billed.
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await source.aclose()

    async def _end_round(self, completion: ChatCompletion) -> None:
        await self._close_round()
        if not completion.choices:
            raise InvalidResponseError("The answer has no choices.")
        calls = self._conversation.take(completion)
        if calls is not None:
            self._conversation.answer(await self._runner.run_round(calls, self._context))
        elif not self._conversation.should_ask_again(completion):
            self._ready.extend(self._held)
            self._completion = self._conversation.with_usage(completion)


class ToolChatStream:
    """The chunks of the final answer, after the tools have run: a blocking iterator.

    Also a context manager; leaving the loop early and calling `close`, or dropping the stream,
    closes the connection.
    """

    def __init__(self, open_stream: Callable[[], Awaitable[AsyncToolChatStream]]) -> None:
        """Open the asynchronous stream on the background loop.

        Args:
            open_stream: What opens it.
        """
        self._pump: StreamPump[ChatCompletionChunk] = StreamPump(open_stream)
        self._stream = cast("AsyncToolChatStream", self._pump.source)

    @property
    def completion(self) -> ChatCompletion:
        """The answer of the current round so far; at the end with the usage of all rounds."""
        return self._stream.completion

    @property
    def usage(self) -> Usage | None:
        """Tokens and cost of all rounds that have ended; None if no answer named any."""
        return self._stream.usage

    def __iter__(self) -> Self:
        """The stream itself."""
        return self

    def __next__(self) -> ChatCompletionChunk:
        """The next chunk of the answer.

        Raises:
            StopIteration: The answer is whole, or the stream is closed.
            ToolRoundsExceededError: The model was still calling tools at the round limit.
            OpenRouterError: As the wrapped client raises it.
        """
        return next(self._pump)

    def close(self) -> None:
        """Close the connection; safe more than once."""
        self._pump.close()

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connection."""
        self.close()


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

    async def opened() -> AsyncChatStream | ChunkSource:
        stream = await create()
        return stream if isinstance(stream, AsyncChatStream) else ChunkSource(stream)

    pump: StreamPump[ChatCompletionChunk] = StreamPump(opened)
    return ChatStream(pump) if isinstance(pump.source, AsyncChatStream) else pump


def _says_something(chunk: ChatCompletionChunk) -> bool:
    names = ("content", "reasoning", "refusal", "images")
    return any(getattr(choice.delta, name) for choice in chunk.choices for name in names)
