"""Rows in Postgres: what a session, its log and its inbox look like there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from mbxai.errors import SessionDataError
from mbxai.sessions._codec import decode, unreadable
from mbxai.sessions._lease import StoredSession, unreadable_summary
from mbxai.sessions._postgres_schema import Tables
from mbxai.sessions._store import LogRow, PostedAnswer, SessionSummary

if TYPE_CHECKING:
    from psycopg import AsyncConnection

Columns: TypeAlias = tuple[Any, ...]  # Any: of the driver
Connection: TypeAlias = "AsyncConnection[Columns]"

_NAMES: Final = (
    *("version", "fence", "seq", "status", "owner", "until", "lease_seconds", "due_at"),
    *("answers_posted", "answers_read", "created_at", "updated_at"),
)
_COLUMNS: Final = ", ".join(_NAMES)
_APPEND: Final = "INSERT INTO {schema}.log SELECT %s, * FROM unnest(%s::bigint[], %s::bytea[])"
_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"


class Row(NamedTuple):
    """A session's row.

    Attributes:
        id: Its number.
        made: What its creation was named; empty if a claim made it.
        write: What its last save was named.
        now: The server's time when it was read, in seconds since the epoch.
        stored: The session.
    """

    id: int
    made: str
    write: str
    now: float
    stored: StoredSession


class Rows:
    """The rows of one schema, by one connection."""

    def __init__(self, connection: Connection, tables: Tables) -> None:
        """Take a connection.

        Args:
            connection: For writes within a transaction.
            tables: The tables.
        """
        self._connection = connection
        self._tables = tables

    async def now(self) -> float:
        """Return the server's time, in seconds since the epoch."""
        return (await self._all(f"SELECT {_NOW}"))[0][0]

    async def select(
        self, agent_id: str, scope: str, *, content: bool = False, lock: bool = False
    ) -> Row | None:
        """Read one session.

        Args:
            agent_id: Which session.
            scope: Whose session.
            content: Whether its content is wanted; without it, it is empty.
            lock: Whether it is going to be written.

        Returns:
            The row; None if there is none.

        Raises:
            SessionDataError: The row is no session.
        """
        found = await self._all(
            f"SELECT id, made, write, {_NOW}, {'content' if content else 'NULL'}, {_COLUMNS}"
            " FROM {schema}.sessions WHERE scope = %s AND agent_id = %s"
            f"{' FOR UPDATE' if lock else ''}",
            scope,
            agent_id,
        )
        if not found:
            return None
        number, made, write, now, kept, *columns = found[0]
        stored = _stored(columns, bytes(kept or b""), agent_id)
        return Row(number, made or "", write or "", now, stored)

    async def insert(
        self, agent_id: str, scope: str, stored: StoredSession, *, made: str = ""
    ) -> int | None:
        """Write a new session; return its number, or None if another was faster."""
        values = (scope, agent_id, *_values(stored), made, stored.content)
        marks = ", ".join(["%s"] * len(values))
        found = await self._all(
            f"INSERT INTO {{schema}}.sessions (scope, agent_id, {_COLUMNS}, wanted_from, made,"
            f" content) VALUES ({marks}) ON CONFLICT DO NOTHING RETURNING id",
            *values,
        )
        return found[0][0] if found else None

    async def update(
        self,
        number: int,
        stored: StoredSession,
        *,
        write: str,
        content: bytes | None = None,
        rows: Sequence[bytes] = (),
        key: str = "",
    ) -> None:
        """Write a session that is there and append to its log, all in one statement.

        Args:
            number: The session's number.
            stored: What to write.
            write: The name of its last save.
            content: Its new content; None: as it was.
            rows: What to append to the log; the last one gets the session's `seq`.
            key: What those who wait for rows are told when this transaction ends.
        """
        names = (*_NAMES, "wanted_from", "write", *(() if content is None else ("content",)))
        changes = ", ".join(f"{name} = %s" for name in names)
        text = f"UPDATE {{schema}}.sessions SET {changes} WHERE id = %s"
        values = (*_values(stored), write, *(() if content is None else (content,)), number)
        if not rows:
            await self._run(text, *values)
            return
        await self._run(
            f"WITH appended AS ({_APPEND}) {text} RETURNING pg_notify(%s, %s)",
            *_appended(number, rows, stored.seq),
            *values,
            self._tables.channel,
            key,
        )

    async def delete(self, agent_id: str, scope: str) -> bool:
        """Remove a session with its log and inbox; return whether there was one."""
        found = await self._all(
            "DELETE FROM {schema}.sessions WHERE scope = %s AND agent_id = %s RETURNING id",
            scope,
            agent_id,
        )
        return bool(found)

    async def remove(self, number: int) -> None:
        """Remove a session that was selected to be written."""
        await self._run("DELETE FROM {schema}.sessions WHERE id = %s", number)

    async def append(self, number: int, contents: Sequence[bytes], last: int) -> None:
        """Append rows to a session's log, of which the last one gets this number."""
        if contents:
            await self._run(_APPEND, *_appended(number, contents, last))

    async def drop(self, number: int, last: int) -> None:
        """Drop rows of a session's log up to a number."""
        await self._run(
            "DELETE FROM {schema}.log WHERE session_id = %s AND seq <= %s", number, last
        )

    async def empty_answers(self, number: int, last: int) -> None:
        """Remove the content of answers up to a number."""
        await self._run(
            "UPDATE {schema}.answers SET content = NULL WHERE session_id = %s AND number <= %s"
            " AND content IS NOT NULL",
            number,
            last,
        )

    async def insert_answer(
        self, number: int, interaction_id: str, place: int, content: bytes, now: float
    ) -> None:
        """Put an answer into a session's inbox."""
        await self._run(
            "INSERT INTO {schema}.answers VALUES (%s, %s, %s, %s, %s)",
            number,
            interaction_id,
            place,
            content,
            now,
        )

    async def answers(self, number: int, agent_id: str, *, after: int) -> list[PostedAnswer]:
        """Read a session's inbox; raise SessionDataError if an answer is damaged."""
        found = await self._all(
            "SELECT number, interaction_id, content, posted_at FROM {schema}.answers"
            " WHERE session_id = %s AND number > %s ORDER BY number",
            number,
            after,
        )
        return [
            PostedAnswer(
                number=place,
                interaction_id=key,
                content=None if content is None else decode(bytes(content), agent_id=agent_id),
                posted_at=posted_at,
            )
            for place, key, content, posted_at in found
        ]

    async def log(self, number: int, agent_id: str, *, after: int, limit: int) -> list[LogRow]:
        """Read a part of a session's log; raise SessionDataError if a row is damaged."""
        found = await self._all(
            "SELECT seq, content FROM {schema}.log WHERE session_id = %s AND seq > %s"
            " ORDER BY seq LIMIT %s",
            number,
            after,
            limit,
        )
        return [
            LogRow(seq=seq, content=decode(bytes(content), agent_id=agent_id))
            for seq, content in found
        ]

    async def due(
        self, now: float, *, edge: float | None, scope: str | None, limit: int
    ) -> list[tuple[str, str]]:
        """Return ids and scopes of sessions that want a worker and were saved after an edge."""
        return [
            (agent_id, whose)
            for agent_id, whose in await self._all(
                "SELECT agent_id, scope FROM {schema}.sessions WHERE wanted_from <= %s"
                " AND version > 0 AND (%s::float8 IS NULL OR updated_at > %s)"
                " AND (%s::text IS NULL OR scope = %s) ORDER BY wanted_from LIMIT %s",
                *(now, edge, edge, scope, scope, limit),
            )
        ]

    async def sweep(self, now: float, *, edge: float, limit: int) -> int:
        """Remove sessions that nobody holds and that were saved last before an edge."""
        found = await self._all(
            "DELETE FROM {schema}.sessions WHERE id IN (SELECT id FROM {schema}.sessions"
            " WHERE updated_at <= %s AND (owner IS NULL OR until <= %s) LIMIT %s"
            " FOR UPDATE SKIP LOCKED) RETURNING id",
            edge,
            now,
            limit,
        )
        return len(found)

    async def page(
        self, scope: str, condition: str, values: Sequence[object], *, now: float, limit: int
    ) -> list[SessionSummary]:
        """Read sessions of a list, the newest first, also those that cannot be read."""
        found = await self._all(
            f"SELECT agent_id, {_COLUMNS} FROM {{schema}}.sessions WHERE scope = %s AND"
            f" {condition} ORDER BY created_at DESC, agent_id DESC LIMIT %s",
            scope,
            *values,
            limit,
        )
        listed: list[SessionSummary] = []
        for agent_id, *columns in found:
            try:
                listed.append(_stored(columns, b"", agent_id).summary(agent_id, scope, now))
            except SessionDataError:
                made = float(columns[_NAMES.index("created_at")])
                listed.append(unreadable_summary(agent_id, scope, made))
        return listed

    async def _run(self, text: str, *values: object) -> None:
        await self._connection.execute(self._tables.sql(text), values)

    async def _all(self, text: str, *values: object) -> list[Columns]:
        cursor = await self._connection.execute(self._tables.sql(text), values)
        return await cursor.fetchall()


def _appended(number: int, contents: Sequence[bytes], last: int) -> tuple[object, ...]:
    return (number, list(range(last - len(contents) + 1, last + 1)), list(contents))


def _values(stored: StoredSession) -> tuple[object, ...]:
    return (*(getattr(stored, name) for name in _NAMES), stored.wanted_from())


def _stored(columns: Sequence[Any], content: bytes, agent_id: str) -> StoredSession:  # Any: columns
    try:
        return StoredSession(**dict(zip(_NAMES, columns, strict=True)), content=content)
    except (TypeError, ValueError) as error:
        raise unreadable(agent_id) from error
