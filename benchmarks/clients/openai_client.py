"""openai-python with OpenRouter's address, as OpenRouter's own documentation shows it."""

from collections.abc import AsyncIterator, Iterator

from answers import MESSAGES
from openai import AsyncOpenAI, OpenAI
from report import Report


class Client:
    def __init__(self, url: str) -> None:
        self._client = AsyncOpenAI(api_key="sk-or-benchmark", base_url=url)

    async def call(self, model: str) -> str | None:
        completion = await self._client.chat.completions.create(model=model, messages=MESSAGES)
        return completion.choices[0].message.content

    async def stream(self, model: str) -> AsyncIterator[str]:
        stream = await self._client.chat.completions.create(
            model=model, messages=MESSAGES, stream=True
        )
        async for chunk in stream:
            if text := chunk.choices[0].delta.content:
                yield text

    async def typed(self, model: str) -> Report | None:
        completion = await self._client.chat.completions.parse(
            model=model, messages=MESSAGES, response_format=Report
        )
        return completion.choices[0].message.parsed

    async def close(self) -> None:
        await self._client.close()


class BlockingClient:
    def __init__(self, url: str) -> None:
        self._client = OpenAI(api_key="sk-or-benchmark", base_url=url)

    def call(self, model: str) -> str | None:
        completion = self._client.chat.completions.create(model=model, messages=MESSAGES)
        return completion.choices[0].message.content

    def stream(self, model: str) -> Iterator[str]:
        for chunk in self._client.chat.completions.create(
            model=model, messages=MESSAGES, stream=True
        ):
            if text := chunk.choices[0].delta.content:
                yield text

    def close(self) -> None:
        self._client.close()
