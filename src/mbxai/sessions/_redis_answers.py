"""What scripts answer, read with suspicion: anybody may have written to Redis."""

import json
from typing import cast

from mbxai.errors import SessionStoreError
from mbxai.sessions._codec import decode, unreadable
from mbxai.sessions._lease import StoredSession
from mbxai.sessions._redis_keys import to_text
from mbxai.sessions._redis_scripts import FIELDS
from mbxai.sessions._redis_server import Values
from mbxai.sessions._store import LogRow, PostedAnswer, SessionSummary


def opened(answer: Values, agent_id: str) -> tuple[str, float, Values]:
    """Part the answer of a script on one session.

    Args:
        answer: What it returned.
        agent_id: Which session.

    Returns:
        Its word, the time by which it decided in seconds since the epoch, and the rest.

    Raises:
        SessionDataError: What lies there is no session.
        SessionStoreError: What lies in place of an index is none.
    """
    word, at, *rest = answer
    match to_text(word):
        case "damaged":
            raise unreadable(agent_id)
        case "occupied":
            raise SessionStoreError(
                "A key that the indexes of the sessions need holds something else.",
                hint="Give the RedisSessionStore a prefix that nothing else uses.",
                agent_id=agent_id,
            )
        case known:
            return known, float(at), rest


def session_of(values: Values, agent_id: str, content: bytes | None = None) -> StoredSession:
    """Read a session's head.

    Args:
        values: Its fields, in the order of FIELDS.
        agent_id: Which session.
        content: Its data where the answer is without.

    Returns:
        The session.

    Raises:
        SessionDataError: It is none.
    """
    named = dict(zip(FIELDS, values, strict=False))
    data = named.get("data") if content is None else content
    if not isinstance(data, bytes):
        raise unreadable(agent_id)
    try:
        return StoredSession(
            version=int(named["version"]),
            fence=int(named["fence"]),
            seq=int(named["seq"]),
            status=to_text(named["status"]),
            owner=to_text(named["owner"]) or None,
            until=float(named["until"]),
            lease_seconds=float(named["lease_seconds"]),
            due_at=float(named["due_at"]) if named["due_at"] else None,
            answers_posted=int(named["answers_posted"]),
            answers_read=int(named["answers_read"]),
            created_at=float(named["created_at"]),
            updated_at=float(named["updated_at"]),
            content=data,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(agent_id) from error


def rows_of(values: Values, agent_id: str, limit: int) -> list[LogRow]:
    """Read rows of a log.

    Args:
        values: The first number that is wanted, the log's last one, and the entries.
        agent_id: Whose log.
        limit: How many entries were asked for.

    Returns:
        The rows.

    Raises:
        SessionDataError: One is missing or is no row.
    """
    first, last, entries = values
    try:
        found = [(to_text(name), key, content) for name, (key, content) in entries]
    except (TypeError, ValueError) as error:
        raise unreadable(agent_id) from error
    end = min(int(last), int(first) + limit - 1)
    numbers = range(int(first), end + 1)
    if [(name, key) for name, key, _ in found] != [(f"{seq}-0", b"row") for seq in numbers]:
        raise unreadable(agent_id)
    return [
        LogRow(seq=seq, content=decode(content, agent_id=agent_id))
        for seq, (_, _, content) in zip(numbers, found, strict=True)
    ]


def answer_of(
    number: bytes, label: bytes | None, content: bytes | None, agent_id: str, *, is_read: bool
) -> PostedAnswer:
    """Read an answer of an inbox.

    Args:
        number: Its number.
        label: Its time and interaction.
        content: What was answered.
        agent_id: Whose inbox.
        is_read: Whether a save has taken it in, so that its content may be gone.

    Returns:
        The answer.

    Raises:
        SessionDataError: It is none.
    """
    if (content is None) is not is_read:
        raise unreadable(agent_id)
    try:
        posted_at, interaction_id = to_text(label).split(" ", 1)
        return PostedAnswer(
            number=int(number),
            interaction_id=interaction_id,
            content=None if content is None else decode(content, agent_id=agent_id),
            posted_at=float(posted_at),
        )
    except (TypeError, ValueError) as error:
        raise unreadable(agent_id) from error


def list_of(text: bytes) -> Values:
    """Read a list that an index script wrote as JSON.

    Args:
        text: The JSON; its texts are as `to_bytes` made them, or anything where somebody else
            wrote to Redis.

    Returns:
        The list.
    """
    try:
        return cast("Values", json.loads(to_text(text)))
    except UnicodeDecodeError:
        return cast("Values", json.loads(text.decode("utf-8", "replace")))


def summary_of(values: Values, agent_id: str, scope: str) -> SessionSummary:
    """Read what an index script tells of a session.

    Args:
        values: Version, status, whether it is leased, and its two times.
        agent_id: Which session.
        scope: Whose session.

    Returns:
        The summary.
    """
    version, status, is_claimed, created_at, updated_at = values
    return SessionSummary(
        agent_id=agent_id,
        scope=scope,
        version=int(version),
        status=status,
        is_claimed=bool(is_claimed),
        created_at=float(created_at),
        updated_at=float(updated_at),
    )
