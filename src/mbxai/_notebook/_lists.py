"""Sessions, and pages of lists. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from mbxai._notebook._markup import card, counted, table

# What any kind of item may show; secrets are not among them.
_ITEM_FIELDS: Final = ("id", "name", "slug", "status", "context_length")


class Session(Protocol):
    """A stored session."""

    @property
    def agent_id(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def created_at(self) -> float: ...
    @property
    def updated_at(self) -> float: ...


def session_html(session: Session) -> str:
    """Return a stored session without its data.

    Args:
        session: A record, or an entry of a list.
    """
    return card("Session", (), table(_SESSION_HEADS, [_session_row(session)], "session"))


def sessions_html(sessions: Sequence[Session], *, has_more: bool) -> str:
    """Return a page of stored sessions.

    Args:
        sessions: Those of the page.
        has_more: Whether further pages follow.
    """
    facts = [counted(len(sessions), "session"), "more follow" if has_more else ""]
    return card(
        "Sessions", facts, table(_SESSION_HEADS, list(map(_session_row, sessions)), "session")
    )


def items_html(items: Sequence[object], *, has_more: bool, total: int | None) -> str:
    """Return a page of a list.

    Args:
        items: Those of the page.
        has_more: Whether further pages follow.
        total: Items on all pages, where it is known.
    """
    names = [name for name in _ITEM_FIELDS if any(_field(item, name) for item in items)]
    rows = [[_field(item, name) for name in names] for item in items]
    facts = [
        counted(len(items), "item"),
        "" if total is None else f"of {total:,}",
        "more follow" if has_more else "",
    ]
    return card("Page", facts, table([name.replace("_", " ") for name in names], rows, "item"))


_SESSION_HEADS: Final = ("Session", "Scope", "State", "Version", "Made", "Saved")


def _session_row(session: Session) -> tuple[str, ...]:
    return (
        session.agent_id,
        session.scope,
        session.status.replace("_", " "),
        str(session.version),
        _moment(session.created_at),
        _moment(session.updated_at),
    )


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC" if seconds else ""
    except (OverflowError, ValueError, OSError):  # what a store of others says
        return ""


def _field(item: object, name: str) -> str:
    found: object = getattr(item, name, None)
    return str(found) if isinstance(found, str | int) else ""
