"""What the end of a run means for its workflow: over, wait for people, try again, stop. Pure."""

import random
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypedDict

import mbxai.errors as errors
from mbxai.agent.models import AgentResponse, AgentState
from mbxai.errors import (
    AgentError,
    AgentFailedError,
    BudgetExceededError,
    MBXAIError,
    SessionBusyError,
    SessionConflictError,
    SessionError,
    SessionNotFoundError,
    SessionStoreError,
)

CHECK_SECONDS: Final = 60.0
"""Pause before a session that waits for people is looked at again, in case that somebody answered
it without telling the workflow; it doubles, up to an hour."""

RETRY_SECONDS: Final = 30.0
"""Pause before a session is tried again that failed for a passing reason; it doubles."""

MAX_FAILURES: Final = 5
"""Failures in a row after which the workflow stops."""

_MAX_CHECK_SECONDS: Final = 3600.0
_MAX_AWAY_SECONDS: Final = 60.0
_MAX_BUSY_SECONDS: Final = 15.0
_MIN_SECONDS: Final = 0.1

Kind = Literal["over", "people", "failed", "away", "busy", "stopped"]


class Failure(TypedDict):
    """Why a run stopped.

    Attributes:
        type: Name of the class of the error.
        message: What happened, without a secret.
        hint: What to do about it.
        limit: Which bound is reached; empty for other errors.
    """

    type: str
    message: str
    hint: str
    limit: str


class Rest(TypedDict):
    """How a session rests after a run; JSON, since the engine keeps it.

    Attributes:
        kind: "over": the turn has ended. "people": it waits for an answer. "failed": for a passing
            reason. "away": its store cannot be reached. "busy": somebody else runs it. "stopped":
            nothing helps but `resume()`.
        seconds: How long to wait for news before the next run; 0.0 where there is none.
        tries: How many runs in a row ended like this.
        failure: Why it stopped; None for the other kinds.
    """

    kind: Kind
    seconds: float
    tries: int
    failure: Failure | None


def rest_of(response: AgentResponse, before: Rest | None, now: float) -> Rest:
    """Return what follows from the state in which a run rests.

    Args:
        response: The state.
        before: How the run before ended; None for the first one, and after news.
        now: Seconds since 1970.
    """
    if response.state is AgentState.FAILED:
        is_passing = response.error is not None and response.error.retryable
        tries = _tries("failed", before)
        if not is_passing or tries > MAX_FAILURES:
            return _final("over")
        return _pause("failed", RETRY_SECONDS * 2 ** (tries - 1), tries)
    if response.is_complete():
        return _final("over")
    if not response.needs_human_interaction():
        return _pause("busy", 1.0, _tries("busy", before))
    tries = _tries("people", before)
    check = min(CHECK_SECONDS * 2 ** min(tries - 1, 10), _MAX_CHECK_SECONDS)
    deadlines = [r.expires_at for r in response.human_interaction_requests if r.expires_at]
    today = datetime.fromtimestamp(now, UTC)
    left = [(deadline - today).total_seconds() for deadline in deadlines]
    return _pause("people", min([check, *left]), tries)


def rest_after(error: Exception, before: Rest | None, now: float) -> Rest:
    """Return what follows from an error.

    Args:
        error: What the run raised.
        before: How the run before ended.
        now: Seconds since 1970.
    """
    if isinstance(error, SessionBusyError):
        left = error.until - now if error.until else _MAX_BUSY_SECONDS
        return _pause("busy", min(left, _MAX_BUSY_SECONDS), _tries("busy", before))
    if isinstance(error, (SessionStoreError, SessionConflictError)):
        tries = _tries("away", before)
        pause = min(2.0 ** min(tries, 10), _MAX_AWAY_SECONDS)
        return _pause("away", pause * random.uniform(0.8, 1.2), tries)  # noqa: S311 - no secret
    if isinstance(error, SessionNotFoundError):
        return _final("over")
    return _final("stopped", _failure(error))


def error_of(failure: Failure, agent_id: str, response: AgentResponse) -> MBXAIError:
    """Return the error that a stopped run raised.

    Args:
        failure: What was kept of it.
        agent_id: Which session.
        response: The session's state.
    """
    message, hint = failure["message"], failure["hint"]
    if failure["limit"]:
        return BudgetExceededError(message, hint=hint, limit=failure["limit"], response=response)
    known: Any = getattr(errors, failure["type"], None)  # Any: a class, if it is one of ours
    if isinstance(known, type) and issubclass(known, SessionError):
        return known(message, hint=hint, agent_id=agent_id)
    return AgentError(message, hint=hint)


def failed(response: AgentResponse) -> AgentFailedError:
    """Return the error for a session that rests in FAILED.

    Args:
        response: The session's state.
    """
    message = response.error.message if response.error else "The run failed."
    return AgentFailedError(
        message, hint="A new prompt on the same agent_id starts a new turn.", response=response
    )


def _failure(error: Exception) -> Failure:
    kind = type(error).__name__
    if not isinstance(error, MBXAIError):  # of somebody else's code: its text may say anything
        return Failure(type=kind, message=f"The run broke: {kind}.", hint="", limit="")
    limit = error.limit if isinstance(error, BudgetExceededError) else ""
    return Failure(type=kind, message=error.message, hint=error.hint, limit=limit)


def _tries(kind: Kind, before: Rest | None) -> int:
    return before["tries"] + 1 if before is not None and before["kind"] == kind else 1


def _pause(kind: Kind, seconds: float, tries: int) -> Rest:
    return Rest(kind=kind, seconds=max(seconds, _MIN_SECONDS), tries=tries, failure=None)


def _final(kind: Kind, failure: Failure | None = None) -> Rest:
    return Rest(kind=kind, seconds=0.0, tries=0, failure=failure)
