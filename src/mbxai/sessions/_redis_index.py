"""Lists over all shards: their entries in one order, and what their heads say of them."""

import heapq
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

import anyio

from mbxai.errors import MBXAIError
from mbxai.sessions._redis_answers import list_of, summary_of
from mbxai.sessions._redis_index_scripts import DUE, ENTRIES, LISTED, SWEEP
from mbxai.sessions._redis_keys import SHARDS, Keyring, member_of, parts_of, to_bytes
from mbxai.sessions._redis_server import RedisServer, Values
from mbxai.sessions._store import DueSession, SessionSummary

T = TypeVar("T")

MAX_AT_ONCE: Final = 4
"""Shards that are asked at the same time, so that a list takes few connections."""

MAX_EXAMINED: Final = 1000
"""Heads that one page looks at, at most: a rare status makes short pages, not slow ones."""


class Entry(NamedTuple):
    """A place in an index.

    Attributes:
        score: What the index is ordered by, in seconds since the epoch.
        name: What equal scores are ordered by.
        shard: Where it was found.
    """

    score: float
    name: str
    shard: int


class Clock(NamedTuple):
    """What every script is given.

    Attributes:
        now: The time by a clock of the caller's, or nothing for the server's.
        ttl: How long sessions are kept, in seconds; 0 for ever.
    """

    now: bytes
    ttl: bytes


_Name: TypeAlias = Callable[[int], bytes]


class Entries:
    """The entries of one index in all shards, in order, read as they are needed."""

    def __init__(
        self,
        server: RedisServer,
        name: _Name,
        clock: Clock,
        *,
        newest_first: bool = False,
        after: tuple[float, str] | None = None,
    ) -> None:
        """Remember what to read.

        Args:
            server: Where.
            name: Gives the name of the index in a shard.
            clock: The time.
            newest_first: Whether high scores come first.
            after: Score and name after which to begin; None: at the beginning.
        """
        self._server = server
        self._name = name
        self._clock = clock
        self._newest_first = newest_first
        self._after = [after] * len(SHARDS)
        self._read: list[list[Entry]] = [[] for _ in SHARDS]
        self._is_over = [False] * len(SHARDS)
        self.now = 0.0

    async def take(self, count: int) -> list[Entry]:
        """Return the next entries; fewer than asked for only if there are no more."""
        taken: list[Entry] = []
        while len(taken) < count:
            await self._fill(count - len(taken))
            if not any(self._read):
                break
            used = [0] * len(SHARDS)
            for entry in heapq.merge(*self._read, reverse=self._newest_first):
                taken.append(entry)
                used[entry.shard] += 1
                at_end = used[entry.shard] == len(self._read[entry.shard])
                if len(taken) == count or (at_end and not self._is_over[entry.shard]):
                    break
            for shard, number in enumerate(used):
                del self._read[shard][:number]
        return taken

    def is_over(self) -> bool:
        """Whether there are certainly no more entries."""
        return all(self._is_over) and not any(self._read)

    async def _fill(self, count: int) -> None:
        # A little more than its share of each shard, so that one round mostly suffices.
        size = count * 4 // (3 * len(SHARDS)) + 16

        async def fill(shard: int) -> None:
            after = self._after[shard]
            place = (repr(after[0]).encode(), to_bytes(after[1])) if after else (b"", b"")
            order = b"down" if self._newest_first else b"up"
            given = (self._clock.now, b"", order, b"%d" % size, *place)
            now, text = await self._server.read(ENTRIES, [self._name(shard)], given)
            found = list_of(text)
            pairs = zip(found[::2], found[1::2], strict=True)
            entries = [Entry(float(score), name, shard) for name, score in pairs]
            self._read[shard] = entries
            self._is_over[shard] = len(entries) < size
            if entries:
                self._after[shard] = entries[-1][:2]
            self.now = max(self.now, float(now))

        empty = zip(self._read, self._is_over, strict=True)
        await at_once(fill, [n for n, (read, is_over) in enumerate(empty) if not (read or is_over)])


class Indexes:
    """What is asked of all sessions, not of one."""

    def __init__(self, server: RedisServer, keyring: Keyring) -> None:
        """Remember where the sessions are."""
        self._server = server
        self._keyring = keyring

    async def page(
        self,
        scope: str,
        status: str | None,
        after: tuple[float, str] | None,
        limit: int,
        clock: Clock,
    ) -> tuple[list[SessionSummary], tuple[float, str] | None]:
        """Name sessions of a scope, the newest first.

        Args:
            scope: Whose sessions.
            status: Only those of this status; None: all.
            after: Time and id of the session after which to begin.
            limit: Sessions at most.
            clock: The time.

        Returns:
            The sessions, and where to go on; None where there are no more.
        """
        wanted = b"" if status is None else b"=" + to_bytes(status)
        entries = Entries(
            self._server,
            lambda shard: self._keyring.listed(shard, scope),
            clock,
            newest_first=True,
            after=after,
        )
        sessions: list[SessionSummary] = []
        examined = 0
        while len(sessions) < limit and examined < MAX_EXAMINED:
            # With a filter many are looked at, and those behind a full page once more by the next.
            left = limit - len(sessions)
            count = left if status is None else min(4 * limit, MAX_EXAMINED - examined)
            taken = await entries.take(count)
            if not taken:
                return sessions, None
            examined += len(taken)
            found = await self._examined(taken, scope, wanted, clock)
            for place, entry in enumerate(taken):
                after = entry[:2]
                if entry in found:
                    sessions.append(summary_of(found[entry], entry.name, scope))
                    if len(sessions) == limit and place + 1 < len(taken):
                        return sessions, after
        return sessions, None if entries.is_over() else after

    async def due(self, scope: str | None, limit: int, clock: Clock) -> list[DueSession]:
        """Name sessions that want a worker.

        Args:
            scope: Whose sessions; None: everybody's.
            limit: Sessions at most.
            clock: The time.

        Returns:
            The sessions, those that have waited longest first.
        """
        entries = Entries(self._server, self._keyring.due, clock)
        start = None if scope is None else member_of("", scope)
        due: list[tuple[float, str, str]] = []
        while len(due) < limit:
            taken = await entries.take(limit)
            ripe = [entry for entry in taken if entry.score <= entries.now]
            if start is not None:
                mine = [entry for entry in ripe if entry.name.startswith(start)]
            else:
                mine = ripe

            def heads(chosen: Sequence[Entry]) -> tuple[list[bytes], list[bytes]]:
                names = [self._keyring.head(entry.shard, entry.name) for entry in chosen]
                return names, [to_bytes(entry.name) for entry in chosen]

            found = await self._asked(DUE, self._keyring.due, mine, heads, clock)
            due += [(float(values[0]), *parts_of(entry.name)) for entry, values in found.items()]
            if len(ripe) < limit:
                break
        return [DueSession(agent_id=key, scope=of) for _, key, of in sorted(due)[:limit]]

    async def sweep(self, limit: int, ttl_seconds: float, clock: Clock) -> int:
        """Remove sessions whose time is up, and places of those that are gone.

        Args:
            limit: Sessions at most.
            ttl_seconds: How long a session is kept.
            clock: The time.

        Returns:
            How many sessions were removed here.
        """
        entries = Entries(self._server, self._keyring.saved, clock)
        swept = 0
        while swept < limit:
            taken = await entries.take(limit - swept)
            old = [entry for entry in taken if entry.score + ttl_seconds <= entries.now]

            async def remove(shard: int, old: list[Entry] = old) -> None:
                nonlocal swept
                keys = [self._keyring.saved(shard), self._keyring.due(shard)]
                given = [clock.now, clock.ttl]
                for entry in old:
                    if entry.shard == shard:
                        place = self._keyring.of(*parts_of(entry.name))
                        keys += place.names[:4]
                        given += (place.agent_id, place.member)
                _, count = await self._server.read(SWEEP, keys, given)
                swept += count

            await at_once(remove, sorted({entry.shard for entry in old}))
            if len(old) < len(taken) or not taken:
                break
        return swept

    async def _examined(
        self, taken: Sequence[Entry], scope: str, wanted: bytes, clock: Clock
    ) -> dict[Entry, Values]:
        def heads(chosen: Sequence[Entry]) -> tuple[list[bytes], list[bytes]]:
            start = member_of("", scope)
            names = [self._keyring.head(entry.shard, start + entry.name) for entry in chosen]
            return names, [wanted, *(to_bytes(entry.name) for entry in chosen)]

        return await self._asked(
            LISTED, lambda shard: self._keyring.listed(shard, scope), taken, heads, clock
        )

    async def _asked(
        self,
        script: str,
        name: _Name,
        taken: Sequence[Entry],
        heads: Callable[[Sequence[Entry]], tuple[list[bytes], list[bytes]]],
        clock: Clock,
    ) -> dict[Entry, Values]:
        """Ask each shard about its entries; gives what it says of those that fit."""
        found: dict[Entry, Values] = {}

        async def ask(shard: int) -> None:
            chosen = [entry for entry in taken if entry.shard == shard]
            keys, given = heads(chosen)
            _, text = await self._server.read(
                script, [name(shard), *keys], [clock.now, clock.ttl, *given]
            )
            for place, *values in list_of(text):
                found[chosen[place]] = values

        await at_once(ask, sorted({entry.shard for entry in taken}))
        return found


async def at_once(work: Callable[[int], Awaitable[None]], shards: Sequence[int]) -> None:
    """Do something with several shards, a few at a time.

    Args:
        work: What to do with one.
        shards: Which ones.

    Raises:
        MBXAIError: The first that `work` raised; the rest is cancelled.
    """
    limiter, failed = anyio.Semaphore(MAX_AT_ONCE), list[MBXAIError]()

    async with anyio.create_task_group() as group:

        async def one(shard: int) -> None:
            async with limiter:
                try:
                    await work(shard)
                except MBXAIError as error:
                    failed.append(error)
                    group.cancel_scope.cancel()

        for shard in shards:
            group.start_soon(one, shard)
    if failed:
        raise failed[0]
