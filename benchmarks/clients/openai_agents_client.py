"""OpenAI's agent framework on chat completions; only its tool loop is measured."""

import functools

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from answers import MESSAGES
from lookups import TOOLS
from openai import AsyncOpenAI

_PROMPT = MESSAGES[0]["content"]


class Client:
    def __init__(self, url: str) -> None:
        set_tracing_disabled(True)  # it would send every run to OpenAI
        self._client = AsyncOpenAI(api_key="sk-or-benchmark", base_url=url)
        self._agent_of = functools.cache(self._make_agent)

    async def use_tools(self, model: str) -> str:
        return (await Runner.run(self._agent_of(model), _PROMPT)).final_output

    async def close(self) -> None:
        await self._client.close()

    def _make_agent(self, model: str) -> Agent:
        chat = OpenAIChatCompletionsModel(model, self._client)
        return Agent("bench", model=chat, tools=[function_tool(tool) for tool in TOOLS])
