"""What goes wrong with an agent run."""

from typing import TYPE_CHECKING, Final

from mbxai.errors._base import MBXAIError
from mbxai.errors._tools import ToolLoopError

if TYPE_CHECKING:  # pydantic models, which `import mbxai` must not load
    from mbxai.agent._result_models import AgentResponse
    from mbxai.tools.loop._run import ToolRun


class AgentError(MBXAIError):
    """Something went wrong with an agent run."""


class AgentFailedError(AgentError):
    """The run rests in FAILED.

    Attributes:
        response: The whole state of the run; its session is kept and can be continued.
    """

    def __init__(self, message: str, *, hint: str = "", response: "AgentResponse") -> None:
        """Keep the response."""
        super().__init__(message, hint=hint)
        self.response: Final = response


class BudgetExceededError(AgentError, ToolLoopError):
    """A budget is used up; the session or conversation can be continued with a larger one.

    Attributes:
        limit: Which limit, for example `max_cost_usd`.
        response: The whole state of an agent's run; None outside of an agent.
        run: What a tool client's conversation said and did; None inside an agent.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        limit: str,
        response: "AgentResponse | None" = None,
        run: "ToolRun | None" = None,
    ) -> None:
        """Keep the limit and the state."""
        super().__init__(message, hint=hint, run=run)
        self.limit: Final = limit
        self.response: Final = response


class TooManyRunsError(AgentError):
    """A service begins no more runs for the moment.

    Attributes:
        retry_after: After how many seconds to try again.
    """

    def __init__(self, message: str, *, hint: str = "", retry_after: float = 0.0) -> None:
        """Keep the seconds."""
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class InteractionError(AgentError):
    """An answer of a person cannot be applied; the session is unchanged.

    Attributes:
        interaction_id: Which request the answer named.
    """

    def __init__(self, message: str, *, hint: str = "", interaction_id: str = "") -> None:
        """Keep the request's id."""
        super().__init__(message, hint=hint)
        self.interaction_id = interaction_id


class InteractionNotFoundError(InteractionError, LookupError):
    """The session has no request of that id."""


class InteractionMismatchError(InteractionError, ValueError):
    """The answer does not fit the request: other type, no such option, or answered otherwise."""


class InteractionExpiredError(InteractionError):
    """The answer came after the request's deadline; the default action was taken instead."""
