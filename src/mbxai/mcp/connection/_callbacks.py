"""What a server may ask of us while it is connected; plain JSON, nothing of the protocol's package.

A callback that is None is a capability that is not declared, elicitation apart: that one is always
declared, and without a callback the server is told that the person went away ("cancel"). Claiming
nothing would make some servers go on without asking.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mbxai.errors import MCPError
from mbxai.wire import ToolAnswer, ToolQuestion


class RefusedError(MCPError):
    """What a server asked for is refused; the server is told this code and this message.

    Attributes:
        code: Code of the protocol's error; -1 is a person's or a policy's no.
    """

    def __init__(self, message: str, *, code: int, server: str = "") -> None:
        """Keep the code."""
        super().__init__(message, server=server)
        self.code = code


Elicitor: TypeAlias = Callable[[ToolQuestion], Awaitable[ToolAnswer]]
"""Asks a person; the call's time stands still meanwhile."""

Sampler: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]  # Any: JSON
"""Takes the parameters of `sampling/createMessage` as JSON and returns its result as JSON."""

RootsSource: TypeAlias = Callable[[], Awaitable[Sequence[Mapping[str, str]]]]
"""Returns the roots: objects with `uri` (a `file:` URI) and perhaps `name`."""

LogListener: TypeAlias = Callable[[str, str, object], object]
"""Gets level, logger and data of a server's log message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What a server may ask for.

    Attributes:
        elicit: Asks a person.
        sample: Asks our model.
        roots: Says which directories are meant.
        log: Gets the server's log messages.
        log_level: From which level on the server is to log; None leaves it to the server.
    """

    elicit: Elicitor | None = None
    sample: Sampler | None = None
    roots: RootsSource | None = None
    log: LogListener | None = None
    log_level: str | None = None
