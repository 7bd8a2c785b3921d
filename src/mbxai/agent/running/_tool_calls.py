"""One call of a tool: credentials in, the result without credentials out."""

from collections.abc import Callable

import mbxai.agent.machine._tool_questions as tool_questions
import mbxai.agent.running._approvals as approvals
import mbxai.agent.running._credentials as credentials
from mbxai.agent._ports import ClientPort
from mbxai.agent.machine._inputs import ToolAsked, ToolReturned
from mbxai.agent.machine._snapshot import AgentSnapshot, ToolCall
from mbxai.sessions import CredentialVault
from mbxai.wire import ToolEvent, ToolProgressed


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

    async def call(self, call: ToolCall, snapshot: AgentSnapshot) -> ToolReturned | ToolAsked:
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
        refusal = arguments.refusal
        if tool is None:
            known = ", ".join(infos) or "none"
            refusal = f"There is no tool {call.name!r}. Tools that may be used: {known}."
        elif not await approvals.may_run(self._port, call):
            refusal = f"{call.name} needs the approval of a person now. Nothing was run."
        if refusal is not None:
            return ToolReturned(call_id=call.id, content=refusal, is_error=True, has_run=False)

        def listen(event: ToolEvent) -> None:
            # That the call began and ended, the machine says itself.
            if isinstance(event, ToolProgressed):
                changes = {"task_id": call.task_id, "message": scrub(event.message)}
                self._on_progress(event.model_copy(update=changes))

        result = await self._port.call_tool(
            call.name,
            arguments.text,
            call_id=call.call_id,
            session_id=agent_id,
            idempotency_key=f"{agent_id}:{call.key or call.id}",
            secrets=secrets,
            scrub=scrub,
            attempt=call.attempt,
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
            call_id=call.id, content=scrub(result.content), is_error=result.is_error
        )
