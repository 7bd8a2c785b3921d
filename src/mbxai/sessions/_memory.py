"""Sessions in this process's memory: the default, and the shortest store to read."""

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mbxai._fork_lock import ForkLock
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
from mbxai.sessions._polling import wait_for_row
from mbxai.sessions._store import (
    JSON,
    DueSession,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
)


@dataclass(slots=True)
class _Drawer:
    """A session with its log and inbox; everything in it is replaced, never changed.

    Attributes:
        stored: The session itself.
        rows: The log: content by number, in order.
        answers: The inbox: number, content and time by interaction.
    """

    stored: StoredSession
    rows: dict[int, bytes] = field(default_factory=dict[int, bytes])
    answers: dict[str, tuple[int, bytes | None, float]] = field(
        default_factory=dict[str, tuple[int, bytes | None, float]]
    )


class InMemorySessionStore:
    """Keeps sessions as JSON text until the process ends. Safe on several loops and threads."""

    keeps_log: bool = True
    is_volatile: bool = True  # nothing outlives the process, so that nothing need be sealed

    def __init__(
        self, *, ttl_seconds: float | None = None, now: Callable[[], float] = time.time
    ) -> None:
        """Start empty.

        Args:
            ttl_seconds: After how many seconds without a save a session is dropped; None: never.
            now: The clock, in seconds since the epoch.

        Raises:
            ConfigurationError: `ttl_seconds` is not above zero.
        """
        check_ttl(ttl_seconds)
        self._ttl_seconds = ttl_seconds
        self._now = now
        self._drawers: dict[tuple[str, str], _Drawer] = {}  # by scope and id
        self._ages: dict[str, list[Place]] = {}  # by scope, the newest last
        self._wanting: set[tuple[str, str]] = set()  # whose `wanted_from` is a time
        self._lock = ForkLock()  # guards all three between read and write

    async def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`."""
        check_agent_id(agent_id, scope)
        with self._lock:
            drawer = self._found(agent_id, scope)
        return drawer.stored.record(agent_id, scope) if drawer else None

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
        with self._lock:
            stored = created(
                self._stored(agent_id, scope),
                agent_id,
                content,
                rows=len(contents),
                status=status,
                due_at=due_at,
                now=self._now(),
            )
            self._put(agent_id, scope, stored).rows.update(enumerate(contents, 1))
        return stored.record(agent_id, scope)

    async def claim(
        self, agent_id: str, *, owner: str, lease_seconds: float, scope: str = ""
    ) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`."""
        check_agent_id(agent_id, scope)
        check_claim(owner, lease_seconds)
        with self._lock:
            stored = claimed(
                self._stored(agent_id, scope),
                agent_id,
                owner=owner,
                lease_seconds=lease_seconds,
                now=self._now(),
                empty=encode({}, agent_id=agent_id),
            )
            self._put(agent_id, scope, stored)
        return stored.record(agent_id, scope)

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
        with self._lock:
            before = self._stored(agent_id, scope)
            stored = saved(
                before,
                record,
                content,
                owner=owner,
                rows=len(contents),
                status=status,
                answers_read=answers_read,
                now=self._now(),
            )
            drawer = self._put(agent_id, scope, stored)
            drawer.rows.update(enumerate(contents, stored.seq - len(contents) + 1))
            for seq in [seq for seq in drawer.rows if seq <= drop_rows]:
                del drawer.rows[seq]
            for interaction_id, (number, kept, at) in drawer.answers.items():
                if kept is not None and number <= stored.answers_read:
                    drawer.answers[interaction_id] = (number, None, at)
        return stored.record(agent_id, scope, record.data if data is None else None)

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        """Renew the lease; see `SessionStore.heartbeat`."""
        agent_id, scope = record.agent_id, record.scope
        check_agent_id(agent_id, scope)
        with self._lock:
            before = self._stored(agent_id, scope)
            self._put(agent_id, scope, prolonged(before, record, owner=owner, now=self._now()))

    async def release(
        self, record: SessionRecord, *, owner: str, due_at: float | None = None
    ) -> None:
        """Give a claimed session back; see `SessionStore.release`."""
        agent_id, scope = record.agent_id, record.scope
        check_agent_id(agent_id, scope)
        with self._lock:
            before = self._stored(agent_id, scope)
            stored = released(before, record, owner=owner, due_at=due_at, now=self._now())
            if stored is None:
                self._remove(agent_id, scope)
            else:
                self._put(agent_id, scope, stored)

    async def post_answer(
        self, agent_id: str, interaction_id: str, content: JSON, *, scope: str = ""
    ) -> PostedAnswer:
        """Put an answer into a session's inbox; see `SessionStore.post_answer`."""
        check_agent_id(agent_id, scope)
        check_agent_id(interaction_id)
        encoded = encode(content, agent_id=agent_id)
        with self._lock:
            drawer, now = self._found(agent_id, scope), self._now()
            if drawer is None or interaction_id not in drawer.answers:
                stored = posted(drawer.stored if drawer else None, agent_id)
                drawer = self._put(agent_id, scope, stored)
                drawer.answers[interaction_id] = (stored.answers_posted, encoded, now)
            number, kept, posted_at = drawer.answers[interaction_id]
        return _answer(agent_id, interaction_id, number, kept, posted_at)

    async def read_answers(
        self, agent_id: str, *, scope: str = "", after: int = 0
    ) -> list[PostedAnswer]:
        """Read a session's inbox; see `SessionStore.read_answers`."""
        check_agent_id(agent_id, scope)
        with self._lock:
            drawer = self._found(agent_id, scope)
            answers = dict(drawer.answers) if drawer else {}
        return [_answer(agent_id, key, *kept) for key, kept in answers.items() if kept[0] > after]

    async def read_log(
        self, agent_id: str, *, scope: str = "", after: int = 0, limit: int = 1000
    ) -> list[LogRow]:
        """Read a part of a session's log; see `SessionStore.read_log`."""
        check_agent_id(agent_id, scope)
        with self._lock:
            drawer = self._found(agent_id, scope)
            rows = list(drawer.rows.items()) if drawer else []
        wanted = [(seq, content) for seq, content in rows if seq > after][:limit]
        return [
            LogRow(seq=seq, content=decode(content, agent_id=agent_id)) for seq, content in wanted
        ]

    async def wait(
        self, agent_id: str, *, after: int, timeout_seconds: float, scope: str = ""
    ) -> bool:
        """Wait for the next row of a session's log; see `SessionStore.wait`."""
        check_agent_id(agent_id, scope)

        async def has_row() -> bool:
            with self._lock:
                stored = self._stored(agent_id, scope)
            return stored is not None and stored.seq > after

        return await wait_for_row(has_row, timeout_seconds)

    async def delete(self, agent_id: str, *, scope: str = "") -> bool:
        """Remove a session; see `SessionStore.delete`."""
        check_agent_id(agent_id, scope)
        with self._lock:
            found = self._found(agent_id, scope) is not None
            self._remove(agent_id, scope)
        return found

    async def due(self, *, scope: str | None = None, limit: int = 100) -> list[DueSession]:
        """Name sessions that want a worker; see `SessionStore.due`."""
        check_agent_id("-", scope or "")
        check_limit(limit)
        now = self._now()
        with self._lock:
            kept = [(key, self._drawers[key].stored) for key in self._wanting]
        wanted = [
            (since, agent_id, of)
            for (of, agent_id), stored in kept
            if stored.version > 0
            and scope in (None, of)
            and not stored.is_expired(now, self._ttl_seconds)
            and (since := stored.wanted_from()) is not None
            and since <= now
        ]
        return [DueSession(agent_id=key, scope=of) for _, key, of in sorted(wanted)[:limit]]

    async def sweep(self, *, limit: int = 1000) -> int:
        """Remove sessions whose time is up; see `SessionStore.sweep`."""
        now = self._now()
        with self._lock:
            keys = [
                key
                for key, drawer in self._drawers.items()
                if drawer.stored.is_expired(now, self._ttl_seconds)
            ][:limit]
            for scope, agent_id in keys:
                self._remove(agent_id, scope)
        return len(keys)

    async def aclose(self) -> None:
        """Do nothing: the sessions stay."""

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
        shown: list[tuple[Place, StoredSession]] = []
        with self._lock:
            ages = self._ages.get(scope, [])
            for number in range(len(ages) if place is None else bisect_left(ages, place), 0, -1):
                at = ages[number - 1]
                stored = self._drawers[scope, at.agent_id].stored
                if (
                    stored.version > 0
                    and status in (None, stored.status)
                    and not stored.is_expired(now, self._ttl_seconds)
                ):
                    shown.append((at, stored))
                if len(shown) > limit:
                    break
        return SessionPage(
            sessions=tuple(s.summary(at.agent_id, scope, now) for at, s in shown[:limit]),
            next_cursor=cursor_of(shown[limit - 1][0]) if len(shown) > limit else None,
        )

    def _found(self, agent_id: str, scope: str) -> _Drawer | None:
        drawer = self._drawers.get((scope, agent_id))
        if drawer and drawer.stored.is_expired(self._now(), self._ttl_seconds):
            self._remove(agent_id, scope)
            return None
        return drawer

    def _stored(self, agent_id: str, scope: str) -> StoredSession | None:
        drawer = self._found(agent_id, scope)
        return drawer.stored if drawer else None

    def _put(self, agent_id: str, scope: str, stored: StoredSession) -> _Drawer:
        drawer = self._drawers.get((scope, agent_id))
        if drawer is None:
            drawer = self._drawers[scope, agent_id] = _Drawer(stored)
            insort(self._ages.setdefault(scope, []), Place(stored.created_at, agent_id))
        drawer.stored = stored
        if stored.wanted_from() is None:
            self._wanting.discard((scope, agent_id))
        else:
            self._wanting.add((scope, agent_id))
        return drawer

    def _remove(self, agent_id: str, scope: str) -> None:
        drawer = self._drawers.pop((scope, agent_id), None)
        if drawer is None:
            return
        self._wanting.discard((scope, agent_id))
        ages = self._ages[scope]
        del ages[bisect_left(ages, Place(drawer.stored.created_at, agent_id))]
        if not ages:
            del self._ages[scope]


def _answer(
    agent_id: str, interaction_id: str, number: int, content: bytes | None, posted_at: float
) -> PostedAnswer:
    return PostedAnswer(
        number=number,
        interaction_id=interaction_id,
        content=None if content is None else decode(content, agent_id=agent_id),
        posted_at=posted_at,
    )
