"""The spans of a run: the run, its steps, the tasks, and the calls of models and tools.

A step or a task is no block of code, so its span begins and ends with the events that tell of it;
calls are given the span that they belong to, though many run at the same time. Names and attributes
follow OpenTelemetry's conventions for generative AI. Titles, prompts, arguments and results are
content: they are only in a span if the application asks for that.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import mbxai._telemetry as telemetry
import mbxai.agent.running._span_content as content
from mbxai._redaction import redact
from mbxai._settings import telemetry_settings
from mbxai._telemetry import NOTHING, Span, Value
from mbxai.agent._events import AgentEvent, BudgetReached, RunFailed, StateChanged, TaskChanged
from mbxai.agent._plan_models import TaskStatus
from mbxai.agent._ports import ClientPort
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._inputs import (
    Input,
    ModelFailed,
    ModelRejected,
    ModelReturned,
    ToolReturned,
)
from mbxai.agent.machine._snapshot import AgentSnapshot, ModelCall, ModelStep, ToolCall

_RESTS: Final = frozenset({AgentState.COMPLETED, AgentState.FAILED, AgentState.WAITING_FOR_HUMAN})
_OWN_CLIENTS: Final = "mbxai.openrouter"


class RunTrace:
    """The spans of one run."""

    def __init__(
        self, snapshot: AgentSnapshot, port: ClientPort, *, is_traced: bool = True
    ) -> None:
        """Begin the span of the run inside of the caller's, or of whoever began the turn.

        Args:
            snapshot: The session as the run finds it.
            port: The client that the run uses.
            is_traced: Whether it is a run; what only changes a stored session has no span.
        """
        self._common: dict[str, Value] = {"gen_ai.conversation.id": snapshot.agent_id}
        attributes = {"gen_ai.operation.name": "invoke_agent", **self._common}
        self.run = (
            telemetry.begun("invoke_agent", attributes, traceparent=snapshot.traceparent)
            if is_traced
            else NOTHING
        )
        self._model = port.model
        is_own = type(port.model_client).__module__.startswith(_OWN_CLIENTS)
        self._provider = "openrouter" if is_own else ""
        self._state = snapshot.state
        self._step = NOTHING
        self._tasks: dict[str, Span] = {}
        self.has_content = self.run.is_recording and telemetry_settings().has_content

    def observe(self, event: AgentEvent) -> None:
        """Begin and end the spans of steps and tasks.

        Args:
            event: What happened.
        """
        if not self.run.is_recording:
            return
        match event:
            case StateChanged():
                self._state = event.state
                self._step.end()
                self._step = NOTHING
            case TaskChanged() if event.task.status is TaskStatus.IN_PROGRESS:
                self._task(event.task.id)
            case TaskChanged() if event.task.status is not TaskStatus.PENDING:
                self._end_task(event.task.id, event.task.status)
            case RunFailed():
                self.run.fail(event.error.type)
            case BudgetReached():
                self.run.fail("BudgetExceededError")
            case _:
                pass

    @contextmanager
    def span(self) -> Generator[None]:
        """Make the run's span the current one; after the block all spans of the run have ended."""
        with self.run.current():
            try:
                yield
            finally:
                for span in self._tasks.values():
                    span.end()
                self._tasks.clear()
                self._step.end()
                self.run.put({"mbxai.agent.state": self._state.value})

    # --- calls ------------------------------------------------------------------------------------

    def call(self, call: ModelCall | ToolCall) -> Span:
        """Begin the span of a call inside of its task's or its step's.

        Args:
            call: What is about to be called.
        """
        if not self.run.is_recording:
            return NOTHING
        parent = self._task(call.task_id) if call.task_id else self._current_step()
        if isinstance(call, ToolCall):
            return parent.child(f"execute_tool {call.name}", self._of_tool(call))
        name = f"chat {self._model}" if self._model else "chat"
        return parent.child(name, self._of_model(call), kind="client")

    def _of_tool(self, call: ToolCall) -> dict[str, Value]:
        attributes = {
            **self._common,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.call.id": call.call_id,
            "gen_ai.tool.type": "function",
        }
        if self.has_content:
            attributes["gen_ai.tool.call.arguments"] = redact(call.arguments)
        return attributes

    def _of_model(self, call: ModelCall) -> dict[str, Value]:
        attributes = {
            **self._common,
            "gen_ai.operation.name": "chat",
            "gen_ai.output.type": "text" if call.step is ModelStep.TASK else "json",
            "mbxai.agent.step": call.step.value,
            "mbxai.agent.attempt": call.attempt,
        }
        known = {"gen_ai.request.model": self._model, "gen_ai.provider.name": self._provider}
        return attributes | {name: value for name, value in known.items() if value}

    def asked(self, span: Span, messages: Sequence[Mapping[str, Any]]) -> None:  # Any: the wire's
        """Say what a model is asked, if content is wanted.

        Args:
            span: Of the call.
            messages: The conversation.
        """
        if self.has_content:
            span.put({"gen_ai.input.messages": content.messages_text(messages)})

    def came_back(self, span: Span, outcome: Input) -> None:
        """Say what became of a call.

        Args:
            span: Of the call.
            outcome: What the machine is told of it.
        """
        if not span.is_recording:
            return
        match outcome:
            case ModelReturned():
                span.put(_usage(outcome))
                if outcome.finish_reason:
                    span.put({"gen_ai.response.finish_reasons": [outcome.finish_reason]})
                if self.has_content:
                    said = content.answer_text(outcome.value, outcome.finish_reason)
                    span.put({"gen_ai.output.messages": said})
            case ModelRejected():
                span.put(_usage(outcome))
                span.fail(outcome.error_type)
            case ModelFailed():
                span.fail(outcome.error_type)
            case ToolReturned():
                if outcome.is_error:
                    span.fail("ToolError")
                if self.has_content:
                    span.put({"gen_ai.tool.call.result": redact(outcome.content)})
            case _:
                pass

    # --- steps and tasks --------------------------------------------------------------------------

    def _current_step(self) -> Span:
        if self._step is NOTHING and self._state not in _RESTS:
            named: dict[str, Value] = {"mbxai.agent.state": self._state.value}
            self._step = self.run.child(f"step {self._state.value}", self._common | named)
        return self.run if self._step is NOTHING else self._step

    def _task(self, task_id: str) -> Span:
        if task_id not in self._tasks:
            named: dict[str, Value] = {"mbxai.agent.task.id": task_id}
            self._tasks[task_id] = self._current_step().child("task", self._common | named)
        return self._tasks[task_id]

    def _end_task(self, task_id: str, status: TaskStatus) -> None:
        span = self._tasks.pop(task_id, NOTHING)
        span.put({"mbxai.agent.task.status": status.value})
        if status is TaskStatus.FAILED:
            span.fail("TaskFailed")
        span.end()


def _usage(outcome: ModelReturned | ModelRejected) -> dict[str, Value]:
    usage = outcome.usage
    counted: dict[str, Value] = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "mbxai.usage.cost_usd": usage.cost_usd,
    }
    known = {
        "gen_ai.response.model": outcome.model,
        "gen_ai.response.id": outcome.generation_id,
    }
    return counted | {name: value for name, value in known.items() if value}
