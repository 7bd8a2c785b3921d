"""What a run may use up, and whether it has; the same in a tool client and in an agent."""

from dataclasses import dataclass
from typing import Literal

from mbxai.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run has used up.

    Attributes:
        cost_usd: USD that OpenRouter charged.
        tokens: Tokens of prompts and answers together.
        requests: Model calls, those under way included.
        tool_calls: Tool calls, those under way included.
        seconds: Since the run began.
    """

    cost_usd: float = 0.0
    tokens: int = 0
    requests: int = 0
    tool_calls: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bounds of what an agent's session, or a conversation with tools, uses; None sets no bound.

    A bound is checked before the next call: the run then rests with `BudgetExceededError`,
    nothing is lost, and it goes on when it is continued with a larger budget. Calls that are under
    way are not cut off, so what they cost may pass the bound.

    As an agent's `budget` it bounds a session over all its turns, as `run_budget` one call of
    `agent()`. Calls that failed on the way to OpenRouter are not counted, answers that did not fit
    are.

    Attributes:
        max_cost_usd: USD that OpenRouter charged (`usage.cost`).
        max_tokens: Tokens of prompts and answers together.
        max_requests: Model calls. Calls under way count, so parallel ones never pass it.
        max_tool_calls: Tool calls. Calls under way count, so parallel ones never pass it.
        max_seconds: Seconds of one call of `agent()`, `chat()` or `parse()`, also in the budget of
            a session: time in which nothing ran is not counted, nor is that of earlier calls.

    Raises:
        ConfigurationError: A bound is not positive.
    """

    max_cost_usd: float | None = None
    max_tokens: int | None = None
    max_requests: int | None = None
    max_tool_calls: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that no run could keep."""
        for name in self.__slots__:
            value: object = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and value > 0):
                raise ConfigurationError(f"Budget: {name} must be positive, not {value!r:.80}.")

    def reached(
        self, spent: Spent, kind: Literal["model", "tool"], *, name: str = "budget"
    ) -> tuple[str, str] | None:
        """Say which bound a further call would pass.

        Args:
            spent: What has been used up.
            kind: What is to be called; tool calls cost no tokens and no money.
            name: What the sentence calls the budget.

        Returns:
            The bound's name and a sentence about it; None if the call may be made.
        """
        used: dict[str, float] = {"max_seconds": spent.seconds}
        if kind == "model":
            used |= {
                "max_cost_usd": spent.cost_usd,
                "max_tokens": spent.tokens,
                "max_requests": spent.requests,
            }
        else:
            used["max_tool_calls"] = spent.tool_calls
        for limit, value in used.items():
            bound: float | None = getattr(self, limit)
            if bound is not None and value >= bound:
                return limit, f"The {name} is used up: {limit} is {bound:g}, {value:g} are used."
        return None
