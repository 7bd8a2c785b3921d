"""Submit sessions in one process and let workers run them in others.

    python examples/worker.py submit
    python examples/worker.py work
    python examples/worker.py answer AGENT_ID approve

Needs OPENROUTER_API_KEY. Any number of workers may run at once, on any number of machines if the
sessions are in Redis or Postgres. One that is killed loses nothing: another goes on with its
sessions. The command line has the same worker, and the desk of the person who answers:

    mbxai sessions work worker:make_agent
    mbxai sessions list --store sessions.sqlite
    mbxai sessions answer AGENT_ID --store sessions.sqlite
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import BaseModel

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient, HumanInLoopResponse
from mbxai.agent import AsyncAgentWorker
from mbxai.sessions import SQLiteSessionStore

FILE = "sessions.sqlite"


class Delivery(BaseModel):
    """What the agent answers with."""

    recipient: str
    status: str


def send_offer(recipient: str, text: str) -> dict[str, str]:
    """Send an offer by mail."""
    return {"recipient": recipient, "status": f"sent ({len(text)} characters)"}


@asynccontextmanager
async def make_agent() -> AsyncGenerator[AsyncAgentClient]:
    """Make the agent that all processes share by its store."""
    async with AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter:
        tools = AsyncToolClient(openrouter)
        tools.register_tool("send_offer", "Send an offer", send_offer, requires_approval=True)
        async with AsyncAgentClient(
            tools, human_in_loop=True, session_handler=SQLiteSessionStore(FILE)
        ) as agent:
            yield agent


async def submit() -> None:
    async with make_agent() as agent:
        for name in ("Ada", "Grace"):
            print(await agent.submit(f"Send our spring offer to {name}", Delivery))


async def work() -> None:
    async with make_agent() as agent:
        worker = AsyncAgentWorker(agent, concurrency=4, grace_seconds=10)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, worker.stop)
        print("working", flush=True)
        await worker.run()


async def answer(agent_id: str, decision: str) -> None:
    async with make_agent() as agent:
        waiting = await agent.sessions.get(agent_id)
        answers = [
            HumanInLoopResponse(
                interaction_id=request.id,
                response_type=request.interaction_type,
                decision=decision,
            )
            for request in waiting.human_interaction_requests
        ]
        await agent.sessions.answer(agent_id, answers)  # a worker takes it from here
        print(f"{len(answers)} answered")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["submit"]:
            asyncio.run(submit())
        case ["work"]:
            asyncio.run(work())
        case ["answer", agent_id, decision]:
            asyncio.run(answer(agent_id, decision))
        case _:
            sys.exit(__doc__)
