"""`POST /messages`: the model's answer in the words of Anthropic's Messages API."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any, Final, TypeAlias, Unpack, cast

import mbxai.portal as portal
from mbxai.errors import InvalidResponseError, OpenRouterConfigurationError, StreamTruncatedError
from mbxai.openrouter._core import ClientCore
from mbxai.openrouter._event_reader import EventReader
from mbxai.openrouter._event_stream import (
    AsyncEventStream,
    EventFormat,
    EventStream,
    open_event_stream,
)
from mbxai.openrouter._faults import error_in, origin_of
from mbxai.openrouter._request import checked_messages
from mbxai.openrouter._requester import RequestOptions
from mbxai.openrouter._rules import whole
from mbxai.openrouter._stream import AsyncStreamManager
from mbxai.openrouter.resources._model_calls import body_and_options, slug_of
from mbxai.wire import ResponseInfo, WireObject
from mbxai.wire._anthropic_messages import (
    ContentBlock,
    MessageBuilder,
    MessageDelta,
    MessageEvent,
    MessageResult,
    MessageUsage,
)
from mbxai.wire._anthropic_params import (
    MessagesParams,
    MessageTool,
    MessageToolChoice,
    ThinkingParams,
)

__all__ = [
    "AnthropicMessages",
    "AsyncAnthropicMessages",
    "AsyncMessageStream",
    "ContentBlock",
    "MessageDelta",
    "MessageEvent",
    "MessageResult",
    "MessageStream",
    "MessageTool",
    "MessageToolChoice",
    "MessageUsage",
    "MessagesInput",
    "MessagesParams",
    "ThinkingParams",
]

# Any in this file: messages are open JSON of the wire.
MessagesInput: TypeAlias = Sequence[Mapping[str, Any] | MessageResult]
"""The conversation, oldest message first."""

_PATH: Final = "messages"
_MAX_TOKENS: Final = whole("max_tokens", 1)


class AsyncAnthropicMessages:
    """Answers in the words of Anthropic's Messages API, of any model."""

    def __init__(self, core: ClientCore) -> None:
        """Use the client's own core; the client's property does this."""
        self._core = core

    async def create(
        self,
        messages: MessagesInput,
        max_tokens: int,
        *,
        model: str | None = None,
        **params: Unpack[MessagesParams],
    ) -> MessageResult:
        """Return the model's answer to a conversation.

        Args:
            messages: The conversation, oldest message first; an earlier answer may stand in it.
            max_tokens: Most tokens of the answer, thinking included; 1 or more.
            model: Model of this call; None takes the client's.
            **params: Anything else that a request may say; see `MessagesParams`. Keywords that
                are not listed there are sent as they are.

        Returns:
            The answer. Where a limit cut it, `is_complete()` is false and `stop_reason` says
            which.

        Raises:
            OpenRouterConfigurationError: An argument cannot be sent; nothing was.
            OpenRouterAPIError: OpenRouter or the provider answered with an error.
            OpenRouterConnectionError: No answer arrived; a timeout is an `OpenRouterTimeoutError`.
            InvalidResponseError: What arrived is no message.
        """
        body, options = self._request(messages, max_tokens, model, params)
        return await self._core.requester.json(
            "POST", _PATH, MessageResult, body=body, options=options, check=_check
        )

    def stream(
        self,
        messages: MessagesInput,
        max_tokens: int,
        *,
        model: str | None = None,
        **params: Unpack[MessagesParams],
    ) -> "AsyncStreamManager[AsyncMessageStream]":
        """Return the model's answer as events, as it is written; use it as a context manager.

        Failures are retried until the first event with content is there.

        Args:
            messages: As for `create`.
            max_tokens: As for `create`.
            model: Model of this call; None takes the client's.
            **params: As for `create`.

        Raises:
            OpenRouterError: As for `create`.
        """

        async def open_stream() -> AsyncMessageStream:
            body, options = self._request(messages, max_tokens, model, params)
            return await open_event_stream(
                self._core.requester,
                _PATH,
                AsyncMessageStream,
                body={**body, "stream": True},
                options=options,
            )

        return AsyncStreamManager(open_stream)

    def _request(
        self, messages: object, max_tokens: int, model: str | None, params: Mapping[str, Any]
    ) -> tuple[dict[str, Any], RequestOptions]:
        _MAX_TOKENS(max_tokens, params)
        stops: object = params.get("stop_sequences")
        if isinstance(stops, str | bytes):
            raise OpenRouterConfigurationError("stop_sequences must be a list of texts.")
        body: dict[str, Any] = {
            "model": slug_of(self._core, model),
            "max_tokens": max_tokens,
            "messages": checked_messages(_with_answers(messages)),
        }
        return body_and_options(body, params)


class AsyncMessageStream(AsyncEventStream[MessageEvent]):
    """Iterates over the events of one message; also an asynchronous context manager."""

    def __init__(self, reader: EventReader) -> None:
        """Take over an open answer; `AsyncAnthropicMessages.stream` does this."""
        super().__init__(reader, _FORMAT)
        self._builder = MessageBuilder()

    @property
    def snapshot(self) -> MessageResult:
        """The message so far."""
        return _built(self._builder, self.response)

    @property
    def text_stream(self) -> AsyncGenerator[str]:
        """The text of the message as it grows; reads the stream."""
        return self._texts()

    async def get_final_message(self) -> MessageResult:
        """Read what is left of the stream and return the whole message.

        Returns:
            What the call without streaming would have given.

        Raises:
            StreamTruncatedError: The stream was closed before the message was whole.
            OpenRouterError: As for iterating.
        """
        async for _ in self:
            pass
        return _final(self._builder, self.response)

    def _note(self, event: MessageEvent) -> None:
        self._builder.add(event)

    def _partial(self) -> MessageResult | None:
        return None if self._builder.is_empty else self.snapshot

    def _own_id(self) -> str | None:
        return self._builder.id or None

    async def _texts(self) -> AsyncGenerator[str]:
        async for event in self:
            if text := event.text_delta:
                yield text


class AnthropicMessages:
    """Answers in the words of Anthropic's Messages API, of any model."""

    def __init__(self, async_client: AsyncAnthropicMessages) -> None:
        """Stand on the asynchronous one; the client's property does this."""
        self._async_client = async_client

    @property
    def async_client(self) -> AsyncAnthropicMessages:
        """The resource that does the work."""
        return self._async_client

    def create(
        self,
        messages: MessagesInput,
        max_tokens: int,
        *,
        model: str | None = None,
        **params: Unpack[MessagesParams],
    ) -> MessageResult:
        """Return the model's answer to a conversation.

        Args:
            messages: The conversation, oldest message first; an earlier answer may stand in it.
            max_tokens: Most tokens of the answer, thinking included; 1 or more.
            model: Model of this call; None takes the client's.
            **params: Anything else that a request may say; see `MessagesParams`. Keywords that
                are not listed there are sent as they are.

        Returns:
            The answer. Where a limit cut it, `is_complete()` is false and `stop_reason` says
            which.

        Raises:
            OpenRouterConfigurationError: An argument cannot be sent; nothing was.
            OpenRouterAPIError: OpenRouter or the provider answered with an error.
            OpenRouterConnectionError: No answer arrived; a timeout is an `OpenRouterTimeoutError`.
            InvalidResponseError: What arrived is no message.
        """
        return portal.run(self._async_client.create, messages, max_tokens, model=model, **params)

    def stream(
        self,
        messages: MessagesInput,
        max_tokens: int,
        *,
        model: str | None = None,
        **params: Unpack[MessagesParams],
    ) -> "MessageStream":
        """Return the model's answer as events, as it is written; use it as a context manager.

        Failures are retried until the first event with content is there.

        Args:
            messages: As for `create`.
            max_tokens: As for `create`.
            model: Model of this call; None takes the client's.
            **params: As for `create`.

        Raises:
            OpenRouterError: As for `create`.
        """
        return MessageStream(
            portal.StreamPump(
                lambda: self._async_client.stream(messages, max_tokens, model=model, **params)
            )
        )


class MessageStream(EventStream[MessageEvent]):
    """Iterates over the events of one message; also a context manager."""

    def __init__(self, pump: portal.StreamPump[MessageEvent]) -> None:
        """Take over an open stream; `AnthropicMessages.stream` does this."""
        super().__init__(pump)
        # Its own, since the pump reads ahead on another thread.
        self._builder = MessageBuilder()

    @property
    def async_client(self) -> AsyncMessageStream:
        """The stream that this one reads; for its attributes, not for reading."""
        return cast("AsyncMessageStream", self._pump.source)

    @property
    def snapshot(self) -> MessageResult:
        """The message so far."""
        return _built(self._builder, self.response)

    @property
    def text_stream(self) -> Generator[str]:
        """The text of the message as it grows; reads the stream."""
        return self._texts()

    def get_final_message(self) -> MessageResult:
        """Read what is left of the stream and return the whole message.

        Returns:
            What the call without streaming would have given.

        Raises:
            StreamTruncatedError: The stream was closed before the message was whole.
            OpenRouterError: As for iterating.
        """
        for _ in self:
            pass
        return _final(self._builder, self.response)

    def _note(self, event: MessageEvent) -> None:
        self._builder.add(event)

    def _texts(self) -> Generator[str]:
        for event in self:
            if text := event.text_delta:
                yield text


def _with_answers(messages: object) -> object:
    """The messages, earlier answers among them as what is sent of them."""
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        return cast("object", messages)
    items = cast("Sequence[object]", messages)
    return [item.to_param() if isinstance(item, MessageResult) else item for item in items]


def _check(result: MessageResult) -> None:
    """Raise where an answer is none."""
    if "content" not in result.model_fields_set:
        raise InvalidResponseError("The answer has no content.", **origin_of(result.headers))


def _told_error(event: MessageEvent) -> WireObject | None:
    if event.type not in {"error", ""}:
        return None
    told = error_in({"error": event.error})
    if told is None:
        return {"message": "The message failed.", **event.to_dict()} if event.type else None
    return {**told, "code": told.get("code") or told.get("error_type") or told.get("type")}


def _built(builder: MessageBuilder, info: ResponseInfo) -> MessageResult:
    message = builder.build()
    message.set_response(info)
    return message


def _final(builder: MessageBuilder, info: ResponseInfo) -> MessageResult:
    if not builder.is_whole:
        raise StreamTruncatedError(
            "The stream was closed before the message was whole.", attempts=info.attempts
        )
    return _built(builder, info)


_FORMAT: Final = EventFormat[MessageEvent](
    decode=lambda event: MessageEvent.from_wire(event.data),
    is_end=lambda event: event.is_end,
    told_error=_told_error,
    is_prelude=lambda event: event.type in {"message_start", "ping"},
)
