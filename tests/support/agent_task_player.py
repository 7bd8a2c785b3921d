"""A `Player` whose tools give what a test says, and whose model also sums up."""

from typing import Any

from support.agent_player import USAGE, Player

from mbxai.agent.machine._inputs import Input, ModelReturned, ToolPolicy, ToolReturned
from mbxai.agent.machine._snapshot import ModelCall, ModelStep, PlannedCall, ToolCall


class TaskPlayer(Player):
    """Plays tasks with tools.

    Attributes:
        results: What tools give, by name: texts in order, the last one again and again; an
            exception is an error of the tool.
        summaries: What the model answers when it has to sum up, in order.
        window: Most tokens of the model's conversation.
        tokens: Tokens that are reported for each message of a task; without any, 15.
    """

    def __init__(self, *plans: Any, **options: Any) -> None:
        self.results: dict[str, list[str | Exception]] = options.pop("results", {})
        self.summaries: list[str | None] = options.pop("summaries", [])
        self.window: int | None = options.pop("window", None)
        self.tokens: list[int] = options.pop("tokens", [])
        self.summed_up: list[ModelCall] = []
        super().__init__(*plans, **options)

    def outcome(self, call: ModelCall | ToolCall) -> Input:
        if isinstance(call, ToolCall):
            return self._ran(call)
        if call.step is ModelStep.COMPACTION:
            self.summed_up.append(call)
            summary = self.summaries.pop(0) if self.summaries else "Nothing."
            return ModelReturned(call_id=call.id, value={"summary": summary}, usage=USAGE)
        outcome = super().outcome(call)
        assert isinstance(outcome, ModelReturned)
        changes: dict[str, Any] = {"context_window": self.window}
        if call.step is ModelStep.TASK and self.tokens:
            total = self.tokens.pop(0)
            changes["usage"] = USAGE.model_copy(update={"total_tokens": total})
        return outcome.model_copy(update=changes)

    def _ran(self, call: ToolCall) -> ToolReturned:
        self.ran.append(call)
        given = self.results.get(call.name) or [f"{call.name} ran"]
        result = given.pop(0) if len(given) > 1 else given[0]
        return ToolReturned(
            call_id=call.id, content=str(result), is_error=isinstance(result, Exception)
        )

    def to_tasks(self) -> "TaskPlayer":
        """Answer calls until the first tasks have begun."""
        while not self.snapshot.runs or not any(call.task_id for call in self.snapshot.calls):
            self.give(self.outcome(self.snapshot.calls[0]))
        return self

    def named(self, *names: str) -> "TaskPlayer":
        """Have the plan name these tools, and no others."""
        self.snapshot = self.snapshot.model_copy(update={"named_tools": names})
        return self

    def fill_in(self, key: str, name: str, arguments: str = "{}", **fields: Any) -> "TaskPlayer":
        """Have the plan begin a task that has not started with a call of a tool."""
        planned = PlannedCall(name=name, arguments=arguments, **fields)
        runs = {
            task_id: run.model_copy(update={"planned": planned}) if run.key == key else run
            for task_id, run in self.snapshot.runs.items()
        }
        self.snapshot = self.snapshot.model_copy(update={"runs": runs})
        return self

    def told(self, key: str) -> list[str]:
        """What the model was told of the results of tools in a task, without marks."""
        return [
            inner_of(message["content"])
            for message in self.conversation(key)
            if message["role"] == "tool"
        ]

    def task_id(self, key: str) -> str:
        return next(task_id for task_id, run in self.snapshot.runs.items() if run.key == key)

    def model_calls_of(self, key: str) -> int:
        task_id = self.task_id(key)
        return sum(c.step is ModelStep.TASK and c.task_id == task_id for c in self.prompted)


def inner_of(content: str) -> str:
    """The text between marks; a text without any as it is."""
    lines = content.split("\n")
    return "\n".join(lines[1:-1]) if content.startswith("<data-") else content


READ = ToolPolicy(effect="read")
ONCE = ToolPolicy(effect="once")
