"""The client: a call goes in, a typed answer or a stream comes out."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Self, TypeVar, Unpack, cast, overload

import anyio
from pydantic import BaseModel, SecretStr, ValidationError

from mbxai._settings import openrouter_settings
from mbxai.errors import (
    ConfigurationError,
    InvalidResponseError,
    OpenRouterConfigurationError,
    OpenRouterTimeoutError,
)
from mbxai.openrouter._exchange import exchange, read_completion
from mbxai.openrouter._request import PreparedCall, checked_mapping, checked_seconds, prepare_call
from mbxai.openrouter._retry import RetryBudget, checked_policy, run_with_retry
from mbxai.openrouter._stream import AsyncChatStream
from mbxai.openrouter._structured import parsed_value
from mbxai.openrouter._transport import HTTPClient, Transport, encoded_headers
from mbxai.openrouter.config import DEFAULT_HEADERS, OpenRouterConfig
from mbxai.openrouter.models import OpenRouterModel, OpenRouterModelRegistry, model_slug
from mbxai.wire import (
    ChatCompletion,
    CompletionParams,
    Messages,
    ParsedChatCompletion,
    ParseParams,
    response_format_of,
)

T = TypeVar("T", bound=BaseModel)
C = TypeVar("C", bound=ChatCompletion)
R = TypeVar("R")


class AsyncOpenRouterClient:
    """Talks to OpenRouter, or to any server that speaks the same protocol.

    One client serves any number of calls at a time, on one event loop or several. Connections are
    opened at the first call; `aclose`, `async with` or the end of the event loop closes them.
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
        settings = openrouter_settings(token, base_url, model)
        self._policy = checked_policy(max_retries, retry_initial_delay, retry_max_delay)
        self._timeout = checked_seconds("timeout", timeout)
        self._default_params = dict(checked_mapping("default_params", default_params) or {})
        own_headers = checked_mapping("default_headers", default_headers)
        headers = {**DEFAULT_HEADERS, **(own_headers or {})}
        encoded_headers(headers)
        try:
            self._config = OpenRouterConfig(
                token=settings.token,
                model=model_slug(settings.model or OpenRouterModel.GPT35_TURBO),
                base_url=settings.base_url,
                default_headers=headers,
                max_retries=max_retries,
                retry_initial_delay=retry_initial_delay,
                retry_max_delay=retry_max_delay,
            )
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part) for part in problem["loc"])
            raise OpenRouterConfigurationError(f"{name}: {problem['msg']}.") from error
        self._budget = RetryBudget()
        self._transport = Transport(
            base_url=self._config.base_url,
            token=self._config.token,
            headers=headers,
            http_client=http_client,
        )

    @property
    def model(self) -> str:
        """Slug of the model for calls that name none."""
        return self._config.model

    @model.setter
    def model(self, value: str) -> None:
        self.set_model(value)

    @property
    def config(self) -> OpenRouterConfig:
        """The settings of this client."""
        return self._config

    def set_model(self, value: str) -> None:
        """Change the model for calls that name none.

        Args:
            value: An `OpenRouterModel`, a slug or a registered name.

        Raises:
            OpenRouterConfigurationError: Nothing has this name.
        """
        self._config = self._config.model_copy(update={"model": model_slug(value)})

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
    async def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[False] = False,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion: ...

    @overload
    async def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[True],
        **params: Unpack[CompletionParams],
    ) -> AsyncChatStream: ...

    @overload
    async def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion | AsyncChatStream: ...

    async def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool = False,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion | AsyncChatStream:
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
        call = self._prepare(messages, model, dict(params), stream=stream)
        if stream:
            return await self._open_stream(call)
        return await self._complete(call, ChatCompletion)

    async def parse(
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
        try:
            format_param = response_format_of(response_format)
        except ConfigurationError as error:
            raise OpenRouterConfigurationError(error.message, hint=error.hint) from error
        given: dict[str, Any] = {"response_format": format_param, **params}
        call = self._prepare(messages, model, given, stream=False)
        # Not subscripted at run time, where pydantic would build a class for each type.
        kind = cast("type[ParsedChatCompletion[T]]", ParsedChatCompletion)
        completion = await self._complete(call, kind)
        message = completion.choices[0].message
        if message.tool_calls and not message.content:
            return completion  # the caller passed tools, and the model wants one of them first
        message.parsed = parsed_value(completion, response_format)
        return completion

    async def aclose(self) -> None:
        """Close all connections; an injected `http_client` stays open."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close all connections."""
        await self.aclose()

    def __repr__(self) -> str:
        """Model and address, never the key."""
        return f"{type(self).__name__}(model={self.model!r}, base_url={self._config.base_url!r})"

    def _prepare(
        self, messages: object, model: str | None, params: dict[str, Any], *, stream: bool
    ) -> PreparedCall:
        return prepare_call(
            messages,
            model=self._config.model if model in (None, "") else model_slug(model),
            stream=stream,
            params={**self._default_params, **params},
            default_timeout=self._timeout,
        )

    async def _complete(self, call: PreparedCall, kind: type[C]) -> C:
        async def attempt(number: int) -> C:
            answer = await exchange(self._transport, call, attempt=number)
            return await read_completion(answer, kind, attempt=number)

        return await self._within_budget(call, lambda _deadline: attempt)

    async def _open_stream(self, call: PreparedCall) -> AsyncChatStream:
        def attempts_until(deadline: float) -> Callable[[int], Awaitable[AsyncChatStream]]:
            async def attempt(number: int) -> AsyncChatStream:
                answer = await exchange(self._transport, call, attempt=number)
                if answer.media_type == "application/json":
                    await read_completion(answer, ChatCompletion, attempt=number)  # or its error
                    raise InvalidResponseError("A stream was asked for, a whole answer came.")
                stream = AsyncChatStream(
                    answer,
                    attempts=number,
                    deadline=deadline,
                    first_token_timeout=call.first_token_timeout,
                    idle_timeout=call.idle_timeout,
                )
                await stream.open()
                return stream

            return attempt

        return await self._within_budget(call, attempts_until)

    async def _within_budget(
        self,
        call: PreparedCall,
        attempts_until: Callable[[float], Callable[[int], Awaitable[R]]],
    ) -> R:
        """Run attempts until one succeeds or the time is up.

        A cancellation from outside passes through: only the scope's own becomes a timeout.
        """
        number = 0
        with anyio.move_on_after(call.timeout) as scope:
            attempt = attempts_until(scope.deadline)

            async def counted(attempt_number: int) -> R:
                nonlocal number
                number = attempt_number
                return await attempt(attempt_number)

            return await run_with_retry(
                counted, self._policy, deadline=scope.deadline, budget=self._budget
            )
        raise OpenRouterTimeoutError(
            f"No whole answer came within {call.timeout} s.",
            hint="Raise timeout=, or stream the answer.",
            attempts=number,
        )
