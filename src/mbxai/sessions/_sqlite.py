"""Sessions in an SQLite file: for one machine, any number of processes."""

import os
import sqlite3
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from mbxai.errors import ConfigurationError
from mbxai.sessions._codec import encode, unreadable
from mbxai.sessions._database import SessionDatabase
from mbxai.sessions._lease import StoredSession, check_claim, claimed, released, saved
from mbxai.sessions._store import SessionRecord, check_agent_id

T = TypeVar("T")


class SQLiteSessionStore:
    """Keeps sessions in one SQLite file that many processes, loops and threads may share.

    The file is created at first use, readable by its owner alone, with write-ahead log. It must lie
    on a local disk. A call that has begun is finished even if its caller is cancelled.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        busy_timeout: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Remember the path; nothing is opened before the first call.

        Args:
            path: Where the file is or shall be; its directory must exist.
            busy_timeout: Seconds to wait while another process writes.
            now: The clock, in seconds since the epoch; the same for all who share the file.

        Raises:
            ConfigurationError: The path is empty or `:memory:`.
        """
        if str(path) in {"", ":memory:"}:
            raise ConfigurationError(
                "SQLiteSessionStore needs the path of a file.",
                hint="InMemorySessionStore keeps sessions in memory.",
            )
        self.path: Path = Path(path).absolute()
        self._now = now
        self._database = SessionDatabase(self.path, busy_timeout=busy_timeout)
        self._limiter: RunVar[CapacityLimiter] = RunVar("mbxai_sqlite_limiter")
        # A store that is dropped, or open when the interpreter ends, closes its file.
        weakref.finalize(self, self._database.close, wait=False)

    async def load(self, agent_id: str) -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`.

        Args:
            agent_id: Which session.

        Returns:
            The session as last saved; None if there is none of this id.

        Raises:
            SessionDataError: The row is no session.
            SessionStoreError: The file cannot be read.
        """
        check_agent_id(agent_id)

        def read(connection: sqlite3.Connection) -> SessionRecord | None:
            stored = _select(connection, agent_id)
            return stored.record(agent_id) if stored else None

        return await self._run(self._database.read, read)

    async def claim(self, agent_id: str, *, owner: str, lease_seconds: float) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`.

        Args:
            agent_id: Which session.
            owner: Names one run.
            lease_seconds: How long the claim outlives its owner's last word.

        Returns:
            The session as it is now.

        Raises:
            SessionBusyError: Another owner's lease is running.
            SessionDataError: The row is no session; it is left as it is.
            SessionStoreError: The file cannot be written.
        """
        check_agent_id(agent_id)
        check_claim(owner, lease_seconds)

        def take(connection: sqlite3.Connection) -> SessionRecord:
            now = self._now()
            stored = claimed(
                _select(connection, agent_id),
                agent_id,
                owner=owner,
                lease_seconds=lease_seconds,
                now=now,
            )
            record = stored.record(agent_id)  # before the write: damaged data is not claimed
            _upsert(connection, agent_id, stored, now)
            return record

        return await self._run(self._database.write, take)

    async def save(
        self,
        record: SessionRecord,
        data: dict[str, Any],  # Any: JSON
        *,
        owner: str,
    ) -> SessionRecord:
        """Store new data by compare-and-set and renew the lease; see `SessionStore.save`.

        Args:
            record: What `claim` or the last `save` gave.
            data: JSON with string keys.
            owner: Who claimed it.

        Returns:
            The stored record, one version later.

        Raises:
            SessionConflictError: The session was taken over, saved or deleted by another.
            SessionDataError: `data` is no JSON.
            SessionStoreError: The file cannot be written.
        """
        check_agent_id(record.agent_id)

        def write(connection: sqlite3.Connection) -> SessionRecord:
            now = self._now()
            before = _select(connection, record.agent_id)
            stored = saved(before, record, text, owner=owner, now=now)
            _upsert(connection, record.agent_id, stored, now)
            return stored.record(record.agent_id)

        text = encode(data, agent_id=record.agent_id)
        return await self._run(self._database.write, write)

    async def release(self, record: SessionRecord, *, owner: str) -> None:
        """Give a claimed session back; see `SessionStore.release`.

        Args:
            record: Any record of the present claim.
            owner: Who claimed it.

        Raises:
            SessionStoreError: The file cannot be written.
        """
        check_agent_id(record.agent_id)

        def give_back(connection: sqlite3.Connection) -> None:
            now = self._now()
            before = _select(connection, record.agent_id)
            stored = released(before, record, owner=owner, now=now)
            if stored is None:
                _delete(connection, record.agent_id)
            elif stored is not before:
                _upsert(connection, record.agent_id, stored, now)

        await self._run(self._database.write, give_back)

    async def delete(self, agent_id: str) -> bool:
        """Remove a session, readable or not; see `SessionStore.delete`.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.

        Raises:
            SessionStoreError: The file cannot be written.
        """
        check_agent_id(agent_id)
        return await self._run(
            self._database.write, lambda connection: _delete(connection, agent_id)
        )

    async def aclose(self) -> None:
        """Close the file; a later call opens it again."""
        await to_thread.run_sync(self._database.close, limiter=self._one_thread())

    async def list(self) -> list[str]:
        """Name every session.

        Returns:
            The ids, sorted.

        Raises:
            SessionStoreError: The file cannot be read.
        """

        def read(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute("SELECT agent_id FROM sessions")
            return sorted(bytes(agent_id).decode(errors="replace") for (agent_id,) in rows)

        return await self._run(self._database.read, read)

    async def _run(
        self,
        way: Callable[[Callable[[sqlite3.Connection], T]], T],
        operation: Callable[[sqlite3.Connection], T],
    ) -> T:
        return await to_thread.run_sync(way, operation, limiter=self._one_thread())

    def _one_thread(self) -> CapacityLimiter:
        # A limiter belongs to one loop; across loops the database's own lock keeps the order.
        try:
            return self._limiter.get()
        except LookupError:
            self._limiter.set(limiter := CapacityLimiter(1))
            return limiter


def _select(connection: sqlite3.Connection, agent_id: str) -> StoredSession | None:
    row = connection.execute(
        "SELECT version, fence, owner, until, lease_seconds, data FROM sessions WHERE agent_id = ?",
        (agent_id,),
    ).fetchone()
    if row is None:
        return None
    try:
        version, fence, owner, until, lease_seconds, data = row
        return StoredSession(
            version=int(version),
            fence=int(fence),
            owner=None if owner is None else bytes(owner).decode(),
            until=float(until),
            lease_seconds=float(lease_seconds),
            text=bytes(data).decode("ascii"),
        )
    except (TypeError, ValueError) as error:
        raise unreadable(agent_id) from error


def _upsert(
    connection: sqlite3.Connection, agent_id: str, stored: StoredSession, now: float
) -> None:
    connection.execute(
        "INSERT INTO sessions (agent_id, version, fence, owner, until, lease_seconds, data,"
        " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (agent_id) DO UPDATE SET"
        " version = excluded.version, fence = excluded.fence, owner = excluded.owner,"
        " until = excluded.until, lease_seconds = excluded.lease_seconds, data = excluded.data,"
        " updated_at = excluded.updated_at",
        (
            agent_id,
            stored.version,
            stored.fence,
            stored.owner,
            stored.until,
            stored.lease_seconds,
            stored.text,
            now,
        ),
    )


def _delete(connection: sqlite3.Connection, agent_id: str) -> bool:
    return connection.execute("DELETE FROM sessions WHERE agent_id = ?", (agent_id,)).rowcount > 0
