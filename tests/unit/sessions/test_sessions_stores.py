"""What every session store does, whatever it stands on: those that need no server."""

import asyncio
import json
from typing import Any

import pytest
from support.store_contract import *  # noqa: F403  # the tests
from support.store_contract import Clock

from mbxai.sessions import (
    HandlerSessionStore,
    InMemorySessionHandler,
    InMemorySessionStore,
    SessionStore,
    SQLiteSessionStore,
)


class TextHandler:
    """Writes JSON text, as a user's handler does; no compare_and_set."""

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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "handler", "text_handler", "async_handler"])
async def store(request, tmp_path, clock):
    made: SessionStore = {
        "memory": lambda: InMemorySessionStore(now=clock),
        "sqlite": lambda: SQLiteSessionStore(tmp_path / "sessions.db", now=clock),
        "handler": lambda: HandlerSessionStore(InMemorySessionHandler(), now=clock),
        "text_handler": lambda: HandlerSessionStore(TextHandler(), now=clock),
        "async_handler": lambda: HandlerSessionStore(AsyncTextHandler(), now=clock),
    }[request.param]()
    assert isinstance(made, SessionStore)
    yield made
    await made.aclose()
