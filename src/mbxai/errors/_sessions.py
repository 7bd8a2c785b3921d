"""What goes wrong with a stored session."""

from mbxai.errors._base import MBXAIError


class SessionError(MBXAIError):
    """Something went wrong with a stored session.

    Attributes:
        agent_id: Which session; empty where it is not one session's problem.
    """

    def __init__(self, message: str, *, hint: str = "", agent_id: str = "") -> None:
        """Keep the session's id."""
        super().__init__(message, hint=hint)
        self.agent_id = agent_id


class SessionNotFoundError(SessionError, ValueError):
    """No session has this id."""


class SessionConflictError(SessionError):
    """Another writer saved the session first; nothing of ours was written."""


class SessionBusyError(SessionError):
    """Another worker is running the session now.

    Attributes:
        until: When its lease ends at the latest, in seconds since the epoch; 0 if unknown.
    """

    def __init__(
        self, message: str, *, hint: str = "", agent_id: str = "", until: float = 0.0
    ) -> None:
        """Keep the end of the lease."""
        super().__init__(message, hint=hint, agent_id=agent_id)
        self.until = until


class ToolsChangedError(SessionError):
    """A session was planned with other tools than there are now, and is not to go on with these.

    Attributes:
        tools: Names of those that came, went or changed.
    """

    def __init__(
        self, message: str, *, hint: str = "", agent_id: str = "", tools: tuple[str, ...] = ()
    ) -> None:
        """Keep the names."""
        super().__init__(message, hint=hint, agent_id=agent_id)
        self.tools = tools


class SessionStoreError(SessionError):
    """The store cannot be read or written."""


class SessionDataError(SessionError):
    """The store holds something that is no session, or one of a newer mbxai."""
