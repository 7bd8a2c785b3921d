"""What a server says of itself, and of its changes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """A server as it described itself when it was connected.

    Attributes:
        name: Its own name, not the one it was registered under; empty where it gave none.
        title: Its name for people; empty where it gave none.
        version: Its version; empty where it gave none.
        protocol_version: The version of the protocol that was agreed on, a date.
        instructions: What it wants a model to know of it; empty where it says nothing.
        capabilities: What it can do, as the JSON of the protocol.
    """

    name: str = ""
    title: str = ""
    version: str = ""
    protocol_version: str
    instructions: str = ""
    capabilities: dict[str, Any] = field(default_factory=dict[str, Any])  # Any: JSON

    def offers(self, capability: str) -> bool:
        """Return whether the server has a capability.

        Args:
            capability: A key of `capabilities`, for example "tools".
        """
        return self.capabilities.get(capability) is not None


@dataclass(frozen=True, slots=True)
class Change:
    """Something that a server offers has changed.

    Attributes:
        kind: Which list, or "resource" for the content of one resource.
        uri: The resource, where `kind` is "resource".
    """

    kind: Literal["tools", "prompts", "resources", "resource"]
    uri: str = ""


ChangeListener: TypeAlias = Callable[[Change], object]
"""Is told of a change on the connection's loop; it must return at once."""
