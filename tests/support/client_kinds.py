"""Both clients behind the same asynchronous words, so that one test tells of both.

The blocking client runs in worker threads, as a program without an event loop would run it.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import anyio.to_thread

from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient

KINDS = ("async", "sync")
KEY = "sk-or-v1-fault"
USER = [{"role": "user", "content": "hi"}]

_END = object()


async def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a blocking function where no event loop runs."""
    return await anyio.to_thread.run_sync(partial(function, *args, **kwargs))


class Items:
    """A blocking iterator, read in worker threads."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        item = await in_thread(next, self._items, _END)
        if item is _END:
            raise StopAsyncIteration
        return item


class BlockingStream(Items):
    """A `ChatStream` with the words of an `AsyncChatStream`."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._stream = stream

    @property
    def text_stream(self) -> Items:
        return Items(self._stream.text_stream)

    def events(self) -> Items:
        return Items(self._stream.events())

    def partials(self) -> Items:
        return Items(self._stream.partials())

    def items(self) -> Items:
        return Items(self._stream.items())

    async def get_final_completion(self) -> Any:
        return await in_thread(self._stream.get_final_completion)

    async def aclose(self) -> None:
        await in_thread(self._stream.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await in_thread(self._stream.__exit__, *exc_info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class BlockingManager:
    """What `OpenRouterClient.stream` returns, for an `async with` block."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    async def __aenter__(self) -> BlockingStream:
        return BlockingStream(await in_thread(self._manager.__enter__))

    async def __aexit__(self, *exc_info: object) -> None:
        await in_thread(self._manager.__exit__, *exc_info)


class BlockingClient:
    """An `OpenRouterClient` with the words of an `AsyncOpenRouterClient`."""

    def __init__(self, client: OpenRouterClient) -> None:
        self._client = client

    async def create(self, messages: Any, **params: Any) -> Any:
        result = await in_thread(self._client.create, messages, **params)
        return BlockingStream(result) if params.get("stream") else result

    async def parse(self, messages: Any, response_format: Any, **params: Any) -> Any:
        return await in_thread(self._client.parse, messages, response_format, **params)

    def stream(self, messages: Any, **params: Any) -> BlockingManager:
        return BlockingManager(self._client.stream(messages, **params))

    async def aclose(self) -> None:
        await in_thread(self._client.close)


@asynccontextmanager
async def opened(kind: str, base_url: str, **options: Any) -> AsyncIterator[Any]:
    """A client of one kind that retries without waiting long."""
    options = {"retry_initial_delay": 0.01, **options}
    if kind == "async":
        async with AsyncOpenRouterClient(KEY, "a/b", base_url, **options) as client:
            yield client
        return
    blocking = BlockingClient(OpenRouterClient(KEY, "a/b", base_url, **options))
    try:
        yield blocking
    finally:
        await blocking.aclose()


async def text_of(chunks: Any) -> str:
    """The text of a whole stream."""
    return "".join([piece.choices[0].delta.content or "" async for piece in chunks])


async def wait_for(raw: Any, condition: Callable[[Any], bool], seconds: float = 5.0) -> Any:
    """What a `RawServer` saw, as soon as the condition holds."""
    return await in_thread(raw.wait_for, condition, seconds)
