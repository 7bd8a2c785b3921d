"""Give a finished session a further requirement; the agent remembers the earlier ones.

    python examples/session_continuation.py

Needs OPENROUTER_API_KEY. Sessions live in memory here; sessions_sqlite.py and sessions_redis.py
keep them elsewhere.
"""

import asyncio

from pydantic import BaseModel, Field

from mbxai import (
    AgentClient,
    AgentResponse,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    OpenRouterClient,
)

FIRST = "Create a microservices architecture for an e-commerce platform"
THEN = "Add authentication and payment processing to the architecture"


class Architecture(BaseModel):
    """What the agent answers with."""

    project_name: str = Field(description="Name of the project")
    services: list[str] = Field(description="Services and what each is for")


def blocking() -> None:
    with OpenRouterClient(model="openai/gpt-4.1") as openrouter:
        agent = AgentClient(openrouter)
        first = agent.agent(FIRST, Architecture)
        show(agent.agent(THEN, Architecture, agent_id=first.agent_id))

        info = agent.get_session_info(first.agent_id)
        print(f"{len(agent.list_sessions())} session, {info['conversation_length']} messages")
        agent.delete_session(first.agent_id)


async def awaited() -> None:
    async with AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter:
        agent = AsyncAgentClient(openrouter)
        first = await agent.agent(FIRST, Architecture)
        show(await agent.agent(THEN, Architecture, agent_id=first.agent_id))


def show(response: AgentResponse) -> None:
    architecture: Architecture = response.final_response
    print(f"{architecture.project_name}: {', '.join(architecture.services)}")
    if response.goal_evaluation:
        print(f"Goal achievement: {response.goal_evaluation.completion_percentage}%")


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
