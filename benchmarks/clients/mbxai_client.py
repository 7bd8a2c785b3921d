"""This project's client, as its README uses it."""

import functools
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from answers import MESSAGES
from report import Report

from mbxai import AsyncOpenRouterClient, OpenRouterClient

if TYPE_CHECKING:
    from mbxai import AsyncToolClient


class Client:
    def __init__(self, url: str, **options: int) -> None:
        self._client = AsyncOpenRouterClient("sk-or-benchmark", base_url=url, **options)

    async def call(self, model: str) -> str | None:
        completion = await self._client.create(MESSAGES, model=model)
        return completion.choices[0].message.content

    async def stream(self, model: str) -> AsyncIterator[str]:
        stream = await self._client.create(MESSAGES, model=model, stream=True)
        async for chunk in stream:
            if text := chunk.choices[0].delta.content:
                yield text

    async def typed(self, model: str) -> Report | None:
        completion = await self._client.parse(MESSAGES, Report, model=model)
        return completion.choices[0].message.parsed

    async def use_tools(self, model: str) -> str | None:
        completion = await self._tools.chat(MESSAGES, model=model)
        return completion.choices[0].message.content

    async def stream_tools(self, model: str) -> str:
        stream = await self._tools.chat(MESSAGES, model=model, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def close(self) -> None:
        await self._client.aclose()

    @functools.cached_property
    def _tools(self) -> "AsyncToolClient":
        # Imported here, since the other scenarios measure a client without tools.
        from lookups import TOOLS

        from mbxai import AsyncToolClient

        tools = AsyncToolClient(self._client)
        for function in TOOLS:
            tools.tool(function)
        return tools


class BlockingClient:
    def __init__(self, url: str) -> None:
        self._client = OpenRouterClient("sk-or-benchmark", base_url=url)

    def call(self, model: str) -> str | None:
        return self._client.create(MESSAGES, model=model).choices[0].message.content

    def stream(self, model: str) -> Iterator[str]:
        for chunk in self._client.create(MESSAGES, model=model, stream=True):
            if text := chunk.choices[0].delta.content:
                yield text

    def close(self) -> None:
        self._client.close()
