"""What a session may use up, and whether it has."""

from dataclasses import dataclass
from typing import Literal

from mbxai.agent._snapshot import AgentSnapshot
from mbxai.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bounds of what a session uses, over all its turns; None sets no bound.

    A bound is checked before the next call: the run then rests with `BudgetExceededError`,
    nothing is lost, and the same session goes on when it is called with a larger budget. Calls
    that are under way are not cut off, so what they cost may pass the bound.

    Attributes:
        max_cost_usd: USD that OpenRouter charged (`usage.cost`).
        max_tokens: Tokens of prompts and answers together.
        max_requests: Model calls.
        max_tool_calls: Tool calls.
        max_seconds: Seconds of one call of `agent()`.

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
        self,
        snapshot: AgentSnapshot,
        seconds: float,
        *,
        kind: Literal["model", "tool"],
        under_way: int,
    ) -> tuple[str, str] | None:
        """Say which bound a further call would pass.

        Args:
            snapshot: The session's state.
            seconds: Seconds since this call of `agent()` began.
            kind: What is to be called.
            under_way: Calls of that kind that have begun and not come back.

        Returns:
            The bound's name and a sentence about it; None if the call may be made.
        """
        total = snapshot.token_summary.total()
        used: dict[str, float] = {
            "max_cost_usd": total.cost_usd,
            "max_tokens": total.total_tokens,
            "max_seconds": seconds,
        }
        if kind == "model":
            used["max_requests"] = snapshot.model_calls + under_way
        else:
            used = {"max_tool_calls": snapshot.tool_calls + under_way, "max_seconds": seconds}
        for name, value in used.items():
            bound: float | None = getattr(self, name)
            if bound is not None and value >= bound:
                return name, f"The budget is used up: {name} is {bound:g}, {value:g} are used."
        return None
