"""pydantic-ai: one agent with the tool and a typed answer; calls of one message run at once."""

from plans.graphs import Plan
from plans.report import Report
from plans.script import prompt_of
from plans.tools import look_up
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Agent:
    def __init__(self, url: str, model: str) -> None:
        self._provider = OpenAIProvider(base_url=url, api_key="sk-or-benchmark")
        chat = OpenAIChatModel(model, provider=self._provider)
        self._agent = PydanticAgent(chat, output_type=Report, tools=[look_up])

    async def run(self, plan: Plan) -> list[str]:
        return (await self._agent.run(prompt_of(plan))).output.values

    async def close(self) -> None:
        await self._provider.client.close()
