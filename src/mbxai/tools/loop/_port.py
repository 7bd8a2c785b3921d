"""The wrapped client, whatever it is, as something to await.

Async clients and facades of this library, a user's own object with `create` and `parse`, blocking
or not: all look the same from here on.
"""

import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final, Self, TypeVar, cast

from pydantic import BaseModel, ValidationError

from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError, InvalidResponseError
from mbxai.tools.runner._threads import in_thread
from mbxai.wire import ChatCompletion, ChatCompletionChunk, CompletionBuilder

logger = get_logger(__name__)

T = TypeVar("T", bound=BaseModel)

_END: Final = object()


class ModelPort:
    """Calls the wrapped client by keyword, and reads its answers as ours."""

    def __init__(self, client: object) -> None:
        """Take a client.

        Args:
            client: An async client, a facade (its `async_client` is used), or any object with
                `create(messages=...)` and `parse(messages=..., response_format=...)`.

        Raises:
            ConfigurationError: The object has neither `create` nor `parse`.
        """
        self.client: object = getattr(client, "async_client", None) or client
        if not any(callable(getattr(self.client, name, None)) for name in ("create", "parse")):
            raise ConfigurationError(
                f"A {type(client).__name__} has no create() and no parse().",
                hint="Pass an OpenRouterClient or an AsyncOpenRouterClient.",
            )

    @property
    def model(self) -> str | None:
        """The wrapped client's own model; None where it does not say."""
        name: object = getattr(self.client, "model", None)
        return str(name) if isinstance(name, str) else None

    async def create(self, **request: Any) -> Any:  # Any: what the wrapped client gives
        """Call `create` as it is; blocking ones run in a worker thread."""
        return await self._call("create", request)

    async def parse(self, **request: Any) -> Any:  # Any: what the wrapped client gives
        """Call `parse` as it is; blocking ones run in a worker thread."""
        return await self._call("parse", request)

    def typed_options(self, strategy: str, max_validation_retries: int | None) -> dict[str, Any]:
        """Return the arguments for typed output that the client's `parse` knows.

        Args:
            strategy: As the caller said; "auto" says nothing.
            max_validation_retries: As the caller said; None says nothing.
        """
        method: object = getattr(self.client, "parse", None)
        said = {
            "strategy": None if strategy == "auto" else strategy,
            "max_validation_retries": max_validation_retries,
        }
        return {
            name: value
            for name, value in said.items()
            if value is not None and knows_argument(method, name)
        }

    async def complete(self, **request: Any) -> ChatCompletion:
        """Return one whole answer.

        Args:
            **request: `messages` and whatever else the call takes.

        Raises:
            InvalidResponseError: The wrapped client's answer is no completion.
        """
        return await whole_answer(self.create, **request)

    async def stream(self, **request: Any) -> "ChunkSource":
        """Open one streamed answer.

        Args:
            **request: `messages` and whatever else the call takes.
        """
        return ChunkSource(await self.create(**request, stream=True))

    async def _call(self, name: str, request: dict[str, Any]) -> Any:
        method: Callable[..., Any] | None = getattr(self.client, name, None)
        if method is None:
            raise ConfigurationError(f"A {type(self.client).__name__} has no {name}().")
        # `model` is only passed on where the caller chose one: a user's own client may not take it.
        request = {key: v for key, v in request.items() if key != "model" or v is not None}
        if inspect.iscoroutinefunction(method):
            return await method(**request)
        answer: Any = await in_thread(partial(method, **request))
        return await answer if inspect.isawaitable(answer) else answer


async def whole_answer(ask: Callable[..., Awaitable[object]], **request: Any) -> ChatCompletion:
    """Return one whole answer.

    Args:
        ask: Sends the request.
        **request: `messages` and whatever else the call takes.

    Raises:
        InvalidResponseError: The answer is no completion.
    """
    completion = as_model(ChatCompletion, await ask(**request))
    if not completion.choices:
        raise InvalidResponseError("The answer has no choices.")
    return completion


class ChunkSource:
    """The chunks of one answer, from an async or a blocking stream."""

    def __init__(self, stream: object) -> None:
        """Take a stream.

        Args:
            stream: What a client returned for `stream=True`.

        Raises:
            InvalidResponseError: It cannot be iterated.
        """
        self._stream = stream
        self._lock = threading.Lock()  # guards the user's own blocking stream
        if hasattr(stream, "__aiter__"):
            self._async: AsyncIterator[object] | None = aiter(cast("AsyncIterator[object]", stream))
            self._blocking: Iterator[object] | None = None
        elif hasattr(stream, "__iter__"):
            self._async, self._blocking = None, iter(cast("Iterator[object]", stream))
        else:
            raise InvalidResponseError("create(stream=True) of the wrapped client gave no stream.")
        self._builder = CompletionBuilder()

    @property
    def completion(self) -> ChatCompletion:
        """The answer so far."""
        # Our own stream knows more: request id, headers, attempts.
        known: object = getattr(self._stream, "completion", None)
        return known if isinstance(known, ChatCompletion) else self._builder.build()

    def __aiter__(self) -> Self:
        """The source itself."""
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        """Return the next chunk.

        Raises:
            StopAsyncIteration: The stream has ended.
            InvalidResponseError: Something came that is no chunk.
        """
        if self._async is not None:
            chunk = await anext(self._async, _END)
        else:
            chunk = await in_thread(self._next_blocking)
        if chunk is _END:
            raise StopAsyncIteration
        chunk = as_model(ChatCompletionChunk, chunk)
        self._builder.add(chunk)
        return chunk

    async def aclose(self) -> None:
        """Close the stream, however it is closed; a user's own that cannot be is only logged."""
        try:
            for name in ("aclose", "close"):
                close = getattr(self._stream, name, None)
                if callable(close):
                    is_async = name == "aclose"
                    result = close() if is_async else await in_thread(partial(self._locked, close))
                    if inspect.isawaitable(result):
                        await result
                    return
        except Exception:  # never in place of what ended the reading
            logger.exception("The stream of the wrapped client could not be closed")

    def _next_blocking(self) -> object:
        return self._locked(partial(next, cast("Iterator[object]", self._blocking), _END))

    def _locked(self, function: Callable[[], object]) -> object:
        """A generator cannot be closed while it runs: whoever closes waits for the next chunk."""
        with self._lock:
            return function()


def as_model(kind: type[T], answer: object) -> T:
    """Return an answer as ours.

    Args:
        kind: What it should be.
        answer: Ours already, another library's model, a dictionary, or any object with the same
            attributes.

    Raises:
        InvalidResponseError: It is none of these.
    """
    if isinstance(answer, kind):
        return answer
    type_name = type(answer).__name__
    if isinstance(answer, BaseModel):
        answer = answer.model_dump()
    elif not isinstance(answer, dict) and not hasattr(answer, "choices"):
        raise InvalidResponseError(f"The wrapped client gave a {type_name}.")
    try:
        return kind.model_validate(answer, from_attributes=True)
    except ValidationError as cause:
        raise InvalidResponseError(
            f"The wrapped client gave a {type_name} that is no {kind.__name__}."
        ) from cause


def knows_argument(function: object, name: str) -> bool:
    """Whether a function names an argument in its signature.

    Args:
        function: Anything.
        name: Of the argument.
    """
    try:
        return callable(function) and name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
