"""One connection to a server, from its opening to its end; it is never opened twice.

A task of its own enters the protocol's client, waits, and leaves it: whatever is entered must be
left in the same task. Callers use the client from their own tasks.
"""

import asyncio
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

import mbxai.portal as portal
from mbxai._portal_loop import is_loop_thread
from mbxai._redaction import get_logger
from mbxai.errors import MCPAuthError, MCPConnectionError
from mbxai.mcp.connection._clock import Alarm, Clocks
from mbxai.mcp.connection._failures import (
    auth_failure,
    describe,
    exit_text,
    is_internal,
    missing_right,
    root_cause,
    summary,
)
from mbxai.mcp.connection._listening import Listening
from mbxai.mcp.connection._requested import Answers
from mbxai.mcp.connection._session import Session
from mbxai.mcp.connection._stderr import StderrTail
from mbxai.mcp.connection._targets import Endpoint, ServerTarget
from mbxai.mcp.connection._transport import (
    OtherVersionError,
    agree_on_pinned,
    load_package,
    make_client,
)
from mbxai.mcp.connection._verdicts import REPORT, SCOPE_HINT
from mbxai.mcp.connection._watch import ConnectionWatch, is_probing

if TYPE_CHECKING:  # slow to load
    import httpx2

logger = get_logger(__name__)

CLOSE_SECONDS: Final = 8.0
"""How long an orderly end may take; a child gets 2 s to leave, 2 s after SIGTERM, then SIGKILL."""

_LAST_WORDS_SECONDS: Final = 1.0
_ENDED: Final = "it ended at once"
_AUTH_STATUS: Final = (401, 403)
_FORBIDDEN: Final = 403

# A loop holds its tasks only weakly, and whoever has made a connection may drop it.
_owners: Final[set[asyncio.Task[None]]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a connection is made with.

    Attributes:
        answers: What the server is answered when it asks, and who is told when it tells something.
        clocks: All clocks of the server; the time to connect is one of them.
        auth: Signs HTTP requests.
        listening: Hears of changes where a stream must be opened for it; None hears of none.
    """

    answers: Answers
    clocks: Clocks = field(default_factory=Clocks)
    auth: "httpx2.Auth | None" = None
    listening: Listening | None = None


class Link:
    """A connection, its owner task and what is known of its state.

    Attributes:
        loop: The event loop that runs it.
        endpoint: The way by which the server was reached; None until then.
        means: What it is made with.
        calls: How many requests run on it.
        is_retired: Whether it takes no more requests, and ends with the last one.
    """

    def __init__(self, target: ServerTarget, ways: list[Endpoint], means: Means) -> None:
        """Begin to connect; must be called on the loop that is to run the connection.

        Args:
            target: The server.
            ways: What to try, in this order, until one works.
            means: What to do it with.
        """
        self.loop = asyncio.get_running_loop()
        self.endpoint: Endpoint | None = None
        self.means = means
        self.calls = 0
        self.is_retired = False
        self._target = target
        self._ways = ways
        self._tried: list[tuple[str, str]] = []
        self._was_denied = False
        self._lacking = ""  # the right that our token does not have
        self._is_internal = False
        self._settled = anyio.Event()  # connected, or failed
        self._stop = anyio.Event()
        self._session: Session | None = None
        self._watch: ConnectionWatch | None = None
        self._cause: BaseException | None = None
        self._has_expired = False
        self._stderr: StderrTail | None = None
        # An empty context: nothing of the first caller's (spans, request ids) may live on in it.
        self._owner = self.loop.create_task(self._own(), context=Context())
        _owners.difference_update([task for task in list(_owners) if task.get_loop().is_closed()])
        _owners.add(self._owner)
        self._owner.add_done_callback(_owners.discard)
        if is_loop_thread():
            # The blocking client may be dropped before the interpreter exits; we are not.
            portal.register(self.leave_at_exit)
        self._alarm = Alarm(target.connect_timeout, self._expire, means.clocks)

    @property
    def is_usable(self) -> bool:
        """Whether a new call may be given to this connection, or may wait for it."""
        if self._owner.done() or self._stop.is_set() or self.is_retired or self.loop.is_closed():
            return False
        return self._watch is None or not (self._watch.has_ended or self._watch.is_lost)

    @property
    def is_connected(self) -> bool:
        """Whether the server has been reached, and is there."""
        return self._session is not None and self.is_usable

    @property
    def has_ended(self) -> bool:
        """Whether the server's side is gone."""
        return self._owner.done() or (self._watch is not None and self._watch.has_ended)

    @property
    def has_left(self) -> bool:
        """Whether everything of this connection is closed."""
        return self._owner.done()

    @property
    def has_failed(self) -> bool:
        """Whether the server was looked for, and not reached."""
        return self.endpoint is None and bool(self._tried)

    @property
    def watch(self) -> ConnectionWatch | None:
        """What is known of the wire; None until it is opened."""
        return self._watch

    async def session(self) -> Session | None:
        """Wait until connected and return the session; None if the connection has ended since.

        Raises:
            MCPConnectionError: The server was not reached; the message says what was tried.
        """
        if not self._settled.is_set():  # waiting for a set event would cost a turn of the loop
            await self._settled.wait()
        if self.endpoint is None:
            raise self._unreachable() from self._cause
        return self._session

    async def last_words(self) -> str:
        """Return why the connection has ended, as far as that is known within a second.

        What the server wrote to its standard error is logged and not returned: it is meant for
        people, may tell of something else, and the answer goes to a model.
        """
        await asyncio.wait({self._owner}, timeout=_LAST_WORDS_SECONDS)
        if self._stderr is not None and (said := self._stderr.text()):
            logger.warning("MCP server %r ended. It had written: %s", self._target.name, said)
        if self._watch is not None and self._watch.problem:
            return self._watch.problem
        if self._cause is not None:
            return describe(self._cause)
        status = self._watch.exit_status if self._watch is not None else None
        return f"it ended {exit_text(status)}" if status is not None else ""

    def retire(self) -> None:
        """Take no more requests, and end when those that run are answered."""
        self.is_retired = True
        if self.has_ended:
            self.stop()
        self.stop_if_idle()

    def stop_if_idle(self) -> None:
        """Leave if this is retired and the last call is over, also of those that are held."""
        if self.is_retired and not self.calls and self.means.answers.held.is_empty:
            self.stop()

    def stop(self) -> None:
        """Tell the owner to leave; must be called on the connection's loop."""
        self._alarm.cancel()
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

    async def leave_at_exit(self) -> None:
        """Leave if this process's loop runs here; in a forked child all of it is the parent's."""
        if self.loop is asyncio.get_running_loop():
            await self.aclose()

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
            self._alarm.cancel()
            self._session = None
            self._stop.set()
            self._settled.set()
            if self._stderr is not None:
                self._stderr.close()

    async def _serve(self, way: Endpoint) -> None:
        if self._stderr is not None:
            self._stderr.close()
        self._stderr = StderrTail(self._target.name) if way.kind == "stdio" else None
        watch = self._watch = ConnectionWatch(on_end=self._stop_if_connected)
        is_probing.set(True)
        means = self.means
        try:
            await load_package(way)
            client = make_client(way, self._target, watch, self._stderr, means.auth, means.answers)
            async with client:
                if self._stop.is_set():
                    return
                if way.mode not in ("auto", "legacy"):
                    await agree_on_pinned(client, way.mode)
                session = Session(client, self._target, means.answers)
                watch.version, watch.is_connected = session.info.protocol_version, True
                await _say_log_level(session, means.answers.log_level)
                is_probing.set(False)
                self._session, self.endpoint = session, way
                self._alarm.cancel()
                self._settled.set()
                logger.debug("MCP server %s is connected by %s", self._target.name, way.label)
                await self._attend(session)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # a foreign transport
            if self._has_expired:
                return
            self._cause = root_cause(error)
            # In an object of this process runs the code of whoever has made it.
            self._is_internal = way.kind != "memory" and is_internal(self._cause)
            self._tried.append((way.label, self._answer(self._cause, watch)))
            logger.debug("MCP server %s: %s", self._target.name, summary(self._tried[-1:]))
        finally:
            self._session = None

    async def _attend(self, session: Session) -> None:
        """Wait for the end, and hear of changes meanwhile."""
        listening = self.means.listening
        hearing: asyncio.Task[None] | None = None
        if session.is_modern and listening is not None:
            hearing = self.loop.create_task(listening.run(session.client, session.info))
        try:
            await self._stop.wait()
        finally:
            if hearing is not None:
                hearing.cancel()
                await asyncio.wait({hearing})
                if not hearing.cancelled() and (error := hearing.exception()) is not None:
                    logger.warning(
                        "MCP server %s: changes were not heard of: %s",
                        self._target.name,
                        describe(root_cause(error)),
                    )
            await self.means.answers.held.aclose()

    def _is_worth_trying(self, way: Endpoint) -> bool:
        """Whether another way can help after the last one failed, or after it has served."""
        if self.endpoint is not None:
            return False
        if self._is_internal:
            return False
        if way.kind == "stdio":
            # It started and hung up on us: some servers do so on anything before `initialize`.
            # One that has answered something of no use lives until we leave.
            has_died = self._watch is not None and self._watch.has_hung_up
            return has_died == (way.mode == "legacy")
        if isinstance(self._cause, OtherVersionError):
            return False  # this is the right way
        if self._cause is not None and auth_failure(self._cause):
            return False  # a person would be asked once more for each way
        # Where nobody listens, nobody listens at another path.
        return type(self._cause).__name__ not in ("ConnectError", "ConnectTimeout")

    def _answer(self, cause: BaseException, watch: ConnectionWatch) -> str:
        if denied := auth_failure(cause):
            self._was_denied = True
            return denied
        if self._stderr is None:
            self._was_denied = self._was_denied or watch.status in _AUTH_STATUS
            if watch.status == _FORBIDDEN:
                self._lacking = self._lacking or missing_right(watch.challenge)
            answer = describe(cause, status=watch.status, media_type=watch.media_type)
            return f"{answer} ({watch.challenge})" if watch.challenge else answer
        # An answer that cannot be used raises one of these; then we leave, which ends the stream.
        has_answered = isinstance(cause, (RuntimeError, ValueError))
        answer = describe(cause)
        if watch.has_hung_up and not has_answered:
            status = watch.exit_status
            answer = f"it ended at once {exit_text(status)}" if status is not None else _ENDED
        said = self._stderr.text()
        return f"{watch.problem or answer}; it wrote: {said}" if said else watch.problem or answer

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
        watch.is_late = self._has_expired
        watch.cut()
        if self._stderr is None and not watch.has_streams:
            # Inside the opening of an HTTP transport, which has no child process to lose.
            self._owner.cancel()

    def _unreachable(self) -> MCPConnectionError:
        target = self._target
        limit = f" within {target.connect_timeout:g} s" if self._has_expired else ""
        tried = summary(self._tried) or "the connection was closed"
        if self._is_internal:
            return MCPConnectionError(
                f"Connecting to MCP server {target.name!r} failed with an internal error"
                f" ({type(self._cause).__name__}).",
                hint=REPORT,
                server=target.name,
            )
        if self._lacking:
            return MCPAuthError(
                f"MCP server {target.name!r} refused us: {self._lacking}."
                f" Tried {tried.rstrip('.')}.",
                hint=SCOPE_HINT,
                server=target.name,
            )
        if self._was_denied:
            return MCPAuthError(
                f"MCP server {target.name!r} did not accept who we are. Tried {tried.rstrip('.')}.",
                hint=auth_hint(target),
                server=target.name,
            )
        return MCPConnectionError(
            f"MCP server {target.name!r} could not be reached{limit}. Tried {tried.rstrip('.')}.",
            hint="Check that it runs and that its address or command is right.",
            server=target.name,
        )


def auth_hint(target: ServerTarget) -> str:
    """Return what to do when a server does not accept who we are.

    Args:
        target: The server.
    """
    if target.auth is not None:
        return "Check that its credentials are valid and may do this, or log in again."
    if any(key.lower() == "authorization" for key in target.headers):
        return "Check that the token is valid, and that it may do this."
    return "Give token=..., headers=... or auth=OAuth(...) when it is registered."


async def _say_log_level(session: Session, level: str | None) -> None:
    if level is None or session.is_modern or not session.info.offers("logging"):
        return
    with suppress(Exception):  # a log is not worth a connection
        await session.set_log_level(level)
