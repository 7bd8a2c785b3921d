"""The asynchronous agent: sessions, answers of people, and runs until a session rests."""

import asyncio
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self, Unpack
from uuid import uuid4

import anyio
from pydantic import BaseModel

import mbxai.agent._response as response
import mbxai.agent._turns as turns
from mbxai.agent._driver import Driver
from mbxai.agent._events import AgentEvent
from mbxai.agent._human_models import AnswerList, DialogOption
from mbxai.agent._people import HumanResponse
from mbxai.agent._ports import ClientPort
from mbxai.agent._result_models import AgentResponse
from mbxai.agent._snapshot import AgentSnapshot, Limits
from mbxai.agent._stream import AsyncAgentStream
from mbxai.agent._turns import AgentOptions, TurnDefaults
from mbxai.errors import (
    AgentFailedError,
    BudgetExceededError,
    ConfigurationError,
    SessionError,
    SessionNotFoundError,
)
from mbxai.sessions import (
    CredentialVault,
    SessionHandler,
    SessionRecord,
    SessionStore,
    as_store,
)
from mbxai.wire import Budget, Effect

_RELEASE_SECONDS = 5.0


class AsyncAgentClient:
    """An agent that reaches a goal in six steps, on top of any client.

    It analyses the requirement, chooses tools, plans tasks, carries them out (those that do not
    depend on each other at the same time), asks people where it must, and evaluates the result.
    One object may serve many sessions at once.
    """

    def __init__(
        self,
        ai_client: object,
        human_in_loop: bool = False,  # positional in mbxai 2.3
        dialog_options: Sequence[DialogOption] | None = None,
        max_task_iterations: int = 10,
        session_handler: SessionHandler | SessionStore | object | None = None,
        *,
        max_replans: int = 2,
        max_parallel_tasks: int = 4,
        max_tool_rounds: int = 10,
        approve_complexity: int | None = 4,
        budget: Budget | None = None,
        lease_seconds: float = 60.0,
        max_iterations: int | None = None,
    ) -> None:
        """Make an agent.

        Args:
            ai_client: An OpenRouter, tool or MCP client, blocking or not, or any object with
                `parse(messages=..., response_format=...)`. It stays the caller's to close.
            human_in_loop: Whether the agent may ask people.
            dialog_options: Dialogues that the application can show.
            max_task_iterations: Tasks started in one round of the plan, 1 or more.
            session_handler: Where sessions live: a `SessionStore`, or an object with the five
                methods of `SessionHandler`, blocking or not. None keeps them in memory.
            max_replans: New rounds of the plan after an evaluation that found the goal not reached.
            max_parallel_tasks: Tasks in progress at once.
            max_tool_rounds: Rounds of tool calls in one task.
            approve_complexity: Estimated complexity (1 to 5) from which a task asks a person first,
                if people are in the loop; None: never.
            budget: Bounds of what each session may use up.
            lease_seconds: How long a session stays claimed after the last sign of life of the
                process that runs it; a third of it passes between two signs.
            max_iterations: Deprecated; the same as `max_task_iterations`.

        Raises:
            ConfigurationError: The client has no `parse`, or a bound is impossible.
        """
        if max_iterations is not None:
            warnings.warn(
                "max_iterations is now max_task_iterations", DeprecationWarning, stacklevel=2
            )
            max_task_iterations = max_iterations
        for name, value, least in (
            ("max_task_iterations", max_task_iterations, 1),
            ("max_replans", max_replans, 0),
            ("max_parallel_tasks", max_parallel_tasks, 1),
            ("max_tool_rounds", max_tool_rounds, 1),
            ("approve_complexity", 5 if approve_complexity is None else approve_complexity, 1),
        ):
            if not isinstance(value, int) or value < least:  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
                raise ConfigurationError(f"{name} must be at least {least}, not {value!r:.80}.")
        self._port = ClientPort(ai_client)
        self._budget = _checked_budget(budget) or Budget()
        if not lease_seconds > 0:
            raise ConfigurationError(f"lease_seconds must be positive, not {lease_seconds!r}.")
        self._lease_seconds = lease_seconds
        self._store = as_store(session_handler)
        self._vault = CredentialVault()
        self._defaults = TurnDefaults(
            human_in_loop=human_in_loop,
            dialog_options=turns.dialogs_of(dialog_options),
            limits=Limits(
                max_task_iterations=max_task_iterations,
                max_replans=max_replans,
                max_parallel_tasks=max_parallel_tasks,
                max_tool_rounds=max_tool_rounds,
                approve_complexity=approve_complexity,
            ),
        )

    # --- runs -------------------------------------------------------------------------------------

    async def agent(
        self,
        prompt: str = "",
        final_response_structure: type[BaseModel] | None = None,
        tools: Sequence[str] | None = None,
        dialog_options: Sequence[DialogOption] | None = None,
        human_in_loop: bool | None = None,  # positional in mbxai 2.3
        agent_id: str | None = None,
        human_response: HumanResponse | None = None,
        *,
        budget: Budget | None = None,
        raise_on_failure: bool = True,
        ask_questions: bool | None = None,
        answers: AnswerList | None = None,
    ) -> AgentResponse:
        """Run a session until it rests: completed, waiting for a person, or failed.

        With a new `agent_id`, or none, the prompt starts a session; on a finished session it starts
        a new turn that remembers the earlier ones. On a session that waits, was interrupted or
        failed for a passing reason, the session goes on where it stopped, as its turn began: the
        prompt, `tools`, `dialog_options` and `human_in_loop` are not read; so it is with
        `human_response`.

        Args:
            prompt: What is to be achieved.
            final_response_structure: Pydantic model of the final response.
            tools: Names of the tools that may be used; None: all.
            dialog_options: Dialogues that the application can show, instead of the client's.
            human_in_loop: Whether people may be asked, instead of the client's setting.
            agent_id: The session to go on with.
            human_response: Answers of people: one, a list, or a batch; a batch may be partial.
            budget: Bounds for the session, instead of the client's.
            raise_on_failure: Whether a run that rests in FAILED raises.
            ask_questions: Deprecated; the same as `human_in_loop`.
            answers: Deprecated; answers to `response.questions` by key.

        Returns:
            The state of the run; `final_response` is an instance of `final_response_structure`
            once it is completed.

        Raises:
            ConfigurationError: The prompt or the model is missing, or a tool is not known.
            AgentFailedError: The run rests in FAILED; `.response` tells everything known.
            BudgetExceededError: A bound is reached; the session goes on with a larger one.
            InteractionError: An answer does not fit; the session is unchanged.
            SessionError: The session is run by another worker, or cannot be stored.
        """
        options: AgentOptions = {
            "tools": tools,
            "dialog_options": dialog_options,
            "human_in_loop": human_in_loop,
            "agent_id": agent_id,
            "human_response": human_response,
            "budget": budget,
            "raise_on_failure": raise_on_failure,
            "ask_questions": ask_questions,
            "answers": answers,
        }
        return await self._run(prompt, final_response_structure, options, observe=_ignore)

    def stream(
        self,
        prompt: str = "",
        final_response_structure: type[BaseModel] | None = None,
        **options: Unpack[AgentOptions],
    ) -> AsyncAgentStream:
        """Run a session and watch it.

        Args:
            prompt: As for `agent()`.
            final_response_structure: As for `agent()`.
            **options: As for `agent()`.

        Returns:
            An asynchronous context manager and iterator of events; `response` is there after the
            last one. Leaving it early stops the run, and the session can be continued.
        """

        async def run(observe: Callable[[AgentEvent], object]) -> AgentResponse:
            return await self._run(prompt, final_response_structure, options, observe=observe)

        return AsyncAgentStream(run)

    async def _run(
        self,
        prompt: str,
        final_type: type[BaseModel] | None,
        options: AgentOptions,
        *,
        observe: Callable[[AgentEvent], object],
    ) -> AgentResponse:
        final_schema = turns.final_schema_of(final_type)
        tools = self._port.tool_infos()
        turns.check_tools(options.get("tools"), tools)
        agent_id = options.get("agent_id") or str(uuid4())
        owner = str(uuid4())
        record = await self._claimed(agent_id, owner)
        try:
            driver = Driver(
                response.snapshot_of(agent_id, record.data),
                record,
                owner=owner,
                lease_seconds=self._lease_seconds,
                port=self._port,
                store=self._store,
                vault=self._vault,
                final_type=final_type,
                budget=_checked_budget(options.get("budget")) or self._budget,
                observe=observe,
            )
            inputs = turns.inputs_of(
                driver.snapshot,
                prompt,
                final_schema,
                options,
                defaults=self._defaults,
                tools=tools,
                vault=self._vault,
            )
            await driver.apply(*inputs)
            await driver.run()
        finally:
            with anyio.move_on_after(_RELEASE_SECONDS, shield=True):
                await self._store.release(record, owner=owner)
        return self._outcome(driver, final_type, raises=options.get("raise_on_failure", True))

    async def _claimed(self, agent_id: str, owner: str) -> SessionRecord:
        """Claim the session; a claim that a cancelled caller did not wait for is given back."""
        claiming = asyncio.ensure_future(
            self._store.claim(agent_id, owner=owner, lease_seconds=self._lease_seconds)
        )
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            with anyio.move_on_after(_RELEASE_SECONDS, shield=True), suppress(SessionError):
                await self._store.release(await claiming, owner=owner)
            raise

    def _outcome(
        self, driver: Driver, final_type: type[BaseModel] | None, *, raises: bool
    ) -> AgentResponse:
        outcome = response.response_of(driver.snapshot, final_type, final_value=driver.final_value)
        own = {option.id: option for option in self._defaults.dialog_options}
        for request in outcome.human_interaction_requests:
            request.dialog_options = [own.get(o.id, o) for o in request.dialog_options]
        if driver.exhausted:
            limit, message = driver.exhausted
            raise BudgetExceededError(
                message,
                hint=f"Call agent() again with agent_id={outcome.agent_id!r} and a larger budget.",
                limit=limit,
                response=outcome,
            )
        if outcome.error is not None and raises:
            hint = (
                f"Call agent() again with agent_id={outcome.agent_id!r} to try that step again."
                if outcome.error.retryable
                else "A new prompt on the same agent_id starts a new turn."
            )
            raise AgentFailedError(outcome.error.message, hint=hint, response=outcome)
        return outcome

    # --- the client's own tools -------------------------------------------------------------------

    def register_tool(
        self,
        name: str,
        description: str,
        function: Callable[..., object],
        schema: dict[str, Any] | None = None,  # Any: JSON Schema
        *,
        effect: Effect = "once",
        timeout: float | None = None,
        requires_approval: bool = False,
    ) -> None:
        """Register a tool with the wrapped client.

        Args:
            name: 1 to 64 letters, digits, `_` and `-`.
            description: What the tool does, for the model.
            function: What runs; blocking functions run in a worker thread.
            schema: JSON Schema of the arguments; None: made from the function's signature.
            effect: What a repeated run does: "read" and "idempotent" may be repeated after a
                crash, "once" never is.
            timeout: Seconds for one run; None waits for ever.
            requires_approval: Whether a person must agree before each run.

        Raises:
            AttributeError: The wrapped client takes no tools.
            ToolDefinitionError: The function cannot become a tool.
        """
        given = {"effect": effect, "timeout": timeout, "requires_approval": requires_approval}
        defaults = {"effect": "once", "timeout": None, "requires_approval": False}
        # A user's own client may take nothing but the four arguments of mbxai 2.3.
        options = {key: value for key, value in given.items() if value != defaults[key]}
        register = self._port.method("register_tool", "take tools")
        register(name, description, function, schema, **options)

    async def register_mcp_server(
        self,
        name: str,
        base_url: str | None = None,
        *,
        command: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> None:
        """Register an MCP server with the wrapped client.

        Args:
            name: Name of the server, for errors and for tool names that clash.
            base_url: Where it listens, for example `http://localhost:8000`.
            command: What starts it instead, word by word; it speaks over its standard input and
                output.
            env: Environment variables for the command, beside the basic ones.
            headers: HTTP headers for this server only.
            token: Sent to this server only, as `Authorization: Bearer`.

        Raises:
            AttributeError: The wrapped client takes no MCP servers.
            ConfigurationError: Something is missing or contradictory.
            MCPConnectionError: The server cannot be reached.
        """
        given = {"command": command, "env": env, "headers": headers, "token": token}
        options = {key: value for key, value in given.items() if value is not None}
        register = self._port.method("register_mcp_server", "use MCP servers")
        await register(name, base_url, **options)

    # --- sessions ---------------------------------------------------------------------------------

    async def get_session_info(self, agent_id: str) -> dict[str, Any]:  # Any: JSON of the session
        """Return a session's fields as JSON values, without credentials.

        Args:
            agent_id: Which session.

        Returns:
            The fields of the state and those that mbxai 2.3 had, `conversation_length` among them.

        Raises:
            SessionNotFoundError: There is no such session; also a `ValueError`.
        """
        return response.session_info(await self._snapshot(agent_id))

    async def get_response(
        self, agent_id: str, final_response_structure: type[BaseModel] | None = None
    ) -> AgentResponse:
        """Return a session's state without running it.

        Args:
            agent_id: Which session.
            final_response_structure: Pydantic model of the final response, to have it typed.

        Returns:
            The state as last saved.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        return response.response_of(await self._snapshot(agent_id), final_response_structure)

    async def revoke_credentials(self, agent_id: str, dialog_option_id: str) -> None:
        """Take back what a person gave in a dialogue; no tool gets it any more.

        Args:
            agent_id: Which session.
            dialog_option_id: Which dialogue.
        """
        self._vault.revoke(agent_id, dialog_option_id)

    async def delete_session(self, agent_id: str) -> bool:
        """Delete a session and the credentials that people gave it.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.
        """
        self._vault.forget(agent_id)
        return await self._store.delete(agent_id)

    async def list_sessions(self) -> list[str]:
        """Return the ids of all sessions in the store."""
        return await self._store.list()

    async def _snapshot(self, agent_id: str) -> AgentSnapshot:
        record = await self._store.load(agent_id)
        if record is None or not record.data:
            raise SessionNotFoundError(f"Agent session {agent_id} not found", agent_id=agent_id)
        return response.snapshot_of(agent_id, record.data)

    # --- lifetime ---------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close the connections of the session store; a later call opens them again."""
        await self._store.aclose()

    async def __aenter__(self) -> Self:
        """Return the agent."""
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Close the agent."""
        await self.aclose()


def _ignore(_event: AgentEvent) -> None:
    """Observe nothing."""


def _checked_budget(budget: object) -> Budget | None:
    if budget is None or isinstance(budget, Budget):
        return budget
    raise ConfigurationError(
        f"budget must be a Budget, not a {type(budget).__name__}.",
        hint="Write Budget(max_cost_usd=0.50), for example.",
    )
