"""Plays the agent's machine without I/O: every open call gets an outcome from plain functions."""

from collections.abc import Callable, Sequence
from typing import Any

import mbxai.agent.machine._human_tools as human_tools
from mbxai.agent._result_models import TokenUsage
from mbxai.agent.machine._inputs import (
    HumanAnswered,
    Input,
    ModelReturned,
    ToolPolicy,
    ToolReturned,
    TurnStarted,
)
from mbxai.agent.machine._machine import advance
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    AnswerRecord,
    FinalSchema,
    Limits,
    ModelCall,
    ModelStep,
    ToolCall,
)

USAGE = TokenUsage(prompt_tokens=10, completion_tokens=5, total_tokens=15, cost_usd=0.001)


def task(key: str, *after: str, complexity: int = 1) -> dict[str, Any]:
    return {
        "key": key,
        "title": f"Title {key}",
        "description": f"Do {key}",
        "depends_on": list(after),
        "tools_needed": [],
        "estimated_complexity": complexity,
    }


def calling(*calls: tuple[str, str, str]) -> dict[str, Any]:
    """An assistant message that calls tools: (id, name, arguments)."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": i, "type": "function", "function": {"name": n, "arguments": a}}
            for i, n, a in calls
        ],
    }


def saying(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


class Player:
    """A scripted model and person around one session.

    `messages` maps a task's key to the assistant messages it gets, in order; a task without any
    says "done KEY". The tools of `policies`, or else those that the messages call, are there, and
    the plan names them all. `answers` maps other steps to what they get first, before what fits.
    """

    def __init__(
        self,
        *plans: Sequence[dict[str, Any]],
        messages: dict[str, list[dict[str, Any]]] | None = None,
        evaluations: Sequence[bool] = (),
        answers: dict[ModelStep, list[dict[str, Any]]] | None = None,
        policies: dict[str, ToolPolicy] | None = None,
        human_in_loop: bool = False,
        dialog_options: Sequence[Any] = (),
        limits: Limits | None = None,
        definitions: dict[str, str] | None = None,
    ) -> None:
        self.snapshot = AgentSnapshot(agent_id="agent-1")
        self.events: list[Any] = []
        self.prompted: list[ModelCall] = []
        self.ran: list[ToolCall] = []
        self._plans = list(plans)
        self._messages = {key: list(given) for key, given in (messages or {}).items()}
        self._evaluations = list(evaluations)
        self._answers = {step: list(given) for step, given in (answers or {}).items()}
        self._policies = _known_tools(self._messages) if policies is None else policies
        self._start = TurnStarted(
            prompt="reach it",
            final_response_structure=FinalSchema(name="Answer", json_schema={}),
            human_in_loop=human_in_loop,
            dialog_options=tuple(dialog_options),
            limits=limits or Limits(),
            definitions=definitions,
        )

    def give(self, *inputs: Input) -> None:
        for given in inputs:
            step = advance(self.snapshot, given)
            self.snapshot = step.snapshot
            self.events.extend(step.events)

    def start(self, prompt: str = "reach it") -> "Player":
        self.give(self._start.model_copy(update={"prompt": prompt}))
        return self

    def run(self, choose: Callable[[int], int] = lambda count: 0) -> "Player":
        """Answer open calls until none is left; `choose` picks which of them is next."""
        while self.snapshot.calls and self.snapshot.error is None:
            call = self.snapshot.calls[choose(len(self.snapshot.calls))]
            self.give(self.outcome(call))
        return self

    def outcome(self, call: ModelCall | ToolCall) -> Input:
        if isinstance(call, ToolCall):
            self.ran.append(call)
            return ToolReturned(call_id=call.id, content=f"{call.name} ran")
        self.prompted.append(call)
        return ModelReturned(
            call_id=call.id,
            value=self._value(call),
            usage=USAGE,
            finish_reason="stop",
            policies=self._policies,
        )

    def answer(self, **fields: Any) -> None:
        """Answer the first open request."""
        request = self.snapshot.open_interactions()[0]
        record = AnswerRecord(response_type=request.interaction_type, **fields)
        self.give(HumanAnswered(interaction_id=request.id, answer=record))

    def statuses(self) -> dict[str, str]:
        tasks = self.snapshot.todo_list.tasks if self.snapshot.todo_list else []
        return {self.snapshot.runs[t.id].key: t.status.value for t in tasks}

    def errors(self) -> dict[str, str | None]:
        tasks = self.snapshot.todo_list.tasks if self.snapshot.todo_list else []
        return {self.snapshot.runs[t.id].key: t.error_message for t in tasks}

    def conversation(self, key: str) -> list[dict[str, Any]]:
        return [
            message
            for run in self.snapshot.runs.values()
            if run.key == key
            for message in run.messages
        ]

    def _value(self, call: ModelCall) -> dict[str, Any]:
        if given := self._answers.get(call.step):
            return given.pop(0)
        if call.step is ModelStep.PLANNING:
            return {
                "requirement_analysis": self._value_of(ModelStep.REQUIREMENT),
                "tool_analysis": self._value_of(ModelStep.TOOLS),
                "todo_list": self._value_of(ModelStep.PLAN),
            }
        if call.step is ModelStep.CONCLUSION:
            evaluation = self._value_of(ModelStep.EVALUATION)
            final = self._value_of(ModelStep.FINAL) if evaluation["goal_achieved"] else None
            return {"goal_evaluation": evaluation, "final_response": final}
        if call.step is not ModelStep.TASK:
            return self._value_of(call.step)
        key = self.snapshot.runs[str(call.task_id)].key
        given = self._messages.get(key)
        return given.pop(0) if given else saying(f"done {key}")

    def _value_of(self, step: ModelStep) -> dict[str, Any]:
        if step is ModelStep.REQUIREMENT:
            return {
                "goal": "the goal",
                "sub_goals": [],
                "success_criteria": ["it is reached"],
                "constraints": [],
                "complexity_estimate": 3,
            }
        if step is ModelStep.TOOLS:
            return {
                "relevant_tools": [*self._policies],
                "tool_mapping": [],
                "missing_capabilities": [],
            }
        if step is ModelStep.PLAN:
            plan = self._plans.pop(0) if len(self._plans) > 1 else self._plans[0]
            return {"tasks": list(plan), "estimated_total_time": "1 minute"}
        if step is ModelStep.EVALUATION:
            achieved = self._evaluations.pop(0) if self._evaluations else True
            return {
                "feedback": "checked",
                "completed_criteria": ["it is reached"] if achieved else [],
                "remaining_criteria": [] if achieved else ["it is reached"],
                "next_steps": [],
                "completion_percentage": 100 if achieved else 40,
                "goal_achieved": achieved,
            }
        if step is ModelStep.QUALITY:
            return {"is_good": True, "feedback": ""}
        return {"text": "the answer"}


def _known_tools(messages: dict[str, list[dict[str, Any]]]) -> dict[str, ToolPolicy]:
    calls = [
        call
        for given in messages.values()
        for message in given
        for call in message.get("tool_calls") or ()
    ]
    names = dict.fromkeys(call["function"]["name"] for call in calls)
    return {name: ToolPolicy() for name in names if name not in human_tools.NAMES}
