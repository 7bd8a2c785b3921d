"""What a client is told that asks for something it does not get; no protocol's package here."""

from collections.abc import Mapping
from typing import Any, Final

from mbxai._redaction import get_logger
from mbxai.errors import ToolError
from mbxai.mcp.serving._exchange import CAPABILITIES, Ability, MissingAbilityError

logger = get_logger(__name__)

INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
INVALID_REQUEST: Final = -32600
PARSE_ERROR: Final = -32700
RESOURCE_NOT_FOUND: Final = -32002
"""Only in versions up to 2025-11-25; later ones say `INVALID_PARAMS`."""
MISSING_CAPABILITY: Final = -32021

FIRST_STATELESS: Final = "2026-07-28"
"""The first version of the protocol that keeps nothing between two requests."""


class ServingError(Exception):
    """A request is answered with an error of the protocol.

    Attributes:
        code: The protocol's code.
        message: What the client is told.
        data: More of it, as JSON.
    """

    def __init__(self, code: int, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Keep what is told."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def is_stateless(version: str) -> bool:
    """Whether a version of the protocol keeps nothing between two requests."""
    return version >= FIRST_STATELESS


def missing_capability(ability: Ability) -> ServingError:
    """Return the error for a client that did not declare what a call needs.

    Args:
        ability: What it would have to be able to do.
    """
    needed = {"requiredCapabilities": CAPABILITIES[ability]}
    return ServingError(MISSING_CAPABILITY, MissingAbilityError(ability).message, needed)


def function_failure(label: str, error: Exception) -> ServingError:
    """Return what a client is told of a function that failed; the rest goes into our log.

    Args:
        label: What was asked for.
        error: What the function raised.
    """
    if isinstance(error, ServingError):
        return error
    if isinstance(error, MissingAbilityError):
        logger.info("%s ended: %s", label, error)
        return missing_capability(error.ability)
    if isinstance(error, ToolError):
        return ServingError(INTERNAL_ERROR, str(error))
    logger.error("%s failed", label, exc_info=error)
    return ServingError(INTERNAL_ERROR, f"{label} failed. The server's log says why.")
