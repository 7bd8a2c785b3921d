"""Names of the keys that a Redis holds for sessions, and in which shard a session lies.

The sessions are spread over sixteen shards. All keys of a shard carry its tag in braces, so that a
cluster keeps them on one node, and one script can write a session together with its place in the
indexes: an index never misses a session.
"""

import zlib
from dataclasses import dataclass
from typing import Final

from mbxai.errors import ConfigurationError

SHARDS: Final = (
    *("0ax", "1oy", "2cx", "3bx", "4ex", "5zz", "6yz", "7xz"),
    *("8wz", "9vz", "aoo", "bed", "cli", "dcd", "eko", "fad"),
)
"""Tags whose slots lie evenly over a cluster's 16384, so that few nodes get like shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKeys:
    """Where one session lies.

    Attributes:
        names: Its head, log and inbox, then the shard's indexes for list, due and sweep.
        agent_id: Its name in the index for list.
        member: Its name in the other indexes.
    """

    names: tuple[bytes, ...]
    agent_id: bytes
    member: bytes


class Keyring:
    """Makes the names of keys."""

    def __init__(self, prefix: str) -> None:
        """Remember what all names begin with.

        Args:
            prefix: Any text without empty braces.

        Raises:
            ConfigurationError: It has empty braces, with which a cluster finds no shard.
        """
        if "{}" in prefix:
            raise ConfigurationError(
                "The prefix of a RedisSessionStore must not have empty braces.",
                hint="Leave out {}: the store adds the hash tags that a cluster needs.",
            )
        self.prefix = prefix

    def of(self, agent_id: str, scope: str) -> SessionKeys:
        """Name the keys of a session.

        Args:
            agent_id: Which session.
            scope: Whose session.

        Returns:
            Its names; different for every pair of scope and id.
        """
        member = member_of(agent_id, scope)
        shard = zlib.crc32(to_bytes(member)) % len(SHARDS)
        return SessionKeys(
            names=(
                self.head(shard, member),
                self._name(shard, f"log:{member}"),
                self._name(shard, f"inbox:{member}"),
                self.listed(shard, scope),
                self.due(shard),
                self.saved(shard),
            ),
            agent_id=to_bytes(agent_id),
            member=to_bytes(member),
        )

    def head(self, shard: int, member: str) -> bytes:
        """Name the head of a session whose shard is known."""
        return self._name(shard, f"head:{member}")

    def listed(self, shard: int, scope: str) -> bytes:
        """Name the index of a scope's sessions by when they were made."""
        return self._name(shard, f"list:{scope}")

    def due(self, shard: int) -> bytes:
        """Name the index of all sessions that will want a worker, by when at the earliest."""
        return self._name(shard, "due")

    def saved(self, shard: int) -> bytes:
        """Name the index of all sessions, by when they were saved last or earlier."""
        return self._name(shard, "saved")

    def _name(self, shard: int, rest: str) -> bytes:
        return to_bytes(f"{self.prefix}{{{SHARDS[shard]}}}:{rest}")


def member_of(agent_id: str, scope: str) -> str:
    """Write a scope and an id as one text, in which the first slash parts them."""
    return f"{scope.replace('%', '%25').replace('/', '%2F')}/{agent_id}"


def parts_of(member: str) -> tuple[str, str]:
    """Read what `member_of` wrote: the id and the scope."""
    scope, _, agent_id = member.partition("/")
    return agent_id, scope.replace("%2F", "/").replace("%25", "%")


def to_bytes(text: str) -> bytes:
    """Encode text, half surrogate pairs too, whatever encoding the client has."""
    return text.encode("utf-8", "surrogatepass")


def to_text(value: object) -> str:
    """Decode what `to_bytes` made.

    Args:
        value: A value that Redis gave.

    Returns:
        The text.

    Raises:
        TypeError: It is no bytes.
        ValueError: It is none of these bytes.
    """
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} instead of bytes")
    return value.decode("utf-8", "surrogatepass")
