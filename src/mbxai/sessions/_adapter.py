"""A five-method session handler as a session store."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import CoroutineType
from typing import TypeVar

from mbxai.errors import ConfigurationError, SessionDataError
from mbxai.sessions._codec import decode, encode
from mbxai.sessions._guard import GuardedSessionStore
from mbxai.sessions._handler_calls import HandlerCalls, in_thread
from mbxai.sessions._handler_dicts import Kept, key_of, names_of
from mbxai.sessions._ids import check_agent_id, is_id
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
    unreadable_summary,
)
from mbxai.sessions._memory import InMemorySessionStore
from mbxai.sessions._pages import Place, check_limit, cursor_of, place_of
from mbxai.sessions._polling import wait_for_row
from mbxai.sessions._store import (
    JSON,
    DueSession,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
    SessionStore,
)
from mbxai.sessions._sync import BlockingSessionStore

K = TypeVar("K", bound=Kept | None)


def as_store(target: object = None) -> SessionStore:
    """Make a session store of whatever the caller has.

    Args:
        target: A store, an object with the handler's five methods, or None for this process's
            memory. A handler's methods are looked up when they are first needed.

    Returns:
        The store itself, the one inside of a `BlockingSessionStore`, or an adapter; a store that is
        not of mbxai behind a guard that makes its foreign exceptions SessionStoreErrors.

    Raises:
        ConfigurationError: It is a class, a path or other plain data, or a store without some of
            the methods.
    """
    if target is None:
        return InMemorySessionStore()
    if isinstance(target, BlockingSessionStore):
        target = target.async_store
    if isinstance(target, type):
        raise ConfigurationError(
            f"A session handler must be an object, not the class {target.__name__}.",
            hint=f"Write {target.__name__}().",
        )
    kind = type(target).__name__
    if isinstance(target, (str, bytes, int, float, dict, Path, CoroutineType)):
        raise ConfigurationError(
            f"A {kind} is no session handler.",
            hint="Give an object with get_session, set_session, delete_session, list_sessions and"
            " session_exists, or SQLiteSessionStore(path).",
        )
    if isinstance(target, SessionStore):
        is_ours = type(target).__module__.startswith("mbxai.")
        return target if is_ours else GuardedSessionStore(target)
    if hasattr(target, "claim") and hasattr(target, "save"):
        wanted = (name for name in dir(SessionStore) if not name.startswith("_"))
        missing = ", ".join(name for name in wanted if not hasattr(target, name))
        raise ConfigurationError(
            f"{kind} is no whole session store: it lacks {missing}.",
            hint="See SessionStore; mbxai.testing.store_conformance checks a store.",
        )
    return HandlerSessionStore(target)


class HandlerSessionStore:
    """Keeps sessions in a user's handler.

    Blocking methods run in worker threads, coroutine functions on the caller's loop. The dict that
    the handler stores is the session's data plus two keys: `version`, which grows with every write
    and is what the optional `compare_and_set` compares, and `_store` with the lease, the newest
    rows of the log and the inbox. Without `compare_and_set` the handler is guarded within this
    process; other processes see the lease, but two of them that write in the same instant may both
    succeed. A handler knows nothing of ages and states: `list`, `due` and `sweep` read every
    session.

    A caller that is cancelled does not wait for the handler: what it began may still be written.
    """

    keeps_log: bool = False

    def __init__(
        self,
        handler: object,
        *,
        ttl_seconds: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Remember the handler; none of its methods is looked up yet.

        Args:
            handler: An object with the methods of `SessionHandler`, blocking or async. It stays
                the caller's to close.
            ttl_seconds: After how many seconds without a save a session is dropped; None: never.
            now: The clock, in seconds since the epoch.

        Raises:
            ConfigurationError: `ttl_seconds` is not above zero.
        """
        check_ttl(ttl_seconds)
        self._calls = HandlerCalls(handler)
        self._ttl_seconds = ttl_seconds
        self._now = now

    async def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`."""
        kept = await self._read(agent_id, scope)
        return kept.stored.record(agent_id, scope) if kept else None

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
        content = encode(data, agent_id=agent_id)
        numbered = dict(enumerate(_copies(rows, agent_id), 1))

        def decide(kept: Kept | None) -> Kept:
            stored = created(
                kept.stored if kept else None,
                agent_id,
                content,
                rows=len(numbered),
                status=status,
                due_at=due_at,
                now=self._now(),
            )
            return Kept(stored=stored, rows=numbered)

        kept = await self._change(agent_id, scope, decide)
        return kept.stored.record(agent_id, scope)

    async def claim(
        self, agent_id: str, *, owner: str, lease_seconds: float, scope: str = ""
    ) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`."""
        check_claim(owner, lease_seconds)

        def decide(kept: Kept | None) -> Kept:
            stored = claimed(
                kept.stored if kept else None,
                agent_id,
                owner=owner,
                lease_seconds=lease_seconds,
                now=self._now(),
                empty=encode({}, agent_id=agent_id),
            )
            return replace(kept, stored=stored) if kept else Kept(stored=stored)

        kept = await self._change(agent_id, scope, decide)
        return kept.stored.record(agent_id, scope)

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
        agent_id = record.agent_id
        content = None if data is None else encode(data, agent_id=agent_id)
        appended = _copies(rows, agent_id)

        def decide(kept: Kept | None) -> Kept:
            stored = saved(
                kept.stored if kept else None,
                record,
                content,
                owner=owner,
                rows=len(appended),
                status=status,
                answers_read=answers_read,
                now=self._now(),
            )
            before = kept or Kept(stored=stored)
            numbered = {**before.rows, **dict(enumerate(appended, stored.seq - len(appended) + 1))}
            return replace(
                before,
                stored=stored,
                rows={seq: row for seq, row in numbered.items() if seq > drop_rows},
                answers={
                    key: (number, None if number <= stored.answers_read else kept_answer, at)
                    for key, (number, kept_answer, at) in before.answers.items()
                },
            )

        kept = await self._change(agent_id, record.scope, decide)
        return kept.stored.record(agent_id, record.scope, record.data if data is None else None)

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        """Renew the lease; see `SessionStore.heartbeat`."""

        def decide(kept: Kept | None) -> Kept:
            stored = prolonged(kept.stored if kept else None, record, owner=owner, now=self._now())
            return replace(kept, stored=stored) if kept else Kept(stored=stored)

        await self._change(record.agent_id, record.scope, decide)

    async def release(
        self, record: SessionRecord, *, owner: str, due_at: float | None = None
    ) -> None:
        """Give a claimed session back; see `SessionStore.release`."""

        def decide(kept: Kept | None) -> Kept | None:
            if kept is None:
                return None
            stored = released(kept.stored, record, owner=owner, due_at=due_at, now=self._now())
            if stored is None or stored is kept.stored:
                return None if stored is None else kept
            return replace(kept, stored=stored)

        await self._change(record.agent_id, record.scope, decide)

    async def post_answer(
        self, agent_id: str, interaction_id: str, content: JSON, *, scope: str = ""
    ) -> PostedAnswer:
        """Put an answer into a session's inbox; see `SessionStore.post_answer`."""
        check_agent_id(interaction_id)
        (copied,) = _copies([content], agent_id)

        def decide(kept: Kept | None) -> Kept:
            if kept is not None and interaction_id in kept.answers:
                return kept
            stored = posted(kept.stored if kept else None, agent_id)
            before = kept or Kept(stored=stored)
            answer = (stored.answers_posted, copied, self._now())
            return replace(
                before, stored=stored, answers={**before.answers, interaction_id: answer}
            )

        kept = await self._change(agent_id, scope, decide)
        return _answer(interaction_id, *kept.answers[interaction_id])

    async def read_answers(
        self, agent_id: str, *, scope: str = "", after: int = 0
    ) -> list[PostedAnswer]:
        """Read a session's inbox; see `SessionStore.read_answers`."""
        kept = await self._read(agent_id, scope)
        answers = kept.answers.items() if kept else ()
        found = [_answer(key, *answer) for key, answer in answers if answer[0] > after]
        return sorted(found, key=lambda answer: answer.number)

    async def read_log(
        self, agent_id: str, *, scope: str = "", after: int = 0, limit: int = 1000
    ) -> list[LogRow]:
        """Read what is there of a session's log; see `SessionStore.read_log`."""
        kept = await self._read(agent_id, scope)
        rows = sorted(kept.rows.items()) if kept else []
        return [LogRow(seq=seq, content=row) for seq, row in rows if seq > after][:limit]

    async def wait(
        self, agent_id: str, *, after: int, timeout_seconds: float, scope: str = ""
    ) -> bool:
        """Wait for the next row of a session's log; see `SessionStore.wait`."""

        async def has_row() -> bool:
            kept = await self._read(agent_id, scope)
            return kept is not None and kept.stored.seq > after

        return await wait_for_row(has_row, timeout_seconds)

    async def delete(self, agent_id: str, *, scope: str = "") -> bool:
        """Remove a session, readable or not; see `SessionStore.delete`."""
        check_agent_id(agent_id, scope)
        key = key_of(agent_id, scope)
        return bool(await in_thread(lambda: self._calls.call("delete_session", key)))

    async def due(self, *, scope: str | None = None, limit: int = 100) -> list[DueSession]:
        """Name sessions that want a worker, reading every one; see `SessionStore.due`."""
        check_agent_id("-", scope or "")
        check_limit(limit)
        now = self._now()
        found = await in_thread(lambda: self._all(scope))
        wanted = [
            (since, agent_id, of)
            for agent_id, of, stored in found
            if stored is not None and (since := stored.wanted_from()) is not None and since <= now
        ]
        return [DueSession(agent_id=key, scope=of) for _, key, of in sorted(wanted)[:limit]]

    async def sweep(self, *, limit: int = 1000) -> int:
        """Remove sessions whose time is up, reading every one; see `SessionStore.sweep`."""

        def remove() -> int:
            removed = 0
            for key in self._calls.names() if self._ttl_seconds is not None else ():
                kept = self._calls.read(key)
                if removed < limit and kept is not None and self._is_over(kept):
                    removed += bool(self._calls.call("delete_session", key))
            return removed

        return await in_thread(remove)

    async def aclose(self) -> None:
        """Do nothing: the handler belongs to the caller."""

    async def list(
        self,
        *,
        scope: str = "",
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """Name the sessions of a scope, reading every one; see `SessionStore.list`."""
        check_agent_id("-", scope)
        check_limit(limit)
        place, now = place_of(cursor), self._now()
        found = await in_thread(lambda: self._all(scope))
        listed = [
            stored.summary(agent_id, scope, now) if stored else unreadable_summary(agent_id, scope)
            for agent_id, _, stored in found
            if status is None or (stored is not None and stored.status == status)
        ]
        places = {Place(found.created_at, found.agent_id): found for found in listed}
        later = sorted((at for at in places if place is None or at < place), reverse=True)
        return SessionPage(
            sessions=tuple(places[at] for at in later[:limit]),
            next_cursor=cursor_of(later[limit - 1]) if len(later) > limit else None,
        )

    def _all(self, scope: str | None) -> "list[tuple[str, str, StoredSession | None]]":
        """Return id, scope and session of all that are there; None for one that is unreadable."""
        found: list[tuple[str, str, StoredSession | None]] = []
        for key in self._calls.names():
            agent_id, of = names_of(key)
            if scope not in (None, of) or not is_id(agent_id):
                continue
            try:
                kept = self._calls.read(key)
            except SessionDataError:
                found.append((agent_id, of, None))
                continue
            if kept is not None and kept.stored.version > 0 and not self._is_over(kept):
                found.append((agent_id, of, kept.stored))
        return found

    def _is_over(self, kept: Kept) -> bool:
        return kept.stored.is_expired(self._now(), self._ttl_seconds)

    async def _read(self, agent_id: str, scope: str) -> Kept | None:
        check_agent_id(agent_id, scope)
        kept = await in_thread(lambda: self._calls.read(key_of(agent_id, scope)))
        return None if kept is None or self._is_over(kept) else kept

    async def _change(self, agent_id: str, scope: str, decide: Callable[[Kept | None], K]) -> K:
        check_agent_id(agent_id, scope)

        def decide_alive(kept: Kept | None) -> K:
            if kept is None or not self._is_over(kept):
                return decide(kept)
            after = decide(None)
            # What takes the place of a session whose time is up is the next revision of its dict.
            return replace(after, revision=kept.revision) if after is not None else after

        return await in_thread(lambda: self._calls.change(key_of(agent_id, scope), decide_alive))


def _copies(rows: Sequence[JSON], agent_id: str) -> "list[JSON]":
    """Return rows as they will be read; raise SessionDataError if one is no JSON."""
    return [decode(encode(row, agent_id=agent_id), agent_id=agent_id) for row in rows]


def _answer(
    interaction_id: str, number: int, content: JSON | None, posted_at: float
) -> PostedAnswer:
    return PostedAnswer(
        number=number, interaction_id=interaction_id, content=content, posted_at=posted_at
    )
