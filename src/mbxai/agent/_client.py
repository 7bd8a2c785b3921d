"""The asynchronous agent: sessions, answers of people, and runs until a session rests."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, Self, Unpack, cast

from pydantic import BaseModel
from typing_extensions import TypeVar

import mbxai.agent._deprecations as deprecations
import mbxai.agent._runs as runs
import mbxai.agent._turns as turns
from mbxai.agent._events import AgentEvent
from mbxai.agent._human_models import AnswerDeadline, AnswerList, DialogOption
from mbxai.agent._limits import checked_budget, checked_callback
from mbxai.agent._people import HumanResponse
from mbxai.agent._result_models import AgentResponse
from mbxai.agent._runs import AgentSetup
from mbxai.agent._sessions import AsyncAgentSessions
from mbxai.agent._stream import AsyncAgentStream
from mbxai.agent._turns import AgentOptions, SubmitOptions
from mbxai.agent.running._watching import Observer
from mbxai.errors import ConfigurationError
from mbxai.sessions import CredentialVault, SessionHandler, SessionStore, is_id
from mbxai.wire import Budget, Effect

M = TypeVar("M", bound=BaseModel, default=Any)  # Any: whatever a session was given


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
        max_parallel_tasks: int = 8,
        max_tool_rounds: int = 10,
        approve_complexity: int | None = 4,
        planning: Literal["stepwise", "merged"] = "stepwise",
        quality_iterations: int = 0,
        max_repeats: int = 3,
        max_context_tokens: int | None = None,
        unplanned_tools: Literal["ask", "allow"] = "ask",
        on_changed_tools: Literal["continue", "refuse"] = "continue",
        answer_deadline: AnswerDeadline | None = None,
        budget: Budget | None = None,
        run_budget: Budget | None = None,
        on_event: Callable[[AgentEvent], object] | None = None,
        lease_seconds: float = 60.0,
        keep_log_rows: int | None = None,
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
            max_replans: New rounds of the plan after an evaluation that found the goal not reached;
                then people, if they are in the loop, decide what becomes of it.
            max_parallel_tasks: Tasks in progress at once.
            max_tool_rounds: Rounds of tool calls in one task.
            approve_complexity: Estimated complexity (1 to 5) from which a task asks a person first,
                if people are in the loop; None: never.
            planning: "stepwise" analyses, chooses tools and plans in three model calls; "merged"
                does it in one, and evaluates and concludes in one, which saves time and rounds.
            quality_iterations: How often the model judges its final response and improves it.
            max_repeats: How often the same tool call may give the same result in a row.
            max_context_tokens: Tokens of a conversation above which its older part is summed up;
                None: three quarters of the model's context window, where that is known.
            unplanned_tools: What becomes of a tool call with effects that the plan did not name,
                once text that tools brought in was read: "ask" a person (it is refused where
                nobody can be asked), or "allow" it.
            on_changed_tools: What becomes of a turn that goes on after its tools have changed:
                "continue" with those that there are, or "refuse".
            answer_deadline: How long requests to people stay open, and what is done then; None:
                for ever.
            budget: Bounds of what each session may use up, over all its turns.
            run_budget: Bounds of each call of `agent()`, beside those of the session.
            on_event: Told of each event, in order: a coroutine function on the event loop, another
                in a worker thread. What it raises is logged by its type; the run waits for it only
                at its end, for five seconds.
            lease_seconds: How long a session stays claimed after the last sign of life of the
                process that runs it; a third of it passes between two signs.
            keep_log_rows: Rows of a session's log that are kept, at least; older ones are dropped
                now and then, and with them their events. None keeps all.
            max_iterations: Deprecated; the same as `max_task_iterations`.

        Raises:
            ConfigurationError: The client has no `parse`, or an option is impossible.
        """
        deprecations.warn_of("AgentClient", max_iterations=max_iterations)
        limits = {
            "max_task_iterations": (
                max_task_iterations if max_iterations is None else max_iterations
            ),
            "max_replans": max_replans,
            "max_parallel_tasks": max_parallel_tasks,
            "max_tool_rounds": max_tool_rounds,
            "approve_complexity": approve_complexity,
            "planning": planning,
            "quality_iterations": quality_iterations,
            "max_repeats": max_repeats,
            "max_context_tokens": max_context_tokens,
            "unplanned_tools": unplanned_tools,
            "on_changed_tools": on_changed_tools,
            "answer_deadline": answer_deadline,
        }
        self._setup = AgentSetup(
            means=runs.means_of(
                ai_client,
                session_handler,
                lease_seconds=lease_seconds,
                keep_log_rows=keep_log_rows,
            ),
            defaults=turns.defaults_of(human_in_loop, dialog_options, limits),
            budget=checked_budget("budget", budget) or Budget(),
            run_budget=checked_budget("run_budget", run_budget) or Budget(),
            on_event=checked_callback(on_event),
        )
        self._port = self._setup.means.port
        self._vaults = {"": self._setup.means.vault}  # by scope

    # --- runs -------------------------------------------------------------------------------------

    async def agent(
        self,
        prompt: str = "",
        final_response_structure: type[M] | None = None,
        tools: Sequence[str] | None = None,
        dialog_options: Sequence[DialogOption] | None = None,
        human_in_loop: bool | None = None,  # positional in mbxai 2.3
        agent_id: str | None = None,
        human_response: HumanResponse | None = None,
        *,
        planning: Literal["stepwise", "merged"] | None = None,
        quality_iterations: int | None = None,
        max_repeats: int | None = None,
        max_context_tokens: int | None = None,
        unplanned_tools: Literal["ask", "allow"] | None = None,
        on_changed_tools: Literal["continue", "refuse"] | None = None,
        answer_deadline: AnswerDeadline | None = None,
        budget: Budget | None = None,
        run_budget: Budget | None = None,
        on_event: Callable[[AgentEvent], object] | None = None,
        raise_on_failure: bool = True,
        ask_questions: bool | None = None,
        answers: AnswerList | None = None,
    ) -> AgentResponse[M]:
        """Run a session until it rests: completed, waiting for a person, or failed.

        With a new `agent_id`, or none, the prompt starts a session; on a finished session it starts
        a new turn that remembers the earlier ones. On a session that waits, was interrupted or
        failed for a passing reason, the session goes on where it stopped, as its turn began: the
        prompt and what belongs to a turn (`tools`, `dialog_options`, `human_in_loop`, `planning` to
        `answer_deadline`) are not read; so it is with `human_response`.

        Args:
            prompt: What is to be achieved.
            final_response_structure: Pydantic model of the final response.
            tools: Names of the tools that may be used; None: all.
            dialog_options: Dialogues that the application can show, instead of the client's.
            human_in_loop: Whether people may be asked, instead of the client's setting.
            agent_id: The session to go on with.
            human_response: Answers of people: one, a list, or a batch; a batch may be partial.
            planning: As for the client, for the turn that begins; so are the next ones.
            quality_iterations: As for the client.
            max_repeats: As for the client.
            max_context_tokens: As for the client.
            unplanned_tools: As for the client.
            on_changed_tools: As for the client; also for a turn that goes on.
            answer_deadline: As for the client.
            budget: Bounds for the session, over all its turns, instead of the client's.
            run_budget: Bounds for this call, instead of the client's.
            on_event: Told of each event of this call, instead of the client's.
            raise_on_failure: Whether a run that rests in FAILED raises.
            ask_questions: Deprecated; the same as `human_in_loop`.
            answers: Deprecated; answers to `response.questions` by key.

        Returns:
            The state of the run; `final_response` is an instance of `final_response_structure`
            once it is completed.

        Raises:
            ConfigurationError: The prompt or the model is missing, or a tool is not known; or the
                tool that asked a person is not there now, and the answer is not taken.
            AgentFailedError: The run rests in FAILED; `.response` tells everything known.
            BudgetExceededError: A bound is reached, see `.limit`; a larger one lets it go on.
            InteractionError: An answer does not fit; the session is unchanged.
            SessionError: The session is run by another worker, or cannot be stored.
        """
        deprecations.warn_of("agent", ask_questions=ask_questions, answers=answers)
        options: AgentOptions = {
            "tools": tools,
            "dialog_options": dialog_options,
            "human_in_loop": human_in_loop,
            "agent_id": agent_id,
            "human_response": human_response,
            "planning": planning,
            "quality_iterations": quality_iterations,
            "max_repeats": max_repeats,
            "max_context_tokens": max_context_tokens,
            "unplanned_tools": unplanned_tools,
            "on_changed_tools": on_changed_tools,
            "answer_deadline": answer_deadline,
            "budget": budget,
            "run_budget": run_budget,
            "on_event": on_event,
            "raise_on_failure": raise_on_failure,
            "ask_questions": ask_questions,
            "answers": answers,
        }
        outcome = await runs.run(
            self._setup, prompt, final_response_structure, options, watcher=None
        )
        return cast("AgentResponse[M]", outcome)

    def stream(
        self,
        prompt: str = "",
        final_response_structure: type[M] | None = None,
        **options: Unpack[AgentOptions],
    ) -> AsyncAgentStream[M]:
        """Run a session and watch it.

        Beside what happens, the final response's JSON text is told as it comes, where the client
        can stream such answers.

        Args:
            prompt: As for `agent()`.
            final_response_structure: As for `agent()`.
            **options: As for `agent()`.

        Returns:
            An asynchronous context manager and iterator of events; `response` is there after the
            last one. Leaving it early stops the run, and the session can be continued.
        """
        turns.check_options(options, "stream")
        deprecations.warn_of(
            "agent", ask_questions=options.get("ask_questions"), answers=options.get("answers")
        )

        async def run(observe: Observer) -> AgentResponse[M]:
            outcome = await runs.run(
                self._setup, prompt, final_response_structure, options, watcher=observe
            )
            return cast("AgentResponse[M]", outcome)

        return AsyncAgentStream(run)

    async def submit(
        self,
        prompt: str,
        final_response_structure: type[M] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> str:
        """Store a session, or a new turn of one, for a worker to run; see `AsyncAgentWorker`.

        Args:
            prompt: As for `agent()`.
            final_response_structure: As for `agent()`.
            **options: As for `agent()`, and `request_key`; those about this call's run are not
                read.

        Returns:
            The session's id.

        Raises:
            ConfigurationError: As for `agent()`.
            SessionError: The session is run by another worker, or cannot be stored.
        """
        turns.check_options(options, "submit")
        return await runs.submit(self._setup, prompt, final_response_structure, options)

    async def resume(
        self, agent_id: str, *, watcher: Callable[[AgentEvent], object] | None = None
    ) -> AgentResponse:
        """Let a session go on that nobody waits for, as a worker does.

        Answers that were posted are taken in, and calls that a stopped worker left open are made.
        Where the run is cut off it is due again at once, after a passing failure a little later.

        Args:
            agent_id: Which session.
            watcher: Gets each event beside `on_event`, on the event loop; it must not block.

        Returns:
            The state in which it rests; FAILED does not raise.

        Raises:
            SessionNotFoundError: There is no such session.
            SessionError: Another worker runs it, or it cannot be stored.
            BudgetExceededError: A bound is reached.
        """
        return await runs.resume(self._setup, agent_id, watcher)

    def for_scope(self, scope: str) -> Self:
        """Return an agent for the sessions of one tenant or user.

        It shares everything with this one, but finds no sessions and no credentials of others: an
        id of another scope is not found.

        Args:
            scope: Whose sessions; up to 256 characters without control characters.

        Returns:
            An agent; closing it closes the store of all of them.

        Raises:
            ConfigurationError: It cannot be one.
        """
        if scope != "" and not is_id(scope):
            raise ConfigurationError("A scope has up to 256 characters and no control characters.")
        other = copy.copy(self)
        vault = self._vaults.setdefault(scope, CredentialVault())
        means = replace(self._setup.means, scope=scope, vault=vault)
        other._setup = replace(self._setup, means=means)  # noqa: SLF001 - of its own kind
        return other

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
        reconcile: Callable[..., object] | None = None,
    ) -> None:
        """Register a tool with the wrapped client.

        Args:
            name: 1 to 64 letters, digits, `_` and `-`.
            description: What the tool does, for the model.
            function: What runs; blocking functions run in a worker thread.
            schema: JSON Schema of the arguments; None: made from the function's signature.
            effect: What a repeated run does: "read" and "idempotent" may be repeated after a
                crash, "once" never is unasked.
            timeout: Seconds for one run; None waits for ever.
            requires_approval: Whether a person must agree before each run.
            reconcile: Tells what came of a run that was cut off; see `ToolClient.register_tool`.

        Raises:
            AttributeError: The wrapped client takes no tools.
            ToolDefinitionError: The function cannot become a tool.
        """
        given = {
            "effect": (effect, "once"),
            "timeout": (timeout, None),
            "requires_approval": (requires_approval, False),
            "reconcile": (reconcile, None),
        }
        # A user's own client may take nothing but the four arguments of mbxai 2.3.
        options = {key: value for key, (value, usual) in given.items() if value != usual}
        register = self._port.method("register_tool", "take tools", wrap="ToolClient")
        register(name, description, function, schema, **options)

    async def register_mcp_server(
        self,
        name: str,
        base_url: str | None = None,
        **params: Any,  # what the wrapped client's own method takes, see MCPServerParams
    ) -> list[str]:
        """Register an MCP server with the wrapped client.

        Args:
            name: Name of the server, for errors and for tool names that clash.
            base_url: Where it listens, for example `http://localhost:8000`.
            **params: What the wrapped client takes besides: `command`, `env`, `headers`, `token`,
                and all else of `MCPServerParams`.

        Returns:
            The names that its tools have here.

        Raises:
            AttributeError: The wrapped client takes no MCP servers.
            ConfigurationError: Something is missing or contradictory.
            MCPConnectionError: The server cannot be reached.
        """
        register = self._port.method("register_mcp_server", "use MCP servers", wrap="MCPClient")
        names: object = await register(name, base_url, **params)
        # A user's own client may return nothing.
        return [str(known) for known in cast("list[object]", names or [])]

    # --- sessions ---------------------------------------------------------------------------------

    @property
    def scope(self) -> str:
        """Whose sessions they are; empty where nobody is told apart."""
        return self._setup.means.scope

    @property
    def store(self) -> SessionStore:
        """Where the sessions live."""
        return self._setup.means.store

    @property
    def dialog_options(self) -> tuple[DialogOption, ...]:
        """The dialogues that the agent was made with."""
        return self._setup.defaults.dialog_options

    @property
    def sessions(self) -> AsyncAgentSessions:
        """The sessions of this agent's scope, whoever runs them."""
        return AsyncAgentSessions(self._setup)

    async def get_session_info(self, agent_id: str) -> dict[str, Any]:  # Any: JSON of the session
        """Return a session's fields as JSON values, without credentials.

        Args:
            agent_id: Which session.

        Returns:
            The fields of the state and those that mbxai 2.3 had, `conversation_length` among them.

        Raises:
            SessionNotFoundError: There is no such session; also a `ValueError`.
        """
        return await self.sessions.info(agent_id)

    async def get_response(
        self, agent_id: str, final_response_structure: type[M] | None = None
    ) -> AgentResponse[M]:
        """Return a session's state without running it.

        Args:
            agent_id: Which session.
            final_response_structure: Pydantic model of the final response, to have it typed.

        Returns:
            The state as last saved.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        return await self.sessions.get(agent_id, final_response_structure)

    async def revoke_credentials(self, agent_id: str, dialog_option_id: str) -> None:
        """Take back what a person gave in a dialogue; no tool gets it any more.

        Args:
            agent_id: Which session.
            dialog_option_id: Which dialogue.
        """
        self._setup.means.vault.revoke(agent_id, dialog_option_id)

    async def delete_session(self, agent_id: str) -> bool:
        """Delete a session and the credentials that people gave it.

        Args:
            agent_id: Which session.

        Returns:
            Whether there was one.
        """
        return await self.sessions.delete(agent_id)

    async def list_sessions(self) -> list[str]:
        """Return all sessions' ids, the newest first; `sessions.list()` gives them in pages."""
        page = await self.sessions.list(limit=1000)
        ids = [session.agent_id for session in page.sessions]
        while page.next_cursor is not None:
            page = await self.sessions.list(limit=1000, cursor=page.next_cursor)
            ids += [session.agent_id for session in page.sessions]
        return ids

    # --- lifetime ---------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close the connections of the session store; a later call opens them again."""
        await self._setup.means.store.aclose()

    async def __aenter__(self) -> Self:
        """Return the agent."""
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Close the agent."""
        await self.aclose()
