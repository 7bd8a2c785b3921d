"""What a six-step agent run costs in this process; a fake server answers at once."""

import asyncio
import statistics
import time

from pydantic import BaseModel

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient
from mbxai.testing import FakeOpenRouter

RUNS = 40


class Report(BaseModel):
    title: str
    summary: str


def look_up(topic: str) -> str:
    """Look a topic up."""
    return f"{topic} is well known"


async def measure() -> list[tuple[float, float, int]]:
    """Wall ms, CPU ms and model calls of each run."""
    figures: list[tuple[float, float, int]] = []
    with FakeOpenRouter() as fake:
        async with AsyncOpenRouterClient("key", "openai/gpt-4", fake.base_url) as openrouter:
            tools = AsyncToolClient(openrouter)
            tools.register_tool("look_up", "Look a topic up", look_up)
            agent = AsyncAgentClient(tools)
            await agent.agent("Report on paper clips", Report)  # imports and schemas, once
            for _ in range(RUNS):
                fake.reset()
                wall, cpu = time.perf_counter(), time.process_time()
                await agent.agent("Report on paper clips", Report)
                spent = time.perf_counter() - wall, time.process_time() - cpu
                figures.append((spent[0] * 1000, spent[1] * 1000, len(fake.requests())))
    return figures


def main() -> None:
    figures = asyncio.run(measure())
    wall, cpu = (statistics.median(column) for column in list(zip(*figures, strict=True))[:2])
    calls = figures[0][2]
    print("| a run of one task with one tool call | median |")
    print("|---|---|")
    print(f"| model calls | {calls} |")
    print(f"| wall ms, the server's answers included | {wall:.1f} |")
    print(f"| CPU ms | {cpu:.1f} |")
    print(f"| CPU ms for each model call, all included | {cpu / calls:.2f} |")


if __name__ == "__main__":
    main()
