"""Pause an agent in one process and answer it in another.

    python examples/sessions_sqlite.py pause
    python examples/sessions_sqlite.py answer AGENT_ID approve

Needs OPENROUTER_API_KEY. The first command ends when the agent wants a person's approval; the
second one, minutes or days later, gives it. The session waits in the file sessions.sqlite.
"""

import asyncio
import sys

from pydantic import BaseModel

from mbxai import (
    AgentClient,
    AgentResponse,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    HumanInLoopResponse,
    OpenRouterClient,
)
from mbxai.sessions import SQLiteSessionStore

FILE = "sessions.sqlite"


class Delivery(BaseModel):
    """What the agent answers with."""

    recipient: str
    status: str


def send_offer(recipient: str, text: str) -> dict[str, str]:
    """Send an offer by mail."""
    return {"recipient": recipient, "status": f"sent ({len(text)} characters)"}


def with_tools(openrouter: object) -> AsyncToolClient:
    client = AsyncToolClient(openrouter)
    client.register_tool("send_offer", "Send an offer", send_offer, requires_approval=True)
    return client


def pause() -> None:
    with (
        OpenRouterClient(model="openai/gpt-4.1") as openrouter,
        AgentClient(with_tools(openrouter), session_handler=SQLiteSessionStore(FILE)) as agent,
    ):
        show(agent.agent("Send our spring offer to Ada", Delivery, human_in_loop=True))


async def answer(agent_id: str, decision: str) -> None:
    async with (
        AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter,
        AsyncAgentClient(with_tools(openrouter), session_handler=SQLiteSessionStore(FILE)) as agent,
    ):
        waiting = await agent.get_response(agent_id)
        answers = [
            HumanInLoopResponse(
                interaction_id=request.id,
                response_type=request.interaction_type,
                decision=decision,
            )
            for request in waiting.human_interaction_requests
        ]
        show(await agent.agent("", Delivery, agent_id=agent_id, human_response=answers))


def show(response: AgentResponse) -> None:
    print(response.agent_id, response.state)
    for request in response.human_interaction_requests:
        print(f"{request.prompt} ({' or '.join(request.options)})")
    if response.is_complete():
        print(response.final_response)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["pause"]:
            pause()
        case ["answer", agent_id, decision]:
            asyncio.run(answer(agent_id, decision))
        case _:
            sys.exit(__doc__)
