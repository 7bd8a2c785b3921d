"""Runs as events of AG-UI 1.0, the protocol between agents and their front ends. Pure.

Phases are steps, the plan is the shared state (a snapshot, then JSON patches), tools are tool
calls, and what people are asked is an interrupt: the run ends with it, and the next run resumes.
Source of the shapes: the schema of AG-UI 1.0, https://docs.ag-ui.com.
"""

import json
from typing import Any, Final, TypeAlias

from mbxai.agent.events import (
    AgentEvent,
    GoalEvaluated,
    PlanChanged,
    StateChanged,
    TaskChanged,
    ToolCalled,
    ToolEnded,
)
from mbxai.agent.models import AgentResponse, AgentState, HumanInLoopRequest
from mbxai.serving._forms import answer_schema
from mbxai.serving._front_end import CANCELLED, PHASES, json_of, text_of
from mbxai.serving._problems import Problem

AGUIEvent: TypeAlias = dict[str, Any]  # Any: JSON of the wire
"""One event on the wire."""

PROTOCOL_VERSION: Final = "1.0"


class AGUIRun:
    """One run of a thread, from `begin` over any number of `add` to `end` or `fail`."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        """Start before the first event.

        Args:
            thread_id: The session's id.
            run_id: As the front end named the run.
        """
        self._ids = {"threadId": thread_id, "runId": run_id}
        self._step = ""
        self._tasks: list[str] = []
        self._open: dict[str, str] = {}  # calls of tools: our id of each that has not ended
        self._calls = 0

    def begin(self, response: AgentResponse[Any]) -> list[AGUIEvent]:
        """Return the first events.

        Args:
            response: How the session stands before.
        """
        self._note_plan(response.todo_list)
        return [
            {"type": "RUN_STARTED", **self._ids, "protocolVersion": PROTOCOL_VERSION},
            {"type": "STATE_SNAPSHOT", "snapshot": _state_of(response)},
        ]

    def add(self, event: AgentEvent) -> list[AGUIEvent]:
        """Return what an event of the session is here; often nothing.

        Args:
            event: What happened.
        """
        if isinstance(event, StateChanged):
            return [*self._entered(event.state), _changed("/state", event.state.value)]
        if isinstance(event, PlanChanged):
            self._note_plan(event.todo_list)
            return [_changed("/todo_list", event.todo_list.model_dump(mode="json"))]
        if isinstance(event, TaskChanged):
            if event.task.id not in self._tasks:
                return []
            place = f"/todo_list/tasks/{self._tasks.index(event.task.id)}"
            return [_changed(place, event.task.model_dump(mode="json"), op="replace")]
        if isinstance(event, GoalEvaluated):
            return [_changed("/goal_evaluation", event.evaluation.model_dump(mode="json"))]
        if isinstance(event, ToolCalled):
            return self._called(event)
        if isinstance(event, ToolEnded) and (call_id := self._open.pop(event.call_id, "")):
            return [
                {
                    "type": "TOOL_CALL_RESULT",
                    "messageId": f"{call_id}-result",
                    "toolCallId": call_id,
                    "content": event.content,
                    "role": "tool",
                }
            ]
        return []

    def end(self, response: AgentResponse[Any]) -> list[AGUIEvent]:
        """Return the last events of a run that rests.

        Args:
            response: How the session stands now.
        """
        last = self._left()
        if response.error is not None and response.error.type != CANCELLED:
            return [*last, _error(response.error.message, response.error.type)]
        finished: AGUIEvent = {"type": "RUN_FINISHED", **self._ids}
        if response.error is not None:
            return [*last, finished | {"outcome": {"type": "cancelled"}}]
        if asked := response.human_interaction_requests:
            interrupts = [_interrupt(request) for request in asked]
            return [*last, finished | {"outcome": {"type": "interrupt", "interrupts": interrupts}}]
        result = json_of(response.final_response)
        last += [_changed("/final_response", result), *self._said(text_of(result))]
        return [*last, finished | {"outcome": {"type": "success"}, "result": result}]

    def fail(self, problem: Problem) -> list[AGUIEvent]:
        """Return the last events of a stream that cannot tell how the run ends.

        Args:
            problem: What went wrong.
        """
        return [*self._left(), _error(problem.message, problem.code)]

    def _entered(self, state: AgentState) -> list[AGUIEvent]:
        left = self._left()
        if state not in PHASES:
            return left
        self._step = state.value
        return [*left, {"type": "STEP_STARTED", "stepName": self._step}]

    def _left(self) -> list[AGUIEvent]:
        step, self._step = self._step, ""
        return [{"type": "STEP_FINISHED", "stepName": step}] if step else []

    def _called(self, event: ToolCalled) -> list[AGUIEvent]:
        # A call that is made again, after an approval or a crash, is another one here.
        self._calls += 1
        call_id = self._open[event.call_id] = f"{self._ids['runId']}-{self._calls}"
        return [
            {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": event.name},
            {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": event.arguments},
            {"type": "TOOL_CALL_END", "toolCallId": call_id},
        ]

    def _said(self, text: str) -> list[AGUIEvent]:
        message = {"messageId": f"{self._ids['runId']}-answer"}
        return [
            {"type": "TEXT_MESSAGE_START", **message, "role": "assistant"},
            {"type": "TEXT_MESSAGE_CONTENT", **message, "delta": text},
            {"type": "TEXT_MESSAGE_END", **message},
        ]

    def _note_plan(self, plan: Any) -> None:  # Any: TodoList or None
        self._tasks = [task.id for task in plan.tasks] if plan else []


def encode_ag_ui(event: AGUIEvent) -> bytes:
    """Return an event as a server-sent one.

    Args:
        event: The event.
    """
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode(errors="replace")


def _state_of(response: AgentResponse[Any]) -> dict[str, Any]:
    plan, evaluation = response.todo_list, response.goal_evaluation
    return {
        "state": response.state.value,
        "todo_list": plan.model_dump(mode="json") if plan else None,
        "goal_evaluation": evaluation.model_dump(mode="json") if evaluation else None,
        "final_response": json_of(response.final_response),
    }


def _changed(path: str, value: object, *, op: str = "add") -> AGUIEvent:
    # "add" replaces a member that there is.
    return {"type": "STATE_DELTA", "delta": [{"op": op, "path": path, "value": value}]}


def _error(message: str, code: str) -> AGUIEvent:
    return {"type": "RUN_ERROR", "message": message, "code": code}


def _interrupt(request: HumanInLoopRequest) -> AGUIEvent:
    interrupt: AGUIEvent = {
        "id": request.id,
        "reason": request.interaction_type.value,
        "message": request.prompt,
        "responseSchema": answer_schema(request),
        "metadata": {
            "context": request.context,
            "options": request.options,
            "dialogOptions": [o.model_dump(mode="json") for o in request.dialog_options],
        },
    }
    if request.expires_at is not None:
        interrupt["expiresAt"] = request.expires_at.isoformat()
    return interrupt
