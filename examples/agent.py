"""Let an agent reach a goal with a tool, and get a typed answer.

    python examples/agent.py

Needs OPENROUTER_API_KEY. The agent analyses the requirement, chooses tools, plans tasks, carries
them out and evaluates the result. A run that fails raises `AgentFailedError`.
"""

import asyncio

from pydantic import BaseModel, Field

from mbxai import (
    AgentClient,
    AgentResponse,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    OpenRouterClient,
    ToolClient,
)

PROMPT = "Find flights from New York to Los Angeles for tomorrow"


class Flight(BaseModel):
    """One flight."""

    airline: str
    route: str
    date: str
    price: str


class FlightInfo(BaseModel):
    """What the agent answers with."""

    flights: list[Flight] = Field(description="Available flights")
    recommendation: str = Field(description="Flight recommendation")


def search_flights(origin: str, destination: str, date: str) -> list[Flight]:
    """Search for flights between cities."""
    route = f"{origin} to {destination}"
    return [Flight(airline="Example Air", route=route, date=date, price="$450")]


def blocking() -> None:
    with OpenRouterClient(model="openai/gpt-4.1") as openrouter:
        agent = AgentClient(ToolClient(openrouter))
        agent.register_tool("search_flights", "Search for flights between cities", search_flights)
        show(agent.agent(PROMPT, FlightInfo))


async def awaited() -> None:
    async with AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter:
        agent = AsyncAgentClient(AsyncToolClient(openrouter))
        agent.register_tool("search_flights", "Search for flights between cities", search_flights)
        show(await agent.agent(PROMPT, FlightInfo))


def show(response: AgentResponse) -> None:
    if response.todo_list:
        for task in response.todo_list.tasks:
            print(f"[{task.status}] {task.title}")
    info: FlightInfo = response.final_response
    for flight in info.flights:
        print(f"{flight.airline}, {flight.route}, {flight.price}")
    print("Recommendation:", info.recommendation)
    print(f"{response.token_summary.total_cost_usd:.6f} USD")


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
