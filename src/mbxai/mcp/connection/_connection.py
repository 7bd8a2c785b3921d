"""What can be asked of a server; the connection to it is made, and made again, as needed."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from mbxai._types import UNSET, Unset
from mbxai.mcp.connection._callbacks import Callbacks
from mbxai.mcp.connection._clock import CallClock
from mbxai.mcp.connection._info import ChangeListener, ServerInfo
from mbxai.mcp.connection._reaching import ReachableServer
from mbxai.mcp.connection._session import ProgressListener, Session
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.wire import ToolAnswer, ToolQuestion


class ServerConnection:
    """One registered server.

    Every method connects first if there is no connection, and may be called on any event loop. What
    a method raises beyond what it says itself:

    - `MCPConnectionError`: the server cannot be reached, or went away; the hint says whether the
      request may have been carried out. `MCPAuthError`, one of its kind: it does not
      accept who we are.
    - `MCPToolError`: the server refused, or did not answer in time.
    - `MCPProtocolError`: the answer is not allowed by the protocol.
    """

    def __init__(
        self,
        target: ServerTarget,
        callbacks: Callbacks = Callbacks(),  # noqa: B008  # it is frozen
        *,
        on_change: ChangeListener | None = None,
    ) -> None:
        """Take the server's settings; nothing is opened.

        Args:
            target: The server.
            callbacks: What the server may ask for; they are run on the connection's loop.
            on_change: Is told of changes of what the server offers, as long as it is connected, and
                after each new connection that the tools may have changed. None hears of none.
        """
        self.target = target
        self._server = ReachableServer(target, callbacks, on_change)

    @property
    def info(self) -> ServerInfo | None:
        """What the server said of itself when it was last connected; None before."""
        return self._server.info

    @property
    def state(self) -> Literal["idle", "connecting", "connected", "failed", "closed"]:
        """How the connection is now; "idle" connects at the next use."""
        return self._server.state

    @property
    def problem(self) -> str:
        """Why the server could not be reached the last time; empty if it could."""
        return self._server.problem

    async def connect(self) -> None:
        """Connect if there is no connection; tries at once, whatever has failed before."""
        await self._server.connect()

    async def reconnect(self) -> None:
        """End the connection if there is one, and connect again."""
        await self._server.reconnect()

    def check_open(self) -> None:
        """Raise if the connection has been closed.

        Raises:
            MCPConnectionError: It has.
        """
        self._server.check_open()

    async def aclose(self) -> None:
        """End the connection and wait for it; safe from any task, and more than once."""
        await self._server.aclose()

    async def list_tools(
        self, asked: Callable[[Session], object] | None = None
    ) -> list[dict[str, Any]]:
        """Return all tools of the server, as the JSON of the protocol.

        Malformed tools are left out, and a list without end is cut, each with a warning.

        Args:
            asked: Is told which session is asked.
        """
        return await self._listed("tools/list", "tools", asked)

    async def list_resources(self) -> list[dict[str, Any]]:
        """Return all resources of the server, as the JSON of the protocol."""
        return await self._listed("resources/list", "resources")

    async def list_resource_templates(self) -> list[dict[str, Any]]:
        """Return all templates of resources of the server, as the JSON of the protocol."""
        return await self._listed("resources/templates/list", "resources")

    async def list_prompts(self) -> list[dict[str, Any]]:
        """Return all prompts of the server, as the JSON of the protocol."""
        return await self._listed("prompts/list", "prompts")

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        progress: ProgressListener | None = None,
        can_pause: bool = False,
        answer: ToolAnswer | None = None,
        timeout: float | Unset | None = UNSET,  # noqa: ASYNC109  # it stands still for people
        may_resend: bool = False,
        check: Callable[[Session], Awaitable[None]] | None = None,
    ) -> dict[str, Any] | ToolQuestion:
        """Run a tool of the server.

        Args:
            name: The server's own name of the tool.
            arguments: Its arguments.
            progress: Is told how far the tool is, on the connection's loop.
            can_pause: Whether a question of the server to a person is returned. The call goes on
                when it is made again with the answer; it is cancelled after `held_seconds` if the
                server speaks the older protocol. Otherwise the callback asks, and is waited for.
            answer: The answer to the question that the same call has returned.
            timeout: Seconds for the call, those of people apart; None waits for ever. That of the
                server by default.
            may_resend: Whether the tool may be run twice: then a call whose connection was lost is
                sent once more. Otherwise only what was provably not run is.
            check: Is awaited on the session that the call is about to be sent on, each time it is;
                where it raises, nothing is sent.

        Returns:
            The `CallToolResult` as JSON, where a tool that failed is a result with `isError`; or,
            with `can_pause`, a question.

        Raises:
            MCPConnectionError: The server cannot be reached, or went away during the call.
            MCPToolError: The server refused the call, or did not answer in time.
            MCPProtocolError: The answer is not allowed by the protocol; the tool has run.
        """

        async def call(session: Session, clock: CallClock) -> dict[str, Any] | ToolQuestion:
            if check is not None:
                await check(session)
            return await session.call_tool(
                name, arguments, clock, progress=progress, can_pause=can_pause, answer=answer
            )

        seconds = self.target.timeout if isinstance(timeout, Unset) else timeout
        return await self._server.request(
            f"the call of {name!r}",
            call,
            seconds,
            may_resend=may_resend and answer is None,
            state="" if answer is None else answer.state,
        )

    async def read_resource(self, uri: str) -> dict[str, Any]:
        """Return the content of a resource: the `ReadResourceResult` as JSON.

        Args:
            uri: The resource.
        """
        return await self._resolved("the reading of a resource", "resources/read", {"uri": uri})

    async def get_prompt(self, name: str, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Return a prompt with its arguments filled in: the `GetPromptResult` as JSON.

        Args:
            name: The prompt.
            arguments: Its arguments.
        """
        params = {"name": name, "arguments": dict(arguments)}
        return await self._resolved(f"the prompt {name!r}", "prompts/get", params)

    async def complete(
        self,
        ref: Mapping[str, Any],
        argument: Mapping[str, Any],
        context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return proposals for an argument of a prompt or a template: `CompleteResult` as JSON.

        Args:
            ref: What the argument belongs to, as the JSON of the protocol.
            argument: `name`, and the `value` as far as it is known.
            context: Arguments that are known already, by name.
        """
        params: dict[str, Any] = {"ref": dict(ref), "argument": dict(argument)}
        if context:
            params["context"] = {"arguments": dict(context)}
        return await self._asked("the completion of an argument", "completion/complete", params)

    async def set_log_level(self, level: str) -> None:
        """Say from which level on the server is to log.

        Args:
            level: One of syslog's names, for example "warning".
        """

        async def ask(session: Session, clock: CallClock) -> None:
            del clock
            await session.set_log_level(level)

        await self._server.request("the log level", ask, self.target.timeout, may_resend=True)

    async def subscribe(self, uri: str) -> None:
        """Hear of changes of a resource, until this connection is closed.

        Args:
            uri: The resource.
        """
        self._server.subscriptions.add(uri)
        await self._subscription("resources/subscribe", uri)

    async def unsubscribe(self, uri: str) -> None:
        """Hear no more of changes of a resource.

        Args:
            uri: The resource.
        """
        self._server.subscriptions.discard(uri)
        await self._subscription("resources/unsubscribe", uri)

    async def ping(self) -> None:
        """Return once the server has given a sign of life."""

        async def ask(session: Session, clock: CallClock) -> None:
            del clock
            await session.ping()

        await self._server.request("a sign of life", ask, self.target.timeout, may_resend=True)

    async def _listed(
        self,
        method: str,
        capability: str,
        asked: Callable[[Session], object] | None = None,
    ) -> list[dict[str, Any]]:
        async def ask(session: Session, clock: CallClock) -> list[dict[str, Any]]:
            del clock
            if asked is not None:
                asked(session)
            return await session.pages(method) if session.info.offers(capability) else []

        what = f"the request for its {capability}"
        return await self._server.request(what, ask, self.target.timeout, may_resend=True)

    async def _resolved(self, what: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        async def ask(session: Session, clock: CallClock) -> dict[str, Any]:
            return await session.resolve(method, params, clock)

        return await self._server.request(what, ask, self.target.timeout, may_resend=True)

    async def _asked(self, what: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        async def ask(session: Session, clock: CallClock) -> dict[str, Any]:
            del clock
            return await session.request(method, params)

        return await self._server.request(what, ask, self.target.timeout, may_resend=True)

    async def _subscription(self, method: str, uri: str) -> None:
        async def ask(session: Session, clock: CallClock) -> None:
            del clock
            if session.is_modern:
                self._server.hear()
            else:
                await session.request(method, {"uri": uri})

        what = "the subscription of a resource"
        await self._server.request(what, ask, self.target.timeout, may_resend=True)
