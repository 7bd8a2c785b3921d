"""What went wrong on the way to the server, in words that retries and messages go by."""

from enum import Enum, auto

from mbxai._redaction import redact
from mbxai.errors import OpenRouterConfigurationError


class FaultKind(Enum):
    """What went wrong on the way, as far as it matters for sending again."""

    CONNECT = auto()  # nothing was sent
    CONNECT_TIMEOUT = auto()  # nothing was sent
    TLS = auto()  # will fail again
    PROXY = auto()  # will fail again
    DROPPED = auto()  # the connection ended before the first byte of an answer
    READ_TIMEOUT = auto()  # the request may have run
    BROKEN = auto()  # the connection ended inside the answer
    GARBLED = auto()  # what came is not HTTP, or not in the encoding it names
    TOO_LARGE = auto()
    REDIRECT = auto()  # points to another place


class TransportError(Exception):
    """A failure below the API; clients translate it and keep it as the cause."""

    def __init__(self, kind: FaultKind, reason: str) -> None:
        super().__init__(redact(reason))
        self.kind = kind


def closed_client() -> OpenRouterConfigurationError:
    """Return the error of a client that was closed and is used all the same."""
    return OpenRouterConfigurationError(
        "The client is closed.", hint="Make a new OpenRouterClient, or AsyncOpenRouterClient."
    )
