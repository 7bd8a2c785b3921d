"""A desk at which a test runs agents on a real store, and a program of one worker at it.

    agent_safety_desk.py ORDER

ORDER is JSON: `url` of the model, `place` of the store, `effects` and `decision`. The program says
"ready", waits for a line with the id of a request, answers that of the session "s", and prints how it
ended: the state, or the name of the error.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.agent_safety_redis import RedisHandler
from support.agent_safety_run import Effects, Report

from mbxai import (
    AgentResponse,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    HumanInLoopRequest,
    HumanInLoopResponse,
)
from mbxai.errors import MBXAIError
from mbxai.sessions import SQLiteSessionStore


def store_at(place: str) -> Any:
    """Open the store at a place: a Redis URL with a prefix after `#`, or a path."""
    if place.startswith("redis:"):
        url, _, prefix = place.partition("#")
        return RedisHandler(url, prefix=prefix)
    return SQLiteSessionStore(place)


@asynccontextmanager
async def desk(
    url: str, place: str, effects: Effects, *, people: bool = True, **settings: Any
) -> AsyncIterator[AsyncAgentClient]:
    """An agent with the tools of the story, on a store of its own connection."""
    store = store_at(place)
    client = AsyncOpenRouterClient("sk-or-v1-fake", "fake/model", url, max_retries=0)
    try:
        async with client, AsyncToolClient(client) as tools:
            effects.register(tools)
            async with AsyncAgentClient(tools, people, session_handler=store, **settings) as agent:
                yield agent
    finally:
        if isinstance(store, RedisHandler):
            await store.redis.aclose()


def decided(request: HumanInLoopRequest | str, decision: str) -> HumanInLoopResponse:
    """A person's decision on a request, or on what has its id."""
    ident = request if isinstance(request, str) else request.id
    return HumanInLoopResponse(interaction_id=ident, response_type="decision", decision=decision)


async def answered(
    agent: AsyncAgentClient, answers: Any, *, agent_id: str = "s"
) -> AgentResponse[Report]:
    """Go on with answers."""
    return await agent.agent("", Report, agent_id=agent_id, human_response=answers)


async def work(order: dict[str, str]) -> str:
    effects = Effects(Path(order["effects"]))
    async with desk(order["url"], order["place"], effects) as agent:
        await agent.list_sessions()  # so that all are connected before they begin
        print("ready", flush=True)
        interaction = await asyncio.to_thread(sys.stdin.readline)
        try:
            answer = decided(interaction.strip(), order["decision"])
            return (await answered(agent, answer)).state.value
        except MBXAIError as error:
            return type(error).__name__


if __name__ == "__main__":
    print(asyncio.run(work(json.loads(sys.argv[1]))), flush=True)
