"""How a registered server is; pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ServerState: TypeAlias = Literal["idle", "connecting", "connected", "failed", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """One registered server at one moment.

    Attributes:
        name: The name it was registered under.
        state: Whether there is a connection; one that is "idle" or "failed" is made when it is
            needed.
        protocol_version: The version of the protocol that was agreed on last, a date; empty if it
            was never connected.
        tools: Names under which its tools are offered.
        withheld: The server's own names of tools that are not offered, and why.
        warnings: What a person should look at: changed tools, suspicious texts, options that could
            not be kept.
        problem: Why the last connection failed; empty if it did not.
        required: Whether it was registered as one that must be there.
    """

    name: str
    state: ServerState
    protocol_version: str = ""
    tools: list[str] = field(default_factory=list[str])
    withheld: Mapping[str, str] = field(default_factory=dict[str, str])
    warnings: list[str] = field(default_factory=list[str])
    problem: str = ""
    required: bool = True

    @property
    def era(self) -> Literal["", "handshake", "modern"]:
        """Which kind of protocol is spoken; empty if it is not known."""
        if not self.protocol_version:
            return ""
        return "modern" if self.protocol_version >= "2026-07-28" else "handshake"
