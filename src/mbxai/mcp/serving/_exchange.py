"""One request of a client, as a served function sees it: who asks, and what may be asked back.

Plain data and no protocol's package here; the class that speaks is in `_live.py`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from mbxai.errors import MCPError
from mbxai.mcp.serving._bearer import AccessToken
from mbxai.tools.runner._failures import leaves_of

Ability: TypeAlias = Literal["elicit", "elicit_url", "sample", "list_roots"]
"""What a client may be able to do for a server."""

LogLevel: TypeAlias = Literal[
    "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"
]
"""How severe a log message is, as syslog has it."""

LOG_LEVELS: Final[tuple[LogLevel, ...]] = (
    *("debug", "info", "notice", "warning"),
    *("error", "critical", "alert", "emergency"),
)
"""From the least to the most severe."""

# What the client would have had to declare, in the protocol's words.
CAPABILITIES: Final[Mapping[Ability, Mapping[str, Any]]] = {
    "elicit": {"elicitation": {}},
    "elicit_url": {"elicitation": {"url": {}}},
    "sample": {"sampling": {}},
    "list_roots": {"roots": {}},
}

_SENTENCES: Final[Mapping[Ability, str]] = {
    "elicit": "ask its user (elicitation)",
    "elicit_url": "send its user to an address (URL elicitation)",
    "sample": "ask its model (sampling)",
    "list_roots": "name its directories (roots)",
}


class PausedError(BaseException):
    """The function ends here; it is run again, from its start, once the client has answered.

    Not an `Exception`, so that a function's own `except Exception` does not take it for a failure.
    """


def is_pause(error: BaseException) -> bool:
    """Whether a function ended only to wait for answers.

    Args:
        error: What it raised; a group, if it asked in a task group.
    """
    return all(isinstance(leaf, PausedError) for leaf in leaves_of(error))


class MissingAbilityError(MCPError):
    """The client cannot do what a function asks of it.

    The hint is for whoever wrote the function; the client is told the message alone.

    Attributes:
        ability: What it cannot do.
    """

    def __init__(self, ability: Ability) -> None:
        """Say what is missing."""
        super().__init__(
            f"This client cannot {_SENTENCES[ability]}.",
            hint="Look at the context's `can` first.",
        )
        self.ability: Ability = ability

    def __reduce__(self) -> tuple[object, ...]:
        """Be made again from what is missing."""
        return MissingAbilityError, (self.ability,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a function wants of the client.

    Attributes:
        ability: What the client must be able to do.
        method: The protocol's method.
        params: Its parameters, as JSON.
        key: The question's name within the request; empty makes one from what is asked.
        state: What the function wants to find in its context when it is run again.
    """

    ability: Ability
    method: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    key: str = ""
    state: str = ""

    def name(self) -> str:
        """The question's name: the same in every run that asks the same."""
        return self.key or f"{self.ability}-{self.digest()}"

    def digest(self) -> str:
        """What is asked, in short: an answer counts only for the question that it was given to."""
        text = json.dumps([self.method, self.params], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class Exchange:
    """A request that nobody can be asked about: over plain REST, or with no client at all.

    Attributes:
        client_name: What the client calls itself; empty where it does not say.
        protocol_version: The protocol's version; empty where none is spoken.
        token: Who the caller is; None without authorisation.
        state: What was given with the question that is answered now.
        missing: What a function asked for and did not get, where it ended of that.
    """

    client_name: str = ""
    protocol_version: str = ""
    token: AccessToken | None = None
    state: str = ""
    missing: Ability | None = None

    def can(self, ability: Ability) -> bool:
        """Whether the client can do something for us.

        Args:
            ability: What.
        """
        del ability
        return False

    async def ask(self, question: Question) -> dict[str, Any]:
        """Return the client's answer, as JSON.

        Args:
            question: What is asked.

        Raises:
            MCPError: The client cannot be asked this, or refused.
            PausedError: The answer comes with another run of the function.
        """
        raise MissingAbilityError(question.ability)

    def refuse(self, question: Question) -> None:
        """Take an answer back that cannot be used, so that the question is asked again.

        Args:
            question: The question.
        """

    async def log(self, level: LogLevel, data: object, logger: str) -> None:
        """Send a log message to a client that wants it.

        Args:
            level: How severe it is.
            data: Anything that JSON can say.
            logger: Name of who logs.
        """

    async def close_stream(self) -> None:
        """Hang up on a client that can come back for the answer; see `MCPContext.close_stream`."""


NOBODY: Final = Exchange()
"""Where there is no client."""
