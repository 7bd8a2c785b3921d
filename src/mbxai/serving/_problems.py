"""Errors as Problem Details (RFC 9457): what a client may know, and nothing else. Pure."""

import math
from dataclasses import dataclass
from typing import Final

from mbxai.errors import (
    ConfigurationError,
    InteractionError,
    InteractionExpiredError,
    InteractionMismatchError,
    InteractionNotFoundError,
    MBXAIError,
    SessionBusyError,
    SessionConflictError,
    SessionNotFoundError,
    SessionStoreError,
    ToolsChangedError,
    TooManyRunsError,
)

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong with a request.

    Attributes:
        status: HTTP status.
        code: Names the problem for programs.
        title: Says it to people, without anything of the request.
        detail: More, where it is safe to tell.
        retry_after: After how many seconds to try again; None: that is of no use.
    """

    status: int
    code: str
    title: str
    detail: str = ""
    retry_after: int | None = None

    @property
    def message(self) -> str:
        """What a person may read of it, where there is room for one text."""
        return self.detail or self.title

    def to_dict(self) -> dict[str, str | int]:
        """Return the members of the JSON object."""
        members: dict[str, str | int] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        return members | ({"detail": self.detail} if self.detail else {})


# The first that fits counts.
_KINDS: Final[tuple[tuple[type[MBXAIError], int, str, str], ...]] = (
    (SessionNotFoundError, 404, "session_not_found", "There is no such session."),
    (InteractionNotFoundError, 404, "interaction_not_found", "There is no such request."),
    (InteractionExpiredError, 409, "interaction_closed", "The request is closed."),
    (InteractionMismatchError, 422, "answer_mismatch", "The answer does not fit the request."),
    (InteractionError, 409, "interaction_error", "The answer cannot be applied."),
    (SessionBusyError, 409, "run_in_progress", "The turn of this session is not over."),
    (ToolsChangedError, 409, "tools_changed", "The session was planned with other tools."),
    (SessionConflictError, 409, "session_conflict", "The session was changed meanwhile."),
    (TooManyRunsError, 429, "too_many_runs", "Too many runs are waiting."),
    (SessionStoreError, 503, "store_unavailable", "Sessions cannot be reached at the moment."),
    (ConfigurationError, 422, "invalid_request", "The request cannot be carried out."),
)
_TELLS: Final = (InteractionError, ConfigurationError)  # of what the client itself has sent
_STORE_SECONDS: Final = 5


def problem_of(error: MBXAIError) -> Problem:
    """Return what a client is told of an error.

    Args:
        error: What was raised.
    """
    for kind, status, code, title in _KINDS:
        if isinstance(error, kind):
            retry_after = None
            if isinstance(error, TooManyRunsError):
                retry_after = math.ceil(error.retry_after)
            elif isinstance(error, SessionStoreError):
                retry_after = _STORE_SECONDS
            detail = str(error) if isinstance(error, _TELLS) else ""
            return Problem(status, code, title, detail, retry_after)
    return Problem(500, "internal_error", "Something went wrong in the service.")
