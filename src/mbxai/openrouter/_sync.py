"""The blocking client: the same calls, for code without an event loop."""

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeVar, Unpack, cast, overload

from pydantic import BaseModel, SecretStr

import mbxai.portal as portal
from mbxai.openrouter._client import AsyncOpenRouterClient
from mbxai.openrouter._stream import AsyncChatStream
from mbxai.openrouter._transport import HTTPClient
from mbxai.openrouter.config import OpenRouterConfig
from mbxai.openrouter.models import OpenRouterModelRegistry
from mbxai.wire import (
    ChatCompletion,
    ChatCompletionChunk,
    CompletionParams,
    Messages,
    ParsedChatCompletion,
    ParseParams,
)

T = TypeVar("T", bound=BaseModel)


class ChatStream:
    """Iterates over the chunks of one answer; also a context manager.

    Reading to the end, leaving the `with` block, dropping the stream, or `close` frees the
    connection. Closing early is what stops the billing at providers that support it.
    """

    def __init__(self, pump: portal.StreamPump[ChatCompletionChunk]) -> None:
        """Take over an open stream; `OpenRouterClient.create` does this."""
        self._pump = pump

    @property
    def async_client(self) -> AsyncChatStream:
        """The stream that this one reads; for its attributes, not for reading."""
        return cast("AsyncChatStream", self._pump.source)

    @property
    def request_id(self) -> str | None:
        """The edge's id of the request, if it sent one."""
        return self.async_client.request_id

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id of the generation, as soon as it is known."""
        return self.async_client.generation_id

    @property
    def attempts(self) -> int:
        """How many times the request was sent until this stream began."""
        return self.async_client.attempts

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers, names in lower case."""
        return self.async_client.headers

    @property
    def completion(self) -> ChatCompletion:
        """The answer so far, as the call without streaming would have given it."""
        return self.async_client.completion

    def __iter__(self) -> Self:
        """The stream itself."""
        return self

    def __next__(self) -> ChatCompletionChunk:
        """Return the next chunk; it has at least one choice.

        Raises:
            StopIteration: The answer is whole, or the stream is closed.
            StreamInterruptedError: The connection broke.
            StreamTruncatedError: The answer ended in the middle.
            StreamProtocolError: Something came that is no chunk.
            ProviderStreamError: The provider reported an error.
            OpenRouterTimeoutError: The time was up.
        """
        return next(self._pump)

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connection if the answer is not read to its end."""
        self.close()

    def close(self) -> None:
        """End the stream now; safe more than once."""
        self._pump.close()


class OpenRouterClient:
    """Talks to OpenRouter, or to any server that speaks the same protocol.

    One client serves any number of threads at a time. Connections are opened at the first call;
    `close`, `with` or the end of the program closes them.
    """

    def __init__(
        self,
        token: str | SecretStr | None = None,
        model: str | None = None,
        base_url: str | None = None,
        default_headers: Mapping[str, str] | None = None,
        max_retries: int = 3,
        retry_initial_delay: float = 1.0,
        retry_max_delay: float = 10.0,
        *,
        timeout: float | None = 600.0,
        default_params: Mapping[str, Any] | None = None,
        http_client: HTTPClient | None = None,
    ) -> None:
        """Check the settings; nothing is sent.

        Args:
            token: API key; None reads OPENROUTER_API_KEY.
            model: Model of calls that name none: an `OpenRouterModel`, a slug or a registered
                name. None reads OPENROUTER_MODEL, then takes `OpenRouterModel.GPT35_TURBO`.
            base_url: Address of the API; None reads OPENROUTER_BASE_URL, then takes OpenRouter's.
                Plain http is for this machine only.
            default_headers: Sent with every request besides HTTP-Referer and X-Title, which they
                replace where they name them.
            max_retries: How often a failed request is sent again, 0 or more.
            retry_initial_delay: Most seconds before the first retry; doubles with each further one.
            retry_max_delay: Most seconds before any retry, unless the server asks for up to 60.
            timeout: Seconds for a whole call with its retries and its stream; None for ever.
            default_params: Parameters of every request; those of a call win.
            http_client: Used for sending as it is and never closed; None makes one.

        Raises:
            OpenRouterConfigurationError: A setting is missing or impossible.
        """
        self._async_client = AsyncOpenRouterClient(
            token,
            model,
            base_url,
            default_headers,
            max_retries,
            retry_initial_delay,
            retry_max_delay,
            timeout=timeout,
            default_params=default_params,
            http_client=http_client,
        )
        portal.register(self._async_client.aclose)

    @property
    def async_client(self) -> AsyncOpenRouterClient:
        """The client that does the work."""
        return self._async_client

    @property
    def model(self) -> str:
        """Slug of the model for calls that name none."""
        return self._async_client.model

    @model.setter
    def model(self, value: str) -> None:
        self._async_client.set_model(value)

    @property
    def config(self) -> OpenRouterConfig:
        """The settings of this client."""
        return self._async_client.config

    def set_model(self, value: str) -> None:
        """Change the model for calls that name none.

        Args:
            value: An `OpenRouterModel`, a slug or a registered name.

        Raises:
            OpenRouterConfigurationError: Nothing has this name.
        """
        self._async_client.set_model(value)

    @classmethod
    def register_model(cls, name: str, value: str) -> None:
        """Give a model a name that every client of this process knows.

        Args:
            name: The new name; registering the same value again changes nothing.
            value: The slug, for example `openai/gpt-4.1`.

        Raises:
            OpenRouterConfigurationError: Also a `ValueError`. The name stands for another model.
        """
        OpenRouterModelRegistry.register_model(name, value)

    @classmethod
    def list_models(cls) -> dict[str, str]:
        """Return every model name with its slug, the built-in ones first."""
        return OpenRouterModelRegistry.list_models()

    @overload
    def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[False] = False,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion: ...

    @overload
    def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[True],
        **params: Unpack[CompletionParams],
    ) -> ChatStream: ...

    @overload
    def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion | ChatStream: ...

    def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool = False,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion | ChatStream:
        """Return the model's answer to a conversation.

        Args:
            messages: The conversation, oldest message first.
            model: Model of this call; None takes the client's.
            stream: Give the answer in chunks as it is written. The stream is returned when its
                first chunk is there; until then failures are retried.
            **params: Anything else that a request may say; see `CompletionParams`. Keywords that
                are not listed there are sent as they are.

        Returns:
            The whole answer, with at least one choice, or the open stream.

        Raises:
            OpenRouterConfigurationError: An argument cannot be sent; nothing was.
            OpenRouterAPIError: OpenRouter or the provider answered with an error.
            OpenRouterConnectionError: No answer arrived; a timeout is an `OpenRouterTimeoutError`.
            InvalidResponseError: What arrived is no completion.
        """
        if stream:
            return ChatStream(
                portal.StreamPump(
                    lambda: self._async_client.create(messages, model=model, stream=True, **params)
                )
            )
        return portal.run(self._async_client.create, messages, model=model, **params)

    def parse(
        self,
        messages: Messages,
        response_format: type[T],
        *,
        model: str | None = None,
        **params: Unpack[ParseParams],
    ) -> ParsedChatCompletion[T]:
        """Return the model's answer as an instance of a pydantic model.

        The provider is asked for JSON of the model's schema, and what comes is validated here.

        Args:
            messages: The conversation, oldest message first.
            response_format: A pydantic model class.
            model: Model of this call; None takes the client's.
            **params: As for `create`.

        Returns:
            The answer; `choices[0].message.parsed` is the instance.

        Raises:
            OutputValidationError: The answer does not fit; `problems` says where.
            OutputTruncatedError: The answer was cut at the token limit.
            ContentFilteredError: The provider's filter withheld the answer.
            RefusalError: The model refused.
            OpenRouterError: As for `create`.
        """
        return portal.run(
            self._async_client.parse, messages, response_format, model=model, **params
        )

    def close(self) -> None:
        """Close all connections; an injected `http_client` stays open."""
        portal.run(self._async_client.aclose)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close all connections."""
        self.close()

    def __repr__(self) -> str:
        """Model and address, never the key."""
        return f"{type(self).__name__}(model={self.model!r}, base_url={self.config.base_url!r})"
