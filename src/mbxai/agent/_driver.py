"""Runs a session until it rests: makes the machine's calls, gives it their outcomes, saves.

One task reads outcomes, advances the machine and saves; calls run beside it, as many as the plan
allows. A tool call is saved as started before it runs, so that no worker runs it again unknowingly.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic import BaseModel

import mbxai.agent._credentials as credentials
import mbxai.agent._human_tools as human_tools
import mbxai.agent._prompts as prompts
from mbxai._redaction import get_logger
from mbxai.agent._drafts import EvaluationDraft, RequirementDraft, TodoDraft, ToolAnalysisDraft
from mbxai.agent._events import AgentEvent
from mbxai.agent._inputs import (
    Input,
    ModelFailed,
    ModelRejected,
    ModelReturned,
    ToolPolicy,
    ToolReturned,
    ToolStarted,
)
from mbxai.agent._machine import advance
from mbxai.agent._ports import ClientPort, usage_of
from mbxai.agent._result_models import TokenUsage
from mbxai.agent._snapshot import AgentSnapshot, ModelCall, ModelStep, ToolCall
from mbxai.errors import (
    BadRequestError,
    MBXAIError,
    OutputError,
    OutputValidationError,
    SessionConflictError,
)
from mbxai.sessions import CredentialVault, SessionRecord, SessionStore
from mbxai.wire import Budget, Spent

logger = get_logger(__name__)

_Outcome = tuple[str, Input | None]
"""A call's id, and what came of it; None for a call that was stopped."""

_DRAFTS: dict[ModelStep, type[BaseModel]] = {
    ModelStep.REQUIREMENT: RequirementDraft,
    ModelStep.TOOLS: ToolAnalysisDraft,
    ModelStep.PLAN: TodoDraft,
    ModelStep.EVALUATION: EvaluationDraft,
}


class Driver:
    """One run of one session.

    Attributes:
        snapshot: The state so far; saved whenever it changed.
        exhausted: The budget's bound that stopped the run, and a sentence about it; else None.
        final_value: The final response as the model gave it, if this run came to it.
    """

    def __init__(
        self,
        snapshot: AgentSnapshot,
        record: SessionRecord,
        *,
        owner: str,
        lease_seconds: float,
        port: ClientPort,
        store: SessionStore,
        vault: CredentialVault,
        final_type: type[BaseModel] | None,
        budget: Budget,
        observe: Callable[[AgentEvent], object],
    ) -> None:
        self.snapshot = snapshot
        self.exhausted: tuple[str, str] | None = None
        self.final_value: BaseModel | None = None
        self._record = record
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._port = port
        self._store = store
        self._vault = vault
        self._final_type = final_type
        self._budget = budget
        self._observe = observe
        self._running: dict[str, anyio.CancelScope] = {}
        self._began = time.monotonic()

    async def apply(self, *events: Input) -> None:
        """Advance the machine by these inputs and save.

        Args:
            events: Inputs, in order; if one does not fit, nothing is changed.

        Raises:
            InteractionError: An answer does not fit.
            SessionError: The session cannot be saved.
        """
        snapshot, emitted = self.snapshot, list[AgentEvent]()
        for event in events:
            step = advance(snapshot, event)
            snapshot = step.snapshot
            emitted.extend(step.events)
        self.snapshot = snapshot
        await self._save()
        for event in emitted:
            logger.debug("agent %s: %s", snapshot.agent_id, event.type)
            self._observe(event)

    async def run(self) -> None:
        """Run until the session rests.

        Raises:
            SessionError: The session cannot be saved, or another worker took it over.
        """
        outcomes, inbox = anyio.create_memory_object_stream[_Outcome](math.inf)
        with outcomes, inbox:
            try:
                async with anyio.create_task_group() as group:
                    await self._launch(group, outcomes)
                    while self._running:
                        outcome = await self._next_outcome(inbox)
                        if outcome is not None:
                            await self.apply(outcome)
                        await self._launch(group, outcomes)
            except BaseExceptionGroup as errors:
                first = _first_error(errors)
                raise first from first.__cause__

    # --- running calls ----------------------------------------------------------------------------

    async def _launch(self, group: TaskGroup, outcomes: MemoryObjectSendStream[_Outcome]) -> None:
        """Start the open calls that do not run yet; none after a failure or past the budget."""
        self.exhausted = None
        if self.snapshot.error is not None:
            self._cancel_model_calls()
            return
        starting: list[ModelCall | ToolCall] = []
        for call in self.snapshot.calls:
            if call.id not in self._running and self._may_start(call, starting):
                starting.append(call)
        if tools := tuple(call.id for call in starting if isinstance(call, ToolCall)):
            await self.apply(ToolStarted(call_ids=tools))
        ids = {call.id for call in starting}
        for call in self.snapshot.calls:
            if call.id in ids:
                scope = anyio.CancelScope()
                self._running[call.id] = scope
                group.start_soon(self._run_call, call, scope, outcomes)

    def _may_start(
        self, call: ModelCall | ToolCall, starting: Sequence[ModelCall | ToolCall]
    ) -> bool:
        """Check the budget, counting calls that are under way, or about to be, as made."""
        under_way = [other for other in self.snapshot.calls if other.id in self._running]
        running = sum(other.kind == call.kind for other in (*under_way, *starting))
        reached = self._budget.reached(self._spent(running), call.kind)
        self.exhausted = self.exhausted or reached
        return reached is None

    def _spent(self, under_way: int) -> Spent:
        total = self.snapshot.token_summary.total()
        return Spent(
            cost_usd=total.cost_usd,
            tokens=total.total_tokens,
            requests=self.snapshot.model_calls + under_way,
            tool_calls=self.snapshot.tool_calls + under_way,
            seconds=time.monotonic() - self._began,
        )

    def _cancel_model_calls(self) -> None:
        """Stop what only costs money; a tool that runs is waited for, its outcome must be known."""
        for call in self.snapshot.calls:
            if isinstance(call, ModelCall) and call.id in self._running:
                self._running[call.id].cancel()

    async def _run_call(
        self,
        call: ModelCall | ToolCall,
        scope: anyio.CancelScope,
        outcomes: MemoryObjectSendStream[_Outcome],
    ) -> None:
        outcome: Input | None = None
        with scope:
            if isinstance(call, ModelCall):
                outcome = await self._call_model(call)
            else:
                outcome = await self._call_tool(call)
        outcomes.send_nowait((call.id, outcome))

    async def _next_outcome(self, inbox: MemoryObjectReceiveStream[_Outcome]) -> Input | None:
        """Wait for a call to end, and return None if it was stopped; renew the lease meanwhile."""
        while True:
            with anyio.move_on_after(self._lease_seconds / 3):
                call_id, outcome = await inbox.receive()
                del self._running[call_id]
                return outcome
            await self._renew()

    async def _renew(self) -> None:
        """Prolong the lease; if it ran out and another worker came in between, end this run."""
        record = await self._store.claim(
            self._record.agent_id, owner=self._owner, lease_seconds=self._lease_seconds
        )
        if (record.fence, record.version) == (self._record.fence, self._record.version):
            return
        await self._store.release(record, owner=self._owner)
        raise SessionConflictError(
            f"Session {record.agent_id!r} was taken over or deleted meanwhile; this run's later "
            "changes were discarded.",
            hint="Call agent() again to go on from what is stored.",
            agent_id=record.agent_id,
        )

    async def _save(self) -> None:
        data = self.snapshot.model_dump(mode="json")
        self._record = await self._store.save(self._record, data, owner=self._owner)

    # --- the model --------------------------------------------------------------------------------

    async def _call_model(self, call: ModelCall) -> Input:
        try:
            return await self._ask(call)
        except OutputError as error:
            problems = error.problems if isinstance(error, OutputValidationError) else ()
            return ModelRejected(
                call_id=call.id,
                problems=problems or (error.message,),
                usage=usage_of(error.completion) if error.completion else TokenUsage(),
                error_type=type(error).__name__,
            )
        except MBXAIError as error:
            return ModelFailed(
                call_id=call.id,
                error_type=type(error).__name__,
                message=str(error),
                # The same request would be refused again; anything else may pass or be put right.
                retryable=not isinstance(error, BadRequestError),
            )

    async def _ask(self, call: ModelCall) -> ModelReturned:
        infos = self._port.tool_infos(self.snapshot.tools)
        if call.step is ModelStep.TASK:
            messages = self.snapshot.runs[str(call.task_id)].messages
            reply = await self._port.message(messages, self._offered_tools())
        else:
            wanted = self._final_type if call.step is ModelStep.FINAL else _DRAFTS[call.step]
            if wanted is None:
                raise MBXAIError(
                    "The run cannot be finished without the model of its final response.",
                    hint="Pass final_response_structure again.",
                )
            reply = await self._port.structured(
                prompts.step_messages(self.snapshot, call, infos), wanted
            )
            if call.step is ModelStep.FINAL:
                self.final_value = reply.parsed
        return ModelReturned(
            call_id=call.id,
            value=reply.value,
            usage=reply.usage,
            finish_reason=reply.finish_reason,
            policies={
                info.name: ToolPolicy(effect=info.effect, requires_approval=info.requires_approval)
                for info in infos
            },
        )

    def _offered_tools(self) -> Sequence[Any]:  # Any: tool definitions of the wire
        tools = self._port.tool_definitions(self.snapshot.tools)
        if self.snapshot.human_in_loop:
            tools = [*tools, *human_tools.definitions(self.snapshot.dialog_options)]
        return tools

    # --- tools ------------------------------------------------------------------------------------

    async def _call_tool(self, call: ToolCall) -> ToolReturned:
        agent_id = self.snapshot.agent_id
        infos = {info.name: info for info in self._port.tool_infos(self.snapshot.tools)}
        tool = infos.get(call.name)
        # Taken before the call, so that what it uses is scrubbed even if it is revoked meanwhile.
        arguments = credentials.resolved(agent_id, tool, call.arguments, self._vault)
        secrets = credentials.injectable(agent_id, self._vault)
        scrub = self._vault.scrubber(agent_id)
        refusal = arguments.refusal
        if tool is None:
            known = ", ".join(infos) or "none"
            refusal = f"There is no tool {call.name!r}. Tools that may be used: {known}."
        elif tool.requires_approval and not call.approved:
            refusal = f"{call.name} needs the approval of a person now. Nothing was run."
        if refusal is not None:
            return ToolReturned(call_id=call.id, content=refusal, is_error=True)
        result = await self._port.call_tool(
            call.name,
            arguments.text,
            call_id=call.call_id,
            session_id=agent_id,
            idempotency_key=f"{agent_id}:{call.id}",
            secrets=secrets,
            scrub=scrub,
            attempt=call.attempt,
        )
        # A user's own client may not have scrubbed.
        return ToolReturned(
            call_id=call.id, content=scrub(result.content), is_error=result.is_error
        )


def _first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one error that ended a run; the others only followed from it."""
    first = errors.exceptions[0]
    return _first_error(first) if isinstance(first, BaseExceptionGroup) else first  # pyright: ignore[reportUnknownArgumentType]
