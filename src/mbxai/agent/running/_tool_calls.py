"""One call of a tool: credentials in, the result without credentials out."""

from collections.abc import Callable, Mapping
from functools import partial

import mbxai.agent.machine._tool_questions as tool_questions
import mbxai.agent.running._approvals as approvals
import mbxai.agent.running._credentials as credentials
from mbxai.agent._ports import ClientPort
from mbxai.agent.machine._inputs import ApprovalVoided, ToolAsked, ToolReconciled, ToolReturned
from mbxai.agent.machine._snapshot import AgentSnapshot, ToolCall
from mbxai.sessions import CredentialVault
from mbxai.wire import NotDone, ToolEvent, ToolInfo, ToolProgressed, ToolResult


class ToolCaller:
    """Calls tools for one run."""

    def __init__(
        self,
        port: ClientPort,
        vault: CredentialVault,
        on_progress: Callable[[ToolProgressed], object],
    ) -> None:
        """Prepare; nothing is called.

        Args:
            port: The client with the tools.
            vault: Where the session's credentials are.
            on_progress: Told how far a tool is.
        """
        self._port = port
        self._vault = vault
        self._on_progress = on_progress

    async def call(
        self, call: ToolCall, snapshot: AgentSnapshot
    ) -> ToolReturned | ToolAsked | ToolReconciled | ApprovalVoided:
        """Make a call and return what came of it.

        Args:
            call: The open call; that it runs is stored already.
            snapshot: The state in which it is open.
        """
        agent_id = snapshot.agent_id
        infos = {info.name: info for info in self._port.tool_infos(snapshot.tools)}
        tool = infos.get(call.name)
        # Taken before the call, so that what it uses is scrubbed even if it is revoked meanwhile.
        arguments = credentials.resolved(agent_id, tool, call.arguments, self._vault)
        secrets = credentials.injectable(agent_id, self._vault, tool=call.name)
        scrub = self._vault.scrubber(agent_id)
        run = partial(
            self._port.call_tool,
            call.name,
            arguments.text,
            call_id=call.call_id,
            session_id=agent_id,
            idempotency_key=f"{agent_id}:{call.key or call.id}",
            secrets=secrets,
            scrub=scrub,
            attempt=call.attempt,
        )
        if call.reconciles:
            may_ask = arguments.refusal is None and call.name in self._port.reconcilable()
            result = await run(reconcile=True) if tool is not None and may_ask else None
            return _reconciled(call, result, scrub)
        if tool is not None and approvals.is_void(call, seen := self._port.definitions()):
            usable = {name: made for name, made in seen.items() if name in infos}
            return ApprovalVoided(call_id=call.id, tools=usable)
        refusal = arguments.refusal or await self._refusal(call, infos)
        if refusal is not None:
            return ToolReturned(call_id=call.id, content=refusal, is_error=True, has_run=False)

        def listen(event: ToolEvent) -> None:
            # That the call began and ended, the machine says itself.
            if isinstance(event, ToolProgressed):
                changes = {"task_id": call.task_id, "message": scrub(event.message)}
                self._on_progress(event.model_copy(update=changes))

        result = await run(
            can_pause=snapshot.human_in_loop,
            answer=credentials.elicited(agent_id, call.answer, self._vault),
            on_event=listen,
        )
        if result.question is not None:
            question = tool_questions.stored(result.question)
            question = credentials.concealed(agent_id, call.id, question, self._vault)
            return ToolAsked(call_id=call.id, question=question)
        # A user's own client may not have scrubbed.
        return ToolReturned(
            call_id=call.id,
            content=scrub(result.content),
            is_error=result.is_error,
            seconds=result.seconds,
        )

    async def _refusal(self, call: ToolCall, infos: Mapping[str, ToolInfo]) -> str | None:
        """Say why a call is not run; None if it may be."""
        if call.name not in infos:
            known = ", ".join(infos) or "none"
            return f"There is no tool {call.name!r}. Tools that may be used: {known}."
        if not await approvals.may_run(self._port, call):
            return f"{call.name} needs the approval of a person now. Nothing was run."
        return None


def _reconciled(
    call: ToolCall, result: ToolResult | None, scrub: Callable[[str], str]
) -> ToolReconciled:
    """Return what a tool says of its last run; None: it could not be asked."""
    if result is not None and NotDone.is_said_by(result.value):
        return ToolReconciled(call_id=call.id, outcome="not_done")
    if result is None or result.is_error or result.question is not None:
        return ToolReconciled(call_id=call.id, outcome="unknown")
    return ToolReconciled(call_id=call.id, outcome="done", content=scrub(result.content))
