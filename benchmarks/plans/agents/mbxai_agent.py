"""This project's agent: in stepwise or merged planning, sessions in memory."""

from typing import Any

from plans.graphs import Plan
from plans.report import Report
from plans.script import prompt_of
from plans.tools import look_up

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient


class Agent:
    def __init__(self, url: str, model: str, **options: Any) -> None:  # Any: the agent's options
        self._client = AsyncOpenRouterClient("sk-or-benchmark", model, url)
        tools = AsyncToolClient(self._client)
        tools.tool(effect="read")(look_up)
        self._agent = AsyncAgentClient(tools, **options)

    async def run(self, plan: Plan) -> list[str]:
        response = await self._agent.agent(prompt_of(plan), Report)
        if not response.is_complete():
            raise SystemExit(f"{plan.case} rests in {response.state}")
        await self._agent.delete_session(response.agent_id)
        return response.final_response.values

    async def close(self) -> None:
        await self._agent.aclose()
        await self._client.aclose()
