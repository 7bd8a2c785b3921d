"""The streamed answer of a conversation with tools."""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Final, Self

import anyio

from mbxai.errors import InvalidResponseError, StreamTruncatedError
from mbxai.tools._call import PendingCall, ToolCall
from mbxai.tools.loop._answer import ToolCompletion, completion_with_run
from mbxai.tools.loop._loop import Rounds, keeping_run
from mbxai.tools.loop._port import ChunkSource
from mbxai.tools.loop._resume import last_answer
from mbxai.tools.loop._round_task import RoundTask
from mbxai.tools.loop._run import ToolRun
from mbxai.tools.loop._stream_view import (
    ChunkView,
    EventView,
    RoundEnded,
    StreamItem,
    TextView,
    ToolStreamEvent,
)
from mbxai.wire import ChatCompletion, ChatCompletionChunk, Usage

_CLOSE_SECONDS: Final = 5.0


class AsyncToolChatStream:
    """The chunks of the final answer, after the tools have run; or everything, as typed events.

    Every round is streamed. Once a round turns out to call tools, the rest of it is kept to
    itself, the tools run, and the next round begins; text that the model wrote before its first
    call has been passed on by then. An async iterator of `ChatCompletionChunk` and an async context
    manager; leaving either early and calling `aclose` closes the connection and cancels the tools
    that run.
    """

    def __init__(self, rounds: Rounds, ask: Callable[..., Awaitable[ChunkSource]]) -> None:
        """Take the parts of the conversation; `open` sends the first request."""
        self._rounds = rounds
        self._conversation = rounds.conversation
        self._ask = ask
        self._source: ChunkSource | None = None
        self._round: RoundTask | None = None
        self._items: deque[StreamItem] = deque()
        self._chunks = ChunkView()
        self._ready: deque[ChatCompletionChunk] = deque()
        self._last: ChatCompletion | None = None
        self._completion: ToolCompletion | None = None
        self._waiting: list[ToolCall] = rounds.unanswered
        self._failure: Exception | None = None
        self._is_closed = False

    @property
    def completion(self) -> ChatCompletion:
        """The answer of the current round so far; at the end with the usage of all rounds."""
        if self._completion is not None:
            return self._completion
        return ChatCompletion() if self._source is None else self._source.completion

    @property
    def snapshot(self) -> ChatCompletion:
        """The answer so far; the same as `completion`."""
        return self.completion

    @property
    def usage(self) -> Usage | None:
        """Tokens and cost of all rounds that have ended; None if no answer named any."""
        return self._conversation.usage

    @property
    def run(self) -> ToolRun:
        """What has been said and done so far."""
        return self._conversation.run()

    @property
    def pending(self) -> list[PendingCall]:
        """Calls that wait for the application; known when the stream has ended."""
        return list(self._conversation.pending)

    @property
    def text_stream(self) -> AsyncGenerator[str]:
        """The text as it grows, a blank line between what two rounds say; reads the stream."""
        return self._texts()

    async def events(self) -> AsyncGenerator[ToolStreamEvent]:
        """Give everything that happens as typed events; reads the stream.

        Text, reasoning and tool calls as the model writes them in every round, `ToolCalled`,
        `ToolProgressed`, `ToolEnded` and `ToolPending` as the tools run, and the whole answer in
        the last one, `AnswerDone`.

        Raises:
            ToolLoopError: A bound of the conversation is reached.
            OpenRouterError: As the wrapped client raises it.
        """
        view = EventView()
        while (item := await self.next_item()) is not None:
            for event in view.add(item):
                yield event

    async def get_final_completion(self) -> ToolCompletion:
        """Read what is left of the stream and return the whole answer.

        Raises:
            StreamTruncatedError: The stream was closed before its end.
            ToolLoopError: A bound of the conversation is reached.
            OpenRouterError: As the wrapped client raises it.
        """
        async for _ in self:
            pass
        if self._failure is not None:
            raise self._failure
        if self._completion is None:
            raise StreamTruncatedError("The stream was closed before its end.")
        return self._completion

    async def open(self) -> Self:
        """Send the first request, unless calls wait at the end of the caller's messages.

        Raises:
            ToolLoopError: A bound of the conversation is reached.
            OpenRouterError: As the wrapped client raises it.
        """
        # Calls that wait are run when somebody reads: a stream may be dropped unread.
        if not self._waiting:
            with keeping_run(self._conversation):
                await self._open_source()
        return self

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        """The next chunk of the answer.

        Raises:
            StopAsyncIteration: The answer is whole, or the stream is closed.
            ToolLoopError: A bound of the conversation is reached.
            OpenRouterError: As the wrapped client raises it.
        """
        while not self._ready:
            item = await self.next_item()
            if item is None:
                raise StopAsyncIteration
            self._ready.extend(self._chunks.add(item))
        return self._ready.popleft()

    async def next_item(self) -> StreamItem | None:
        """Return what happens next; None at the end, or when the stream is closed.

        Raises:
            ToolLoopError: A bound of the conversation is reached.
            OpenRouterError: As the wrapped client raises it.
        """
        try:
            with keeping_run(self._conversation):
                while not (self._items or self._is_closed or self._completion):
                    await self._advance()
        except BaseException as error:
            if isinstance(error, Exception):
                self._failure = error
            await self.aclose()
            raise
        return self._items.popleft() if self._items else None

    async def aclose(self) -> None:
        """Close the connection and cancel the tools that run; safe more than once."""
        self._is_closed = True
        self._items.clear()
        self._ready.clear()
        await self._close_source()
        await self._close_round()

    async def __aenter__(self) -> Self:
        """The stream itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection."""
        await self.aclose()

    async def _texts(self) -> AsyncGenerator[str]:
        view = TextView()
        while (item := await self.next_item()) is not None:
            for text in view.add(item):
                yield text

    async def _advance(self) -> None:
        if self._waiting:
            calls, self._waiting = self._waiting, []
            self._begin_round(calls)
        if self._round is not None:
            await self._advance_round(self._round)
            return
        source = self._source or await self._open_source()
        try:
            self._items.append(await anext(source))
        except StopAsyncIteration:
            await self._end_answer(source.completion)

    async def _advance_round(self, task: RoundTask) -> None:
        event = await task.next_event()
        if event is not None:
            self._items.append(event)
            return
        await self._close_round()
        if self._conversation.pending:
            last = self._last or last_answer(self._conversation.messages)
            self._finish(last, is_told=True)

    async def _end_answer(self, completion: ChatCompletion) -> None:
        await self._close_source()
        if not completion.choices:
            raise InvalidResponseError("The answer has no choices.")
        calls = self._conversation.take(completion)
        if calls is None and not self._conversation.should_ask_again(completion):
            self._finish(completion)
            return
        self._last = completion
        self._items.append(RoundEnded(completion, is_final=False))
        if calls:
            self._begin_round(calls)

    def _begin_round(self, calls: list[ToolCall]) -> None:
        self._round = RoundTask(partial(self._rounds.run, calls))

    def _finish(self, completion: ChatCompletion, *, is_told: bool = False) -> None:
        self._completion = completion_with_run(completion, self._conversation.finish(completion))
        self._items.append(RoundEnded(self._completion, is_final=True, is_told=is_told))

    async def _open_source(self) -> ChunkSource:
        self._source = await self._ask(**self._conversation.request())
        return self._source

    async def _close_source(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            # Also where the reader is being cancelled: an open connection goes on being billed.
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await source.aclose()

    async def _close_round(self) -> None:
        task, self._round = self._round, None
        if task is not None:
            await task.aclose()
