"""Six steps one after the other, as mbxai 2.3.0 made them: two calls a task and five besides."""

import json
from typing import Any

from plans.graphs import Plan
from plans.report import Report
from plans.script import TOOL, prompt_of
from plans.tools import LOOK_UP, look_up

from mbxai import AsyncOpenRouterClient


class Agent:
    """Written by hand on this project's client, so that only the order of the calls differs."""

    def __init__(self, url: str, model: str) -> None:
        self._client = AsyncOpenRouterClient("sk-or-benchmark", model, url)

    async def run(self, plan: Plan) -> list[str]:
        prompt = prompt_of(plan)
        known = f"# Requirement\n{prompt}"
        known += f"\n{await self._structured(known, 'RequirementAnalysis')}"
        known += f"\n{await self._structured(known, 'ToolAnalysis')}"
        todo = json.loads(await self._structured(known, "TodoList"))
        results: list[str] = []
        for task in todo["tasks"]:
            results.append(await self._carry_out(prompt, results, task["description"]))
        known += "\n# Results\n" + "\n".join(results)
        known += f"\n{await self._structured(known, 'GoalEvaluation')}"
        completion = await self._client.parse([{"role": "user", "content": known}], Report)
        return completion.choices[0].message.parsed.values

    async def close(self) -> None:
        await self._client.aclose()

    async def _structured(self, text: str, name: str) -> str:
        schema = {"name": name, "schema": {"type": "object"}}
        completion = await self._client.create(
            [{"role": "user", "content": text}],
            response_format={"type": "json_schema", "json_schema": schema},
        )
        return completion.choices[0].message.content

    async def _carry_out(self, prompt: str, results: list[str], task: str) -> str:
        parts = ["# Requirement", prompt, "# Results", *results, "# Your step", task]
        messages: list[dict[str, Any]] = [{"role": "user", "content": "\n".join(parts)}]
        while True:
            completion = await self._client.create(messages, tools=[LOOK_UP])
            message = completion.choices[0].message
            if not message.tool_calls:
                return str(message.content)
            messages.append(message.to_param())
            for call in message.tool_calls:
                assert call.function.name == TOOL
                found = await look_up(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": found})
