"""pydantic-ai: an agent; it has no blocking client of its own."""

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

from answers import MESSAGES
from lookups import TOOLS
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from report import Report

_PROMPT = MESSAGES[0]["content"]


class Client:
    def __init__(self, url: str) -> None:
        self._provider = OpenAIProvider(base_url=url, api_key="sk-or-benchmark")
        self._agent_of = functools.cache(self._make_agent)

    async def call(self, model: str) -> str:
        return (await self._agent_of(model).run(_PROMPT)).output

    async def stream(self, model: str) -> AsyncIterator[str]:
        async with self._agent_of(model).run_stream(_PROMPT) as run:
            async for text in run.stream_text(delta=True, debounce_by=None):
                yield text

    async def typed(self, model: str) -> Report:
        return (await self._agent_of(model, Report).run(_PROMPT)).output

    async def use_tools(self, model: str) -> str:
        return (await self._agent_of(model, tools=TOOLS).run(_PROMPT)).output

    async def close(self) -> None:
        await self._provider.client.close()

    def _make_agent(
        self,
        model: str,
        output: type[Report] | None = None,
        tools: tuple[Callable[..., Any], ...] = (),
    ) -> Agent:
        chat = OpenAIChatModel(model, provider=self._provider)
        return Agent(chat, output_type=NativeOutput(output) if output else str, tools=tools)
