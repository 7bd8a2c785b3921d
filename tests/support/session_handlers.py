"""Session handlers as users write them: five methods, and none to compare and set."""

import asyncio
import json
from typing import Any


class TextHandler:
    """Writes JSON text."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get_session(self, agent_id: str) -> Any:
        text = self.texts.get(agent_id)
        return json.loads(text) if text else None

    def set_session(self, agent_id: str, session_data: dict[str, Any]) -> None:
        self.texts[agent_id] = json.dumps(session_data, default=str)

    def delete_session(self, agent_id: str) -> bool:
        return self.texts.pop(agent_id, None) is not None

    def list_sessions(self) -> list[str]:
        return list(self.texts)

    def session_exists(self, agent_id: str) -> bool:
        return agent_id in self.texts


class AsyncTextHandler:
    """The same with coroutine functions."""

    def __init__(self) -> None:
        self._inner = TextHandler()

    async def get_session(self, agent_id: str) -> Any:
        await asyncio.sleep(0)
        return self._inner.get_session(agent_id)

    async def set_session(self, agent_id: str, session_data: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self._inner.set_session(agent_id, session_data)

    async def delete_session(self, agent_id: str) -> bool:
        return self._inner.delete_session(agent_id)

    async def list_sessions(self) -> list[str]:
        return self._inner.list_sessions()

    async def session_exists(self, agent_id: str) -> bool:
        return self._inner.session_exists(agent_id)
