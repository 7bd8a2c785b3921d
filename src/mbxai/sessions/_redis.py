"""Sessions in Redis, for any number of processes on any number of machines.

A session is a hash, its log a stream, its inbox a hash. Every write is one script, so it happens
as a whole or not at all, and the server's own clock decides about leases: workers whose clocks
differ do not take sessions from each other.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import uuid4

import anyio

import mbxai.sessions._redis_scripts as scripts
from mbxai.errors import ConfigurationError, SessionDataError, SessionStoreError
from mbxai.sessions._codec import encode
from mbxai.sessions._ids import check_agent_id
from mbxai.sessions._lease import (
    check_claim,
    check_ttl,
    claimed,
    created,
    posted,
    prolonged,
    saved,
)
from mbxai.sessions._pages import Place, check_limit, cursor_of, place_of
from mbxai.sessions._polling import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS
from mbxai.sessions._redis_answers import answer_of, opened, rows_of, session_of
from mbxai.sessions._redis_index import Clock, Indexes
from mbxai.sessions._redis_keys import Keyring, to_bytes
from mbxai.sessions._redis_server import RedisServer, Target, Values
from mbxai.sessions._store import (
    JSON,
    DueSession,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
)

BLOCK_SECONDS: Final = 1.0
"""How long a follower waits at the server before it looks again."""

ROWS_AT_ONCE: Final = 500
"""Rows of a log that one answer of the server holds, at most."""


class RedisSessionStore:
    """Keeps sessions in a Redis server (6.2 or newer), a Sentinel's master or a cluster.

    Connections belong to the event loop that uses them, are opened when they are first needed and
    closed with that loop, or by `aclose`. While Redis cannot be reached, or a replica is becoming
    the master, operations wait and try again; one whose answer was lost is recognised and not done
    twice.

    Redis replicates asynchronously. When a master is lost, its replica may lack the last writes
    that were acknowledged: the writer is told at its next save, which is a conflict. With
    `min_replicas` a write counts as done only when that many replicas have it, so that what was
    acknowledged outlives the master as long as one of these replicas takes over.
    """

    keeps_log: bool = True

    def __init__(
        self,
        target: Target,
        *,
        prefix: str = "mbxai:session:",
        ttl_seconds: float | None = None,
        wait_seconds: float = 10.0,
        min_replicas: int = 0,
        now: Callable[[], float] | None = None,
    ) -> None:
        """Remember where Redis is; nothing is connected yet.

        Args:
            target: A URL such as `redis://127.0.0.1:6379/0`, or a function without arguments that
                makes a client of `redis.asyncio`, for example
                `lambda: Sentinel([("10.0.0.1", 26379)]).master_for("mymaster")`. It is called once
                for each event loop.
            prefix: What all keys begin with.
            ttl_seconds: After how many seconds without a save a session is dropped; None: never.
            wait_seconds: How long an operation waits for a Redis that cannot be reached.
            min_replicas: How many replicas must confirm a write before it counts as done; 0: none.
                Not for a cluster's client.
            now: A clock in seconds since the epoch; None: that of the Redis server.

        Raises:
            ConfigurationError: The target or the prefix is none, or a number is impossible.
        """
        if not isinstance(target, str) and (isinstance(target, type) or not callable(target)):
            raise ConfigurationError(
                f"A {type(target).__name__} is no target of a RedisSessionStore.",
                hint="Give a redis:// URL, or a function that makes a redis.asyncio client.",
            )
        check_ttl(ttl_seconds)
        if not (wait_seconds >= 0 and math.isfinite(wait_seconds)):
            raise ConfigurationError(f"wait_seconds must not be negative, got {wait_seconds}.")
        if min_replicas < 0:
            raise ConfigurationError(f"min_replicas must not be negative, got {min_replicas}.")
        self._server = RedisServer(target, wait_seconds=wait_seconds, min_replicas=min_replicas)
        self._keyring = Keyring(prefix)
        self._indexes = Indexes(self._server, self._keyring)
        self._ttl_seconds = ttl_seconds
        self._now = now

    def __repr__(self) -> str:
        """Say what it is, and nothing of its address, which may hold a password."""
        return f"<RedisSessionStore {self._keyring.prefix}*>"

    async def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`."""
        word, _, values = await self._read(scripts.LOAD, agent_id, scope)
        if word == "absent":
            return None
        return session_of(values, agent_id).record(agent_id, scope)

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
        fixed = (uuid4().hex.encode(), content, to_bytes(status), _time(due_at))
        word, now, values = await self._write(scripts.CREATE, agent_id, scope, *fixed, *contents)
        stored = session_of(values, agent_id, content)
        made = created(
            stored if word == "refused" else None,
            agent_id,
            content,
            rows=len(contents),
            status=status,
            due_at=due_at,
            now=stored.created_at if word == "done" else now,
        )
        return made.record(agent_id, scope)

    async def claim(
        self, agent_id: str, *, owner: str, lease_seconds: float, scope: str = ""
    ) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`."""
        check_agent_id(agent_id, scope)
        check_claim(owner, lease_seconds)
        empty = encode({}, agent_id=agent_id)
        given = (to_bytes(owner), repr(float(lease_seconds)).encode(), empty)
        word, now, values = await self._write(scripts.CLAIM, agent_id, scope, *given)
        stored = session_of(values, agent_id)
        if word == "refused":
            claimed(
                stored, agent_id, owner=owner, lease_seconds=lease_seconds, now=now, empty=empty
            )
            raise _torn(agent_id)
        try:
            return stored.record(agent_id, scope)
        except SessionDataError:
            if stored.version > 0:
                back = (to_bytes(owner), b"%d" % stored.fence, _time(stored.due_at))
                await self._write(scripts.RELEASE, agent_id, scope, *back)
            raise

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
        given = (
            to_bytes(owner),
            b"%d" % record.version,
            b"%d" % record.fence,
            uuid4().hex.encode(),
            content or b"",
            b"" if status is None else b"=" + to_bytes(status),
            b"%d" % answers_read,
            b"%d" % drop_rows,
        )
        word, now, values = await self._write(scripts.SAVE, agent_id, scope, *given, *contents)
        if word == "refused":
            stored = session_of(values, agent_id) if values else None
            saved(stored, record, content, owner=owner, rows=len(contents), now=now)
            raise _torn(agent_id)
        after = session_of(values, agent_id, content or b"")
        return after.record(agent_id, scope, record.data if data is None else None)

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        """Renew the lease; see `SessionStore.heartbeat`."""
        agent_id, scope = record.agent_id, record.scope
        check_agent_id(agent_id, scope)
        given = (to_bytes(owner), b"%d" % record.fence)
        word, now, values = await self._write(scripts.HEARTBEAT, agent_id, scope, *given)
        if word == "refused":
            stored = session_of(values, agent_id) if values else None
            prolonged(stored, record, owner=owner, now=now)
            raise _torn(agent_id)

    async def release(
        self, record: SessionRecord, *, owner: str, due_at: float | None = None
    ) -> None:
        """Give a claimed session back; see `SessionStore.release`."""
        check_agent_id(record.agent_id, record.scope)
        given = (to_bytes(owner), b"%d" % record.fence, _time(due_at))
        await self._write(scripts.RELEASE, record.agent_id, record.scope, *given)

    async def post_answer(
        self, agent_id: str, interaction_id: str, content: JSON, *, scope: str = ""
    ) -> PostedAnswer:
        """Put an answer into a session's inbox; see `SessionStore.post_answer`."""
        check_agent_id(agent_id, scope)
        check_agent_id(interaction_id)
        given = (to_bytes(interaction_id), encode(content, agent_id=agent_id))
        word, _, values = await self._write(scripts.POST, agent_id, scope, *given)
        if word == "refused":
            posted(None, agent_id)
        number, label, kept = values
        return answer_of(number, label, kept, agent_id, is_read=kept is None)

    async def read_answers(
        self, agent_id: str, *, scope: str = "", after: int = 0
    ) -> list[PostedAnswer]:
        """Read a session's inbox; see `SessionStore.read_answers`."""
        given = b"%d" % max(after, 0)
        _, _, values = await self._read(scripts.READ_ANSWERS, agent_id, scope, given)
        read, found = values
        return [
            answer_of(number, label, content, agent_id, is_read=int(number) <= int(read))
            for number, label, content in found
        ]

    async def read_log(
        self, agent_id: str, *, scope: str = "", after: int = 0, limit: int = 1000
    ) -> list[LogRow]:
        """Read a part of a session's log; see `SessionStore.read_log`."""
        rows: list[LogRow] = []
        after = max(after, 0)
        while (size := min(limit - len(rows), ROWS_AT_ONCE)) > 0:
            given = (b"%d" % after, b"%d" % size)
            word, _, values = await self._read(scripts.READ_LOG, agent_id, scope, *given)
            if word == "absent":
                return []
            part = rows_of(values, agent_id, size)
            if rows and part and part[0].seq != rows[-1].seq + 1:
                rows.clear()  # they were dropped while the rest was read
            rows += part
            if len(part) < size:
                break
            after = part[-1].seq
        return rows

    async def wait(
        self, agent_id: str, *, after: int, timeout_seconds: float, scope: str = ""
    ) -> bool:
        """Wait for the next row of a session's log; see `SessionStore.wait`.

        A few followers wait at the server, each on a connection; more of them ask now and then.
        """
        check_agent_id(agent_id, scope)
        log = self._keyring.of(agent_id, scope).names[1]
        deadline, pause = time.monotonic() + timeout_seconds, FIRST_PAUSE_SECONDS
        while True:
            _, _, (seq,) = await self._read(scripts.PEEK, agent_id, scope)
            if int(seq) > after:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            seconds = min(left, BLOCK_SECONDS)
            if not await self._server.run(
                lambda link, seconds=seconds: link.block(log, after=max(after, 0), seconds=seconds),
                agent_id,
            ):
                await anyio.sleep(min(pause, left))
                pause = min(pause * 1.5, MAX_PAUSE_SECONDS)

    async def delete(self, agent_id: str, *, scope: str = "") -> bool:
        """Remove a session, readable or not; see `SessionStore.delete`."""
        word, _, _ = await self._write(scripts.DELETE, agent_id, scope)
        return word == "done"

    async def due(self, *, scope: str | None = None, limit: int = 100) -> list[DueSession]:
        """Name sessions that want a worker; see `SessionStore.due`."""
        check_limit(limit)
        if scope is not None:
            check_agent_id("-", scope)
        return await self._indexes.due(scope, limit, self._clock())

    async def sweep(self, *, limit: int = 1000) -> int:
        """Remove sessions whose time is up; see `SessionStore.sweep`.

        Redis drops sessions itself; this removes what it left of them in the indexes, and those
        whose time is up by a clock of the caller's.
        """
        if self._ttl_seconds is None:
            return 0
        return await self._indexes.sweep(limit, self._ttl_seconds, self._clock())

    async def aclose(self) -> None:
        """Close the connections of this event loop; a later call opens them again."""
        await self._server.aclose()

    async def list(
        self,
        *,
        scope: str = "",
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """Name the sessions of a scope; see `SessionStore.list`."""
        check_limit(limit)
        check_agent_id("-", scope)
        sessions, after = await self._indexes.page(
            scope, status, place_of(cursor), limit, self._clock()
        )
        return SessionPage(
            sessions=tuple(sessions), next_cursor=cursor_of(Place(*after)) if after else None
        )

    def _clock(self) -> Clock:
        now = b"" if self._now is None else repr(float(self._now())).encode()
        return Clock(now, repr(self._ttl_seconds or 0.0).encode())

    async def _read(
        self, text: str, agent_id: str, scope: str, *given: bytes
    ) -> tuple[str, float, Values]:
        check_agent_id(agent_id, scope)
        keys = self._keyring.of(agent_id, scope)
        arguments = (*self._clock(), keys.agent_id, keys.member, *given)
        return opened(await self._server.read(text, keys.names, arguments, agent_id), agent_id)

    async def _write(
        self, text: str, agent_id: str, scope: str, *given: bytes
    ) -> tuple[str, float, Values]:
        check_agent_id(agent_id, scope)
        keys = self._keyring.of(agent_id, scope)
        arguments = (*self._clock(), keys.agent_id, keys.member, *given)
        return opened(await self._server.write(text, keys.names, arguments, agent_id), agent_id)


def _time(due_at: float | None) -> bytes:
    """Write a time for a script; one that never comes is none."""
    if due_at is None or due_at == math.inf:
        return b""
    if not math.isfinite(due_at):
        raise ConfigurationError(f"due_at must be a time, got {due_at}.")
    return repr(float(due_at)).encode()


def _torn(agent_id: str) -> SessionStoreError:
    """The rules of `_lease.py` say yes to what a script has refused."""
    return SessionStoreError(
        f"Session {agent_id!r} was not written, and nothing says why.", agent_id=agent_id
    )
