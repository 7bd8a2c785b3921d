"""Sessions in an SQLite file: for one machine, any number of processes."""

import os
import sqlite3
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

import mbxai.sessions._sqlite_rows as rows_of
from mbxai.errors import ConfigurationError
from mbxai.sessions._codec import encode
from mbxai.sessions._database import SessionDatabase
from mbxai.sessions._ids import check_agent_id
from mbxai.sessions._lease import (
    check_claim,
    check_ttl,
    claimed,
    created,
    posted,
    prolonged,
    released,
    saved,
)
from mbxai.sessions._pages import Place, check_limit, cursor_of, place_of
from mbxai.sessions._polling import wait_for_row
from mbxai.sessions._sqlite_rows import Row
from mbxai.sessions._store import (
    JSON,
    DueSession,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
)

T = TypeVar("T")


class SQLiteSessionStore:
    """Keeps sessions in one SQLite file that many processes, loops and threads may share.

    The file is created at first use, readable by its owner alone, with write-ahead log. It must lie
    on a local disk. A call that has begun is finished even if its caller is cancelled. What was
    saved is on the disk; a lease is not waited for, which only a loss of power could undo.
    """

    keeps_log: bool = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        busy_timeout: float = 5.0,
        ttl_seconds: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Remember the path; nothing is opened before the first call.

        Args:
            path: Where the file is or shall be; its directory must exist.
            busy_timeout: Seconds to wait while another process writes.
            ttl_seconds: After how many seconds without a save a session is dropped; None: never.
            now: The clock, in seconds since the epoch; the same for all who share the file.

        Raises:
            ConfigurationError: The path is empty or `:memory:`, or `ttl_seconds` is not above zero.
        """
        if str(path) in {"", ":memory:"}:
            raise ConfigurationError(
                "SQLiteSessionStore needs the path of a file.",
                hint="InMemorySessionStore keeps sessions in memory.",
            )
        check_ttl(ttl_seconds)
        self.path: Path = Path(path).absolute()
        self._ttl_seconds = ttl_seconds
        self._now = now
        self._database = SessionDatabase(self.path, busy_timeout=busy_timeout)
        self._limiter: RunVar[CapacityLimiter] = RunVar("mbxai_sqlite_limiter")
        # A store that is dropped, or open when the interpreter ends, closes its file.
        weakref.finalize(self, self._database.close, wait=False)

    async def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`."""
        check_agent_id(agent_id, scope)

        def read(connection: sqlite3.Connection) -> SessionRecord | None:
            row = self._found(connection, agent_id, scope, content=True)
            return row.stored.record(agent_id, scope) if row else None

        return await self._run(self._database.read, read)

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
        check_agent_id(agent_id, scope)
        content = encode(data, agent_id=agent_id)
        contents = [encode(row, agent_id=agent_id) for row in rows]

        def write(connection: sqlite3.Connection) -> SessionRecord:
            row = self._cleared(connection, agent_id, scope)
            stored = created(
                row.stored if row else None,
                agent_id,
                content,
                rows=len(contents),
                status=status,
                due_at=due_at,
                now=self._now(),
            )
            number = rows_of.insert(connection, agent_id, scope, stored)
            rows_of.append(connection, number, contents, stored.seq)
            return stored.record(agent_id, scope)

        return await self._run(self._database.write, write)

    async def claim(
        self, agent_id: str, *, owner: str, lease_seconds: float, scope: str = ""
    ) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`."""
        check_agent_id(agent_id, scope)
        check_claim(owner, lease_seconds)
        empty = encode({}, agent_id=agent_id)

        def take(connection: sqlite3.Connection) -> SessionRecord:
            row = self._cleared(connection, agent_id, scope, content=True)
            stored = claimed(
                row.stored if row else None,
                agent_id,
                owner=owner,
                lease_seconds=lease_seconds,
                now=self._now(),
                empty=empty,
            )
            record = stored.record(agent_id, scope)  # before the write: damaged data is not claimed
            if row is None:
                rows_of.insert(connection, agent_id, scope, stored)
            else:
                rows_of.update(connection, row.id, stored)
            return record

        return await self._run(self._database.write_soon, take)

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
        agent_id, scope = record.agent_id, record.scope
        check_agent_id(agent_id, scope)
        content = None if data is None else encode(data, agent_id=agent_id)
        contents = [encode(row, agent_id=agent_id) for row in rows]

        def write(connection: sqlite3.Connection) -> SessionRecord:
            row = self._found(connection, agent_id, scope)
            stored = saved(
                row.stored if row else None,
                record,
                content,
                owner=owner,
                rows=len(contents),
                status=status,
                answers_read=answers_read,
                now=self._now(),
            )
            number = row.id if row else 0  # `saved` has refused where there is none
            rows_of.update(connection, number, stored, content)
            rows_of.append(connection, number, contents, stored.seq)
            if drop_rows > 0:
                connection.execute("DELETE FROM log WHERE id = ? AND seq <= ?", (number, drop_rows))
            if answers_read > record.answers_read:
                connection.execute(
                    "UPDATE answers SET content = NULL WHERE id = ? AND number <= ?",
                    (number, stored.answers_read),
                )
            return stored.record(agent_id, scope, record.data if data is None else None)

        return await self._run(self._database.write, write)

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        """Renew the lease; see `SessionStore.heartbeat`."""
        agent_id, scope = record.agent_id, record.scope
        check_agent_id(agent_id, scope)

        def prolong(connection: sqlite3.Connection) -> None:
            row = self._found(connection, agent_id, scope)
            before = row.stored if row else None
            stored = prolonged(before, record, owner=owner, now=self._now())
            rows_of.update(connection, row.id if row else 0, stored)

        await self._run(self._database.write_soon, prolong)

    async def release(
        self, record: SessionRecord, *, owner: str, due_at: float | None = None
    ) -> None:
        """Give a claimed session back; see `SessionStore.release`."""
        agent_id, scope = record.agent_id, record.scope
        check_agent_id(agent_id, scope)

        def give_back(connection: sqlite3.Connection) -> None:
            row = self._found(connection, agent_id, scope)
            if row is None:
                return
            stored = released(row.stored, record, owner=owner, due_at=due_at, now=self._now())
            if stored is None:
                rows_of.delete(connection, [row.id])
            elif stored is not row.stored:
                rows_of.update(connection, row.id, stored)

        await self._run(self._database.write_soon, give_back)

    async def post_answer(
        self, agent_id: str, interaction_id: str, content: JSON, *, scope: str = ""
    ) -> PostedAnswer:
        """Put an answer into a session's inbox; see `SessionStore.post_answer`."""
        check_agent_id(agent_id, scope)
        check_agent_id(interaction_id)
        encoded = encode(content, agent_id=agent_id)

        def post(connection: sqlite3.Connection) -> PostedAnswer:
            row = self._found(connection, agent_id, scope)
            kept = rows_of.answers(connection, row.id, agent_id, after=0) if row else []
            for answer in kept:
                if answer.interaction_id == interaction_id:
                    return answer
            stored = posted(row.stored if row else None, agent_id)
            number, now = (row.id if row else 0), self._now()
            rows_of.update(connection, number, stored)
            connection.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?)",
                (number, interaction_id, stored.answers_posted, encoded, now),
            )
            return rows_of.answers(connection, number, agent_id, after=stored.answers_posted - 1)[0]

        return await self._run(self._database.write, post)

    async def read_answers(
        self, agent_id: str, *, scope: str = "", after: int = 0
    ) -> list[PostedAnswer]:
        """Read a session's inbox; see `SessionStore.read_answers`."""
        check_agent_id(agent_id, scope)

        def read(connection: sqlite3.Connection) -> list[PostedAnswer]:
            row = self._found(connection, agent_id, scope)
            return rows_of.answers(connection, row.id, agent_id, after=after) if row else []

        return await self._run(self._database.read, read)

    async def read_log(
        self, agent_id: str, *, scope: str = "", after: int = 0, limit: int = 1000
    ) -> list[LogRow]:
        """Read a part of a session's log; see `SessionStore.read_log`."""
        check_agent_id(agent_id, scope)

        def read(connection: sqlite3.Connection) -> list[LogRow]:
            row = self._found(connection, agent_id, scope)
            if row is None:
                return []
            return rows_of.log_rows(connection, row.id, agent_id, after=after, limit=limit)

        return await self._run(self._database.read, read)

    async def wait(
        self, agent_id: str, *, after: int, timeout_seconds: float, scope: str = ""
    ) -> bool:
        """Wait for the next row of a session's log; see `SessionStore.wait`."""
        check_agent_id(agent_id, scope)

        def look(connection: sqlite3.Connection) -> bool:
            row = self._found(connection, agent_id, scope)
            return row is not None and row.stored.seq > after

        async def has_row() -> bool:
            return await self._run(self._database.read, look)

        return await wait_for_row(has_row, timeout_seconds)

    async def delete(self, agent_id: str, *, scope: str = "") -> bool:
        """Remove a session, readable or not; see `SessionStore.delete`."""
        check_agent_id(agent_id, scope)

        def remove(connection: sqlite3.Connection) -> bool:
            number = rows_of.number_of(connection, agent_id, scope)
            if number is not None:
                rows_of.delete(connection, [number])
            return number is not None

        return await self._run(self._database.write, remove)

    async def due(self, *, scope: str | None = None, limit: int = 100) -> list[DueSession]:
        """Name sessions that want a worker; see `SessionStore.due`."""
        check_agent_id("-", scope or "")
        check_limit(limit)
        now = self._now()
        alive = "" if self._ttl_seconds is None else " AND updated_at > ?"
        edge = [] if self._ttl_seconds is None else [now - self._ttl_seconds]
        of_scope, names = ("", []) if scope is None else (" AND scope = ?", [scope])

        def read(connection: sqlite3.Connection) -> list[DueSession]:
            found = connection.execute(
                "SELECT agent_id, scope FROM sessions WHERE wanted_from <= ? AND version > 0"  # noqa: S608 - constants
                f"{alive}{of_scope} ORDER BY wanted_from LIMIT ?",
                (now, *edge, *names, limit),
            )
            return [
                DueSession(
                    agent_id=bytes(agent_id).decode(errors="replace"),
                    scope=bytes(whose).decode(errors="replace"),
                )
                for agent_id, whose in found
            ]

        return await self._run(self._database.read, read)

    async def sweep(self, *, limit: int = 1000) -> int:
        """Remove sessions whose time is up; see `SessionStore.sweep`."""
        ttl_seconds = self._ttl_seconds
        if ttl_seconds is None:
            return 0

        def remove(connection: sqlite3.Connection) -> int:
            now = self._now()
            found = connection.execute(
                "SELECT id FROM sessions WHERE updated_at <= ? AND (owner IS NULL OR until <= ?)"
                " LIMIT ?",
                (now - ttl_seconds, now, limit),
            ).fetchall()
            rows_of.delete(connection, [number for (number,) in found])
            return len(found)

        return await self._run(self._database.write, remove)

    async def aclose(self) -> None:
        """Close the file; a later call opens it again."""
        await to_thread.run_sync(self._database.close, limiter=self._one_thread())

    async def list(
        self,
        *,
        scope: str = "",
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """Name the sessions of a scope; see `SessionStore.list`."""
        check_agent_id("-", scope)
        check_limit(limit)
        place, now = place_of(cursor), self._now()
        given: Sequence[tuple[str, Sequence[object]]] = (
            (" AND status = ?", () if status is None else (status,)),
            (" AND (created_at, agent_id) < (?, ?)", place or ()),
            (" AND (updated_at > ? OR until > ?)", self._edge(now)),
        )
        condition = "version > 0" + "".join(clause for clause, found in given if found)
        values = [value for _, found in given for value in found]

        def read(connection: sqlite3.Connection) -> SessionPage:
            listed = rows_of.page(connection, scope, condition, values, now=now, limit=limit + 1)
            shown, cursor = tuple(listed[:limit]), None
            if len(listed) > limit:
                last = shown[-1]
                # What cannot be read and has no time is sorted before everything that has one.
                made = last.created_at if last.version or last.created_at else sys.float_info.max
                cursor = cursor_of(Place(made, last.agent_id))
            return SessionPage(sessions=shown, next_cursor=cursor)

        return await self._run(self._database.read, read)

    def _edge(self, now: float) -> Sequence[object]:
        """Return the last time of a save that is too long ago, and now; nothing without a TTL."""
        return () if self._ttl_seconds is None else (now - self._ttl_seconds, now)

    def _found(
        self, connection: sqlite3.Connection, agent_id: str, scope: str, *, content: bool = False
    ) -> Row | None:
        row = rows_of.select(connection, agent_id, scope, content=content)
        is_over = row is not None and row.stored.is_expired(self._now(), self._ttl_seconds)
        return None if is_over else row

    def _cleared(
        self, connection: sqlite3.Connection, agent_id: str, scope: str, *, content: bool = False
    ) -> Row | None:
        """Return a session's row, or make room for a new one where its time is up."""
        row = self._found(connection, agent_id, scope, content=content)
        if row is None:
            number = rows_of.number_of(connection, agent_id, scope)
            rows_of.delete(connection, () if number is None else (number,))
        return row

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
