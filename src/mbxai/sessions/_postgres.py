"""Sessions in Postgres, for any number of processes on any number of machines."""

import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import uuid4

from mbxai.errors import ConfigurationError
from mbxai.sessions._codec import decode, encode
from mbxai.sessions._ids import check_agent_id
from mbxai.sessions._lease import (
    StoredSession,
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
from mbxai.sessions._postgres_rows import Connection, Row, Rows
from mbxai.sessions._postgres_schema import Tables
from mbxai.sessions._postgres_server import PostgresServer
from mbxai.sessions._store import (
    JSON,
    DueSession,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
)

T = TypeVar("T")


class PostgresSessionStore:
    """Keeps sessions in the tables of one schema, which are made when they are first needed.

    Each write is one transaction, and the server's own clock decides about leases: workers whose
    clocks differ do not take sessions from each other. Connections belong to the event loop that
    uses them, are opened when they are first needed and closed with that loop, or by `aclose`.
    While Postgres cannot be reached operations wait and try again; one whose answer was lost is
    recognised and not done twice.
    """

    keeps_log: bool = True

    def __init__(
        self,
        target: str,
        *,
        schema: str = "mbxai",
        ttl_seconds: float | None = None,
        wait_seconds: float = 10.0,
        max_connections: int = 10,
        now: Callable[[], float] | None = None,
    ) -> None:
        """Remember where Postgres is; nothing is connected yet.

        Args:
            target: A URL such as `postgresql://user@host/database`, or a connection string of
                libpq.
            schema: Where the tables are or shall be.
            ttl_seconds: After how many seconds without a save a session is dropped; None: never.
            wait_seconds: How long an operation waits for a Postgres that cannot be reached.
            max_connections: How many connections an event loop may have, beside one that listens.
            now: A clock in seconds since the epoch; None: that of the Postgres server.

        Raises:
            ConfigurationError: The target or the schema is none, or a number is impossible.
        """
        if not isinstance(target, str) or not target.strip():  # pyright: ignore[reportUnnecessaryIsInstance] - a user's
            raise ConfigurationError(
                "A PostgresSessionStore needs an address.",
                hint="Give a URL such as postgresql://user@host/database.",
            )
        check_ttl(ttl_seconds)
        if not (wait_seconds >= 0 and math.isfinite(wait_seconds)):
            raise ConfigurationError(f"wait_seconds must not be negative, got {wait_seconds}.")
        if max_connections < 1:
            raise ConfigurationError(f"max_connections must be 1 or more, got {max_connections}.")
        self._tables = Tables(schema)
        self._server = PostgresServer(
            target, self._tables, wait_seconds=wait_seconds, max_connections=max_connections
        )
        self._schema = schema
        self._ttl_seconds = ttl_seconds
        self._clock = now

    def __repr__(self) -> str:
        """Say what it is, and nothing of its address, which may hold a password."""
        return f"<PostgresSessionStore {self._schema}>"

    async def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`."""
        check_agent_id(agent_id, scope)

        async def read(rows: Rows) -> SessionRecord | None:
            row = await self._found(rows, agent_id, scope, content=True)
            return row.stored.record(agent_id, scope) if row else None

        return await self._read(read, agent_id)

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
        made = uuid4().hex

        async def make(known: Rows) -> SessionRecord | None:
            row = await self._cleared(known, agent_id, scope)
            is_done = row is not None and row.made == made  # and only the answer was lost
            stored = created(
                row.stored if row and not is_done else None,
                agent_id,
                content,
                rows=len(contents),
                status=status,
                due_at=due_at,
                now=row.stored.created_at if row and is_done else await self._now(known, row),
            )
            if not is_done:
                number = await known.insert(agent_id, scope, stored, made=made)
                if number is None:
                    return None
                await known.append(number, contents, stored.seq)
            return stored.record(agent_id, scope)

        return await self._write(make, agent_id)

    async def claim(
        self, agent_id: str, *, owner: str, lease_seconds: float, scope: str = ""
    ) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`."""
        check_agent_id(agent_id, scope)
        check_claim(owner, lease_seconds)
        empty = encode({}, agent_id=agent_id)

        async def take(rows: Rows) -> SessionRecord | None:
            row = await self._cleared(rows, agent_id, scope, content=True)
            stored = claimed(
                row.stored if row else None,
                agent_id,
                owner=owner,
                lease_seconds=lease_seconds,
                now=await self._now(rows, row),
                empty=empty,
            )
            record = stored.record(agent_id, scope)  # before the write: damaged data is not claimed
            if row is not None:
                await rows.update(row.id, stored, write=row.write)
            elif await rows.insert(agent_id, scope, stored) is None:
                return None
            return record

        return await self._write(take, agent_id)

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
        write = uuid4().hex

        async def store(known: Rows) -> StoredSession:
            row = await self._found(known, agent_id, scope, lock=True)
            if row is not None and row.write == write:
                return row.stored  # it was done, and only the answer was lost
            stored = saved(
                row.stored if row else None,
                record,
                content,
                owner=owner,
                rows=len(contents),
                status=status,
                answers_read=answers_read,
                now=await self._now(known, row),
            )
            number = row.id if row else 0  # `saved` has refused where there is none
            await known.update(
                number,
                stored,
                write=write,
                content=content,
                rows=contents,
                key=_key(agent_id, scope),
            )
            if drop_rows > 0:
                await known.drop(number, drop_rows)
            if answers_read > record.answers_read:
                await known.empty_answers(number, stored.answers_read)
            return stored

        stored = await self._write(store, agent_id)
        kept = record.data if content is None else decode(content, agent_id=agent_id)
        return stored.record(agent_id, scope, kept)

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        """Renew the lease; see `SessionStore.heartbeat`."""
        agent_id, scope = record.agent_id, record.scope
        check_agent_id(agent_id, scope)

        async def prolong(rows: Rows) -> bool:
            row = await self._found(rows, agent_id, scope, lock=True)
            before, now = (row.stored if row else None), await self._now(rows, row)
            stored = prolonged(before, record, owner=owner, now=now)
            await rows.update(row.id if row else 0, stored, write=row.write if row else "")
            return True

        await self._write(prolong, agent_id)

    async def release(
        self, record: SessionRecord, *, owner: str, due_at: float | None = None
    ) -> None:
        """Give a claimed session back; see `SessionStore.release`."""
        agent_id, scope = record.agent_id, record.scope
        check_agent_id(agent_id, scope)

        async def give_back(rows: Rows) -> bool:
            row = await self._found(rows, agent_id, scope, lock=True)
            if row is None:
                return True
            now = await self._now(rows, row)
            stored = released(row.stored, record, owner=owner, due_at=due_at, now=now)
            if stored is None:
                await rows.remove(row.id)
            elif stored is not row.stored:
                await rows.update(row.id, stored, write=row.write)
            return True

        await self._write(give_back, agent_id)

    async def post_answer(
        self, agent_id: str, interaction_id: str, content: JSON, *, scope: str = ""
    ) -> PostedAnswer:
        """Put an answer into a session's inbox; see `SessionStore.post_answer`."""
        check_agent_id(agent_id, scope)
        check_agent_id(interaction_id)
        encoded = encode(content, agent_id=agent_id)

        async def post(rows: Rows) -> PostedAnswer:
            row = await self._found(rows, agent_id, scope, lock=True)
            for answer in await rows.answers(row.id, agent_id, after=0) if row else ():
                if answer.interaction_id == interaction_id:
                    return answer
            stored = posted(row.stored if row else None, agent_id)
            number, place = (row.id if row else 0), stored.answers_posted
            await rows.update(number, stored, write=row.write if row else "")
            now = await self._now(rows, row)
            await rows.insert_answer(number, interaction_id, place, encoded, now)
            return (await rows.answers(number, agent_id, after=place - 1))[0]

        return await self._write(post, agent_id)

    async def read_answers(
        self, agent_id: str, *, scope: str = "", after: int = 0
    ) -> list[PostedAnswer]:
        """Read a session's inbox; see `SessionStore.read_answers`."""
        check_agent_id(agent_id, scope)

        async def read(rows: Rows) -> list[PostedAnswer]:
            row = await self._found(rows, agent_id, scope)
            return await rows.answers(row.id, agent_id, after=after) if row else []

        return await self._read(read, agent_id)

    async def read_log(
        self, agent_id: str, *, scope: str = "", after: int = 0, limit: int = 1000
    ) -> list[LogRow]:
        """Read a part of a session's log; see `SessionStore.read_log`."""
        check_agent_id(agent_id, scope)

        async def read(rows: Rows) -> list[LogRow]:
            row = await self._found(rows, agent_id, scope)
            if row is None:
                return []
            return await rows.log(row.id, agent_id, after=after, limit=limit)

        return await self._read(read, agent_id)

    async def wait(
        self, agent_id: str, *, after: int, timeout_seconds: float, scope: str = ""
    ) -> bool:
        """Wait for the next row of a session's log; see `SessionStore.wait`."""
        check_agent_id(agent_id, scope)

        async def has_row(rows: Rows) -> bool:
            row = await self._found(rows, agent_id, scope)
            return row is not None and row.stored.seq > after

        async def look() -> bool:
            return await self._read(has_row, agent_id)

        return await self._server.wait_for(_key(agent_id, scope), look, timeout_seconds)

    async def delete(self, agent_id: str, *, scope: str = "") -> bool:
        """Remove a session, readable or not; see `SessionStore.delete`."""
        check_agent_id(agent_id, scope)

        was_there = False

        async def remove(rows: Rows) -> bool:
            nonlocal was_there  # also where the answer to the first try was lost
            was_there = await rows.delete(agent_id, scope) or was_there
            return was_there

        return await self._write(remove, agent_id)

    async def due(self, *, scope: str | None = None, limit: int = 100) -> list[DueSession]:
        """Name sessions that want a worker; see `SessionStore.due`."""
        check_agent_id("-", scope or "")
        check_limit(limit)

        async def read(rows: Rows) -> list[DueSession]:
            now = await self._now(rows)
            edge = None if self._ttl_seconds is None else now - self._ttl_seconds
            found = await rows.due(now, edge=edge, scope=scope, limit=limit)
            return [DueSession(agent_id=agent_id, scope=whose) for agent_id, whose in found]

        return await self._read(read)

    async def sweep(self, *, limit: int = 1000) -> int:
        """Remove sessions whose time is up; see `SessionStore.sweep`."""
        ttl_seconds = self._ttl_seconds
        if ttl_seconds is None:
            return 0

        async def remove(rows: Rows) -> int:
            now = await self._now(rows)
            return await rows.sweep(now, edge=now - ttl_seconds, limit=limit)

        return await self._write(remove)

    async def aclose(self) -> None:
        """Close the connections of this event loop; a later call opens them again."""
        await self._server.aclose()

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
        place = place_of(cursor)

        async def read(rows: Rows) -> SessionPage:
            now = await self._now(rows)
            edge = () if self._ttl_seconds is None else (now - self._ttl_seconds, now)
            given: Sequence[tuple[str, Sequence[object]]] = (
                (" AND status = %s", () if status is None else (status,)),
                (" AND (created_at, agent_id) < (%s, %s)", place or ()),
                (" AND (updated_at > %s OR until > %s)", edge),
            )
            condition = "version > 0" + "".join(clause for clause, found in given if found)
            values = [value for _, found in given for value in found]
            listed = await rows.page(scope, condition, values, now=now, limit=limit + 1)
            last = listed[limit - 1] if len(listed) > limit else None
            return SessionPage(
                sessions=tuple(listed[:limit]),
                next_cursor=cursor_of(Place(last.created_at, last.agent_id)) if last else None,
            )

        return await self._read(read)

    async def _now(self, rows: Rows, row: Row | None = None) -> float:
        if self._clock is not None:
            return self._clock()
        return await rows.now() if row is None else row.now

    async def _found(
        self, rows: Rows, agent_id: str, scope: str, *, content: bool = False, lock: bool = False
    ) -> Row | None:
        row = await rows.select(agent_id, scope, content=content, lock=lock)
        return None if row is None or await self._is_over(rows, row) else row

    async def _cleared(
        self, rows: Rows, agent_id: str, scope: str, *, content: bool = False
    ) -> Row | None:
        """Return a session's row to be written, or make room where its time is up."""
        row = await rows.select(agent_id, scope, content=content, lock=True)
        if row is None or not await self._is_over(rows, row):
            return row
        # This row and no other: without one nothing is locked, and another worker may make it now.
        await rows.remove(row.id)
        return None

    async def _is_over(self, rows: Rows, row: Row) -> bool:
        if self._ttl_seconds is None:
            return False
        return row.stored.is_expired(await self._now(rows, row), self._ttl_seconds)

    async def _read(self, operation: Callable[[Rows], Awaitable[T]], agent_id: str = "") -> T:
        async def run(connection: Connection) -> T:
            return await operation(Rows(connection, self._tables))

        return await self._server.run(run, agent_id)

    async def _write(
        self, operation: Callable[[Rows], Awaitable[T | None]], agent_id: str = ""
    ) -> T:
        """Run an operation as one transaction, and again where another writer was faster."""

        async def run(connection: Connection) -> T:
            while True:
                async with connection.transaction():
                    done = await operation(Rows(connection, self._tables))
                if done is not None:
                    return done

        return await self._server.run(run, agent_id)


def _key(agent_id: str, scope: str) -> str:
    """Return under which name a session's rows are announced; notifications are short."""
    return hashlib.sha256(f"{len(scope)}:{scope}{agent_id}".encode()).hexdigest()
