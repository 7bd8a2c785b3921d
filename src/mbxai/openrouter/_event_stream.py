"""A streamed answer of typed events, for every operation that is no chat."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NoReturn, Self, TypeVar, cast

import anyio

import mbxai.portal as portal
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
from mbxai.openrouter._event_reader import EventReader
from mbxai.openrouter._faults import api_error, error_code, error_in, error_message, provider_of
from mbxai.openrouter._requester import Requester, RequestOptions
from mbxai.openrouter._transport_error import FaultKind, TransportError
from mbxai.wire import (
    Attempt,
    ChatCompletion,
    EventTooLargeError,
    ResponseInfo,
    ServerSentEvent,
    WireModel,
    WireResult,
)

E = TypeVar("E", bound=WireModel)
S = TypeVar("S", bound="AsyncEventStream[Any]")

_DONE: Final = b"[DONE]"
_AFTER_END_SECONDS: Final = 1.0
_MAX_PRELUDE_EVENTS: Final = 64

# Any in this file: error objects are open JSON.


def told_error_of(event: WireModel) -> dict[str, Any] | None:
    """Return the error object of an event that tells of one, in the shapes that are common.

    Those are an `error` field, and the type `error` with `code` and `message` beside it.

    Args:
        event: Any event.
    """
    fields = event.to_dict() if getattr(event, "error", None) else {}
    if (told := error_in(fields)) is not None:
        return told
    return event.to_dict() if getattr(event, "type", None) == "error" else None


def _is_no_prelude(_: object) -> bool:
    return False


# Without slots, which Python 3.11 cannot have in a frozen class that is made as `EventFormat[X]()`.
@dataclass(frozen=True, kw_only=True)
class EventFormat(Generic[E]):
    """What the events of one operation mean.

    Attributes:
        decode: Makes an event of what came; None skips it, a `ValueError` says that it is none.
        is_end: Whether an event says that the answer is whole. None where only `[DONE]` says so.
        told_error: The error object of an event that ends the answer with an error, else None.
        is_prelude: Whether an event comes before any content. Until the first other event a
            failure is tried again, and nothing has been delivered.
    """

    decode: Callable[[ServerSentEvent], E | None]
    is_end: Callable[[E], bool] | None
    told_error: Callable[[E], dict[str, Any] | None] = told_error_of
    is_prelude: Callable[[E], bool] = _is_no_prelude


async def open_event_stream(
    requester: Requester,
    path: str,
    make: Callable[[EventReader], S],
    *,
    body: Mapping[str, Any],
    options: RequestOptions | None = None,
    max_event_bytes: int | None = None,
) -> S:
    """Send a request and return the stream of its events, of which the first is there.

    Args:
        requester: Of the client.
        path: Relative to the base address.
        make: Makes the stream, for example `lambda reader: AsyncEventStream(reader, FORMAT)`.
        body: JSON object to send; it says itself that a stream is wanted.
        options: What the caller of a resource said besides.
        max_event_bytes: Most bytes of one event; None takes the client's limit.

    Raises:
        OpenRouterConfigurationError: The request cannot be sent; nothing was.
        OpenRouterError: As for any call.
    """

    async def opened(reader: EventReader) -> S:
        stream = make(reader)
        await stream.open()
        return stream

    received = await requester.events(
        path, opened, body=body, options=options, max_event_bytes=max_event_bytes
    )
    received.value.set_response(received.response)
    return received.value


class AsyncEventStream(Generic[E]):
    """Iterates over the events of one answer; also an asynchronous context manager.

    Reading to the end, leaving the `async with` block, cancelling, or `aclose` frees the
    connection. Closing early is what stops the billing at providers that support it.
    """

    def __init__(self, reader: EventReader, event_format: EventFormat[E]) -> None:
        """Take over an open answer; the method of a resource does this."""
        self._reader = reader
        self._format = event_format
        self._response = ResponseInfo(reader.answer.status, reader.answer.headers)
        self._waiting: deque[E] = deque()
        self._is_open = False
        self._has_end = False
        self._is_over = False
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
        """OpenRouter's id of the generation, if it is known."""
        return self._response.generation_id or self._own_id()

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

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> E:
        """Return the next event.

        Raises:
            StopAsyncIteration: The answer is whole, or the stream is closed.
            StreamInterruptedError: The connection broke.
            StreamTruncatedError: The answer ended in the middle.
            StreamProtocolError: Something came that is no event.
            ProviderStreamError: The provider reported an error.
            OpenRouterTimeoutError: The time was up.
        """
        if self._is_reading:
            raise OpenRouterConfigurationError("The stream is being read by another task.")
        self._is_reading = True
        event: E | None = None
        try:
            if self._waiting:
                return self._waiting.popleft()
            if not self._is_over:
                event = await self._next_event()
        except BaseException as error:
            was_closed = self._is_over and isinstance(error, OpenRouterError)
            await self.aclose()
            if not was_closed:  # closed by another task is the end and no failure
                raise
        finally:
            self._is_reading = False
        if event is None:
            await self.aclose()
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        """The stream itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection if the answer is not read to its end."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream now; safe more than once."""
        self._is_over = True
        self._waiting.clear()
        self._reader.events.clear()
        await self._reader.aclose()

    async def open(self) -> None:
        """Read up to the first event with content, so that a failure before it is tried again.

        Raises:
            OpenRouterAPIError: What came is an error.
            InvalidResponseError: The stream is empty.
            StreamError: As for reading; nothing was delivered.
        """
        try:
            while len(self._waiting) < _MAX_PRELUDE_EVENTS:
                if (event := await self._next_event()) is None:
                    break
                self._waiting.append(event)
                if self._has_end or not self._format.is_prelude(event):
                    break
        except BaseException:
            await self.aclose()
            raise
        if not self._waiting:
            await self.aclose()
            raise InvalidResponseError("The stream is empty.", **self._origin())
        self._is_open = True

    def set_response(self, response: ResponseInfo) -> None:
        """Note the attempts that it took; called once by the client that opened the stream.

        Args:
            response: The HTTP response behind this stream.
        """
        self._response = response

    def _note(self, event: E) -> None:
        """Add an event to what the answer is so far; for children that can say it."""

    def _partial(self) -> WireResult | None:
        """The answer so far; for children that can say it."""
        return None

    def _own_id(self) -> str | None:
        """The id that the events themselves name; for children that can say it."""
        return None

    async def _next_event(self) -> E | None:
        while (raw := await self._next_raw()) is not None and raw.data != _DONE:
            event = self._decoded(raw)
            if event is None:
                continue
            if (told := self._format.told_error(event)) is not None:
                self._raise_told_error(event, told)
            self._note(event)
            if self._format.is_end is not None and self._format.is_end(event):
                self._has_end = True
            return event
        if not self._has_end and (raw is None or self._format.is_end is not None):
            # Also if `[DONE]` came: an answer of which nobody said that it is whole.
            if raw is None and not self._is_open and not self._waiting:
                return None  # an empty stream
            raise StreamTruncatedError(
                "The stream ended in the middle of the answer.", **self._stream_error()
            )
        self._is_over = True
        await self._reader.drain()
        return None

    async def _next_raw(self) -> ServerSentEvent | None:
        if not self._has_end:
            return await self._read()
        # The answer is whole: what may follow is not worth a wait or an error.
        with anyio.move_on_after(_AFTER_END_SECONDS):
            try:
                return await self._reader.next()
            except (TransportError, TimeoutError, EventTooLargeError):
                return None
        return None

    async def _read(self) -> ServerSentEvent | None:
        try:
            return await self._reader.next()
        except EventTooLargeError as error:
            raise StreamProtocolError(str(error), **self._stream_error()) from error
        except TimeoutError as error:
            raise OpenRouterTimeoutError(str(error), **self._origin()) from None
        except TransportError as fault:
            self._raise_fault(fault)

    def _decoded(self, event: ServerSentEvent) -> E | None:
        try:
            return self._format.decode(event)
        except ValueError as error:
            if self._has_end or (self._reader.is_at_end and not self._reader.events):
                return None  # the last line, cut; its end is reported as truncation
            raise StreamProtocolError(
                f"The stream holds something that is no event ({len(event.data)} bytes).",
                **self._stream_error(),
            ) from error

    def _raise_told_error(self, event: E, told: dict[str, Any]) -> NoReturn:
        if not self._is_open:
            raise api_error(told, self.headers)
        self._note(event)
        raise ProviderStreamError(
            error_message(told),
            code=error_code(told),
            provider=provider_of(told),
            **self._stream_error(),
        )

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
        partial = self._partial() if self._is_open else None
        # Every whole answer is a WireResult; the error's annotation names the commonest.
        return {"partial": cast("ChatCompletion | None", partial), **self._origin()}


class _StreamErrorFields(RequestOrigin):
    partial: ChatCompletion | None


class EventStream(Generic[E]):
    """Iterates over the events of one answer; also a context manager.

    Reading to the end, leaving the `with` block, dropping the stream, or `close` frees the
    connection. Closing early is what stops the billing at providers that support it.
    """

    def __init__(self, pump: portal.StreamPump[E]) -> None:
        """Take over an open stream; the method of a resource does this."""
        self._pump = pump

    @property
    def async_client(self) -> AsyncEventStream[E]:
        """The stream that this one reads; for its attributes, not for reading."""
        return cast("AsyncEventStream[E]", self._pump.source)

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
        """OpenRouter's id of the generation, if it is known."""
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

    def __iter__(self) -> Self:
        """The stream itself."""
        return self

    def __next__(self) -> E:
        """Return the next event.

        Raises:
            StopIteration: The answer is whole, or the stream is closed.
            StreamInterruptedError: The connection broke.
            StreamTruncatedError: The answer ended in the middle.
            StreamProtocolError: Something came that is no event.
            ProviderStreamError: The provider reported an error.
            OpenRouterTimeoutError: The time was up.
        """
        event = next(self._pump)
        self._note(event)
        return event

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connection if the answer is not read to its end."""
        self.close()

    def close(self) -> None:
        """End the stream now; safe more than once."""
        self._pump.close()

    def _note(self, event: E) -> None:
        """Add an event to what the answer is so far; for children that can say it."""
