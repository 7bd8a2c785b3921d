"""Cursors of lists: where the next page begins, as text that a caller only passes on."""

import base64
import json
import math
from typing import Final, NamedTuple, cast

from mbxai.errors import ConfigurationError

MAX_LIMIT: Final = 1000
"""Sessions on one page, at most."""


class Place(NamedTuple):
    """The last session of a page; the next page begins after it.

    Attributes:
        created_at: When it was made, in seconds since the epoch.
        agent_id: Its id.
    """

    created_at: float
    agent_id: str


def cursor_of(place: Place) -> str:
    """Write a place as text.

    Args:
        place: The last session of a page.

    Returns:
        Letters, digits, `-` and `_`.
    """
    text = json.dumps([place.created_at, place.agent_id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> Place | None:
    """Read what `cursor_of` wrote.

    Args:
        cursor: The text; None for the first page.

    Returns:
        The place.

    Raises:
        ConfigurationError: It is no cursor.
    """
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        created_at, agent_id = cast("list[object]", json.loads(text))
        if isinstance(created_at, int | float) and math.isfinite(created_at):
            return Place(float(created_at), str(agent_id))
    except (AttributeError, TypeError, ValueError):
        pass
    raise ConfigurationError(
        "The cursor of this list is none.", hint="Pass next_cursor of the page before, unchanged."
    )


def check_limit(limit: int) -> None:
    """Refuse a size that no page has.

    Args:
        limit: Entries on a page.

    Raises:
        ConfigurationError: It is not between 1 and 1000.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise ConfigurationError(f"limit must be from 1 to {MAX_LIMIT}, got {limit}.")
