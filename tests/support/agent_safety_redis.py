"""A session handler on Redis, as an application with several workers would write it."""

import json
from typing import Any

import redis.asyncio


class RedisHandler:
    """Keeps sessions as JSON text under a prefix, and compares before it sets."""

    def __init__(self, url: str, *, prefix: str = "safety:", seconds: int = 600) -> None:
        self.redis = redis.asyncio.Redis.from_url(url)
        self.prefix = prefix
        self._seconds = seconds

    async def get_session(self, agent_id: str) -> dict[str, Any] | None:
        text = await self.redis.get(self.prefix + agent_id)
        return None if text is None else json.loads(text)

    async def set_session(self, agent_id: str, session_data: dict[str, Any]) -> None:
        text = json.dumps(session_data, default=str)
        await self.redis.set(self.prefix + agent_id, text, ex=self._seconds)

    async def compare_and_set(
        self, agent_id: str, expected_version: int, session_data: dict[str, Any]
    ) -> bool:
        key, text = self.prefix + agent_id, json.dumps(session_data, default=str)
        async with self.redis.pipeline() as pipeline:
            await pipeline.watch(key)
            stored = await pipeline.get(key)
            if (json.loads(stored).get("version", 0) if stored else 0) != expected_version:
                return False
            pipeline.multi()
            pipeline.set(key, text, ex=self._seconds)
            try:
                await pipeline.execute()
            except redis.WatchError:
                return False
        return True

    async def delete_session(self, agent_id: str) -> bool:
        return await self.redis.delete(self.prefix + agent_id) > 0

    async def list_sessions(self) -> list[str]:
        keys = [key.decode() async for key in self.redis.scan_iter(f"{self.prefix}*")]
        return [key.removeprefix(self.prefix) for key in keys]

    async def session_exists(self, agent_id: str) -> bool:
        return await self.redis.exists(self.prefix + agent_id) > 0
