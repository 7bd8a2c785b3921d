"""One registered server: its connection, what it lists, and its tools in the client's registry."""

import itertools
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import anyio.to_thread

from mbxai._redaction import get_logger
from mbxai.errors import MCPError, MCPToolError
from mbxai.mcp.connection._callbacks import Callbacks
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.connection._info import Change, ChangeListener
from mbxai.mcp.connection._session import Session
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.registry._catalogue import Catalogue, ListedTool, read_catalogue
from mbxai.mcp.registry._cleaning import suspicions, visible
from mbxai.mcp.registry._names import exposed_names
from mbxai.mcp.registry._pins import PinStore, changes
from mbxai.mcp.registry._policy import ServerPolicy
from mbxai.mcp.registry._reading_tools import reading_tools, wanted_reading_tools
from mbxai.mcp.registry._refresh import Refresher
from mbxai.mcp.registry._slots import Slots
from mbxai.mcp.registry._status import ServerStatus
from mbxai.mcp.registry._tool import MCPTool, ServerCall
from mbxai.tools import ToolRegistry

logger = get_logger(__name__)

_NOT_ACCEPTED: Final = "its MCP server changed it, and nobody has accepted that yet"
_MAX_TOLD: Final = 20


class RegisteredServer:
    """A server under the name it was registered.

    Attributes:
        target: Where it is.
        policy: What holds for its tools.
        connection: How it is spoken to.
        required: Whether it was registered as one that must be there.
    """

    def __init__(
        self,
        target: ServerTarget,
        policy: ServerPolicy,
        callbacks: Callbacks,
        *,
        required: bool,
        tools: ToolRegistry,
        pins: PinStore,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        """Take the settings; nothing is opened.

        Args:
            target: Where it is.
            policy: What holds for its tools.
            callbacks: What it may ask for.
            required: Whether it must be there.
            tools: Where its tools are offered.
            pins: Where the first sight of its tools is kept.
            pause: Waits some seconds.
        """
        self.target = target
        self.policy = policy
        self.required = required
        self.connection = ServerConnection(target, callbacks, on_change=self._on_change)
        self.slots = Slots(policy.max_concurrent_calls)
        self._registry = tools
        self._store = pins
        self._refresher = Refresher(target.name, self.refresh, pause=pause)
        self._listeners: list[ChangeListener] = []
        # Guards all below: tools are read on the connection's loop, and trusted on any thread.
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._shown = 0
        self._is_offered = False
        self._is_closed = False
        self._catalogue = Catalogue()
        self._read_on: Session | None = None  # the connection that told what is shown
        self._kept: Mapping[str, str] = {}
        self._tools: tuple[MCPTool, ...] = ()
        self._names: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        self._told_warnings: set[str] = set()
        self._withheld: dict[str, str] = {}
        self._warnings: list[str] = []
        self._problem = ""

    @property
    def tools(self) -> tuple[MCPTool, ...]:
        """The tools that are offered."""
        return self._tools

    @property
    def names(self) -> Mapping[str, str]:
        """The server's own names of its tools to those that were chosen for the model."""
        return self._names

    @property
    def has_failed(self) -> bool:
        """Whether its tools could not be read when that was last tried."""
        return bool(self._problem)

    async def load(self) -> None:
        """Read what the server lists; nothing is offered yet, unless it was before.

        Raises:
            MCPError: The server cannot be reached, or does not tell its tools.
        """
        number = next(self._numbers)
        asked: list[Session] = []
        try:
            listed = await self.connection.list_tools(asked.append)
            self.connection.check_open()  # the client may have been closed meanwhile
        except MCPError as error:
            self._problem = error.message
            raise
        await self._read(number, listed, asked[-1])

    async def check(self, name: str, session: Session) -> None:
        """See that a tool is what it was, as the connection has it that it is to be called on.

        A server that was restarted may be another one, and would run a call before its tools were
        looked at.

        Args:
            name: The server's own name of the tool.
            session: The connection.

        Raises:
            MCPToolError: It is another tool now.
        """
        catalogue = self._catalogue
        if session is not self._read_on:
            number = next(self._numbers)
            listed = await session.pages("tools/list") if session.info.offers("tools") else []
            catalogue = await self._read(number, listed, session)
        if name in catalogue.pins:
            why = changes({name: catalogue.pins[name]}, self._kept).get(name, "")
        else:
            why = "it is not listed any more"
        if why:
            server = self.target.name
            raise MCPToolError(f"Nothing was run: {_NOT_ACCEPTED}: {why}.", server=server)

    async def _read(self, number: int, listed: list[dict[str, Any]], session: Session) -> Catalogue:
        info = self.connection.info
        declared = info.name if info is not None else ""
        read = partial(read_catalogue, self.target.name, listed, self.policy, declared)
        # A thousand schemas take a while, and the choice of tools may be a user's own function.
        catalogue = await anyio.to_thread.run_sync(read)
        kept: Mapping[str, str] = {}
        if self.policy.pin != "off":
            first_seen = partial(self._store.first_seen, self.target.name, catalogue.pins)
            kept = await anyio.to_thread.run_sync(first_seen)
        await anyio.to_thread.run_sync(self._take, number, catalogue, kept, session)
        return catalogue

    async def refresh(self) -> list[str]:
        """Read and offer the tools anew; an answer that was overtaken by a newer one is dropped.

        Returns:
            The names under which its tools are offered.

        Raises:
            MCPError: As for `load`; the tools stay as they were.
        """
        await self.load()
        return [tool.name for tool in self._tools]

    def offer(self, old: "RegisteredServer | None") -> None:
        """Offer what was read, and from now on whatever is read.

        Args:
            old: The server whose place it takes.
        """
        with self._lock:
            before = old.close_offer() if old is not None else ()
            if self._is_closed:  # before it came to this; what it was to replace goes all the same
                self._registry.exchange(self.target.name, before, ())
                return
            self._is_offered = True
            if old is not None and old.policy.prefix == self.policy.prefix:
                self._names = {**old.names}
            self._install(before)

    def close_offer(self) -> tuple[MCPTool, ...]:
        """Offer nothing any more.

        Returns:
            The tools that are still in the client's registry; the caller takes them out.
        """
        with self._lock:
            self._is_closed = True
            tools, self._tools = self._tools, ()
            return tools

    def withdraw(self) -> None:
        """Take all tools out of the client's registry, for good."""
        self._registry.exchange(self.target.name, self.close_offer(), ())

    def trust(self) -> list[str]:
        """Take the tools as they are now for what they should be.

        Returns:
            The names of those that had changed.
        """
        with self._lock:
            changed = changes(self._catalogue.pins, self._kept) if self._kept else {}
            self._kept = {**self._kept, **self._catalogue.pins}
            self._store.keep(self.target.name, self._kept)
            if self._is_offered and not self._is_closed:
                self._install(self._tools)
            return [self._names[name] for name in changed if name in self._names]

    def wake(self) -> None:
        """See that a server that could not be reached is tried again soon, on the running loop."""
        if self.has_failed:
            self._refresher.poke()

    def listen(self, listener: ChangeListener) -> Callable[[], None]:
        """Pass changes on.

        Args:
            listener: Is told of each change, on the connection's loop.

        Returns:
            Ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def status(self) -> ServerStatus:
        """Return how the server is at this moment."""
        info, connection = self.connection.info, self.connection
        with self._lock:
            has_failed = bool(self._problem) and connection.state not in ("connected", "connecting")
            return ServerStatus(
                name=self.target.name,
                state="failed" if has_failed else connection.state,
                protocol_version=info.protocol_version if info is not None else "",
                tools=[tool.name for tool in self._tools],
                withheld={visible(name): why for name, why in self._withheld.items()},
                warnings=list(self._warnings),
                problem=self._problem or connection.problem,
                required=self.required,
            )

    async def aclose(self) -> None:
        """End the connection and whatever reads its tools; safe from any loop."""
        await self._refresher.aclose()
        await self.connection.aclose()

    def _on_change(self, change: Change) -> None:
        if change.kind == "tools":
            self._refresher.poke()
        for listener in list(self._listeners):
            try:
                listener(change)
            except Exception:  # the application's own function
                logger.exception("A listener for MCP server %s failed", self.target.name)

    def _take(
        self, number: int, catalogue: Catalogue, kept: Mapping[str, str], session: Session
    ) -> None:
        with self._lock:
            if number < self._shown or self._is_closed:
                return  # what was asked later has been answered before
            self._shown, self._problem = number, ""
            self._catalogue, self._kept, self._read_on = catalogue, kept, session
            if self._is_offered:
                self._install(self._tools)

    def _install(self, before: tuple[MCPTool, ...]) -> None:
        """Make the tools of what was read, and put them in the place of those before."""
        catalogue, server, policy = self._catalogue, self.target.name, self.policy
        changed = {} if policy.pin == "off" else changes(catalogue.pins, self._kept)
        self._tell(changed)
        ours = {tool.name for tool in before}
        others = {name for name in self._registry.names() if name not in ours}
        own = [tool.name for tool in catalogue.tools]
        names = exposed_names(server, own, others, prefix=policy.prefix, known=self._names)
        is_blocked = policy.pin == "block"
        held = {name: why for name, why in changed.items() if is_blocked and name in names}
        tools = [
            make_tool(self, listed, names[listed.name])
            for listed in catalogue.tools
            if listed.name not in held
        ]
        tools += self._reading_tools({*others, *names.values()})
        refusals = {names[name]: f"{_NOT_ACCEPTED}: {why}" for name, why in held.items()}
        taken = {
            tool.name for tool in self._registry.exchange(server, before, tools, refusals=refusals)
        }
        self._names = names
        self._tools = tuple(tool for tool in tools if tool.name not in taken)
        self._withheld = {**catalogue.withheld, **held}
        lost = [tool.original_name for tool in tools if tool.name in taken]
        self._withheld |= dict.fromkeys(lost, "another tool has its name")
        self._warnings = [*catalogue.warnings, *self._doubts(changed, {*others, *names.values()})]

    def _reading_tools(self, taken: set[str]) -> list[MCPTool]:
        wanted = wanted_reading_tools(self.connection, self.policy)
        names = exposed_names(self.target.name, wanted, taken, prefix=True)
        return reading_tools(self.connection, self.policy, self.slots, names)

    def _doubts(self, changed: Mapping[str, str], known: set[str]) -> list[str]:
        lines = [f"{visible(name)}: {why}" for name, why in changed.items() if name in self._names]
        for tool in self._catalogue.tools:
            others = known - {tool.name, self._names[tool.name]}
            lines += [f"{visible(tool.name)}: {why}" for why in suspicions(tool.all_text, others)]
        return lines

    def _tell(self, changed: Mapping[str, str]) -> None:
        """Log each change, and whatever else a person should look at, once."""
        for line in [one for one in self._catalogue.warnings if one not in self._told_warnings][
            :_MAX_TOLD
        ]:
            self._told_warnings.add(line)
            logger.warning("MCP server %s: %s", self.target.name, line)
        pins = self._catalogue.pins
        fresh = {name for name in changed if (name, pins[name]) not in self._told}
        self._told = {(name, pins[name]) for name in changed}
        for name in sorted(fresh)[:_MAX_TOLD]:
            accept = f"client.server({self.target.name!r}).trust() accepts it"
            end = f"; it is withheld, and {accept}" if self.policy.pin == "block" else f"; {accept}"
            logger.warning(
                "Tool %.100r of MCP server %s: %s%s", name, self.target.name, changed[name], end
            )


def make_tool(server: RegisteredServer, listed: ListedTool, name: str) -> MCPTool:
    """Make the tool that a model may call.

    Args:
        server: Whose tool it is.
        listed: The tool as the server lists it.
        name: The name that the model uses.
    """
    options = listed.options
    repeats = options.get("effect") != "once" and options.get("retries", 0) > 0
    call = ServerCall(
        server.connection,
        server.slots,
        name=name,
        original_name=listed.name,
        output_schema=listed.output_schema,
        timeout=options.get("timeout"),
        may_resend=repeats,
        check=partial(server.check, listed.name) if server.policy.pin == "block" else None,
    )
    return MCPTool(
        name,
        listed.description,
        call.run,
        listed.schema or {"type": "object"},
        source=server.target.name,
        original_name=listed.name,
        output_schema=listed.output_schema,
        title=listed.title,
        annotations=listed.annotations,
        model_schema=listed.shown_schema if listed.shown_schema != listed.schema else None,
        **options,
    )
