"""What became of a request that failed, in our own words: nothing was run, or nobody knows.

Decides only; what is repeated, and whether the connection is kept, is up to the caller.
"""

from dataclasses import dataclass
from typing import Final

from mbxai.errors import (
    MCPAuthError,
    MCPConnectionError,
    MCPError,
    MCPProtocolError,
    MCPToolError,
)
from mbxai.mcp.connection._callbacks import RefusedError
from mbxai.mcp.connection._failures import (
    auth_failure,
    describe,
    is_forgotten,
    is_internal,
    is_proven_forgotten,
    is_unreadable,
    missing_right,
    said,
    too_large,
)
from mbxai.mcp.connection._held import CallGoneError
from mbxai.mcp.connection._rounds import RoundsError
from mbxai.mcp.connection._session import UnwritableError
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.connection._watch import CallNote

CONNECTION_CLOSED: Final = -32000
UNKNOWN: Final = "Whether it was run is not known."
SCOPE_HINT: Final = "Give a token that has this right."
REPORT: Final = (
    "This is no fault of the server: please report it with its traceback, unless it comes from an"
    " object that was given as auth=."
)

# The same code also stands for one lost answer; only with this text is it the whole connection.
CLOSED_TEXT: Final = "Connection closed"

_AUTH_STATUS: Final = (401, 403)
_FORBIDDEN: Final = 403
_PARSE_ERROR: Final = -32700


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed.

    Attributes:
        what: The request, for an error's text.
        cause: The root cause.
        code: Code of the protocol's error; None for any other cause.
        note: What is known of the call.
    """

    what: str
    cause: BaseException
    code: int | None
    note: CallNote

    @property
    def is_lost(self) -> bool:
        """Whether the connection, or the server's memory of it, is what failed."""
        is_gone = self.code == CONNECTION_CLOSED and not self.note.status
        return is_gone or bool(self.note.refused or self.note.unsent)

    @property
    def never_ran(self) -> bool:
        """Whether the request can be sent again without harm, on a new connection."""
        return self.is_lost and self.note.never_ran

    @property
    def is_proven_forgotten(self) -> bool:
        """Whether the server has proven that it ran nothing, not knowing our session any more."""
        note = self.note
        text = str(self.cause)
        return not note.accepted and is_proven_forgotten(note.status, self.code, text)

    def is_forgotten(self, *, has_session: bool) -> bool:
        """Whether the server seems not to know our session any more; a tool may have said it.

        Args:
            has_session: Whether there is one.
        """
        return (
            has_session
            and self.code is not None
            and not self.note.refused
            and is_forgotten(self.note.status, str(self.cause))
        )


def early_verdict(failure: Failure, target: ServerTarget, auth_hint: str) -> MCPError | None:
    """Return the error for a failure that no new connection can mend, or None.

    Args:
        failure: What failed.
        target: The server.
        auth_hint: What to do when the server does not accept who we are.
    """
    name, what, note, cause = target.name, failure.what, failure.note, failure.cause
    denied = auth_failure(cause) or (auth_failure(note.cause) if note.cause is not None else "")
    if not denied and note.status in _AUTH_STATUS and failure.code is not None:
        denied = f"it answered HTTP {note.status}"
        denied = f"{denied} ({note.challenge})" if note.challenge else denied
    lacking = missing_right(note.challenge) if note.status == _FORBIDDEN else ""
    if denied and lacking:
        return MCPAuthError(
            f"MCP server {name!r} refused {what}: {lacking}.", hint=SCOPE_HINT, server=name
        )
    if denied:
        return MCPAuthError(
            f"MCP server {name!r} refused {what}, since it does not accept who we are: {denied}"
            f"{_status(note)}.",
            hint=auth_hint,
            server=name,
        )
    if isinstance(cause, UnwritableError):
        return MCPToolError(
            f"The arguments of {what} to MCP server {name!r} cannot be written as JSON.",
            hint="Nothing was run.",
            server=name,
        )
    if isinstance(cause, CallGoneError):
        return MCPConnectionError(
            f"MCP server {name!r} does not wait for an answer any more: {what} ended when its"
            " connection did, or its time was up.",
            hint=UNKNOWN,
            server=name,
        )
    if isinstance(cause, (RoundsError, RefusedError)):
        return MCPToolError(
            f"MCP server {name!r} did not end {what}: {said(str(cause)).rstrip('.')}.",
            hint="It may have been run in part.",
            server=name,
        )
    return None


def late_verdict(
    failure: Failure, target: ServerTarget, last_words: str, *, is_too_large: bool = False
) -> MCPError:
    """Return the error for a failure whose request may have been run.

    Args:
        failure: What failed.
        target: The server.
        last_words: Why the connection has ended, if it has and that is known.
        is_too_large: Whether it was ended for a message above the limit.
    """
    name, what, note, cause = target.name, failure.what, failure.note, failure.cause
    own = next((error for error in (note.cause, cause) if error and is_internal(error)), None)
    if own is not None:
        return MCPError(
            f"MCP server {name!r}: {what} failed with an internal error ({type(own).__name__}).",
            hint=f"{UNKNOWN} {REPORT}",
            server=name,
        )
    if failure.code == CONNECTION_CLOSED and not note.status:
        if is_too_large:
            return MCPConnectionError(
                f"MCP server {name!r} lives, but its connection was given up during {what}:"
                f" {last_words}.",
                hint=f"{UNKNOWN} Ask for less at once.",
                server=name,
            )
        if size := too_large(str(cause)):
            return MCPToolError(
                f"The answer of MCP server {name!r} to {what} was more than {size} bytes; it was"
                " dropped.",
                hint="It was run. Ask for less at once.",
                server=name,
            )
        why = last_words or describe(note.cause or cause)
        if not last_words and note.cause is None and str(cause) == CLOSED_TEXT:
            why = "it closed the connection"
        return MCPConnectionError(
            f"MCP server {name!r} went away during {what}: {why.rstrip('.')}.",
            hint=UNKNOWN,
            server=name,
        )
    is_unread = note.cause is None and is_unreadable(cause)
    if failure.code == _PARSE_ERROR and note.cause is not None:
        return MCPConnectionError(
            f"The answer of MCP server {name!r} to {what} was cut: "
            f"{describe(note.cause).rstrip('.')}.",
            hint=UNKNOWN,
            server=name,
        )
    if failure.code is not None and not is_unread:
        code = f" (HTTP {note.status})" if note.status else f" (code {failure.code})"
        return MCPToolError(
            f"MCP server {name!r} refused {what}: {said(str(cause)).rstrip('.')}{code}.",
            server=name,
        )
    return MCPProtocolError(
        f"MCP server {name!r} gave an answer to {what} that the protocol does not allow"
        f" ({'no message' if is_unread else type(cause).__name__}).",
        hint="It may have been run.",
        server=name,
    )


def _status(note: CallNote) -> str:
    return f" (HTTP {note.status})" if note.status and note.cause is not None else ""
