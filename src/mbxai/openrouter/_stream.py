"""A streamed answer: chunks as they come, and what they add up to."""

from collections import deque
from collections.abc import Mapping
from typing import Final, NoReturn, Self

import anyio
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
from mbxai.openrouter._answers import ensure_call_ids
from mbxai.openrouter._faults import (
    api_error,
    error_code,
    error_in,
    error_message,
    origin_of,
    provider_of,
)
from mbxai.openrouter._transport import Answer, FaultKind, TransportError
from mbxai.wire import (
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    CompletionBuilder,
    EventTooLargeError,
    ServerSentEvent,
    SSEDecoder,
)

_DONE: Final = b"[DONE]"
_DRAIN_SECONDS: Final = 0.1
_FOREVER: Final = float("inf")


class AsyncChatStream:
    """Iterates over the chunks of one answer; also an asynchronous context manager.

    Reading to the end, leaving the `async with` block, cancelling, or `aclose` frees the
    connection. Closing early is what stops the billing at providers that support it.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        attempts: int,
        deadline: float = _FOREVER,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = None,
    ) -> None:
        """Take over an open answer; `AsyncOpenRouterClient.create` does this."""
        self._answer = answer
        self._decoder = SSEDecoder()
        self._events: deque[ServerSentEvent] = deque()
        self._first: ChatCompletionChunk | None = None
        self._builder = CompletionBuilder()
        self._origin = origin_of(answer.headers)
        self._origin["attempts"] = attempts
        self._deadline = deadline
        self._first_token_timeout = first_token_timeout
        self._idle_timeout = idle_timeout
        self._next_data_by = anyio.current_time() + (first_token_timeout or _FOREVER)
        self._has_finish_reason = False
        self._is_at_end = False  # of the body
        self._is_over = False
        self._is_reading = False

    @property
    def request_id(self) -> str | None:
        """The edge's id of the request, if it sent one."""
        return self._origin.get("request_id")

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id of the generation, as soon as it is known."""
        return self._origin.get("generation_id") or self._builder.id or None

    @property
    def attempts(self) -> int:
        """How many times the request was sent until this stream began."""
        return self._origin.get("attempts", 1)

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers, names in lower case."""
        return self._answer.headers

    @property
    def completion(self) -> ChatCompletion:
        """The answer so far, as the call without streaming would have given it."""
        completion = self._builder.build()
        ensure_call_ids(completion)
        completion.set_origin(
            request_id=self.request_id,
            generation_id=self.generation_id,
            attempts=self.attempts,
            headers=self.headers,
        )
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
            chunk, self._first = self._first, None
            if chunk is None and not self._is_over:
                chunk = await self._next_chunk()
        except BaseException as error:
            was_closed = self._is_over and isinstance(error, OpenRouterError)
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
        self._first = None
        self._events.clear()
        await self._answer.aclose()

    async def open(self) -> None:
        """Read up to the first chunk, so that what fails before it can be tried again.

        Raises:
            OpenRouterAPIError: The first thing that came is an error.
            InvalidResponseError: The stream is empty.
            StreamError: As for reading; nothing was delivered.
        """
        try:
            self._first = await self._next_chunk(is_first=True)
        except BaseException:
            await self.aclose()
            raise
        if self._first is None:
            await self.aclose()
            raise InvalidResponseError("The stream is empty.", **self._origin)

    async def _next_chunk(self, *, is_first: bool = False) -> ChatCompletionChunk | None:
        while (event := await self._next_event()) is not None:
            if event.data == _DONE:
                await self._drain()
                return None
            chunk = self._parsed(event)
            if chunk is None:
                continue
            self._raise_told_error(chunk, is_first=is_first)
            self._builder.add(chunk)
            if not chunk.choices:  # usage, or debug; consumers index the first choice
                chunk.choices.append(ChunkChoice())
            self._has_finish_reason |= any(choice.finish_reason for choice in chunk.choices)
            return chunk
        if not self._has_finish_reason:
            raise StreamTruncatedError(
                "The stream ended in the middle of the answer.", **self._stream_error()
            )
        return None

    def _parsed(self, event: ServerSentEvent) -> ChatCompletionChunk | None:
        try:
            return ChatCompletionChunk.model_validate_json(event.data)
        except ValidationError as error:
            if self._is_at_end and not self._events:
                return None  # the last line, cut; its end is reported as truncation
            raise StreamProtocolError(
                f"The stream holds something that is no chunk ({len(event.data)} bytes).",
                **self._stream_error(),
            ) from error

    def _raise_told_error(self, chunk: ChatCompletionChunk, *, is_first: bool) -> None:
        told = error_in({"error": chunk.error})
        for choice in chunk.choices:
            told = told or error_in({"error": choice.error})
            if told is None and choice.finish_reason == "error":
                told = {"message": "The provider stopped with an error.", "code": 502}
        if told is None:
            return
        provider = provider_of(told) or chunk.provider
        if is_first:
            error = api_error(told, self._answer.headers)
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
        while not self._events:
            if self._is_at_end:
                return None
            piece = await self._read()
            try:
                if piece is None:
                    self._is_at_end = True
                    last = self._decoder.finish()
                    self._events.extend(() if last is None else (last,))
                else:
                    self._events.extend(self._decoder.feed(piece))
            except EventTooLargeError as error:
                raise StreamProtocolError(str(error), **self._stream_error()) from error
            if self._events:  # comments alone do not count as a sign of life
                self._next_data_by = anyio.current_time() + (self._idle_timeout or _FOREVER)
        return self._events.popleft()

    async def _read(self) -> bytes | None:
        limit = min(self._deadline, self._next_data_by)
        try:
            if limit == _FOREVER:
                return await self._answer.next_piece()
            with anyio.CancelScope(deadline=limit) as scope:
                return await self._answer.next_piece()
        except TransportError as fault:
            self._raise_fault(fault)
        if not scope.cancelled_caught:
            raise AssertionError  # a scope that is left without a result was cancelled
        raise OpenRouterTimeoutError(self._timeout_message(), **self._origin)

    def _timeout_message(self) -> str:
        if self._deadline <= self._next_data_by:
            return "The time for the call was up in the middle of the answer."
        if self._builder.is_empty:
            return f"No chunk came within {self._first_token_timeout} s."
        return f"No further chunk came within {self._idle_timeout} s."

    def _raise_fault(self, fault: TransportError) -> NoReturn:
        if fault.kind is FaultKind.READ_TIMEOUT:
            raise OpenRouterTimeoutError(
                "The HTTP client's own read timeout was up.", **self._origin
            ) from fault
        # What the engine says of it is for the cause; it reads like a status of the server.
        what = (
            "The bytes of the answer became unreadable in its middle."
            if fault.kind is FaultKind.GARBLED
            else "The connection broke in the middle of the answer."
        )
        raise StreamInterruptedError(what, **self._stream_error()) from fault

    async def _drain(self) -> None:
        """Read the last bytes after `[DONE]`, without which the connection cannot be reused."""
        self._is_over = True
        with anyio.move_on_after(_DRAIN_SECONDS):
            try:
                while await self._answer.next_piece() is not None:
                    pass
            except TransportError:
                pass  # the answer is whole already

    def _stream_error(self) -> "_StreamErrorFields":
        origin = self._origin
        return {
            "partial": None if self._builder.is_empty else self.completion,
            "request_id": origin.get("request_id"),
            "generation_id": self.generation_id,
            "attempts": self.attempts,
        }


class _StreamErrorFields(RequestOrigin):
    partial: ChatCompletion | None
