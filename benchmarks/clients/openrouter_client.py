"""OpenRouter's own SDK; it has nothing for typed answers."""

from collections.abc import AsyncIterator, Iterator

from answers import MESSAGES
from openrouter import OpenRouter


class Client:
    def __init__(self, url: str) -> None:
        self._client = OpenRouter(api_key="sk-or-benchmark", server_url=url)

    async def call(self, model: str) -> str | None:
        completion = await self._client.chat.send_async(model=model, messages=MESSAGES)
        return completion.choices[0].message.content

    async def stream(self, model: str) -> AsyncIterator[str]:
        stream = await self._client.chat.send_async(model=model, messages=MESSAGES, stream=True)
        async with stream:
            async for chunk in stream:
                if text := chunk.choices[0].delta.content:
                    yield text

    async def close(self) -> None:
        await self._client.__aexit__(None, None, None)


class BlockingClient:
    def __init__(self, url: str) -> None:
        self._client = OpenRouter(api_key="sk-or-benchmark", server_url=url)

    def call(self, model: str) -> str | None:
        completion = self._client.chat.send(model=model, messages=MESSAGES)
        return completion.choices[0].message.content

    def stream(self, model: str) -> Iterator[str]:
        with self._client.chat.send(model=model, messages=MESSAGES, stream=True) as stream:
            for chunk in stream:
                if text := chunk.choices[0].delta.content:
                    yield text

    def close(self) -> None:
        self._client.__exit__(None, None, None)
