"""`POST /responses`: the model's answer in the words of the Responses API."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any, Final, TypeAlias, Unpack, cast

import mbxai.portal as portal
from mbxai.errors import (
    InvalidResponseError,
    OpenRouterConfigurationError,
    StreamTruncatedError,
)
from mbxai.openrouter._core import ClientCore
from mbxai.openrouter._event_reader import EventReader
from mbxai.openrouter._event_stream import (
    AsyncEventStream,
    EventFormat,
    EventStream,
    open_event_stream,
)
from mbxai.openrouter._faults import api_error, error_in, origin_of
from mbxai.openrouter._requester import RequestOptions
from mbxai.openrouter._rules import whole
from mbxai.openrouter._stream import AsyncStreamManager
from mbxai.openrouter.resources._model_calls import body_and_options, slug_of
from mbxai.wire import ResponseInfo, WireModel, WireObject
from mbxai.wire._response_events import ResponseBuilder, ResponseEvent
from mbxai.wire._responses import (
    IncompleteDetails,
    OutputContent,
    OutputItem,
    Response,
    ResponseUsage,
)
from mbxai.wire._responses_params import (
    ResponseFunctionTool,
    ResponsesParams,
    ResponseTextFormat,
    ResponseTextParams,
)

__all__ = [
    "AsyncResponseStream",
    "AsyncResponses",
    "IncompleteDetails",
    "OutputContent",
    "OutputItem",
    "Response",
    "ResponseEvent",
    "ResponseFunctionTool",
    "ResponseInput",
    "ResponseStream",
    "ResponseTextFormat",
    "ResponseTextParams",
    "ResponseUsage",
    "Responses",
    "ResponsesParams",
]

# Any in this file: items of an input are open JSON of the wire.
ResponseInput: TypeAlias = str | Sequence[Mapping[str, Any] | OutputItem]
"""A prompt, or the conversation as items, oldest first."""

_PATH: Final = "responses"
_PRELUDE: Final = frozenset(
    {"response.created", "response.in_progress", "response.queued", "response.debug"}
)
_MAX_OUTPUT_TOKENS: Final = whole("max_output_tokens", 1)


class AsyncResponses:
    """Answers in the words of the Responses API; OpenRouter stores none of them."""

    def __init__(self, core: ClientCore) -> None:
        """Use the client's own core; the client's property does this."""
        self._core = core

    async def create(
        self,
        input: ResponseInput,  # noqa: A002  # the API's own word
        *,
        model: str | None = None,
        **params: Unpack[ResponsesParams],
    ) -> Response:
        """Return the model's answer to a prompt or a conversation.

        Args:
            input: A prompt, or the conversation as items, oldest first. An earlier answer goes in
                by its `to_input()`.
            model: Model of this call; None takes the client's.
            **params: Anything else that a request may say; see `ResponsesParams`. Keywords that
                are not listed there are sent as they are.

        Returns:
            The answer. Where a limit cut it, `is_complete()` is false and `incomplete_details`
            says why.

        Raises:
            OpenRouterConfigurationError: An argument cannot be sent; nothing was.
            OpenRouterAPIError: OpenRouter or the provider answered with an error.
            OpenRouterConnectionError: No answer arrived; a timeout is an `OpenRouterTimeoutError`.
            InvalidResponseError: What arrived is no response.
        """
        body, options = self._request(input, model, params)
        return await self._core.requester.json(
            "POST", _PATH, Response, body=body, options=options, check=_check
        )

    def stream(
        self,
        input: ResponseInput,  # noqa: A002  # the API's own word
        *,
        model: str | None = None,
        **params: Unpack[ResponsesParams],
    ) -> "AsyncStreamManager[AsyncResponseStream]":
        """Return the model's answer as events, as it is written; use it as a context manager.

        Failures are retried until the first event with content is there.

        Args:
            input: As for `create`.
            model: Model of this call; None takes the client's.
            **params: As for `create`.

        Raises:
            OpenRouterError: As for `create`.
        """

        async def open_stream() -> AsyncResponseStream:
            body, options = self._request(input, model, params)
            return await open_event_stream(
                self._core.requester,
                _PATH,
                AsyncResponseStream,
                body={**body, "stream": True},
                options=options,
                # The last event is the whole answer, pictures included.
                max_event_bytes=self._core.settings.max_response_bytes,
            )

        return AsyncStreamManager(open_stream)

    def _request(
        self, given: object, model: str | None, params: Mapping[str, Any]
    ) -> tuple[dict[str, Any], RequestOptions]:
        body: dict[str, Any] = {"model": slug_of(self._core, model), "input": _checked_input(given)}
        if params.get("max_output_tokens") is not None:
            _MAX_OUTPUT_TOKENS(params["max_output_tokens"], params)
        for name in ("previous_response_id", "store"):
            # DOCS responses: "stateless"; either one is answered with 400.
            if params.get(name):
                raise OpenRouterConfigurationError(
                    f"{name} cannot be used: OpenRouter stores no responses.",
                    hint="Send the whole conversation: input=[*items, *answer.to_input(), ...].",
                )
        return body_and_options(
            body, params, checked=("frequency_penalty", "presence_penalty", "stop", "metadata")
        )


class AsyncResponseStream(AsyncEventStream[ResponseEvent]):
    """Iterates over the events of one response; also an asynchronous context manager."""

    def __init__(self, reader: EventReader) -> None:
        """Take over an open answer; `AsyncResponses.stream` does this."""
        super().__init__(reader, _FORMAT)
        self._builder = ResponseBuilder()

    @property
    def snapshot(self) -> Response:
        """The response so far."""
        return _with_info(self._builder.build(), self.response)

    @property
    def text_stream(self) -> AsyncGenerator[str]:
        """The text of the answer as it grows; reads the stream."""
        return self._texts()

    async def get_final_response(self) -> Response:
        """Read what is left of the stream and return the whole response.

        Returns:
            What the call without streaming would have given.

        Raises:
            StreamTruncatedError: The stream was closed before the response was whole.
            OpenRouterError: As for iterating.
        """
        async for _ in self:
            pass
        return _final(self._builder, self.response)

    def _note(self, event: ResponseEvent) -> None:
        self._builder.add(event)

    def _partial(self) -> Response | None:
        return None if self._builder.is_empty else self.snapshot

    def _own_id(self) -> str | None:
        return self._builder.id or None

    async def _texts(self) -> AsyncGenerator[str]:
        async for event in self:
            if text := event.output_text_delta:
                yield text


class Responses:
    """Answers in the words of the Responses API; OpenRouter stores none of them."""

    def __init__(self, async_client: AsyncResponses) -> None:
        """Stand on the asynchronous one; the client's property does this."""
        self._async_client = async_client

    @property
    def async_client(self) -> AsyncResponses:
        """The resource that does the work."""
        return self._async_client

    def create(
        self,
        input: ResponseInput,  # noqa: A002  # the API's own word
        *,
        model: str | None = None,
        **params: Unpack[ResponsesParams],
    ) -> Response:
        """Return the model's answer to a prompt or a conversation.

        Args:
            input: A prompt, or the conversation as items, oldest first. An earlier answer goes in
                by its `to_input()`.
            model: Model of this call; None takes the client's.
            **params: Anything else that a request may say; see `ResponsesParams`. Keywords that
                are not listed there are sent as they are.

        Returns:
            The answer. Where a limit cut it, `is_complete()` is false and `incomplete_details`
            says why.

        Raises:
            OpenRouterConfigurationError: An argument cannot be sent; nothing was.
            OpenRouterAPIError: OpenRouter or the provider answered with an error.
            OpenRouterConnectionError: No answer arrived; a timeout is an `OpenRouterTimeoutError`.
            InvalidResponseError: What arrived is no response.
        """
        return portal.run(self._async_client.create, input, model=model, **params)

    def stream(
        self,
        input: ResponseInput,  # noqa: A002  # the API's own word
        *,
        model: str | None = None,
        **params: Unpack[ResponsesParams],
    ) -> "ResponseStream":
        """Return the model's answer as events, as it is written; use it as a context manager.

        Failures are retried until the first event with content is there.

        Args:
            input: As for `create`.
            model: Model of this call; None takes the client's.
            **params: As for `create`.

        Raises:
            OpenRouterError: As for `create`.
        """
        return ResponseStream(
            portal.StreamPump(lambda: self._async_client.stream(input, model=model, **params))
        )


class ResponseStream(EventStream[ResponseEvent]):
    """Iterates over the events of one response; also a context manager."""

    def __init__(self, pump: portal.StreamPump[ResponseEvent]) -> None:
        """Take over an open stream; `Responses.stream` does this."""
        super().__init__(pump)
        # Its own, since the pump reads ahead on another thread.
        self._builder = ResponseBuilder()

    @property
    def async_client(self) -> AsyncResponseStream:
        """The stream that this one reads; for its attributes, not for reading."""
        return cast("AsyncResponseStream", self._pump.source)

    @property
    def snapshot(self) -> Response:
        """The response so far."""
        return _with_info(self._builder.build(), self.response)

    @property
    def text_stream(self) -> Generator[str]:
        """The text of the answer as it grows; reads the stream."""
        return self._texts()

    def get_final_response(self) -> Response:
        """Read what is left of the stream and return the whole response.

        Returns:
            What the call without streaming would have given.

        Raises:
            StreamTruncatedError: The stream was closed before the response was whole.
            OpenRouterError: As for iterating.
        """
        for _ in self:
            pass
        return _final(self._builder, self.response)

    def _note(self, event: ResponseEvent) -> None:
        self._builder.add(event)

    def _texts(self) -> Generator[str]:
        for event in self:
            if text := event.output_text_delta:
                yield text


def _checked_input(given: object) -> str | list[Mapping[str, Any]]:
    if isinstance(given, str) and given.strip():
        return given
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence) or not given:
        raise OpenRouterConfigurationError(
            "input must be text or a list of items, and not empty.",
            hint='Pass a prompt, or [{"role": "user", "content": "..."}].',
        )
    items = cast("Sequence[object]", given)
    return [_checked_item(item, number) for number, item in enumerate(items)]


def _checked_item(item: object, number: int) -> Mapping[str, Any]:
    if isinstance(item, WireModel):
        return item.to_dict()
    if not isinstance(item, Mapping):
        raise OpenRouterConfigurationError(
            f"input[{number}] must be a mapping, not a {type(item).__name__}.",
            hint='An item looks like {"role": "user", "content": "..."}.',
        )
    return cast("Mapping[str, Any]", item)


def _check(result: Response) -> None:
    """Raise what a result tells of that failed, or is none."""
    told = error_in({"error": result.error})
    if result.status == "failed" or (told is not None and not result.output):
        raise api_error(_told_failure(told, result.error_type), result.headers)
    if "output" not in result.model_fields_set:
        raise InvalidResponseError("The answer has no output.", **origin_of(result.headers))


def _told_failure(error: WireObject | None, error_type: str | None) -> WireObject:
    """The error object of a response that failed; its `error_type` is the precise word."""
    told: WireObject = error or {"message": "The response failed.", "code": "server"}
    return {**told, "code": error_type} if error_type else told


def _told_error(event: ResponseEvent) -> WireObject | None:
    # OpenRouter tells of errors in three shapes (DOCS responses, error handling), and before a
    # stream of any kind in a fourth, an `error` without a type.
    if event.type == "response.failed":
        failed = event.response or Response()
        return _told_failure(error_in({"error": failed.error}), failed.error_type)
    if event.type not in {"error", "response.error", ""}:
        return None
    fields = event.to_dict()
    if (told := error_in(fields)) is None and event.type:
        told = {"message": "The response failed.", **fields}
    error_type: object = fields.get("error_type")
    return told and _told_failure(told, error_type if isinstance(error_type, str) else None)


def _with_info(response: Response, info: ResponseInfo) -> Response:
    response.set_response(info)
    return response


def _final(builder: ResponseBuilder, info: ResponseInfo) -> Response:
    if not builder.is_whole:
        raise StreamTruncatedError(
            "The stream was closed before the response was whole.", attempts=info.attempts
        )
    return _with_info(builder.build(), info)


_FORMAT: Final = EventFormat[ResponseEvent](
    decode=lambda event: ResponseEvent.from_wire(event.data),
    is_end=lambda event: event.is_end,
    told_error=_told_error,
    is_prelude=lambda event: event.type in _PRELUDE,
)
