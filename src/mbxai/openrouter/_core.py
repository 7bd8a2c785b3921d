"""What the clients stand on: settings, and the three ways to make a chat completion."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeVar, cast

import anyio
from pydantic import SecretStr, ValidationError

from mbxai._settings import openrouter_settings
from mbxai.errors import (
    InvalidResponseError,
    OpenRouterConfigurationError,
    OpenRouterTimeoutError,
)
from mbxai.openrouter._answer import Answer
from mbxai.openrouter._calls import AttemptObserver, Caller, CallRecord, Received
from mbxai.openrouter._capabilities import Capabilities
from mbxai.openrouter._completions import completion_of
from mbxai.openrouter._event_reader import EventReader
from mbxai.openrouter._exchange import read_body, read_completion
from mbxai.openrouter._faults import origin_of
from mbxai.openrouter._headers import STREAM_HEADERS, base_headers, with_headers
from mbxai.openrouter._http_client import HTTPClient
from mbxai.openrouter._ladder import Strategy, request_changes
from mbxai.openrouter._lazy_transport import LazyTransport
from mbxai.openrouter._limiter import RateLimiter
from mbxai.openrouter._options import ClientOptions
from mbxai.openrouter._parsed_stream import AsyncParsedChatStream
from mbxai.openrouter._request import (
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    CallDefaults,
    PreparedCall,
    checked_mapping,
    checked_messages,
    checked_seconds,
    prepare_chat,
)
from mbxai.openrouter._requester import Requester
from mbxai.openrouter._retry import RetryBudget, checked_policy
from mbxai.openrouter._strategy_memory import StrategyMemory
from mbxai.openrouter._stream import AsyncChatStream
from mbxai.openrouter._typed import check_typed_options, checked_output_type, complete_typed
from mbxai.openrouter.config import DEFAULT_HEADERS, OpenRouterConfig
from mbxai.openrouter.models import OpenRouterModel, model_slug
from mbxai.wire import MAX_EVENT_BYTES, ChatCompletion, MessageParam, ParsedChatCompletion

C = TypeVar("C", bound=ChatCompletion)
S = TypeVar("S", bound=AsyncChatStream)

# Any in this file: parameters are open JSON of the wire.
_FOREVER: Final = float("inf")
_LEAST_SECONDS: Final = 0.001  # of a call whose time is up, so that it says so itself


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Everything that a client can be told, as it was told.

    The attributes are the arguments of `AsyncOpenRouterClient`.
    """

    max_retries: int = 3
    retry_initial_delay: float = 1.0
    retry_max_delay: float = 10.0
    timeout: float | None = 600.0
    attempt_timeout: float | None = None
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    retry_on_timeout: bool = False
    max_validation_retries: int = 1
    default_headers: Mapping[str, str] | None = None
    default_params: Mapping[str, Any] | None = None
    rate_limiter: RateLimiter | None = None
    on_attempt: AttemptObserver | None = None
    max_request_bytes: int = MAX_REQUEST_BYTES
    max_response_bytes: int = MAX_RESPONSE_BYTES
    max_event_bytes: int = MAX_EVENT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """How connections are made; shared by all clients that `with_options` derives."""

    http_client: HTTPClient | None = None
    max_connections: int = 1000
    keepalive_expiry: float = 30.0
    ssl_context: ssl.SSLContext | None = None


@dataclass(slots=True)
class _Shared:
    """What derived clients have in common."""

    transport: LazyTransport
    budget: RetryBudget = field(default_factory=RetryBudget)
    memory: StrategyMemory = field(default_factory=StrategyMemory)
    capabilities: Capabilities = field(default_factory=Capabilities)


class ClientCore:
    """One client without its public face."""

    def __init__(
        self, config: OpenRouterConfig, settings: ClientSettings, shared: _Shared, *, is_owner: bool
    ) -> None:
        """Check the settings; nothing is sent."""
        self.config: OpenRouterConfig = config
        self.settings: Final = settings
        self._shared: Final = shared
        self._is_owner = is_owner
        self._params: dict[str, Any] = dict(
            checked_mapping("default_params", settings.default_params) or {}
        )
        check_typed_options(strategy="auto", max_validation_retries=settings.max_validation_retries)
        self.caller: Final = Caller(
            shared.transport,
            defaults=_defaults_of(settings, config.default_headers),
            policy=checked_policy(
                settings.max_retries, settings.retry_initial_delay, settings.retry_max_delay
            ),
            budget=shared.budget,
            limiter=settings.rate_limiter,
            on_attempt=settings.on_attempt,
        )
        self.requester: Final = Requester(self.caller)

    @classmethod
    def create(
        cls,
        token: str | SecretStr | None,
        model: str | None,
        base_url: str | None,
        settings: ClientSettings,
        connection: ConnectionSettings,
    ) -> "ClientCore":
        """Return the core of a new client with connections of its own.

        Raises:
            OpenRouterConfigurationError: A setting is missing or impossible.
        """
        known = openrouter_settings(token, base_url, model)
        _check_connection(connection)
        headers = {
            **DEFAULT_HEADERS,
            **(checked_mapping("default_headers", settings.default_headers) or {}),
        }
        config = _config_of(
            token=known.token,
            model=model_slug(known.model or OpenRouterModel.GPT35_TURBO),
            base_url=known.base_url,
            headers=headers,
            settings=settings,
        )
        transport = LazyTransport(
            base_url=config.base_url,
            token=config.token,
            http_client=connection.http_client,
            max_connections=connection.max_connections,
            keepalive_expiry=connection.keepalive_expiry,
            ssl_context=connection.ssl_context,
        )
        return cls(config, settings, _Shared(transport), is_owner=True)

    def derived(self, model: str | None, changes: Mapping[str, Any]) -> "ClientCore":
        """Return the core of a client that differs in some settings and shares all else.

        Args:
            model: Its model; None keeps this one's.
            changes: New values of `ClientSettings`; headers and parameters are merged over the
                old ones.

        Raises:
            OpenRouterConfigurationError: A setting is impossible.
        """
        merged = dict(changes)
        if unknown := merged.keys() - ClientOptions.__annotations__.keys():
            raise OpenRouterConfigurationError(
                f"{min(unknown)} is no option.",
                hint=f"Options are: {', '.join(sorted(ClientOptions.__annotations__))}.",
            )
        for name, old in (
            ("default_headers", self.config.default_headers),
            ("default_params", self._params),
        ):
            if name in merged:
                merged[name] = {**old, **(checked_mapping(name, merged[name]) or {})}
        settings = replace(self.settings, **merged)
        config = _config_of(
            token=self.config.token,
            model=self.config.model if model is None else model_slug(model),
            base_url=self.config.base_url,
            headers=merged.get("default_headers", self.config.default_headers),
            settings=settings,
        )
        return ClientCore(config, settings, self._shared, is_owner=False)

    async def aclose(self) -> None:
        """Close all connections, unless they belong to the client that this one derives from."""
        if self._is_owner:
            await self._shared.transport.aclose()

    async def complete(
        self, messages: object, model: str | None, params: Mapping[str, Any]
    ) -> ChatCompletion:
        """Return a whole answer."""
        given = self._with_defaults(params)
        call = self._prepare(messages, model, given, is_stream=False)
        return await self._completion(call, ChatCompletion)

    async def complete_raw(
        self, messages: object, model: str | None, params: Mapping[str, Any]
    ) -> Received[tuple[bytes, ChatCompletion]]:
        """Return a whole answer together with the bytes that it came as."""
        given = self._with_defaults(params)
        call = self._prepare(messages, model, given, is_stream=False)

        async def receive(answer: Answer, _: CallRecord) -> tuple[bytes, ChatCompletion]:
            body = await read_body(answer, call)
            media_type = answer.media_type
            return body, completion_of(body, answer.headers, ChatCompletion, media_type=media_type)

        received = await self.caller.run(call, receive)
        received.value[1].set_response(received.response)
        return received

    async def parse(
        self,
        messages: object,
        response_format: object,
        model: str | None,
        params: Mapping[str, Any],
        *,
        strategy: Strategy | Literal["auto"],
        max_validation_retries: int | None,
    ) -> ParsedChatCompletion[Any]:
        """Return an answer whose text is a value of the type."""
        # Not subscripted at run time, where pydantic would build a class for each type.
        kind = cast("type[ParsedChatCompletion[Any]]", ParsedChatCompletion)
        slug = self._slug(model)
        given = self._with_defaults(params)
        timeout = checked_seconds("timeout", given.get("timeout", self.settings.timeout))
        # One time for all answers, those that do not fit included.
        deadline = None if timeout is None else anyio.current_time() + timeout

        async def complete(
            said: Sequence[MessageParam], asked: Mapping[str, Any]
        ) -> ParsedChatCompletion[Any]:
            if deadline is not None:
                if anyio.current_time() >= deadline:
                    raise OpenRouterTimeoutError(f"No answer that fits came within {timeout} s.")
                asked = {**asked, "timeout": left_until(deadline)}
            call = self._prepare(said, model, asked, is_stream=False)
            try:
                return await self._completion(call, kind)
            except OpenRouterTimeoutError as error:
                if deadline is not None and anyio.current_time() >= deadline:
                    error.message = f"No answer that fits came within {timeout} s."
                raise

        return await complete_typed(
            complete,
            lambda: self._shared.capabilities.of_model(
                slug, self.requester, seconds=left_until(deadline)
            ),
            checked_messages(messages),
            response_format,
            given,
            strategy=strategy,
            max_validation_retries=(
                self.settings.max_validation_retries
                if max_validation_retries is None
                else max_validation_retries
            ),
            memory=self._shared.memory,
            model=slug,
        )

    async def open_stream(
        self, messages: object, model: str | None, params: Mapping[str, Any]
    ) -> AsyncChatStream:
        """Return a stream whose first chunk is there."""
        return await self._stream(messages, model, self._with_defaults(params), AsyncChatStream)

    async def open_parsed_stream(
        self,
        messages: object,
        response_format: object,
        model: str | None,
        params: Mapping[str, Any],
        *,
        strategy: Strategy | Literal["auto"],
    ) -> AsyncParsedChatStream[Any]:
        """Return a stream whose text is JSON of the type."""
        output_type = checked_output_type(response_format)
        check_typed_options(strategy=strategy, max_validation_retries=0)
        way: Strategy = (
            self._shared.memory.first(self._slug(model)) if strategy == "auto" else strategy
        )
        if way == "tool":
            way = "json_object"  # arguments of a tool are no text that could be followed
        given = self._with_defaults(params)
        said, asked = request_changes(way, output_type, given, checked_messages(messages))

        def make(reader: EventReader) -> AsyncParsedChatStream[Any]:
            return AsyncParsedChatStream[Any](reader, output_type, way)

        return await self._stream(said, model, asked, make)

    async def _completion(self, call: PreparedCall, kind: type[C]) -> C:
        async def receive(answer: Answer, _: CallRecord) -> C:
            return await read_completion(answer, call, kind)

        received = await self.caller.run(call, receive)
        received.value.set_response(received.response)
        return received.value

    async def _stream(
        self,
        messages: object,
        model: str | None,
        params: Mapping[str, Any],
        make: Callable[[EventReader], S],
    ) -> S:
        call = self._prepare(messages, model, params, is_stream=True)

        async def receive(answer: Answer, record: CallRecord) -> S:
            if answer.media_type == "application/json":
                await read_completion(answer, call, ChatCompletion)  # or its error
                raise InvalidResponseError(
                    "A stream was asked for, a whole answer came.", **origin_of(answer.headers)
                )
            stream = make(
                EventReader(
                    answer,
                    deadline=record.deadline,
                    first_token_timeout=call.first_token_timeout,
                    idle_timeout=call.idle_timeout,
                    max_event_bytes=call.max_event_bytes,
                )
            )
            await stream.open()
            return stream

        received = await self.caller.run(call, receive)
        received.value.set_response(received.response)
        return received.value

    def _slug(self, model: str | None) -> str:
        return self.config.model if model in (None, "") else model_slug(model)

    def _prepare(
        self, messages: object, model: str | None, params: Mapping[str, Any], *, is_stream: bool
    ) -> PreparedCall:
        return prepare_chat(
            messages,
            model=self._slug(model),
            stream=is_stream,
            params=params,
            defaults=self.caller.defaults,
        )

    def _with_defaults(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**self._params, **params} if self._params else params


def left_until(deadline: float | None) -> float:
    """Return the seconds until a moment of the event loop's clock; never none at all."""
    return _FOREVER if deadline is None else max(deadline - anyio.current_time(), _LEAST_SECONDS)


def _defaults_of(settings: ClientSettings, headers: Mapping[str, str]) -> CallDefaults:
    merged = base_headers(headers)
    for name in ("max_request_bytes", "max_response_bytes", "max_event_bytes"):
        _check_whole(name, getattr(settings, name))
    if not isinstance(cast("object", settings.retry_on_timeout), bool):
        raise OpenRouterConfigurationError("retry_on_timeout must be True or False.")
    return CallDefaults(
        headers=merged,
        stream_headers=with_headers(merged, STREAM_HEADERS),
        timeout=checked_seconds("timeout", settings.timeout),
        attempt_timeout=checked_seconds("attempt_timeout", settings.attempt_timeout),
        first_token_timeout=checked_seconds("first_token_timeout", settings.first_token_timeout),
        idle_timeout=checked_seconds("idle_timeout", settings.idle_timeout),
        retry_on_timeout=settings.retry_on_timeout,
        max_request_bytes=settings.max_request_bytes,
        max_response_bytes=settings.max_response_bytes,
        max_event_bytes=settings.max_event_bytes,
    )


def _config_of(
    *,
    token: SecretStr,
    model: str,
    base_url: str,
    headers: Mapping[str, str],
    settings: ClientSettings,
) -> OpenRouterConfig:
    base_headers(headers)
    checked_policy(settings.max_retries, settings.retry_initial_delay, settings.retry_max_delay)
    try:
        return OpenRouterConfig(
            token=token,
            model=model,
            base_url=base_url,
            default_headers=dict(headers),
            max_retries=settings.max_retries,
            retry_initial_delay=settings.retry_initial_delay,
            retry_max_delay=settings.retry_max_delay,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise OpenRouterConfigurationError(f"{name}: {problem['msg']}.") from error


def _check_connection(connection: ConnectionSettings) -> None:
    _check_whole("max_connections", connection.max_connections)
    checked_seconds("keepalive_expiry", connection.keepalive_expiry)
    context = cast("object", connection.ssl_context)
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise OpenRouterConfigurationError("ssl_context must be an ssl.SSLContext.")
    client = cast("object", connection.http_client)
    if client is not None and not hasattr(client, "aclose"):
        raise OpenRouterConfigurationError(
            f"http_client must be an AsyncClient, not a {type(client).__name__}.",
            hint="Pass an httpx.AsyncClient or an httpx2.AsyncClient.",
        )


def _check_whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OpenRouterConfigurationError(f"{name} must be a whole number, 1 or more.")
