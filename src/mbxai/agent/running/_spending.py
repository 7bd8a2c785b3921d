"""What a run may still use up: the bounds of the session, and those of one call of `agent()`."""

import time
from typing import Literal, NamedTuple

from mbxai.agent.machine._snapshot import AgentSnapshot
from mbxai.wire import Budget, Spent


class Reached(NamedTuple):
    """A bound that a further call would pass.

    Attributes:
        limit: The bound's name.
        message: A sentence about it.
        is_of_run: Whether it bounds one call of `agent()` only.
    """

    limit: str
    message: str
    is_of_run: bool


class Spending:
    """Checks two budgets, from the moment at which it is made."""

    def __init__(self, snapshot: AgentSnapshot, budget: Budget, run_budget: Budget) -> None:
        """Begin to count.

        Args:
            snapshot: The session as the run finds it.
            budget: Bounds of the session, over all its turns; its seconds are those of this run.
            run_budget: Bounds of this run.
        """
        self._began = time.monotonic()
        self._budget = budget
        self._run_budget = run_budget
        self._before = _spent(snapshot)

    def reached(
        self, snapshot: AgentSnapshot, kind: Literal["model", "tool"], under_way: int
    ) -> Reached | None:
        """Say which bound a further call would pass.

        Args:
            snapshot: The session as it stands.
            kind: What is to be called.
            under_way: Calls of that kind that have not come back; they count as made.
        """
        before, now = self._before, _spent(snapshot)
        seconds = time.monotonic() - self._began
        whole = Spent(
            cost_usd=now.cost_usd,
            tokens=now.tokens,
            requests=now.requests + under_way,
            tool_calls=now.tool_calls + under_way,
            seconds=seconds,
        )
        if found := self._budget.reached(whole, kind):
            return Reached(*found, is_of_run=False)
        since = Spent(
            cost_usd=whole.cost_usd - before.cost_usd,
            tokens=whole.tokens - before.tokens,
            requests=whole.requests - before.requests,
            tool_calls=whole.tool_calls - before.tool_calls,
            seconds=seconds,
        )
        if found := self._run_budget.reached(since, kind, name="run_budget"):
            return Reached(*found, is_of_run=True)
        return None


def _spent(snapshot: AgentSnapshot) -> Spent:
    total = snapshot.token_summary.total()
    return Spent(
        cost_usd=total.cost_usd,
        tokens=total.total_tokens,
        requests=snapshot.model_calls,
        tool_calls=snapshot.tool_calls,
    )
