"""Runs as version 1 of the AI SDK's UI message stream, which `useChat` of Vercel reads. Pure.

Phases are steps, tools are dynamic tools, and the final response is text. Plan, phase, evaluation,
result and what people are asked are data parts; one that comes again under its id replaces the
former. Source of the shapes: `uiMessageChunkSchema` of the npm package `ai`, version 6.
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
from mbxai.agent.models import AgentResponse, TodoList
from mbxai.serving._forms import answer_schema
from mbxai.serving._front_end import CANCELLED, PHASES, json_of, text_of
from mbxai.serving._problems import Problem
from mbxai.serving._sse import SSE_HEADERS

AIUIChunk: TypeAlias = dict[str, Any]  # Any: JSON of the wire
"""One chunk on the wire."""

AI_UI_HEADERS: Final = SSE_HEADERS | {"x-vercel-ai-ui-message-stream": "v1"}
"""Headers of a response that streams chunks."""

AI_UI_DONE: Final = b"data: [DONE]\n\n"
"""The end of a stream."""


class AIUIRun:
    """One message about a session, from `begin` over any number of `add` to `end`."""

    def __init__(self, agent_id: str) -> None:
        """Start before the first chunk.

        Args:
            agent_id: The session's id.
        """
        self._agent_id = agent_id
        self._is_in_step = False
        self._plan = TodoList()
        self._open: dict[str, str] = {}  # calls of tools: our id of each that has not ended
        self._calls = 0

    def begin(self, response: AgentResponse[Any], last_event: int) -> list[AIUIChunk]:
        """Return the first chunks.

        Args:
            response: How the session stands before.
            last_event: Number (`seq`) of the session's last event.
        """
        self._calls = last_event  # so that the ids of calls differ between messages
        start: AIUIChunk = {"type": "start", "messageMetadata": self._metadata(response)}
        if response.todo_list is None:
            return [start]
        self._plan = response.todo_list
        return [start, self._plan_part()]

    def add(self, event: AgentEvent) -> list[AIUIChunk]:
        """Return what an event of the session is here; often nothing.

        Args:
            event: What happened.
        """
        if isinstance(event, StateChanged):
            return [*self._entered(event), _data("phase", {"state": event.state.value})]
        if isinstance(event, PlanChanged):
            self._plan = event.todo_list
            return [self._plan_part()]
        if isinstance(event, TaskChanged):
            tasks = [event.task if t.id == event.task.id else t for t in self._plan.tasks]
            self._plan = self._plan.model_copy(update={"tasks": tasks})
            return [self._plan_part()]
        if isinstance(event, GoalEvaluated):
            return [_data("evaluation", event.evaluation.model_dump(mode="json"))]
        if isinstance(event, ToolCalled):
            return [self._called(event)]
        if isinstance(event, ToolEnded) and (call_id := self._open.pop(event.call_id, "")):
            return [_ended(call_id, event)]
        return []

    def end(self, response: AgentResponse[Any]) -> list[AIUIChunk]:
        """Return the last chunks of a run that rests.

        Args:
            response: How the session stands now.
        """
        last = self._left()
        error, metadata = response.error, self._metadata(response)
        if error is not None and error.type == CANCELLED:
            return [*last, {"type": "abort", "reason": "cancelled"}]
        if error is not None:
            last.append({"type": "error", "errorText": error.message})
            return [*last, _finish("error", metadata)]
        if asked := response.human_interaction_requests:
            for request in asked:
                data = {"request": request.model_dump(mode="json")}
                data["answerSchema"] = answer_schema(request)
                last.append({"type": "data-interaction", "id": request.id, "data": data})
            return [*last, _finish("other", metadata)]
        result = json_of(response.final_response)
        last += [{"type": "text-start", "id": "answer"}]
        last += [{"type": "text-delta", "id": "answer", "delta": text_of(result)}]
        last += [{"type": "text-end", "id": "answer"}, _data("result", result)]
        return [*last, _finish("stop", metadata)]

    def fail(self, problem: Problem) -> list[AIUIChunk]:
        """Return the last chunks of a stream that cannot tell how the run ends.

        Args:
            problem: What went wrong.
        """
        return [*self._left(), {"type": "error", "errorText": problem.message}]

    def _entered(self, event: StateChanged) -> list[AIUIChunk]:
        left = self._left()
        if event.state not in PHASES:
            return left
        self._is_in_step = True
        return [*left, {"type": "start-step"}]

    def _left(self) -> list[AIUIChunk]:
        was_in_step, self._is_in_step = self._is_in_step, False
        return [{"type": "finish-step"}] if was_in_step else []

    def _called(self, event: ToolCalled) -> AIUIChunk:
        # A call that is made again, after an approval or a crash, is another one here.
        self._calls += 1
        call_id = self._open[event.call_id] = f"{event.name}-{self._calls}"
        return {
            "type": "tool-input-available",
            "toolCallId": call_id,
            "toolName": event.name,
            "input": _input_of(event.arguments),
            "dynamic": True,
            "providerExecuted": True,
        }

    def _plan_part(self) -> AIUIChunk:
        return _data("plan", self._plan.model_dump(mode="json"))

    def _metadata(self, response: AgentResponse[Any]) -> dict[str, Any]:
        total = response.token_summary.total()
        return {
            "agentId": self._agent_id,
            "state": response.state.value,
            "totalTokens": total.total_tokens,
            "costUsd": total.cost_usd,
        }


def encode_ai_ui(chunk: AIUIChunk) -> bytes:
    """Return a chunk as a server-sent event.

    Args:
        chunk: The chunk.
    """
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode(errors="replace")


def _data(name: str, data: object) -> AIUIChunk:
    return {"type": f"data-{name}", "id": name, "data": data}


def _finish(reason: str, metadata: dict[str, Any]) -> AIUIChunk:
    return {"type": "finish", "finishReason": reason, "messageMetadata": metadata}


def _ended(call_id: str, event: ToolEnded) -> AIUIChunk:
    told: AIUIChunk = {"toolCallId": call_id, "dynamic": True, "providerExecuted": True}
    if event.is_error:
        return {"type": "tool-output-error", "errorText": event.content} | told
    return {"type": "tool-output-available", "output": event.content} | told


def _input_of(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
