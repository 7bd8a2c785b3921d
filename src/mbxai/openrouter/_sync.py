"""The blocking client: the same calls, for code without an event loop."""

import ssl
from collections.abc import Mapping
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from pydantic import SecretStr, TypeAdapter

import mbxai.portal as portal
from mbxai.openrouter._calls import AttemptObserver
from mbxai.openrouter._client import AsyncOpenRouterClient
from mbxai.openrouter._http_client import HTTPClient
from mbxai.openrouter._ladder import Strategy
from mbxai.openrouter._limiter import RateLimiter
from mbxai.openrouter._options import ClientOptions
from mbxai.openrouter._raw import RawCalls
from mbxai.openrouter._requester import QueryValue, RequestOptions
from mbxai.openrouter._resource_access import Resources
from mbxai.openrouter._stream import AsyncStreamManager, batches_of
from mbxai.openrouter._sync_stream import ChatStream, ParsedChatStream, StreamManager
from mbxai.openrouter.config import OpenRouterConfig
from mbxai.openrouter.models import OpenRouterModelRegistry
from mbxai.wire import (
    ChatCompletion,
    CompletionParams,
    Messages,
    ParsedChatCompletion,
    ParseParams,
    WireResult,
)

T = TypeVar("T")
M = TypeVar("M", bound=WireResult)

# Any in this file: a value of a typing form that no type checker can name, and open JSON.


class OpenRouterClient(Resources):
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
        attempt_timeout: float | None = None,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = None,
        retry_on_timeout: bool = False,
        max_validation_retries: int = 1,
        default_params: Mapping[str, Any] | None = None,
        rate_limiter: RateLimiter | None = None,
        on_attempt: AttemptObserver | None = None,
        http_client: HTTPClient | None = None,
        max_connections: int = 1000,
        keepalive_expiry: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
        max_request_bytes: int = 64 * 1024 * 1024,
        max_response_bytes: int = 32 * 1024 * 1024,
        max_event_bytes: int = 1024 * 1024,
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
            attempt_timeout: Seconds for one attempt, with a stream until its first chunk; None
                for no limit of its own.
            first_token_timeout: Seconds until the first chunk of a stream; comments are none.
            idle_timeout: Seconds between two chunks of a stream; comments are none.
            retry_on_timeout: Send a request again that timed out, though it may have been billed.
            max_validation_retries: How often `parse` asks again for an answer that does not fit.
            default_params: Parameters of every request; those of a call win.
            rate_limiter: Spaces requests out; may be shared by clients. None sends at once.
            on_attempt: Called with every attempt, also a coroutine function; for metrics and logs.
            http_client: An `httpx.AsyncClient` or `httpx2.AsyncClient`, used for sending as it is
                and never closed; None makes connections of our own.
            max_connections: Most connections at a time; further calls wait for a free one.
            keepalive_expiry: Seconds that an unused connection is kept.
            ssl_context: Certificates to trust; None takes certifi's, or SSL_CERT_FILE.
            max_request_bytes: Most bytes of a request's body.
            max_response_bytes: Most bytes of an answer after decompression.
            max_event_bytes: Most bytes of one event of a stream; where images or speech are asked
                for, an event may be as large as an answer.

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
            attempt_timeout=attempt_timeout,
            first_token_timeout=first_token_timeout,
            idle_timeout=idle_timeout,
            retry_on_timeout=retry_on_timeout,
            max_validation_retries=max_validation_retries,
            default_params=default_params,
            rate_limiter=rate_limiter,
            on_attempt=on_attempt,
            max_request_bytes=max_request_bytes,
            max_response_bytes=max_response_bytes,
            max_event_bytes=max_event_bytes,
            http_client=http_client,
            max_connections=max_connections,
            keepalive_expiry=keepalive_expiry,
            ssl_context=ssl_context,
        )
        portal.register(self._async_client.aclose)

    def with_options(
        self, *, model: str | None = None, **options: Unpack[ClientOptions]
    ) -> "OpenRouterClient":
        """Return a client that differs in some options and shares connections and limits.

        Closing it closes nothing; the client that it comes from does.

        Args:
            model: Its model; None keeps this one's.
            **options: Arguments of this class; `default_headers` and `default_params` are merged
                over the old ones.

        Raises:
            OpenRouterConfigurationError: An option is impossible.
        """
        client = object.__new__(OpenRouterClient)
        client._async_client = self._async_client.with_options(model=model, **options)
        return client

    @property
    def with_raw_response(self) -> RawCalls:
        """The same calls, whose answers come with their bytes, status, headers and attempts."""
        return RawCalls(self._async_client.with_raw_response)

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
        """Return every registered model name with its slug, the built-in ones first.

        What OpenRouter offers is in `client.models.list()`.
        """
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
                    lambda: batches_of(
                        self._async_client.create(messages, model=model, stream=True, **params)
                    )
                )
            )
        return portal.run(self._async_client.create, messages, model=model, **params)

    @overload
    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        **params: Unpack[CompletionParams],
    ) -> StreamManager[ChatStream]: ...

    @overload
    def stream(
        self,
        messages: Messages,
        *,
        response_format: type[T] | TypeAdapter[T],
        model: str | None = None,
        strategy: Strategy | Literal["auto"] = "auto",
        **params: Unpack[ParseParams],
    ) -> StreamManager[ParsedChatStream[T]]: ...

    def stream(
        self,
        messages: Messages,
        *,
        response_format: Any = None,
        model: str | None = None,
        strategy: Strategy | Literal["auto"] = "auto",
        **params: Any,
    ) -> StreamManager[Any]:
        """Return the model's answer as it is written; use it as a context manager.

        The stream has `text_stream`, typed `events()`, the `snapshot` so far and
        `get_final_completion()`; it is closed at the end of the block.

        Args:
            messages: The conversation, oldest message first.
            response_format: A type makes the stream a typed one, with `partials()`; a mapping is
                sent as it is.
            model: Model of this call; None takes the client's.
            strategy: How a type is asked for; see `parse`.
            **params: As for `create`.

        Raises:
            OpenRouterError: As for `create`, at the start of the block.
        """
        manager: AsyncStreamManager[Any] = self._async_client.stream(
            messages, response_format=response_format, model=model, strategy=strategy, **params
        )
        is_typed = response_format is not None and not isinstance(response_format, Mapping)
        kind = ParsedChatStream[Any] if is_typed else ChatStream
        return StreamManager[Any](
            lambda: kind(portal.StreamPump(lambda: batches_of(manager.__aenter__())))
        )

    @overload
    def parse(
        self,
        messages: Messages,
        response_format: type[T] | TypeAdapter[T],
        *,
        model: str | None = None,
        strategy: Strategy | Literal["auto"] = "auto",
        max_validation_retries: int | None = None,
        **params: Unpack[ParseParams],
    ) -> ParsedChatCompletion[T]: ...

    @overload
    def parse(
        self,
        messages: Messages,
        response_format: object,
        *,
        model: str | None = None,
        strategy: Strategy | Literal["auto"] = "auto",
        max_validation_retries: int | None = None,
        **params: Unpack[ParseParams],
    ) -> ParsedChatCompletion[Any]: ...

    def parse(
        self,
        messages: Messages,
        response_format: object,
        *,
        model: str | None = None,
        strategy: Strategy | Literal["auto"] = "auto",
        max_validation_retries: int | None = None,
        **params: Unpack[ParseParams],
    ) -> ParsedChatCompletion[Any]:
        """Return the model's answer as a value of a type.

        The provider is asked for JSON of the type's schema, and what comes is validated here. An
        answer that does not fit is asked for again, with its problems named.

        Args:
            messages: The conversation, oldest message first.
            response_format: Any type that pydantic can describe: a model, a dataclass, a
                TypedDict, `list[Item]`, `int | str`, or a `TypeAdapter`.
            model: Model of this call; None takes the client's.
            strategy: How the type is asked for. "auto" begins with `json_schema`, and goes down to
                `tool`, `json_object` and `prompted` where the model's endpoints support no better.
            max_validation_retries: How often an answer that does not fit is asked for again; None
                takes the client's.
            **params: As for `create`.

        Returns:
            The answer; `choices[0].message.parsed` is the value. `total_usage` also counts the
            answers that did not fit.

        Raises:
            OutputValidationError: The answer does not fit; `problems` says where.
            OutputTruncatedError: The answer was cut at the token limit.
            ContentFilteredError: The provider's filter withheld the answer.
            RefusalError: The model refused.
            OpenRouterError: As for `create`.
        """
        return portal.run(
            self._async_client.parse,
            messages,
            response_format,
            model=model,
            strategy=strategy,
            max_validation_retries=max_validation_retries,
            **params,
        )

    @overload
    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, QueryValue] | None = None,
        body: Mapping[str, Any] | None = None,
        **options: Unpack[RequestOptions],
    ) -> WireResult: ...

    @overload
    def request(
        self,
        method: str,
        path: str,
        result_type: type[M],
        *,
        query: Mapping[str, QueryValue] | None = None,
        body: Mapping[str, Any] | None = None,
        **options: Unpack[RequestOptions],
    ) -> M: ...

    def request(
        self,
        method: str,
        path: str,
        result_type: type[WireResult] = WireResult,
        *,
        query: Mapping[str, QueryValue] | None = None,
        body: Mapping[str, Any] | None = None,
        **options: Unpack[RequestOptions],
    ) -> WireResult:
        """Call an operation of the API that has no method of its own.

        Args:
            method: GET, POST, PUT, PATCH or DELETE.
            path: Relative to the base address, for example `workspaces`. A value from elsewhere
                must be quoted first; see `path_of`.
            result_type: Model of the answer, a child of `WireResult`; without one the answer is
                read with `to_dict()`.
            query: Parameters of the address.
            body: JSON object to send.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: The request cannot be sent; nothing was.
            OpenRouterError: As for `create`.
        """
        return portal.run(
            self._async_client.request, method, path, result_type, query=query, body=body, **options
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
