"""`mbxai run`: one agent run, shown while it happens; questions are asked at the prompt."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from pydantic import BaseModel

from mbxai.agent import AgentClient, Budget, Result
from mbxai.agent.models import AgentResponse, AgentState, HumanInLoopResponse
from mbxai.cli._clients import opened_client
from mbxai.cli._exit_codes import DONE, FAILED, INTERRUPTED, WAITS_FOR_PERSON
from mbxai.cli._failures import tell
from mbxai.cli._load import load_dialogs, load_function, load_model
from mbxai.cli._people import StandardInput, answers_to
from mbxai.cli._screens import Screen, screen
from mbxai.cli._sessions_store import store_of, without_password
from mbxai.cli._state import RunState, reduce, resumed
from mbxai.cli._text import one_line
from mbxai.errors import BudgetExceededError, ConfigurationError, SessionNotFoundError
from mbxai.mcp import MCPClient


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the command line says; see `mbxai run --help`."""

    goal: str = ""
    local: bool = False
    model: str | None = None
    schema: str | None = None
    mcp: Sequence[str] = ()
    tools: Sequence[str] = ()
    dialogs: Sequence[str] = ()
    human: bool = False
    session: str | None = None
    agent_id: str | None = None
    max_cost: float | None = None
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class MCPTarget:
    """An MCP server as the command line names it: `url` or `command` is given.

    Attributes:
        command: Program and arguments.
    """

    name: str
    url: str | None = None
    command: tuple[str, ...] | None = None


def mcp_target(text: str) -> MCPTarget:
    """Return what `--mcp` names.

    Args:
        text: `NAME=URL`, or `NAME=COMMAND LINE` split as a shell would.

    Raises:
        ConfigurationError: It has another shape.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    if not (name and equals and value):
        raise ConfigurationError(
            f"--mcp {text!r} names no server.",
            hint="Write NAME=URL or NAME='command with arguments'.",
        )
    if value.startswith(("http://", "https://")):
        return MCPTarget(name, url=value)
    try:
        return MCPTarget(name, command=tuple(shlex.split(value)))
    except ValueError as error:
        raise ConfigurationError(f"--mcp {name}: the command line has an open quote.") from error


def run(options: RunOptions) -> int:
    """Run an agent and show it.

    Args:
        options: What the command line says.

    Returns:
        The exit code.

    Raises:
        MBXAIError: The run could not be made. One that failed is told here.
    """
    final_type = load_model(options.schema) if options.schema else Result
    functions = [load_function(name) for name in options.tools]
    dialogs = [option for name in options.dialogs for option in load_dialogs(name)]
    targets = [mcp_target(text) for text in options.mcp]
    where = screen(as_json=options.as_json)
    budget = Budget(max_cost_usd=options.max_cost)
    store = store_of(options.session) if options.session else None
    with (
        opened_client(options.model, local=options.local, busy=where.busy) as client,
        MCPClient(client) as core,
        AgentClient(core, options.human, dialogs, session_handler=store, budget=budget) as agent,
    ):
        for function in functions:
            core.tool(function)
        for target in targets:
            with where.busy(f"Connecting to {target.name}"):
                core.register_mcp_server(target.name, target.url, command=target.command)
        return Journey(agent, where, options, final_type, model=client.model).travel()


def continue_command(options: RunOptions, agent_id: str) -> str:
    """Return the command that goes on with a session.

    Args:
        options: How it was run until now; a session store is among them.
        agent_id: The session's id.
    """
    words = [
        "mbxai",
        "run",
        "--session",
        without_password(options.session or ""),
        "--agent-id",
        agent_id,
    ]
    words += ["--local"] if options.local else []
    words += ["--model", options.model] if options.model else []
    words += ["--schema", options.schema] if options.schema else []
    for flag, values in (
        ("--mcp", options.mcp),
        ("--tool", options.tools),
        ("--dialog", options.dialogs),
    ):
        for value in values:
            words += [flag, value]
    return shlex.join(words)


class Journey:
    """One run from the goal to a rest, through as many questions as it takes."""

    def __init__(
        self,
        agent: AgentClient,
        where: Screen,
        options: RunOptions,
        final_type: type[BaseModel],
        *,
        model: str,
    ) -> None:
        """Prepare a run; nothing happens yet."""
        self._agent = agent
        self._where = where
        self._options = options
        self._final_type = final_type
        self._agent_id = options.agent_id or str(uuid4())
        self._state = RunState(goal=options.goal, model=model)

    def travel(self) -> int:
        """Run until the goal is reached, the run fails, or nobody answers.

        Returns:
            The exit code.
        """
        self._take_up()
        try:
            response = self._leg(())
            while response.is_waiting_for_human():
                answers = answers_to(
                    response.human_interaction_requests,
                    StandardInput(self._where.console),
                    self._where.console,
                )
                if not answers:
                    break
                response = self._leg(answers)
        except KeyboardInterrupt:
            if self._where.console.is_terminal:
                self._where.console.print()  # the cursor may stand behind a prompt
            self._where.stop(replace(self._state, is_stopped=True))
            tell("Stopped.")
            self._tell_how_to_continue()
            return INTERRUPTED
        except BudgetExceededError as error:
            if error.response is not None:
                self._where.end(error.response, replace(self._state, is_stopped=True))
            tell(error.message)
            self._tell_how_to_continue("with a larger --max-cost")
            return FAILED
        return self._rest(response)

    def _take_up(self) -> None:
        """Start from what is known of a session that exists already."""
        if self._options.agent_id is None:
            return
        try:
            known = self._agent.get_response(self._agent_id)
        except SessionNotFoundError:
            if self._options.goal:
                return
            raise
        failed_for_good = known.error is not None and not known.error.retryable
        if known.is_complete() or failed_for_good:
            if not self._options.goal:
                raise ConfigurationError(
                    f"The session {self._agent_id!r} has ended.",
                    hint="Give a goal for its next turn.",
                )
        elif self._options.goal:
            tell("The session goes on where it stopped; the new goal is not read.")
        self._state = resumed(known, goal=self._options.goal, model=self._state.model)

    def _leg(self, answers: Sequence[HumanInLoopResponse]) -> AgentResponse:
        """Run until the session rests."""
        self._where.show(self._state)
        try:
            with self._agent.stream(
                self._options.goal,
                self._final_type,
                agent_id=self._agent_id,
                human_response=list(answers) or None,
                raise_on_failure=False,
            ) as events:
                for event in events:
                    self._state = reduce(self._state, event)
                    self._where.update(event, self._state)
                return events.response
        finally:
            self._where.hide()

    def _rest(self, response: AgentResponse) -> int:
        self._where.end(response, self._state)
        if response.error is not None:
            tell(f"The run failed: {one_line(response.error.message)}")
            if response.error.retryable:
                self._tell_how_to_continue()
            return FAILED
        if response.state is AgentState.WAITING_FOR_HUMAN:
            tell("The run waits for a person.")
            self._tell_how_to_continue()
            return WAITS_FOR_PERSON
        return DONE

    def _tell_how_to_continue(self, how: str = "") -> None:
        if self._options.session is not None:
            command = continue_command(self._options, self._agent_id)
            tell(f"Session {self._agent_id} is kept. Continue{' ' + how if how else ''}:")
            tell(f"  {command}")
