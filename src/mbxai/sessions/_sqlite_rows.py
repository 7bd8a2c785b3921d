"""Rows of the SQLite file: what a session, its log and its inbox look like there.

Text comes as bytes, because damaged text must reach us instead of failing a whole query.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from mbxai.errors import SessionDataError
from mbxai.sessions._codec import decode, unreadable
from mbxai.sessions._lease import StoredSession, unreadable_summary
from mbxai.sessions._store import LogRow, PostedAnswer, SessionSummary

_COLUMNS: Final = (
    "version, fence, seq, status, owner, until, lease_seconds, due_at, answers_posted,"
    " answers_read, created_at, updated_at"
)


class Row(NamedTuple):
    """A session's row.

    Attributes:
        id: Its number within the file.
        stored: The session.
    """

    id: int
    stored: StoredSession


def select(
    connection: sqlite3.Connection, agent_id: str, scope: str, *, content: bool = False
) -> Row | None:
    """Read one session.

    Args:
        connection: To the file.
        agent_id: Which session.
        scope: Whose session.
        content: Whether its content is wanted; without it, it is empty.

    Returns:
        The row; None if there is none.

    Raises:
        SessionDataError: The row is no session.
    """
    row = connection.execute(
        f"SELECT id, {_COLUMNS} FROM sessions WHERE scope = ? AND agent_id = ?",
        (scope, agent_id),
    ).fetchone()
    if row is None:
        return None
    kept = b""
    if content:
        found = connection.execute("SELECT content FROM contents WHERE id = ?", row[:1]).fetchone()
        if found is None or not isinstance(found[0], bytes):
            raise unreadable(agent_id)
        kept = found[0]
    return Row(row[0], _stored(row[1:], kept, agent_id))


def number_of(connection: sqlite3.Connection, agent_id: str, scope: str) -> int | None:
    """Return the number of a session's row, readable or not; None if there is none."""
    row = connection.execute(
        "SELECT id FROM sessions WHERE scope = ? AND agent_id = ?", (scope, agent_id)
    ).fetchone()
    return row[0] if row else None


def insert(connection: sqlite3.Connection, agent_id: str, scope: str, stored: StoredSession) -> int:
    """Write a new session.

    Args:
        connection: To the file.
        agent_id: Which session.
        scope: Whose session.
        stored: The session with its content.

    Returns:
        The number of its row.
    """
    values = (scope, agent_id, *_values(stored))
    marks = ", ".join("?" * len(values))
    cursor = connection.execute(
        f"INSERT INTO sessions (scope, agent_id, {_COLUMNS}, wanted_from) VALUES ({marks})",
        values,
    )
    number = int(cursor.lastrowid or 0)
    connection.execute("INSERT INTO contents VALUES (?, ?)", (number, stored.content))
    return number


def update(
    connection: sqlite3.Connection, number: int, stored: StoredSession, content: bytes | None = None
) -> None:
    """Write a session that is there.

    Args:
        connection: To the file.
        number: The number of its row.
        stored: The session.
        content: Its new content; None: as it was.
    """
    marks = ", ".join("?" * (_COLUMNS.count(",") + 2))
    connection.execute(
        f"UPDATE sessions SET ({_COLUMNS}, wanted_from) = ({marks}) WHERE id = ?",
        (*_values(stored), number),
    )
    if content is not None:
        connection.execute("UPDATE contents SET content = ? WHERE id = ?", (content, number))


def delete(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Remove sessions with their logs and inboxes."""
    for number in numbers:
        for table in ("sessions", "contents", "log", "answers"):
            connection.execute(f"DELETE FROM {table} WHERE id = ?", (number,))


def append(
    connection: sqlite3.Connection, number: int, contents: Sequence[bytes], last: int
) -> None:
    """Append rows to a session's log.

    Args:
        connection: To the file.
        number: The number of the session's row.
        contents: The rows, in order.
        last: The last one's number.
    """
    connection.executemany(
        "INSERT INTO log VALUES (?, ?, ?)",
        [(number, seq, row) for seq, row in enumerate(contents, last - len(contents) + 1)],
    )


def log_rows(
    connection: sqlite3.Connection, number: int, agent_id: str, *, after: int, limit: int
) -> list[LogRow]:
    """Read a part of a session's log; raise SessionDataError if a row is damaged."""
    found = connection.execute(
        "SELECT seq, content FROM log WHERE id = ? AND seq > ? ORDER BY seq LIMIT ?",
        (number, after, limit),
    )
    return [LogRow(seq=seq, content=_decoded(content, agent_id)) for seq, content in found]


def answers(
    connection: sqlite3.Connection, number: int, agent_id: str, *, after: int
) -> list[PostedAnswer]:
    """Read a session's inbox; raise SessionDataError if an answer is damaged."""
    found = connection.execute(
        "SELECT number, interaction_id, content, posted_at FROM answers"
        " WHERE id = ? AND number > ? ORDER BY number",
        (number, after),
    )
    return [
        PostedAnswer(
            number=place,
            interaction_id=bytes(key).decode(errors="replace"),
            content=None if content is None else _decoded(content, agent_id),
            posted_at=posted_at,
        )
        for place, key, content, posted_at in found
    ]


def _decoded(content: object, agent_id: str) -> dict[str, Any]:  # Any: JSON
    if not isinstance(content, bytes):
        raise unreadable(agent_id)
    return decode(content, agent_id=agent_id)


def _values(stored: StoredSession) -> tuple[object, ...]:
    return (
        stored.version,
        stored.fence,
        stored.seq,
        stored.status,
        stored.owner,
        stored.until,
        stored.lease_seconds,
        stored.due_at,
        stored.answers_posted,
        stored.answers_read,
        stored.created_at,
        stored.updated_at,
        stored.wanted_from(),
    )


def _stored(row: Sequence[Any], content: bytes, agent_id: str) -> StoredSession:  # Any: columns
    try:
        return _read(row, content)
    except (TypeError, ValueError) as error:
        raise unreadable(agent_id) from error


def _read(row: Sequence[Any], content: bytes) -> StoredSession:  # Any: columns
    version, fence, seq, status, owner, until, lease, due_at, posted, read, created, updated = row
    return StoredSession(
        version=int(version),
        fence=int(fence),
        seq=int(seq),
        status=bytes(status).decode(),
        owner=None if owner is None else bytes(owner).decode(),
        until=float(until),
        lease_seconds=float(lease),
        due_at=None if due_at is None else float(due_at),
        answers_posted=int(posted),
        answers_read=int(read),
        created_at=float(created),
        updated_at=float(updated),
        content=content,
    )


def page(
    connection: sqlite3.Connection,
    scope: str,
    condition: str,
    values: Sequence[object],
    *,
    now: float,
    limit: int,
) -> list[SessionSummary]:
    """Read sessions of a list, the newest first.

    Args:
        connection: To the file.
        scope: Whose sessions.
        condition: SQL over the columns of `sessions`.
        values: What stands in it.
        now: Seconds since the epoch.
        limit: Sessions at most.

    Returns:
        A summary a session, also of one that cannot be read.
    """
    found = connection.execute(
        f"SELECT agent_id, {_COLUMNS} FROM sessions WHERE scope = ? AND {condition}"
        " ORDER BY created_at DESC, agent_id DESC LIMIT ?",
        (scope, *values, limit),
    )
    listed: list[SessionSummary] = []
    for agent_id, *row in found:
        name = bytes(agent_id).decode(errors="replace")
        try:
            listed.append(_stored(row, b"", name).summary(name, scope, now))
        except SessionDataError:
            made = row[_COLUMNS.split(", ").index("created_at")]
            known = made if isinstance(made, int | float) else 0.0
            listed.append(unreadable_summary(name, scope, known))
    return listed
