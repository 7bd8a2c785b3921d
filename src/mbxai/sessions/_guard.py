"""A user's own session store, whose errors become ones of the family."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from mbxai._cancellation import is_being_cancelled
from mbxai.errors import MBXAIError, SessionStoreError
from mbxai.sessions._store import (
    JSON,
    DueSession,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
    SessionStore,
)


class GuardedSessionStore:
    """Passes everything on to a store; a foreign exception is a SessionStoreError's cause.

    A store may raise the `SessionError`s of the protocol; these stay as they are.
    """

    def __init__(self, store: SessionStore) -> None:
        """Remember the store, which stays the caller's to close if it can be used without."""
        self._store = store
        self.keeps_log: bool = bool(store.keeps_log)
        self.is_sealed: bool = bool(getattr(store, "is_sealed", False))
        self.is_volatile: bool = bool(getattr(store, "is_volatile", False))

    async def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
        """Read a session; see `SessionStore.load`."""
        with self._translated("load", agent_id):
            return await self._store.load(agent_id, scope=scope)

    async def create(
        self,
        agent_id: str,
        data: JSON,
        *,
        scope: str = "",
        rows: Sequence[JSON] = (),
        status: str = "",
        due_at: float | None = None,
    ) -> SessionRecord:
        """Store a new session; see `SessionStore.create`."""
        with self._translated("create", agent_id):
            return await self._store.create(
                agent_id, data, scope=scope, rows=rows, status=status, due_at=due_at
            )

    async def claim(
        self, agent_id: str, *, owner: str, lease_seconds: float, scope: str = ""
    ) -> SessionRecord:
        """Take a session for one run; see `SessionStore.claim`."""
        with self._translated("claim", agent_id):
            return await self._store.claim(
                agent_id, owner=owner, lease_seconds=lease_seconds, scope=scope
            )

    async def save(
        self,
        record: SessionRecord,
        data: JSON | None = None,
        *,
        owner: str,
        rows: Sequence[JSON] = (),
        status: str | None = None,
        answers_read: int = 0,
        drop_rows: int = 0,
    ) -> SessionRecord:
        """Store new data and rows by compare-and-set; see `SessionStore.save`."""
        with self._translated("save", record.agent_id):
            return await self._store.save(
                record,
                data,
                owner=owner,
                rows=rows,
                status=status,
                answers_read=answers_read,
                drop_rows=drop_rows,
            )

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        """Renew the lease; see `SessionStore.heartbeat`."""
        with self._translated("heartbeat", record.agent_id):
            await self._store.heartbeat(record, owner=owner)

    async def release(
        self, record: SessionRecord, *, owner: str, due_at: float | None = None
    ) -> None:
        """Give a claimed session back; see `SessionStore.release`."""
        with self._translated("release", record.agent_id):
            await self._store.release(record, owner=owner, due_at=due_at)

    async def post_answer(
        self, agent_id: str, interaction_id: str, content: JSON, *, scope: str = ""
    ) -> PostedAnswer:
        """Put an answer into a session's inbox; see `SessionStore.post_answer`."""
        with self._translated("post_answer", agent_id):
            return await self._store.post_answer(agent_id, interaction_id, content, scope=scope)

    async def read_answers(
        self, agent_id: str, *, scope: str = "", after: int = 0
    ) -> list[PostedAnswer]:
        """Read a session's inbox; see `SessionStore.read_answers`."""
        with self._translated("read_answers", agent_id):
            return await self._store.read_answers(agent_id, scope=scope, after=after)

    async def read_log(
        self, agent_id: str, *, scope: str = "", after: int = 0, limit: int = 1000
    ) -> list[LogRow]:
        """Read a part of a session's log; see `SessionStore.read_log`."""
        with self._translated("read_log", agent_id):
            return await self._store.read_log(agent_id, scope=scope, after=after, limit=limit)

    async def wait(
        self, agent_id: str, *, after: int, timeout_seconds: float, scope: str = ""
    ) -> bool:
        """Wait for the next row of a session's log; see `SessionStore.wait`."""
        with self._translated("wait", agent_id):
            return await self._store.wait(
                agent_id, after=after, timeout_seconds=timeout_seconds, scope=scope
            )

    async def delete(self, agent_id: str, *, scope: str = "") -> bool:
        """Remove a session; see `SessionStore.delete`."""
        with self._translated("delete", agent_id):
            return await self._store.delete(agent_id, scope=scope)

    async def due(self, *, scope: str | None = None, limit: int = 100) -> list[DueSession]:
        """Name sessions that want a worker; see `SessionStore.due`."""
        with self._translated("due"):
            return await self._store.due(scope=scope, limit=limit)

    async def sweep(self, *, limit: int = 1000) -> int:
        """Remove sessions whose time is up; see `SessionStore.sweep`."""
        with self._translated("sweep"):
            return await self._store.sweep(limit=limit)

    async def aclose(self) -> None:
        """Close what the store has opened; see `SessionStore.aclose`."""
        with self._translated("aclose"):
            await self._store.aclose()

    async def list(
        self,
        *,
        scope: str = "",
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """Name the sessions of a scope; see `SessionStore.list`."""
        with self._translated("list"):
            return await self._store.list(scope=scope, status=status, cursor=cursor, limit=limit)

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
