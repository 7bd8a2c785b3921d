"""Keep sessions in Redis, so that any process of a service may go on with them.

    pip install "mbxai[redis]"
    python examples/sessions_redis.py

Needs OPENROUTER_API_KEY and a Redis server at REDIS_URL (redis://127.0.0.1:6379/0 unless set).
Any object with these methods is a session handler. `compare_and_set` is what makes one safe for
several processes; without it, mbxai warns.
"""

# pyright: reportUnknownMemberType=false
# redis-py leaves its own **kwargs without types.

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any, cast

import redis
from pydantic import BaseModel

from mbxai import AgentClient, AsyncAgentClient, AsyncOpenRouterClient, OpenRouterClient

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
COMPARE_AND_SET = """
local stored = redis.call("GET", KEYS[1])
local version = stored and cjson.decode(stored).version or 0
if version ~= tonumber(ARGV[1]) then return 0 end
redis.call("SET", KEYS[1], ARGV[2], "EX", ARGV[3])
return 1
"""


class RedisSessionHandler:
    """Sessions as JSON under `agent:<id>`; one that nobody uses for a while expires."""

    def __init__(self, client: redis.Redis, *, ttl_seconds: int = 86_400) -> None:
        self._redis = client
        self._ttl_seconds = ttl_seconds
        self._compare_and_set = client.register_script(COMPARE_AND_SET)

    def get_session(self, agent_id: str) -> dict[str, Any] | None:
        """Read a session."""
        text = cast("str | None", self._redis.get(f"agent:{agent_id}"))
        return json.loads(text) if text else None

    def set_session(self, agent_id: str, session_data: dict[str, Any]) -> None:
        """Store a session."""
        self._redis.set(f"agent:{agent_id}", json.dumps(session_data), ex=self._ttl_seconds)

    def compare_and_set(
        self, agent_id: str, expected_version: int, session_data: dict[str, Any]
    ) -> bool:
        """Store a session if the stored one still has the expected version."""
        args = [expected_version, json.dumps(session_data), self._ttl_seconds]
        return self._compare_and_set(keys=[f"agent:{agent_id}"], args=args) == 1

    def delete_session(self, agent_id: str) -> bool:
        """Remove a session."""
        return bool(self._redis.delete(f"agent:{agent_id}"))

    def list_sessions(self) -> list[str]:
        """Name every session, by SCAN: KEYS would stop the server meanwhile."""
        keys = cast("Iterator[str]", self._redis.scan_iter("agent:*", count=1000))
        return sorted({key.removeprefix("agent:") for key in keys})  # SCAN may name a key twice

    def session_exists(self, agent_id: str) -> bool:
        """Tell whether there is such a session."""
        return bool(self._redis.exists(f"agent:{agent_id}"))


class Plan(BaseModel):
    """What the agent answers with."""

    steps: list[str]


def blocking(handler: RedisSessionHandler) -> str:
    with OpenRouterClient(model="openai/gpt-4.1") as openrouter:
        agent = AgentClient(openrouter, session_handler=handler)
        response = agent.agent("Plan a small garden", Plan)
        print(response.agent_id, response.state, response.final_response)
        return response.agent_id


async def awaited(handler: RedisSessionHandler, agent_id: str) -> None:
    async with AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter:
        agent = AsyncAgentClient(openrouter, session_handler=handler)
        response = await agent.agent("Add a pond", Plan, agent_id=agent_id)
        print(response.agent_id, response.state, response.final_response)
        await agent.delete_session(agent_id)


if __name__ == "__main__":
    with redis.Redis.from_url(REDIS_URL, decode_responses=True) as connection:
        handler = RedisSessionHandler(connection, ttl_seconds=3600)
        asyncio.run(awaited(handler, agent_id=blocking(handler)))
