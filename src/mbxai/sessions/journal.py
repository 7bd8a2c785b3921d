"""What a run writes, for the agent: one row of the log a step, with what changed and what happened.

The state of a session is its data with the patches of the later rows applied, so that a step writes
what it added and not the whole state. Now and then, ever more rarely, the whole state is written as
data, from which on the patches count. Rows hold no code and no calls: a session goes on under a
newer mbxai from what is stored.
"""

from collections.abc import Sequence
from typing import Final

from mbxai.errors import SessionDataError
from mbxai.sessions._codec import unreadable
from mbxai.sessions._patch import difference, patched
from mbxai.sessions._store import JSON, LogRow, SessionRecord, SessionStore

LOG_SEQ: Final = "log_seq"
"""Key of the data: number of the row up to which it holds what happened."""

_FIRST_DATA_AFTER: Final = 128
_PAGE: Final = 500
_ATTEMPTS: Final = 3


class Journal:
    """Writes one session that is claimed.

    Attributes:
        record: The session as it is stored.
        state: Its state as it is stored.
    """

    def __init__(self, store: SessionStore, record: SessionRecord, state: JSON) -> None:
        """Take a session that is claimed; see `opened`.

        Args:
            store: Where it is.
            record: As it is stored.
            state: Its state.
        """
        self.record: SessionRecord = record
        self.state: JSON = state
        self._store = store

    async def save(
        self,
        state: JSON,
        *,
        owner: str,
        events: Sequence[JSON] = (),
        at: float = 0.0,
        status: str = "",
        answers_read: int = 0,
        keep_rows: int | None = None,
    ) -> None:
        """Store a state and what led to it.

        Args:
            state: The new state; not to be changed afterwards.
            owner: Who claimed the session.
            events: What happened, for those who read the log.
            at: When, in seconds since the epoch.
            status: What a list shall say about the session.
            answers_read: The last answer of the inbox that the state takes in.
            keep_rows: How many rows at least are kept when the whole state is written; None: all.

        Raises:
            SessionError: The session cannot be saved; nothing was written.
        """
        row: JSON = {"at": round(at, 3), "patch": difference(self.state, state)}
        if events:
            row["events"] = list(events)
        seq = self.record.seq + 1
        begins_at = int(self.record.data.get(LOG_SEQ, 0))
        is_whole = not self._store.keeps_log or _is_time_for_data(begins_at, seq)
        if not self._store.keeps_log:
            del row["patch"]
        self.record = await self._store.save(
            self.record,
            {**state, LOG_SEQ: seq} if is_whole else None,
            owner=owner,
            rows=[row],
            status=status,
            answers_read=answers_read,
            drop_rows=max(seq - keep_rows, 0) if is_whole and keep_rows is not None else 0,
        )
        self.state = state


def first_row(state: JSON, events: Sequence[JSON], at: float) -> JSON:
    """Return the row with which the log of a new session begins.

    Args:
        state: The session's first state.
        events: What led to it.
        at: When, in seconds since the epoch.

    Returns:
        The row; the session's data is empty beside it.
    """
    return {"at": round(at, 3), "patch": difference({}, state), "events": list(events)}


async def opened(store: SessionStore, record: SessionRecord) -> Journal:
    """Read the state of a session that is claimed.

    Args:
        store: Where it is.
        record: As it was claimed.

    Returns:
        The journal to be written on.

    Raises:
        SessionDataError: What is stored is no session.
    """
    return Journal(store, record, await _state(store, record))


async def read_state(
    store: SessionStore, agent_id: str, scope: str
) -> tuple[SessionRecord, JSON] | None:
    """Read a session that another worker may be writing.

    Args:
        store: Where it is.
        agent_id: Which session.
        scope: Whose session.

    Returns:
        Record and state of one moment; None if there is no such session.

    Raises:
        SessionDataError: What is stored is no session.
    """
    for attempt in range(_ATTEMPTS):
        record = await store.load(agent_id, scope=scope)
        if record is None or record.version == 0:
            return None
        try:
            return record, await _state(store, record)
        except SessionDataError:
            # Rows that were there when it was loaded may be dropped by now.
            if attempt == _ATTEMPTS - 1:
                raise
    raise unreadable(agent_id)


async def state_at(store: SessionStore, agent_id: str, scope: str, seq: int) -> JSON | None:
    """Read what a session's state was after a row of its log.

    Args:
        store: Where it is.
        agent_id: Which session.
        scope: Whose session.
        seq: The row's number.

    Returns:
        The state; None if there is no such session or row, or the log does not reach back there.

    Raises:
        SessionDataError: What is stored is no session.
    """
    record = await store.load(agent_id, scope=scope)
    if record is None or not 0 < seq <= record.seq:
        return None
    begins_at = int(record.data.get(LOG_SEQ, 0))
    if begins_at <= seq:
        return await _state(store, record, until=seq)
    if not store.keeps_log or not await store.read_log(agent_id, scope=scope, after=0, limit=1):
        return None
    rows = await _rows(store, record, after=0, until=seq)
    if rows[0].seq != 1:
        return None
    return _folded({}, rows, agent_id)


async def _state(store: SessionStore, record: SessionRecord, *, until: int | None = None) -> JSON:
    data = dict(record.data)
    begins_at = data.pop(LOG_SEQ, 0)
    last = record.seq if until is None else until
    if not isinstance(begins_at, int) or begins_at < 0:
        raise unreadable(record.agent_id)
    if begins_at >= last:
        return data
    rows = await _rows(store, record, after=begins_at, until=last)
    if [row.seq for row in rows] != list(range(begins_at + 1, last + 1)):
        raise unreadable(record.agent_id)
    return _folded(data, rows, record.agent_id)


async def _rows(
    store: SessionStore, record: SessionRecord, *, after: int, until: int
) -> list[LogRow]:
    rows: list[LogRow] = []
    while after < until:
        page = await store.read_log(
            record.agent_id, scope=record.scope, after=after, limit=min(_PAGE, until - after)
        )
        if not page:
            break
        rows.extend(row for row in page if row.seq <= until)
        after = page[-1].seq
    return rows


def _folded(data: JSON, rows: Sequence[LogRow], agent_id: str) -> JSON:
    try:
        for row in rows:
            data = patched(data, row.content["patch"])
    except (KeyError, ValueError) as error:
        raise unreadable(agent_id) from error
    return data


def _is_time_for_data(begins_at: int, seq: int) -> bool:
    """Whether the patches since the data are as many as those before: then it is written anew."""
    return seq - begins_at > max(_FIRST_DATA_AFTER, begins_at)
