"""What the events of a streamed answer add up to, and what its end means. No I/O."""

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from pydantic import ValidationError

from mbxai.errors import (
    InvalidResponseError,
    OpenRouterTimeoutError,
    ProviderStreamError,
    RequestOrigin,
    StreamInterruptedError,
    StreamProtocolError,
    StreamTruncatedError,
)
from mbxai.openrouter._completions import ensure_call_ids
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
    EventTooLargeError,
    ResponseInfo,
    ServerSentEvent,
)

DONE: Final = b"[DONE]"
"""The data of the event that ends a whole answer."""

READING_FAULTS: Final = (EventTooLargeError, TimeoutError, TransportError)
"""What reading the next event may raise; `ChunkAssembly.raise_fault` says it in our words."""


class ChunkAssembly:
    """One answer as far as its events have been taken; for one thread at a time.

    Attributes:
        builder: The answer so far.
        response: The HTTP response behind the stream.
        is_opening: Whether nothing was delivered yet, so that a failure is an answer's and not
            a stream's.
        is_whole: Whether the answer came to its end.
    """

    def __init__(self, response: ResponseInfo) -> None:
        """Start before the first event.

        Args:
            response: The HTTP response behind the stream.
        """
        self.builder: CompletionBuilder = CompletionBuilder()
        self.response: ResponseInfo = response
        self.is_opening: bool = False
        self.is_whole: bool = False
        self._has_finish_reason = False

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id of the generation, as soon as it is known."""
        return self.response.generation_id or self.builder.id or None

    @property
    def completion(self) -> ChatCompletion:
        """The answer so far, as the call without streaming would have given it."""
        completion = self.builder.build()
        ensure_call_ids(completion)
        completion.set_response(self.response)
        return completion

    def whole_completion(self) -> ChatCompletion:
        """Return the answer if it is whole.

        Raises:
            StreamTruncatedError: The stream was closed before its end.
            InvalidResponseError: The answer has no choices.
        """
        if not self.is_whole:
            raise StreamTruncatedError(
                "The stream was closed before its end.", **self._stream_error()
            )
        completion = self.completion
        if not completion.choices:
            raise InvalidResponseError("The answer has no choices.", **self.origin())
        return completion

    def take(self, event: ServerSentEvent, *, is_last: bool) -> ChatCompletionChunk | None:
        """Take the next event that is not the `[DONE]` at the end.

        Args:
            event: What came.
            is_last: Whether the body has ended with it, so that it may be cut.

        Returns:
            Its chunk, with at least one choice; None for what the end of the body has cut.

        Raises:
            StreamProtocolError: It is no chunk.
            ProviderStreamError: It tells of an error.
            OpenRouterAPIError: The same, where nothing was delivered yet.
        """
        try:
            chunk = ChatCompletionChunk.from_wire(event.data)
        except ValidationError as error:
            if is_last:
                return None  # its end is reported as truncation
            raise StreamProtocolError(
                f"The stream holds something that is no chunk ({len(event.data)} bytes).",
                **self._stream_error(),
            ) from error
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
        self.builder.add(chunk)
        if not chunk.choices:  # usage, or debug; consumers index the first choice
            chunk.choices.append(ChunkChoice())
        return chunk

    def end(self) -> None:
        """Take the end of the body.

        Raises:
            StreamTruncatedError: The answer is not whole.
        """
        if not self.is_whole and not self._has_finish_reason:
            raise StreamTruncatedError(
                "The stream ended in the middle of the answer.", **self._stream_error()
            )
        self.is_whole = True

    def raise_fault(self, fault: Exception) -> NoReturn:
        """Raise what a fault in reading means to the caller.

        Args:
            fault: One of `READING_FAULTS`; becomes the cause where it says more.

        Raises:
            StreamProtocolError: An event is larger than allowed.
            OpenRouterTimeoutError: The time was up.
            StreamInterruptedError: The connection broke.
        """
        if isinstance(fault, EventTooLargeError):
            raise StreamProtocolError(str(fault), **self._stream_error()) from fault
        if not isinstance(fault, TransportError):
            timeout = OpenRouterTimeoutError(str(fault), **self.origin())
            timeout.partial = None if self.builder.is_empty else self.completion
            raise timeout from None
        if fault.kind is FaultKind.READ_TIMEOUT:
            raise OpenRouterTimeoutError(
                "The HTTP client's own read timeout was up.", **self.origin()
            ) from fault
        # What the engine says of it is for the cause; it reads like a status of the server.
        what = (
            "The bytes of the answer became unreadable in its middle."
            if fault.kind is FaultKind.GARBLED
            else "The connection broke in the middle of the answer."
        )
        raise StreamInterruptedError(what, **self._stream_error()) from fault

    def origin(self) -> RequestOrigin:
        """Return what an error says of the request."""
        return {
            "request_id": self.response.request_id,
            "generation_id": self.generation_id,
            "attempts": max(1, self.response.attempts),
        }

    def _raise_told_error(self, chunk: ChatCompletionChunk, told: dict[str, Any] | None) -> None:
        if told is None:
            return
        provider = provider_of(told) or chunk.provider
        if self.is_opening:
            error = api_error(told, self.response.headers)
            error.provider = provider
            raise error
        self.builder.add(chunk)
        raise ProviderStreamError(
            error_message(told),
            code=error_code(told),
            provider=provider,
            **self._stream_error(),
        )

    def _stream_error(self) -> "_StreamErrorFields":
        # What says nothing is no part of an answer that could not be thrown away.
        partial = None if self.is_opening or self.builder.is_empty else self.completion
        return {"partial": partial, **self.origin()}


class _StreamErrorFields(RequestOrigin):
    partial: ChatCompletion | None


class AnswerView:
    """What a stream of chunks shows beside its chunks, for both worlds."""

    _assembly: ChunkAssembly

    @property
    def response(self) -> ResponseInfo:
        """The HTTP response behind this stream: status, headers, every attempt."""
        return self._assembly.response

    @property
    def request_id(self) -> str | None:
        """The edge's id of the request, if it sent one."""
        return self._assembly.response.request_id

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id of the generation, as soon as it is known."""
        return self._assembly.generation_id

    @property
    def attempts(self) -> int:
        """How many times the request was sent until this stream began."""
        return max(1, self._assembly.response.attempts)

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Every attempt, the successful one last."""
        return self._assembly.response.history

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers, names in lower case."""
        return self._assembly.response.headers

    @property
    def completion(self) -> ChatCompletion:
        """The answer so far, as the call without streaming would have given it."""
        return self._assembly.completion

    @property
    def snapshot(self) -> ChatCompletion:
        """The answer so far; the same as `completion`."""
        return self._assembly.completion
