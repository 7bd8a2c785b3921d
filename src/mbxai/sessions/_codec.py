"""Session data to JSON text and back. Every store writes this text; nothing is ever pickled."""

import json
from typing import Any, Final, NoReturn, cast

from mbxai.errors import SessionDataError

RESERVED_KEYS: Final = frozenset({"version", "_store"})
"""Keys of the top level that belong to the stores, so that every store takes the same data."""


def encode(data: dict[str, Any], *, agent_id: str) -> str:  # Any: JSON, checked here
    """Write session data as JSON text.

    The text is ASCII: half a surrogate pair, which no UTF-8 file takes, is stored as its escape
    and comes back as it was.

    Args:
        data: A JSON object with string keys.
        agent_id: Whose data it is, for the error.

    Returns:
        JSON text.

    Raises:
        SessionDataError: The data holds something that is no JSON, or a reserved key.
    """
    reserved = sorted(RESERVED_KEYS.intersection(data))
    if reserved:
        raise SessionDataError(
            f"Session data must not have the keys {', '.join(reserved)}: the stores use them.",
            agent_id=agent_id,
        )
    try:
        return json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise SessionDataError(
            f"Session data must be JSON ({type(error).__name__} while it was written).",
            hint="Convert objects first, for example with model_dump(mode='json').",
            agent_id=agent_id,
        ) from error


def decode(text: str, *, agent_id: str) -> dict[str, Any]:  # Any: JSON
    """Read what `encode` wrote.

    Args:
        text: JSON text.
        agent_id: Whose data it is, for the error.

    Returns:
        A fresh object.

    Raises:
        SessionDataError: The text is no JSON object.
    """
    try:
        data: object = json.loads(text, parse_constant=_refuse)
    except (TypeError, ValueError, RecursionError) as error:
        raise unreadable(agent_id) from error
    if not isinstance(data, dict):
        raise unreadable(agent_id)
    return cast("dict[str, Any]", data)


def unreadable(agent_id: str) -> SessionDataError:
    """Say that a stored session cannot be understood.

    Args:
        agent_id: Which session.

    Returns:
        The error, to be raised.
    """
    return SessionDataError(
        f"What is stored for session {agent_id!r} is no session.",
        hint="It was left as it is; other sessions are not affected. delete() removes it.",
        agent_id=agent_id,
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
