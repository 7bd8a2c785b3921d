"""One transition in the making: the snapshot so far, and the events that it gives out.

The machine's handlers are written against `Work`; from outside a transition stays a pure function.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

import mbxai.agent.machine._transitions as transitions
from mbxai.agent._events import (
    AgentEvent,
    HumanRequested,
    RunFailed,
    StateChanged,
    TaskChanged,
    UsageAdded,
)
from mbxai.agent._human_models import HumanInLoopRequest
from mbxai.agent._plan_models import Task, TaskStatus, TodoList
from mbxai.agent._result_models import AgentFailure, AgentState, ModelCallUsage, TokenUsage
from mbxai.agent.machine._inputs import ModelFailed, ModelRejected, ModelReturned
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    Interaction,
    ModelCall,
    ModelStep,
    TaskRun,
    ToolCall,
)
from mbxai.wire import form_fields

SUMMARY_FIELDS: Final = {
    ModelStep.REQUIREMENT: "requirement_analysis",
    ModelStep.TOOLS: "tool_analysis",
    ModelStep.PLAN: "todo_generation",
    ModelStep.PLANNING: "todo_generation",
    ModelStep.TASK: "task_execution",
    ModelStep.COMPACTION: "task_execution",
    ModelStep.EVALUATION: "goal_evaluation",
    ModelStep.CONCLUSION: "final_response",
    ModelStep.FINAL: "final_response",
    ModelStep.QUALITY: "final_response",
}
"""The field of `TokenSummary` in which a step is counted."""


class Work:
    """A transition in the making.

    Attributes:
        snapshot: The state so far; replaced, never changed.
        now: When the transition takes place, in seconds since 1970; 0.0: not known.
        events: What observers will see, in order.
    """

    def __init__(self, snapshot: AgentSnapshot, now: float = 0.0) -> None:
        self.snapshot = snapshot
        self.now = now
        self.events: list[AgentEvent] = []

    def update(self, **changes: Any) -> None:  # Any: fields of AgentSnapshot
        """Replace the snapshot by a copy with these fields changed."""
        self.snapshot = self.snapshot.model_copy(update=changes)

    def emit(self, event: AgentEvent) -> None:
        """Give an event to the observers, under the next number."""
        number = self.snapshot.event_sequence + 1
        self.update(event_sequence=number)
        self.events.append(event.model_copy(update={"seq": number}))

    def new_id(self) -> str:
        """Return an id that the agent id, the nonce and the sequence number determine."""
        sequence = self.snapshot.sequence + 1
        self.update(sequence=sequence)
        name = f"{self.snapshot.agent_id}:{self.snapshot.nonce}:{sequence}"
        return str(uuid5(NAMESPACE_OID, name))

    def enter(self, state: AgentState) -> None:
        """Change the state, if it is another one; see `_transitions`."""
        if self.snapshot.state is not state:
            transitions.check(self.snapshot.state, state)
            self.update(state=state)
            self.emit(StateChanged(state=state))

    def fail(self, failure: AgentFailure) -> None:
        """Rest in FAILED; open calls stay for a retry, or are dropped if there can be none."""
        self.update(error=failure, failures=self.snapshot.failures + 1)
        if not failure.retryable:
            self.update(calls=())
            self.withdraw(self.snapshot.open_interactions())
        self.enter(AgentState.FAILED)
        self.emit(RunFailed(error=failure))

    # --- calls ------------------------------------------------------------------------------------

    def call_model(
        self,
        step: ModelStep,
        *,
        task_id: str | None = None,
        attempt: int = 1,
        feedback: tuple[str, ...] = (),
    ) -> None:
        """Open a model call."""
        call = ModelCall(
            id=self.new_id(), step=step, task_id=task_id, attempt=attempt, feedback=feedback
        )
        self.update(calls=(*self.snapshot.calls, call))

    def call_tool(self, call: ToolCall) -> None:
        """Open a tool call."""
        self.update(calls=(*self.snapshot.calls, call))

    def close_call(self, call_id: str) -> ModelCall | ToolCall | None:
        """Close an open call; None if it is not open (an answer that came twice)."""
        call = next((c for c in self.snapshot.calls if c.id == call_id), None)
        if call is not None:
            self.update(calls=tuple(c for c in self.snapshot.calls if c.id != call_id))
        return call

    def count(
        self,
        call: ModelCall,
        event: ModelReturned | ModelRejected | ModelFailed,
        *,
        asked_person: bool = False,
    ) -> None:
        """Add a model call's usage to its step, and to the ledger."""
        summary, usage = self.snapshot.token_summary, event.usage
        field = "dialog_interactions" if asked_person else SUMMARY_FIELDS[call.step]
        before: TokenUsage | list[TokenUsage] = getattr(summary, field)
        value = [*before, usage] if isinstance(before, list) else before + usage
        entry = ModelCallUsage(
            **usage.model_dump(),
            step=call.step.value,
            task_id=call.task_id,
            turn=self.snapshot.turn,
            attempt=call.attempt,
            model=event.model,
            generation_id=event.generation_id,
            is_usable=isinstance(event, ModelReturned),
        )
        self.update(
            token_summary=summary.model_copy(update={field: value}),
            model_calls=self.snapshot.model_calls + 1,
            ledger=(*self.snapshot.ledger, entry),
        )
        self.emit(UsageAdded(step=field, usage=usage))

    # --- tasks ------------------------------------------------------------------------------------

    def tasks(self) -> list[Task]:
        """Return the plan's tasks, in plan order."""
        return self.snapshot.todo_list.tasks if self.snapshot.todo_list else []

    def task(self, task_id: str) -> Task:
        """Return one task of the plan."""
        return next(task for task in self.tasks() if task.id == task_id)

    def change_task(self, task_id: str, **changes: Any) -> None:  # Any: fields of Task
        """Change a task of the plan."""
        changed = self.task(task_id).model_copy(update=changes)
        tasks = [changed if task.id == task_id else task for task in self.tasks()]
        total = self.snapshot.todo_list.estimated_total_time if self.snapshot.todo_list else None
        self.update(todo_list=TodoList(tasks=tasks, estimated_total_time=total))
        if "status" in changes:
            self.emit(TaskChanged(task=changed))

    def end_task(
        self,
        task_id: str,
        status: TaskStatus,
        *,
        result: str | None = None,
        error: str | None = None,
    ) -> None:
        """End a task, drop its open calls and withdraw its open requests."""
        self.update(calls=tuple(c for c in self.snapshot.calls if c.task_id != task_id))
        self.withdraw([i for i in self.snapshot.open_interactions() if i.task_id == task_id])
        self.change_task(task_id, status=status, result=result, error_message=error)

    def run(self, task_id: str) -> TaskRun:
        """Return how a task is being executed."""
        return self.snapshot.runs[task_id]

    def change_run(self, task_id: str, **changes: Any) -> None:  # Any: fields of TaskRun
        """Change how a task is being executed."""
        changed = self.run(task_id).model_copy(update=changes)
        self.update(runs={**self.snapshot.runs, task_id: changed})

    def withdraw(self, interactions: Iterable[Interaction]) -> None:
        """Want no answer to these requests any more; late ones are taken and change nothing."""
        ids = {interaction.id for interaction in interactions}
        self.update(
            interactions=tuple(
                i.model_copy(update={"withdrawn": True}) if i.id in ids else i
                for i in self.snapshot.interactions
            )
        )

    # --- people -----------------------------------------------------------------------------------

    def ask(self, interaction: Interaction) -> None:
        """Open a request to a person; it expires if the turn has a deadline and a clock."""
        deadline = self.snapshot.limits.deadline
        if deadline is not None and self.now > 0:
            expires_at = self.now + deadline.seconds
            interaction = interaction.model_copy(update={"expires_at": expires_at})
        self.update(interactions=(*self.snapshot.interactions, interaction))
        self.emit(HumanRequested(request=request_of(self.snapshot, interaction)))


def request_of(snapshot: AgentSnapshot, interaction: Interaction) -> HumanInLoopRequest:
    """Return a request in its public form.

    Args:
        snapshot: The state, for the dialogue options.
        interaction: The request.

    Returns:
        The request with the dialogue that it names, if it names one.
    """
    question = interaction.question
    return HumanInLoopRequest(
        id=interaction.id,
        interaction_type=interaction.interaction_type,
        prompt=interaction.prompt,
        options=list(interaction.options),
        dialog_options=[o for o in snapshot.dialog_options if o.id == interaction.dialog_option_id],
        context=interaction.context,
        task_id=interaction.task_id or None,
        response_schema=question.form if question and form_fields(question.form) else None,
        url=question.url if question else "",
        source=question.source if question else "",
        expires_at=None
        if interaction.expires_at is None
        else datetime.fromtimestamp(interaction.expires_at, UTC),
    )
