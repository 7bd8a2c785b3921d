"""Watch an agent at work, within a budget.

    python examples/agent_watch.py

Needs OPENROUTER_API_KEY. Leaving the block early stops the run; its session is kept. A budget that
is used up raises `BudgetExceededError`, and the session goes on with a larger one.
"""

import asyncio

from pydantic import BaseModel, Field

from mbxai import AgentClient, AsyncAgentClient, AsyncOpenRouterClient, Budget, OpenRouterClient
from mbxai.agent.events import AgentEvent, PlanChanged, StateChanged, TaskChanged, ToolCalled

PROMPT = "Create a project plan for a React web application"
BUDGET = Budget(max_cost_usd=0.50, max_requests=40)


class ProjectPlan(BaseModel):
    """What the agent answers with."""

    project_name: str = Field(description="Name of the project")
    technologies: list[str] = Field(description="Technologies to be used")
    phases: list[str] = Field(description="Project phases")


def blocking() -> None:
    with OpenRouterClient(model="openai/gpt-4.1") as openrouter:
        agent = AgentClient(openrouter, budget=BUDGET)
        with agent.stream(PROMPT, ProjectPlan) as run:
            for event in run:
                show(event)
        print("Plan:", run.response.final_response.project_name)


async def awaited() -> None:
    async with AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter:
        agent = AsyncAgentClient(openrouter, budget=BUDGET)
        async with agent.stream(PROMPT, ProjectPlan) as run:
            async for event in run:
                show(event)
        print("Plan:", run.response.final_response.project_name)


def show(event: AgentEvent) -> None:
    match event:
        case StateChanged():
            print(event.state)
        case PlanChanged():
            print(f"  {len(event.todo_list.tasks)} tasks")
        case TaskChanged():
            print(f"  [{event.task.status}] {event.task.title}")
        case ToolCalled():
            print(f"    {event.name}({event.arguments})")
        case _:
            pass


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
