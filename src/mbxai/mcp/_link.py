"""One connection to a server, from its opening to its end; it is never opened twice.

A task of its own enters the protocol's client, waits, and leaves it: whatever is entered must be
left in the same task. Callers use the client from their own tasks.
"""

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Final

import anyio

from mbxai._redaction import get_logger
from mbxai.errors import MCPConnectionError
from mbxai.mcp._failures import describe, root_cause, summary
from mbxai.mcp._stderr import StderrTail
from mbxai.mcp._targets import Endpoint, ServerTarget
from mbxai.mcp._transport import accept_any_result, make_client
from mbxai.mcp._watch import ConnectionWatch, is_probing

if TYPE_CHECKING:  # slow to load
    from mcp import Client

logger = get_logger(__name__)

CLOSE_SECONDS: Final = 8.0
"""How long an orderly end may take; a child gets 2 s to leave, 2 s after SIGTERM, then SIGKILL."""

_LAST_WORDS_SECONDS: Final = 1.0


class Link:
    """A connection, its owner task and what is known of its state.

    Attributes:
        loop: The event loop that runs it.
        endpoint: The way by which the server was reached; None until then.
    """

    def __init__(self, target: ServerTarget, ways: list[Endpoint]) -> None:
        """Begin to connect; must be called on the loop that is to run the connection.

        Args:
            target: The server.
            ways: What to try, in this order, until one works.
        """
        self.loop = asyncio.get_running_loop()
        self.endpoint: Endpoint | None = None
        self._target = target
        self._ways = ways
        self._tried: list[tuple[str, str]] = []
        self._settled = anyio.Event()  # connected, or failed
        self._stop = anyio.Event()
        self._client: Client | None = None
        self._watch: ConnectionWatch | None = None
        self._cause: BaseException | None = None
        self._has_expired = False
        self._stderr: StderrTail | None = None
        # An empty context: nothing of the first caller's (spans, request ids) may live on in it.
        self._owner = self.loop.create_task(self._own(), context=Context())
        self._timer = self.loop.call_later(target.connect_timeout, self._expire)

    @property
    def is_usable(self) -> bool:
        """Whether a new call may be given to this connection, or may wait for it."""
        if self._owner.done() or self._stop.is_set() or self.loop.is_closed():
            return False
        return self._watch is None or not (self._watch.has_ended or self._watch.is_lost)

    @property
    def has_ended(self) -> bool:
        """Whether the server's side is gone."""
        return self._owner.done() or (self._watch is not None and self._watch.has_ended)

    @property
    def has_left(self) -> bool:
        """Whether everything of this connection is closed."""
        return self._owner.done()

    async def client(self) -> "Client | None":
        """Wait until connected and return the client; None if the connection has ended since.

        Raises:
            MCPConnectionError: The server was not reached; the message says what was tried.
        """
        await self._settled.wait()
        if self.endpoint is None:
            raise self._unreachable() from self._cause
        return self._client

    async def last_words(self) -> tuple[str, BaseException | None]:
        """Return why the connection has ended, as far as that is known within a second.

        What the server wrote to its standard error is logged and not returned: it is meant for
        people, may tell of something else, and the answer goes to a model.
        """
        await asyncio.wait({self._owner}, timeout=_LAST_WORDS_SECONDS)
        if self._stderr is not None and (said := self._stderr.text()):
            logger.warning("MCP server %r ended. It had written: %s", self._target.name, said)
        return describe(self._cause) if self._cause is not None else "", self._cause

    def stop(self) -> None:
        """Tell the owner to leave; must be called on the connection's loop."""
        self._timer.cancel()
        self._stop.set()
        if not self._settled.is_set():
            self._bring_home()

    async def aclose(self) -> None:
        """Leave and wait for the end; must be called on the connection's loop."""
        self.stop()
        await asyncio.wait({self._owner}, timeout=CLOSE_SECONDS)
        if not self._owner.done():
            logger.warning("MCP server %s does not let go and is abandoned", self._target.name)
            self._owner.cancel()
            await asyncio.wait({self._owner}, timeout=_LAST_WORDS_SECONDS)

    async def _own(self) -> None:
        try:
            for index, way in enumerate(self._ways):
                if self._stop.is_set() or (index and not self._is_worth_trying(way)):
                    break
                await self._serve(way)
        except asyncio.CancelledError as error:
            self._cause = self._cause or error
            if not self._stop.is_set():
                raise
        finally:
            self._timer.cancel()
            self._client = None
            self._stop.set()
            self._settled.set()
            if self._stderr is not None:
                self._stderr.close()

    async def _serve(self, way: Endpoint) -> None:
        if self._stderr is not None:
            self._stderr.close()
        self._stderr = StderrTail() if way.kind == "stdio" else None
        watch = self._watch = ConnectionWatch(on_end=self._stop_if_connected)
        is_probing.set(True)
        try:
            # Loads the protocol's package at the first connection of a process.
            client = make_client(way, self._target, watch, self._stderr)
            async with client:
                if self._stop.is_set():
                    return
                accept_any_result(client)
                is_probing.set(False)
                self._client, self.endpoint = client, way
                self._timer.cancel()
                self._settled.set()
                logger.debug("MCP server %s is connected by %s", self._target.name, way.label)
                await self._stop.wait()
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # a foreign transport
            if self._has_expired:
                return
            self._cause = root_cause(error)
            self._tried.append((way.label, self._answer(self._cause, watch)))
            logger.debug("MCP server %s: %s", self._target.name, summary(self._tried[-1:]))
        finally:
            self._client = None

    def _is_worth_trying(self, way: Endpoint) -> bool:
        """Whether another way can help after the last one failed, or after it has served."""
        if self.endpoint is not None:
            return False
        if way.kind == "stdio":
            # It started and hung up on us: some servers do so on anything before `initialize`.
            return self._watch is not None and self._watch.has_ended
        # Where nobody listens, nobody listens at another path.
        return type(self._cause).__name__ not in ("ConnectError", "ConnectTimeout")

    def _answer(self, cause: BaseException, watch: ConnectionWatch) -> str:
        if self._stderr is None:
            return describe(cause, status=watch.status)
        answer = "it ended at once" if watch.has_ended else describe(cause)
        said = self._stderr.text()
        return f"{answer}; it wrote: {said}" if said else answer

    def _stop_if_connected(self) -> None:
        if self.endpoint is not None:
            self._stop.set()

    def _expire(self) -> None:
        """Give up connecting: tell the callers, then bring the owner home."""
        self._has_expired = True
        way = self._ways[min(len(self._tried), len(self._ways) - 1)]
        self._tried.append((way.label, "no answer"))
        self._stop.set()
        self._settled.set()
        self._bring_home()

    def _bring_home(self) -> None:
        """Get the owner out of its attempt to connect; whether it waits or reads."""
        watch = self._watch
        if watch is None:
            return  # it has not begun, and will not
        watch.cut()
        if self._stderr is None and not watch.has_streams:
            # Inside the opening of an HTTP transport, which has no child process to lose.
            self._owner.cancel()

    def _unreachable(self) -> MCPConnectionError:
        name, seconds = self._target.name, self._target.connect_timeout
        limit = f" within {seconds:g} s" if self._has_expired else ""
        tried = summary(self._tried) or "the connection was closed"
        return MCPConnectionError(
            f"MCP server {name!r} could not be reached{limit}. Tried {tried.rstrip('.')}.",
            hint="Check that it runs and that its address or command is right.",
            server=name,
        )
