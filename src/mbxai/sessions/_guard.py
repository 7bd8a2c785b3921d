"""A user's own session store, whose errors become ones of the family."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from mbxai._cancellation import is_being_cancelled
from mbxai.errors import MBXAIError, SessionStoreError
from mbxai.sessions._store import SessionRecord, SessionStore


class GuardedSessionStore:
    """Passes everything on to a store; a foreign exception is a SessionStoreError's cause.

    A store may raise the `SessionError`s of the protocol; these stay as they are.
    """

    def __init__(self, store: SessionStore) -> None:
        """Remember the store, which stays the caller's to close if it can be used without."""
        self._store = store

    async def load(self, agent_id: str) -> SessionRecord | None:
        """Read a session; see `SessionStore.load`."""
        with self._translated("load", agent_id):
            return await self._store.load(agent_id)

    async def claim(self, agent_id: str, *, owner: str, lease_seconds: float) -> SessionRecord:
        """Take a session for one run; see `SessionStore.claim`."""
        with self._translated("claim", agent_id):
            return await self._store.claim(agent_id, owner=owner, lease_seconds=lease_seconds)

    async def save(
        self,
        record: SessionRecord,
        data: dict[str, Any],  # Any: JSON
        *,
        owner: str,
    ) -> SessionRecord:
        """Store new data by compare-and-set; see `SessionStore.save`."""
        with self._translated("save", record.agent_id):
            return await self._store.save(record, data, owner=owner)

    async def release(self, record: SessionRecord, *, owner: str) -> None:
        """Give a claimed session back; see `SessionStore.release`."""
        with self._translated("release", record.agent_id):
            await self._store.release(record, owner=owner)

    async def delete(self, agent_id: str) -> bool:
        """Remove a session; see `SessionStore.delete`."""
        with self._translated("delete", agent_id):
            return await self._store.delete(agent_id)

    async def aclose(self) -> None:
        """Close what the store has opened; see `SessionStore.aclose`."""
        with self._translated("aclose"):
            await self._store.aclose()

    async def list(self) -> list[str]:
        """Name every session; see `SessionStore.list`."""
        with self._translated("list"):
            return await self._store.list()

    @contextmanager
    def _translated(self, name: str, agent_id: str = "") -> Generator[None]:
        try:
            yield
        except MBXAIError:
            raise
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise self._error(name, agent_id, error) from error
        except Exception as error:
            raise self._error(name, agent_id, error) from error

    def _error(self, name: str, agent_id: str, error: BaseException) -> SessionStoreError:
        kind = type(self._store).__name__
        return SessionStoreError(
            f"{kind}.{name}() raised {type(error).__name__}.",
            hint="Its own error is the cause of this one (__cause__).",
            agent_id=agent_id,
        )
