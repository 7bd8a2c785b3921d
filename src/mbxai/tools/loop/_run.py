"""What a conversation with tools said and did."""

from dataclasses import dataclass, field
from typing import Any

from mbxai.tools._call import PendingCall

# Not from the package: errors carry a run, and the package imports errors.
from mbxai.wire._completion import ChatCompletion, Usage
from mbxai.wire._tools import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """What happened between the caller's messages and the answer.

    Attributes:
        messages: The whole conversation as it would be sent next, plain JSON: the caller's messages
            and those that came since. Given to the next call, it goes on from there.
        new_messages: Those that came since: the model's, and the results of tools.
        results: Results of the calls that were run or refused, in the order of the calls.
        pending: Calls that wait for the application; empty where the answer is final.
        rounds: Rounds of tool calls.
        completions: Every answer of the model, oldest first.
        usage: Tokens and cost of all of them; None if no answer named any.
    """

    messages: list[dict[str, Any]]  # Any: open JSON of the wire
    new_messages: list[dict[str, Any]]  # Any: open JSON of the wire
    results: list[ToolResult] = field(default_factory=list[ToolResult])
    pending: list[PendingCall] = field(default_factory=list[PendingCall])
    rounds: int = 0
    completions: list[ChatCompletion] = field(default_factory=list[ChatCompletion], repr=False)
    usage: Usage | None = None

    def __repr__(self) -> str:
        """Show how much happened, not what was said."""
        counts = {
            "messages": len(self.messages),
            "rounds": self.rounds,
            "results": len(self.results),
            "pending": len(self.pending),
            "completions": len(self.completions),
        }
        return f"ToolRun({', '.join(f'{name}={count}' for name, count in counts.items())})"
