"""The blocking agent: the same API for callers that do not await."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, Unpack, cast

from pydantic import BaseModel

import mbxai.portal as portal
from mbxai.agent._client import AsyncAgentClient
from mbxai.agent._events import AgentEvent
from mbxai.agent._human_models import AnswerList, DialogOption
from mbxai.agent._people import HumanResponse
from mbxai.agent._result_models import AgentResponse
from mbxai.agent._stream import AsyncAgentStream
from mbxai.agent._turns import AgentOptions
from mbxai.sessions import SessionHandler, SessionStore
from mbxai.wire import Budget, Effect


class AgentStream:
    """The events of one run.

    Use it as `with agent.stream(...) as run: for event in run: ...`, and read `run.response`
    afterwards. Leaving the block early stops the run; its session is kept.
    """

    def __init__(self, pump: "portal.StreamPump[AgentEvent]") -> None:
        """Take a run that has begun.

        Args:
            pump: Its events.
        """
        self._pump = pump

    @property
    def response(self) -> AgentResponse:
        """The state in which the run rests.

        Raises:
            AgentError: The run has not come to rest yet.
        """
        return cast("AsyncAgentStream", self._pump.source).response

    def close(self) -> None:
        """Stop the run if it has not come to rest."""
        self._pump.close()

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """Stop the run if it has not come to rest."""
        self.close()

    def __iter__(self) -> Self:
        """Return the stream."""
        return self

    def __next__(self) -> AgentEvent:
        """Return the next event; after the last one, raise what the run raised, if it did."""
        return next(self._pump)


class AgentClient:
    """An agent that reaches a goal in six steps, on top of any client.

    It analyses the requirement, chooses tools, plans tasks, carries them out (those that do not
    depend on each other at the same time), asks people where it must, and evaluates the result.
    One object may serve many sessions and threads at once.
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
        self._core = AsyncAgentClient(
            ai_client,
            human_in_loop,
            dialog_options,
            max_task_iterations,
            session_handler,
            max_replans=max_replans,
            max_parallel_tasks=max_parallel_tasks,
            max_tool_rounds=max_tool_rounds,
            approve_complexity=approve_complexity,
            budget=budget,
            lease_seconds=lease_seconds,
            max_iterations=max_iterations,
        )

    @property
    def async_client(self) -> AsyncAgentClient:
        """The asynchronous agent behind this facade."""
        return self._core

    def agent(
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
        return portal.run(
            self._core.agent,
            prompt,
            final_response_structure,
            tools,
            dialog_options,
            human_in_loop,
            agent_id,
            human_response,
            budget=budget,
            raise_on_failure=raise_on_failure,
            ask_questions=ask_questions,
            answers=answers,
        )

    def stream(
        self,
        prompt: str = "",
        final_response_structure: type[BaseModel] | None = None,
        **options: Unpack[AgentOptions],
    ) -> AgentStream:
        """Run a session and watch it.

        Args:
            prompt: As for `agent()`.
            final_response_structure: As for `agent()`.
            **options: As for `agent()`.

        Returns:
            A context manager and iterator of events; `response` is there after the last one.
            Leaving it early stops the run, and the session can be continued.
        """

        async def opened() -> AsyncAgentStream:
            return await self._core.stream(prompt, final_response_structure, **options).__aenter__()

        return AgentStream(portal.StreamPump(opened))

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
        self._core.register_tool(
            name,
            description,
            function,
            schema,
            effect=effect,
            timeout=timeout,
            requires_approval=requires_approval,
        )

    def register_mcp_server(
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
        portal.run(
            self._core.register_mcp_server,
            name,
            base_url,
            command=command,
            env=env,
            headers=headers,
            token=token,
        )

    def get_session_info(self, agent_id: str) -> dict[str, Any]:  # Any: JSON of the session
        """Return a session's fields as JSON values, without credentials.

        Args:
            agent_id: Which session.

        Returns:
            The fields of the state and those that mbxai 2.3 had, `conversation_length` among them.

        Raises:
            SessionNotFoundError: There is no such session; also a `ValueError`.
        """
        return portal.run(self._core.get_session_info, agent_id)

    def get_response(
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
        return portal.run(self._core.get_response, agent_id, final_response_structure)

    def revoke_credentials(self, agent_id: str, dialog_option_id: str) -> None:
        """Take back what a person gave in a dialogue; no tool gets it any more.

        Args:
            agent_id: Which session.
            dialog_option_id: Which dialogue.
        """
        portal.run(self._core.revoke_credentials, agent_id, dialog_option_id)

    def delete_session(self, agent_id: str) -> bool:
        """Delete a session and the credentials that people gave it.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.
        """
        return portal.run(self._core.delete_session, agent_id)

    def list_sessions(self) -> list[str]:
        """Return the ids of all sessions in the store."""
        return portal.run(self._core.list_sessions)

    def close(self) -> None:
        """Close the connections of the session store; a later call opens them again."""
        portal.run(self._core.aclose)

    def __enter__(self) -> Self:
        """Return the agent."""
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """Close the agent."""
        self.close()
