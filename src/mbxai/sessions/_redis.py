"""Sessions in Redis, for any number of processes on any number of machines.

A session is one hash. Every write is one script, so it happens as a whole or not at all, and the
server's own clock decides about leases: workers whose clocks differ do not take sessions from each
other.
"""

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from uuid import uuid4

from mbxai.errors import (
    ConfigurationError,
    SessionConflictError,
    SessionDataError,
    SessionStoreError,
)
from mbxai.sessions._codec import encode, unreadable
from mbxai.sessions._lease import StoredSession, check_claim, claimed, saved
from mbxai.sessions._redis_server import RedisLink, RedisServer
from mbxai.sessions._store import SessionRecord, check_agent_id

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

Values: TypeAlias = list[Any]  # Any: bytes, text or None

FIELDS: Final = ("version", "fence", "owner", "until", "lease_seconds", "data")

_BEGINNING: Final = """
local key = KEYS[1]
local now = tonumber(ARGV[1])
if now == nil then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
end
local ttl = tonumber(ARGV[2])
local fields = {'version', 'fence', 'owner', 'until', 'lease_seconds', 'data'}
local is_stored = redis.call('EXISTS', key) == 1
local stored = redis.call('HMGET', key, unpack(fields))
local version, fence, owner = tonumber(stored[1]), tonumber(stored[2]), stored[3]
local ends, lease = tonumber(stored[4]), tonumber(stored[5])
if is_stored and not (version and fence and owner and ends and lease and stored[6]) then
  return {'damaged', tostring(now)}
end
local function seconds(value)
  return string.format('%.6f', value)
end
local function answer(word)
  local values = redis.call('HMGET', key, unpack(fields))
  return {word, seconds(now), unpack(values)}
end
local function keep()
  if ttl > 0 then redis.call('PEXPIRE', key, math.ceil(ttl * 1000)) end
end
"""

CLAIM: Final = (
    _BEGINNING
    + """
local new_owner, new_lease = ARGV[3], tonumber(ARGV[4])
if is_stored and owner ~= new_owner and owner ~= '' and ends > now then
  return answer('refused')
end
if not is_stored then
  redis.call('HSET', key, 'version', '0', 'fence', '1', 'data', '{}')
elseif owner ~= new_owner then
  redis.call('HSET', key, 'fence', string.format('%d', fence + 1))
end
redis.call('HSET', key, 'owner', new_owner, 'until', seconds(now + new_lease),
           'lease_seconds', seconds(new_lease))
ttl = ttl > 0 and math.max(ttl, new_lease) or ttl
keep()
return answer('done')
"""
)

SAVE: Final = (
    _BEGINNING
    + """
local writer, at_version, at_fence = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if not is_stored then return {'refused', seconds(now)} end
if fence ~= at_fence or owner ~= writer then return answer('refused') end
if version ~= at_version then
  -- The same script ran before, and only its answer was lost.
  if redis.call('HGET', key, 'write') == ARGV[6] then return {'done', seconds(now)} end
  return answer('refused')
end
redis.call('HSET', key, 'version', string.format('%d', version + 1), 'data', ARGV[7],
           'until', seconds(now + lease), 'write', ARGV[6])
ttl = ttl > 0 and math.max(ttl, lease) or ttl
keep()
return {'done', seconds(now)}
"""
)

RELEASE: Final = (
    _BEGINNING
    + """
if not is_stored or fence ~= tonumber(ARGV[4]) or owner ~= ARGV[3] then
  return {'done', seconds(now)}
end
if version == 0 and ends > now then
  redis.call('DEL', key)
else
  redis.call('HSET', key, 'owner', '', 'until', '0')
  keep()
end
return {'done', seconds(now)}
"""
)


class RedisSessionStore:
    """Keeps each session in a hash of a Redis server, a Sentinel's master or a cluster.

    Connections belong to the event loop that uses them, are opened when they are first needed and
    closed with that loop, or by `aclose`. While Redis cannot be reached, or a replica is becoming
    the master, operations wait and try again; one whose answer was lost is recognised and not done
    twice. Redis replicates asynchronously: what it had acknowledged a moment before its machine
    was lost may be lost with it.
    """

    def __init__(
        self,
        target: "str | Callable[[], Redis | RedisCluster]",
        *,
        prefix: str = "mbxai:session:",
        ttl_seconds: float | None = None,
        wait_seconds: float = 10.0,
        now: Callable[[], float] | None = None,
    ) -> None:
        """Remember where Redis is; nothing is connected yet.

        Args:
            target: A URL such as `redis://127.0.0.1:6379/0`, or a function without arguments that
                makes a client of `redis.asyncio`, for example
                `lambda: Sentinel([("10.0.0.1", 26379)]).master_for("mymaster")`. It is called once
                for each event loop.
            prefix: What the keys of all sessions begin with.
            ttl_seconds: After how many seconds without a write a session is dropped; None: never.
            wait_seconds: How long an operation waits for a Redis that cannot be reached.
            now: A clock in seconds since the epoch; None: that of the Redis server.

        Raises:
            ConfigurationError: The target is neither, or a number is impossible.
        """
        if not isinstance(target, str) and (isinstance(target, type) or not callable(target)):
            raise ConfigurationError(
                f"A {type(target).__name__} is no target of a RedisSessionStore.",
                hint="Give a redis:// URL, or a function that makes a redis.asyncio client.",
            )
        if ttl_seconds is not None and not (ttl_seconds > 0 and math.isfinite(ttl_seconds)):
            raise ConfigurationError(f"ttl_seconds must be above zero, got {ttl_seconds}.")
        if not (wait_seconds >= 0 and math.isfinite(wait_seconds)):
            raise ConfigurationError(f"wait_seconds must not be negative, got {wait_seconds}.")
        self._server = RedisServer(target, wait_seconds=wait_seconds)
        self._prefix = prefix
        self._ttl_seconds = ttl_seconds
        self._now = now

    def __repr__(self) -> str:
        """Say what it is, and nothing of its address, which may hold a password."""
        return f"<RedisSessionStore {self._prefix}*>"

    async def load(self, agent_id: str) -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`.

        Args:
            agent_id: Which session.

        Returns:
            The session as last saved; None if there is none of this id.

        Raises:
            SessionDataError: What is stored is no session.
            SessionStoreError: Redis cannot be read.
        """
        check_agent_id(agent_id)
        key = self._key(agent_id)

        async def read(link: RedisLink) -> Values:
            return await link.client.hmget(key, FIELDS)

        values = await self._server.run(read, agent_id)
        stored = None if all(value is None for value in values) else _stored(values, agent_id)
        return stored.record(agent_id) if stored else None

    async def claim(self, agent_id: str, *, owner: str, lease_seconds: float) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`.

        Args:
            agent_id: Which session.
            owner: Names one run.
            lease_seconds: How long the claim outlives its owner's last word.

        Returns:
            The session as it is now.

        Raises:
            SessionBusyError: Another owner's lease is running.
            SessionDataError: What is stored is no session; its data is left as it is.
            SessionStoreError: Redis cannot be written.
        """
        check_agent_id(agent_id)
        check_claim(owner, lease_seconds)
        word, now, values = await self._script(CLAIM, agent_id, owner, repr(float(lease_seconds)))
        stored = _stored(values, agent_id)
        if word == "refused":
            claimed(stored, agent_id, owner=owner, lease_seconds=lease_seconds, now=now)
            raise SessionStoreError(  # the rules say yes, the script said no
                f"Session {agent_id!r} could not be claimed.", agent_id=agent_id
            )
        try:
            return stored.record(agent_id)
        except SessionDataError:
            await self._script(RELEASE, agent_id, owner, stored.fence)
            raise

    async def save(
        self,
        record: SessionRecord,
        data: dict[str, Any],  # Any: JSON
        *,
        owner: str,
    ) -> SessionRecord:
        """Store new data by compare-and-set and renew the lease; see `SessionStore.save`.

        Args:
            record: What `claim` or the last `save` gave.
            data: JSON with string keys.
            owner: Who claimed it.

        Returns:
            The stored record, one version later.

        Raises:
            SessionConflictError: The session was taken over, saved or deleted by another.
            SessionDataError: `data` is no JSON.
            SessionStoreError: Redis cannot be written.
        """
        agent_id = record.agent_id
        check_agent_id(agent_id)
        text = encode(data, agent_id=agent_id)
        word, now, values = await self._script(
            SAVE, agent_id, owner, record.version, record.fence, uuid4().hex, text
        )
        if word == "refused":
            stored = _stored(values, agent_id) if values else None
            saved(stored, record, text, owner=owner, now=now)
            raise SessionConflictError(  # the rules say yes, the script said no
                f"Session {agent_id!r} changed meanwhile; nothing was written.", agent_id=agent_id
            )
        after = StoredSession(
            version=record.version + 1,
            fence=record.fence,
            owner=owner,
            until=now,
            lease_seconds=0.0,
            text=text,
        )
        return after.record(agent_id)

    async def release(self, record: SessionRecord, *, owner: str) -> None:
        """Give a claimed session back; see `SessionStore.release`.

        Args:
            record: Any record of the present claim.
            owner: Who claimed it.

        Raises:
            SessionStoreError: Redis cannot be written.
        """
        check_agent_id(record.agent_id)
        await self._script(RELEASE, record.agent_id, owner, record.fence)

    async def delete(self, agent_id: str) -> bool:
        """Remove a session, readable or not; see `SessionStore.delete`.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.

        Raises:
            SessionStoreError: Redis cannot be written.
        """
        check_agent_id(agent_id)
        key = self._key(agent_id)

        async def remove(link: RedisLink) -> bool:
            return bool(await link.client.delete(key))

        return await self._server.run(remove, agent_id)

    async def aclose(self) -> None:
        """Close the connections of this event loop; a later call opens them again."""
        await self._server.aclose()

    async def list(self) -> list[str]:
        """Name every session, by SCAN.

        Returns:
            The ids, sorted.

        Raises:
            SessionStoreError: Redis cannot be read.
        """
        pattern = "".join(
            f"\\{letter}" if letter in r"*?[]\^-" else letter for letter in self._prefix
        )

        async def read(link: RedisLink) -> list[str]:
            keys = link.client.scan_iter(match=f"{pattern}*", count=1000)
            async with aclosing(cast("AsyncGenerator[object]", keys)) as found:
                names = {_text(key) async for key in found}
            return sorted(name.removeprefix(self._prefix) for name in names)

        return await self._server.run(read)

    def _key(self, agent_id: str) -> str:
        return f"{self._prefix}{agent_id}"

    async def _script(
        self, text: str, agent_id: str, *arguments: str | int
    ) -> tuple[str, float, Values]:
        """Run a script on a session; returns its word, the time, and the stored fields if any."""
        now = "" if self._now is None else repr(self._now())
        given = [now, repr(self._ttl_seconds or 0.0), *arguments]

        async def run(link: RedisLink) -> Values:
            return await link.script(text)(keys=[self._key(agent_id)], args=given)

        word, at, *values = await self._server.run(run, agent_id)
        if _text(word) == "damaged":
            raise unreadable(agent_id)
        return _text(word), float(_text(at)), values


def _stored(values: Values, agent_id: str) -> StoredSession:
    try:
        version, fence, owner, until, lease_seconds, data = map(_text, values)
        return StoredSession(
            version=int(version),
            fence=int(fence),
            owner=owner or None,
            until=float(until),
            lease_seconds=float(lease_seconds),
            text=data,
        )
    except (TypeError, ValueError) as error:
        raise unreadable(agent_id) from error


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value
