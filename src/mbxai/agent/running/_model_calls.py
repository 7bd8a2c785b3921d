"""One call of the model: what it is asked, and what the machine is told of the answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

import mbxai.agent.machine._caching as caching
import mbxai.agent.machine._compaction as compaction
import mbxai.agent.machine._drafts as drafts
import mbxai.agent.machine._human_tools as human_tools
import mbxai.agent.machine._prompts as prompts
import mbxai.agent.running._approvals as approvals
from mbxai._telemetry import Span
from mbxai.agent._ports import ClientPort, Reply
from mbxai.agent._usage import usage_of_error
from mbxai.agent.machine._inputs import Input, ModelFailed, ModelRejected, ModelReturned
from mbxai.agent.machine._snapshot import AgentSnapshot, ModelCall, ModelStep
from mbxai.agent.running._response_text import ResponseText
from mbxai.agent.running._stored_types import stored_type
from mbxai.agent.running._tracing import RunTrace
from mbxai.agent.running._windows import LONG_CONVERSATION, ContextWindows
from mbxai.errors import BadRequestError, MBXAIError, OutputError, OutputValidationError

_GIVES_RESPONSE: Final = {ModelStep.FINAL: None, ModelStep.CONCLUSION: "final_response"}
"""Steps whose answer holds the final response, and the member that it stands in."""

_Messages = Sequence[Mapping[str, Any]]  # Any: messages of the wire


class ModelCaller:
    """Calls the model for one run.

    Attributes:
        final_value: The final response as the model gave it, if this run came to it.
    """

    def __init__(
        self,
        port: ClientPort,
        final_type: type[BaseModel] | None,
        windows: ContextWindows,
        trace: RunTrace,
        *,
        on_text: Callable[[str], object] | None,
    ) -> None:
        """Prepare; nothing is called.

        Args:
            port: The client.
            final_type: The model of the final response, if the caller gave one.
            windows: How long conversations may be.
            trace: The run's spans.
            on_text: Gets the JSON text of the final response as it comes; None if nobody wants it.
        """
        self.final_value: BaseModel | None = None
        self._port = port
        self._final_type = final_type
        self._windows = windows
        self._trace = trace
        self._on_text = on_text

    async def call(self, call: ModelCall, snapshot: AgentSnapshot, span: Span) -> Input:
        """Make a call and return what came of it.

        Args:
            call: The open call.
            snapshot: The state in which it is open.
            span: The call's span.
        """
        try:
            if call.step is ModelStep.TASK:
                return await self._message(call, snapshot, span)
            return await self._value(call, snapshot, span)
        except OutputError as error:
            problems = error.problems if isinstance(error, OutputValidationError) else ()
            completion = error.completion
            return ModelRejected(
                call_id=call.id,
                problems=problems or (error.message,),
                usage=usage_of_error(error),
                error_type=type(error).__name__,
                model=completion.model if completion else "",
                generation_id=completion.id if completion else "",
            )
        except MBXAIError as error:
            return ModelFailed(
                call_id=call.id,
                error_type=type(error).__name__,
                message=str(error),
                usage=usage_of_error(error),
                # The same request would be refused again; anything else may pass or be put right.
                retryable=not isinstance(error, BadRequestError),
            )

    async def _message(self, call: ModelCall, snapshot: AgentSnapshot, span: Span) -> ModelReturned:
        infos = self._port.tool_infos(snapshot.tools)
        messages = snapshot.runs[str(call.task_id)].messages
        self._trace.asked(span, messages)
        tools: Sequence[Any] = self._port.tool_definitions(snapshot.tools)  # Any: of the wire
        if snapshot.human_in_loop:
            tools = [*tools, *human_tools.definitions(snapshot.dialog_options)]
        sent = caching.marked_messages(snapshot, messages, tools)
        reply = await self._port.message(sent, tools)
        needs_approval = await approvals.needing_approval(self._port, reply.value, infos)
        window = None
        length = reply.usage.total_tokens or compaction.tokens_in([*messages, reply.value])
        if snapshot.limits.max_context_tokens is None and length > LONG_CONVERSATION:
            window = await self._windows.of_model(reply.model)
        return _returned(call, reply).model_copy(
            update={
                "policies": approvals.policies_of(infos),
                "needs_approval": needs_approval,
                "context_window": window,
            }
        )

    async def _value(self, call: ModelCall, snapshot: AgentSnapshot, span: Span) -> ModelReturned:
        stored = snapshot.final_response_structure
        final_type = self._final_type or (stored and stored_type(stored))
        wanted = drafts.wanted_type(snapshot, call, final_type)
        if wanted is None:
            raise MBXAIError(
                "The run cannot be finished without the model of its final response.",
                hint="Pass final_response_structure again.",
            )
        infos = self._port.tool_infos(snapshot.tools)
        if call.step is ModelStep.COMPACTION:
            messages: _Messages = compaction.request(snapshot, call)
        else:
            messages = prompts.step_messages(snapshot, call, infos)
        self._trace.asked(span, messages)
        if self._on_text is not None and call.step in _GIVES_RESPONSE:
            reply = await self._streamed(call, messages, wanted, self._on_text)
        else:
            reply = await self._port.structured(messages, wanted)
        if self._final_type and reply.parsed is not None and call.step in _GIVES_RESPONSE:
            self.final_value = drafts.final_of(call.step, reply.parsed)
        update: dict[str, Any] = {"policies": approvals.policies_of(infos)}  # Any: fields
        if calls := drafts.planned_calls(reply.parsed):
            update["needs_approval"] = await approvals.plan_needing_approval(
                self._port, calls, infos
            )
        return _returned(call, reply).model_copy(update=update)

    async def _streamed(
        self,
        call: ModelCall,
        messages: _Messages,
        wanted: type[BaseModel],
        on_text: Callable[[str], object],
    ) -> Reply:
        text = ResponseText(_GIVES_RESPONSE[call.step])

        def feed(piece: str) -> None:
            if found := text.feed(piece):
                on_text(found)

        return await self._port.streamed(messages, wanted, feed)


def _returned(call: ModelCall, reply: Reply) -> ModelReturned:
    return ModelReturned(
        call_id=call.id,
        value=reply.value,
        usage=reply.usage,
        finish_reason=reply.finish_reason,
        model=reply.model,
        generation_id=reply.generation_id,
    )
