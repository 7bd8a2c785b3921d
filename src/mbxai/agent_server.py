"""An agent as an MCP server: one tool that reaches a goal, and asks people on the way."""

import hashlib
import inspect
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from uuid import uuid4

import anyio
from pydantic import BaseModel

from mbxai._redaction import get_logger, redact
from mbxai.agent import AgentClient, AsyncAgentClient
from mbxai.agent._events import AgentEvent
from mbxai.agent.models import (
    AgentResponse,
    AgentState,
    DialogOption,
    HumanInLoopRequest,
    HumanInLoopResponse,
    HumanInteractionType,
    TaskStatus,
    TodoList,
)
from mbxai.errors import (
    AgentFailedError,
    ConfigurationError,
    MBXAIError,
    SessionBusyError,
    SessionNotFoundError,
    ToolError,
)
from mbxai.mcp.server import MCPServer
from mbxai.mcp.serving._context import MCPContext
from mbxai.wire import ToolAnswer

__all__ = ["CredentialURL", "agent_server"]

_logger = get_logger(__name__)

CredentialURL: TypeAlias = Callable[[DialogOption, str], str | Awaitable[str]]
"""Returns the address of a page of the application on which a person completes a dialogue. It gets
the dialogue and the session's id; what the person enters there is given to the same agent object by
`agent(agent_id=..., human_response=...)`. It never passes through the MCP client."""

_POLL_SECONDS: Final = 0.2
_MAX_RESULT_BYTES: Final = 4 * 1024 * 1024  # a final response is never cut: half of it is none
_NO_ANSWER: Final = "(The person did not want to answer this.)"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DESCRIPTION: Final = (
    "Reach a goal: plan the tasks, carry them out with tools, evaluate the result and return it."
)
_OWN_FAILURES: Final = frozenset({"GoalNotReached", "Aborted", "PlanError"})


def agent_server(
    agent: AsyncAgentClient | AgentClient,
    *,
    name: str,
    description: str = "",
    result_type: type[BaseModel],
    tool_name: str = "run_goal",
    tool_description: str = _DESCRIPTION,
    credential_url: CredentialURL | None = None,
    credential_seconds: float = 600.0,
) -> MCPServer:
    """Make an MCP server with one tool, which runs a goal by an agent.

    The tool takes `goal`, and optionally `agent_id`: a name of the caller's choice, under which a
    later call goes on. Names belong to the caller: with bearer tokens, nobody reaches another one's
    sessions. What the agent asks its people is asked of the client's user by elicitation; a client
    that cannot ask gets a run without people. The tool's result is the final response.

    In protocol versions from 2026-07-28 on, a call ends at each question and is made again with the
    answer; it goes on with the same session, also in another process if the agent's sessions are in
    a store that both reach.

    Args:
        agent: The agent; it stays the caller's to close. Whether people are asked is its own
            setting (`human_in_loop`).
        name: The server's name.
        description: What the server is for.
        result_type: Pydantic model of the final response, and the tool's output schema.
        tool_name: Name of the tool.
        tool_description: What the tool does, for the client's model.
        credential_url: Where a person completes a dialogue (DIALOG_OPTION). Credentials are never
            asked for by a form; without this, a run that needs one ends with an error that says so.
        credential_seconds: How long a call waits for such a dialogue to be completed.

    Returns:
        The server; more tools can be added to it.

    Raises:
        ConfigurationError: The agent is none, or a number cannot be.
    """
    runner = getattr(agent, "async_client", agent)
    if not isinstance(runner, AsyncAgentClient):
        raise ConfigurationError(f"agent must be an agent client, not a {type(agent).__name__}.")
    if not credential_seconds > 0:
        raise ConfigurationError(
            f"credential_seconds must be positive, not {credential_seconds!r:.80}."
        )
    runs = _Goals(runner, result_type, tool_name, credential_url, credential_seconds)

    async def run(
        goal: str, context: MCPContext[Any], agent_id: str | None = None
    ) -> Any:  # Any: an instance of the caller's model
        """Reach a goal.

        Args:
            goal: What is to be achieved, in words.
            context: The client that called.
            agent_id: A name for this run; a later call with the same name goes on with it.
        """
        return await runs.run(goal, agent_id, context)

    run.__annotations__["return"] = result_type
    server = MCPServer(name, description or None)
    server.register(
        run, name=tool_name, description=tool_description, max_result_bytes=_MAX_RESULT_BYTES
    )
    return server


@dataclass(frozen=True, slots=True)
class _Goals:
    """Runs goals for clients."""

    agent: AsyncAgentClient
    result_type: type[BaseModel]
    tool_name: str
    credential_url: CredentialURL | None
    credential_seconds: float

    async def run(self, goal: str, agent_id: str | None, context: MCPContext[Any]) -> BaseModel:
        """Run a goal to its end, asking on the way; raises `ToolError` where that cannot be."""
        public_id = context.state or agent_id or str(uuid4())
        if not _NAME.fullmatch(public_id):
            raise ToolError("agent_id must be 1 to 64 letters, digits, dots, dashes, underscores.")
        if not goal.strip():
            raise ToolError("goal must say what is to be achieved.")
        visit = _Visit(self, context, public_id, self._session_id(public_id, context))
        try:
            # With a state, this is the same call once more: its session is there and goes on.
            response = await visit.advance("" if context.state else goal)
            while response.is_waiting_for_human():
                answer = await visit.ask(response.human_interaction_requests[0])
                response = await visit.advance("", answer)
        except ToolError:
            raise
        except MBXAIError as error:
            raise visit.failure(error) from error
        if not isinstance(response.final_response, self.result_type):
            raise visit.unfinished(f"The run rests in the state {response.state.value}.")
        return response.final_response

    def _session_id(self, public_id: str, context: MCPContext[Any]) -> str:
        """Return the session's own id; those of different callers never meet."""
        token = context.token
        owner = f"{token.issuer}\0{token.client_id}\0{token.subject}" if token else ""
        digest = hashlib.sha256(f"{self.tool_name}\0{owner}".encode()).hexdigest()[:16]
        return f"mcp-{digest}-{public_id}"


_STEPS: Final = {
    AgentState.ANALYZING_REQUIREMENT: ("Analysing the requirement", 0.0),
    AgentState.ANALYZING_TOOLS: ("Choosing tools", 0.1),
    AgentState.GENERATING_TODO: ("Planning tasks", 0.2),
    AgentState.EVALUATING_GOAL: ("Evaluating the result", 0.9),
    AgentState.COMPLETED: ("Done", 1.0),
}
_TASKS_FROM, _TASKS_TO = 0.3, 0.9


class _Progress:
    """How far a run is, in words and as a fraction that never falls."""

    def __init__(self) -> None:
        self._fraction = 0.0
        self._tasks: dict[str, bool] = {}

    def resume(self, plan: TodoList | None) -> None:
        """Begin with a plan that is there already."""
        if plan is not None and plan.tasks:
            self._tasks = {task.id: _has_ended(task.status) for task in plan.tasks}
            self._fraction = max(self._fraction, self._share())

    def _share(self) -> float:
        ended = sum(self._tasks.values()) / len(self._tasks)
        return _TASKS_FROM + (_TASKS_TO - _TASKS_FROM) * ended

    def after(self, event: AgentEvent) -> tuple[str, float] | None:
        """Return what to tell after an event; None if there is nothing new."""
        if event.type == "state_changed" and event.state in _STEPS:
            message, fraction = _STEPS[event.state]
        elif event.type == "plan_changed":
            self.resume(event.todo_list)
            message, fraction = f"{len(self._tasks)} tasks are planned", _TASKS_FROM
        elif event.type == "task_changed":
            self._tasks[event.task.id] = _has_ended(event.task.status)
            message = f"{event.task.title}: {event.task.status.value.replace('_', ' ')}"
            fraction = self._share()
        elif event.type == "tool_called":
            message, fraction = f"Calling {event.name}", self._fraction
        elif event.type == "tool_progressed" and event.message:
            message, fraction = f"{event.name}: {event.message}", self._fraction
        else:
            return None
        self._fraction = max(self._fraction, fraction)
        return message, self._fraction


def _has_ended(status: TaskStatus) -> bool:
    return status not in (TaskStatus.PENDING, TaskStatus.IN_PROGRESS)


@dataclass(slots=True)
class _Visit:
    """One call of the tool."""

    goals: _Goals
    context: MCPContext[Any]
    public_id: str
    session_id: str
    progress: _Progress = field(default_factory=_Progress)

    async def advance(
        self, prompt: str, answer: HumanInLoopResponse | None = None
    ) -> AgentResponse:
        """Run the session until it rests, telling the client how far it is."""
        agent = self.goals.agent
        if not prompt and answer is None:
            # A session that is gone raises here; it is not begun anew.
            self.progress.resume((await agent.get_response(self.session_id)).todo_list)
        # Where the client cannot ask its user, the agent must not wait for anybody.
        human_in_loop = None if self.context.can("elicit") else False
        run = agent.stream(
            prompt,
            self.goals.result_type,
            agent_id=self.session_id,
            human_response=answer,
            human_in_loop=human_in_loop,
        )
        async with run, aclosing(run):
            async for event in run:
                told = self.progress.after(event)
                if told is not None:
                    self.context.report(*told)
        return run.response

    # --- asking -----------------------------------------------------------------------------------

    async def ask(self, request: HumanInLoopRequest) -> HumanInLoopResponse | None:
        """Ask the client's user; None if the answer is given to the session in another way."""
        if request.interaction_type is HumanInteractionType.DIALOG_OPTION:
            return await self._send_to_dialog(request)
        if request.url:
            self._check("elicit_url")
            given = await self.context.elicit_url(
                request.prompt, request.url, key=request.id, state=self.public_id
            )
        else:
            self._check("elicit")
            given = await self.context.elicit(
                _message(request), _form(request), key=request.id, state=self.public_id
            )
        answer = _response(request, given)
        if answer is None:
            raise self.unfinished(f"Nobody answered {request.prompt!r}.")
        return answer

    async def _send_to_dialog(self, request: HumanInLoopRequest) -> None:
        option = request.dialog_options[0] if request.dialog_options else None
        if self.goals.credential_url is None or option is None:
            raise self.unfinished(
                f"The agent needs a credential ({request.prompt}), and this server has no page on "
                "which it could be entered."
            )
        self._check("elicit_url")
        found = self.goals.credential_url(option, self.session_id)
        url = await found if inspect.isawaitable(found) else found
        given = await self.context.elicit_url(
            request.prompt, url, key=request.id, state=self.public_id
        )
        if given.action != "accept":
            raise self.unfinished(f"The person did not go to {request.prompt!r}.")
        await self._until_answered(request.id)

    async def _until_answered(self, request_id: str) -> None:
        """Wait until the application has given the session what was entered on its page."""
        deadline = time.monotonic() + self.goals.credential_seconds
        while time.monotonic() < deadline:
            response = await self.goals.agent.get_response(self.session_id)
            waiting = [request.id for request in response.human_interaction_requests]
            if request_id not in waiting and await self._is_free():
                return
            await anyio.sleep(_POLL_SECONDS)
        raise self.unfinished("The dialogue was not completed in time.")

    async def _is_free(self) -> bool:
        """Whether the application's own run with the answer rests; then go on from it."""
        try:
            await self.goals.agent.agent(
                "", self.goals.result_type, agent_id=self.session_id, raise_on_failure=False
            )
        except SessionBusyError:
            return False
        return True

    def _check(self, ability: Any) -> None:  # Any: a literal of the context's
        if not self.context.can(ability):
            raise self.unfinished("The agent needs a person, and this client cannot ask its user.")

    # --- failures ---------------------------------------------------------------------------------

    def unfinished(self, reason: str) -> ToolError:
        """Say why a run that can be continued did not come to its end."""
        return ToolError(
            f"{reason} The run is kept: call {self.goals.tool_name} again with "
            f"agent_id={self.public_id!r} to go on."
        )

    def failure(self, error: MBXAIError) -> ToolError:
        """Translate an error of the agent; what a provider said stays in this program's log."""
        _logger.warning("the run %s failed: %s", self.session_id, redact(str(error)))
        if isinstance(error, AgentFailedError):
            failed = error.response.error
            if failed is not None and failed.type in _OWN_FAILURES:
                return ToolError(redact(failed.message))
            step = f" in the step {failed.step}" if failed and failed.step else ""
            reason = f"The agent failed{step} ({failed.type if failed else type(error).__name__})."
            return self.unfinished(reason) if failed and failed.retryable else ToolError(reason)
        if isinstance(error, SessionBusyError):
            return ToolError(f"The run {self.public_id!r} is under way in another call.")
        if isinstance(error, SessionNotFoundError):
            return ToolError(f"The run {self.public_id!r} is not kept here any more; begin anew.")
        return self.unfinished(f"The run stopped ({type(error).__name__}).")


# --- questions as forms ---------------------------------------------------------------------------


def _message(request: HumanInLoopRequest) -> str:
    return f"{request.prompt}\n\n{request.context}" if request.context else request.prompt


def _form(request: HumanInLoopRequest) -> Mapping[str, Any]:  # Any: JSON Schema
    if request.response_schema is not None:
        return request.response_schema
    if request.interaction_type is HumanInteractionType.QUESTION:
        return _object(answer={"type": "string", "title": "Answer", "minLength": 1})
    options = list(dict.fromkeys(request.options))
    decision = {"type": "string", "title": "Decision", "enum": options}
    if "modify" not in options:
        return _object(decision=decision)
    remark = {"type": "string", "title": "Remark", "description": "What to change, for modify"}
    return {**_object(decision=decision, remark=remark), "required": ["decision"]}


def _object(**fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


def _response(request: HumanInLoopRequest, given: ToolAnswer) -> HumanInLoopResponse | None:
    """Return the agent's form of an answer; None where the agent knows no such answer."""
    fields: dict[str, Any] = {
        "interaction_id": request.id,
        "response_type": request.interaction_type,
    }
    accepted = given.action == "accept"
    if request.response_schema is not None and accepted:
        fields["content"] = dict(given.content)
    elif request.response_schema is not None or request.url:
        fields["decision"] = given.action
    elif request.interaction_type is HumanInteractionType.QUESTION:
        if given.action == "cancel":
            return None
        fields["answer"] = given.content["answer"] if accepted else _NO_ANSWER
    elif accepted:
        fields["decision"] = given.content["decision"]
        fields["additional_context"] = given.content.get("remark") or ""
    elif "decline" in request.options:
        fields["decision"] = "decline"
    else:
        return None
    return HumanInLoopResponse(**fields)
