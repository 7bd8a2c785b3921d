"""The dict that a five-method handler keeps: a session's data, and ours beside it.

Everything in it is JSON. `version` grows with every write and is what `compare_and_set` compares;
`_store` has the lease, the newest rows of the log and the inbox.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote, unquote

from mbxai.sessions._codec import RESERVED_KEYS, decode, encode, unreadable
from mbxai.sessions._lease import StoredSession
from mbxai.sessions._store import JSON

MAX_ROWS: Final = 200
"""Rows of a log that the dict keeps; it is written as a whole each time."""

_SCOPED: Final = "scope:"
_NUMBERS: Final = ("version", "fence", "seq", "answers_posted", "answers_read")
_SECONDS: Final = ("until", "lease_seconds", "created_at", "updated_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a handler keeps of a session.

    Attributes:
        stored: The session.
        rows: The newest rows of its log by number.
        answers: Its inbox: number, content and time by interaction.
        revision: How often the dict was written.
    """

    stored: StoredSession
    rows: Mapping[int, JSON] = field(default_factory=dict[int, JSON])
    answers: Mapping[str, tuple[int, JSON | None, float]] = field(
        default_factory=dict[str, tuple[int, JSON | None, float]]
    )
    revision: int = 0


def key_of(agent_id: str, scope: str) -> str:
    """Return under which name a handler keeps a session.

    Args:
        agent_id: The session's id.
        scope: Whose session it is.

    Returns:
        The id itself where nobody is told apart.
    """
    if scope == "" and not agent_id.startswith(_SCOPED):
        return agent_id
    return f"{_SCOPED}{quote(scope, safe='')}/{agent_id}"


def names_of(key: str) -> tuple[str, str]:
    """Return the id and the scope that `key_of` was given.

    Args:
        key: A handler's name for a session.

    Returns:
        Both.
    """
    if not key.startswith(_SCOPED):
        return key, ""
    scope, _, agent_id = key.removeprefix(_SCOPED).partition("/")
    return agent_id, unquote(scope)


def pack(kept: Kept, agent_id: str) -> JSON:
    """Write the dict, one revision later.

    Args:
        kept: What is to be kept.
        agent_id: The session's id, for errors.

    Returns:
        A fresh dict.
    """
    stored = kept.stored
    session = decode(stored.content, agent_id=agent_id)
    session["version"] = kept.revision + 1
    store: JSON = {name: getattr(stored, name) for name in _NUMBERS}
    store.update({name: getattr(stored, name) for name in _SECONDS})
    store.update(owner=stored.owner, status=stored.status, due_at=stored.due_at)
    store["log"] = [[seq, row] for seq, row in list(kept.rows.items())[-MAX_ROWS:]]
    store["answers"] = {key: list(answer) for key, answer in kept.answers.items()}
    session["_store"] = store
    return session


def unpack(session: object, agent_id: str) -> Kept:
    """Read a dict, ours or one that another program put there.

    Args:
        session: What the handler gave.
        agent_id: The session's id, for errors.

    Returns:
        What it says.

    Raises:
        SessionDataError: It is no session.
    """
    if not isinstance(session, Mapping):
        raise unreadable(agent_id)
    given = dict(cast("Mapping[str, Any]", session))  # Any: whatever the handler gave
    data = {key: value for key, value in given.items() if key not in RESERVED_KEYS}
    content = encode(data, agent_id=agent_id)
    try:
        return _read(given, content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unreadable(agent_id) from error


def _read(given: JSON, content: bytes) -> Kept:
    # A dict that another program put there was saved once: no release removes it.
    store: JSON = {"seq": 0, "answers_posted": 0, "answers_read": 0}
    store |= given.get("_store", {"version": 1, "fence": 0})
    owner, due_at = store.get("owner"), store.get("due_at")
    numbers = {name: int(store[name]) for name in _NUMBERS}
    seconds = {name: float(store.get(name, 0.0)) for name in _SECONDS}
    return Kept(
        stored=StoredSession(
            owner=None if owner is None else str(owner),
            status=str(store.get("status", "")),
            due_at=None if due_at is None else float(due_at),
            content=content,
            **cast("dict[str, Any]", numbers | seconds),  # Any: numbers by name
        ),
        rows={int(seq): dict(row) for seq, row in store.get("log", ())},
        answers={
            str(key): (int(number), None if kept is None else dict(kept), float(at))
            for key, (number, kept, at) in dict(store.get("answers", {})).items()
        },
        revision=int(given.get("version", 0)),
    )
