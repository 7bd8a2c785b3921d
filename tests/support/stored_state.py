"""The state of a stored session, as the agent reads it."""

from typing import Any

from mbxai.sessions import SessionStore
from mbxai.sessions.journal import opened, read_state


async def state_of(store: SessionStore, agent_id: str, scope: str = "") -> dict[str, Any]:
    """The whole state of a session that is there."""
    found = await read_state(store, agent_id, scope)
    assert found is not None, f"no session {agent_id}"
    return found[1]


async def change_state(store: SessionStore, agent_id: str, **changes: Any) -> None:
    """Replace fields of a session that rests."""
    record = await store.claim(agent_id, owner="test", lease_seconds=5.0)
    journal = await opened(store, record)
    await journal.save({**journal.state, **changes}, owner="test", status=record.status)
    await store.release(journal.record, owner="test")


async def ids_of(store: SessionStore) -> list[str]:
    """The ids of up to a thousand sessions, sorted."""
    return sorted(session.agent_id for session in (await store.list(limit=1000)).sessions)
