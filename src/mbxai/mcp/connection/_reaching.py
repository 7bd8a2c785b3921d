"""A server that stays reachable: connects when needed, again after a death, and makes requests.

What follows from a failed request is decided here: nothing was run, the outcome is unknown, or the
server said no. Only the first is repeated. A connection belongs to one event loop; callers on other
loops have their requests made there.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

import anyio

from mbxai._redaction import get_logger
from mbxai.errors import MCPConnectionError, MCPError, MCPToolError
from mbxai.mcp.auth._addresses import is_loopback
from mbxai.mcp.connection._asking import Asking
from mbxai.mcp.connection._backoff import Backoff
from mbxai.mcp.connection._callbacks import Callbacks, RefusedError
from mbxai.mcp.connection._clock import CallClock, Clocks
from mbxai.mcp.connection._failures import root_cause
from mbxai.mcp.connection._held import HeldCalls, held_id
from mbxai.mcp.connection._http import make_auth
from mbxai.mcp.connection._info import Change, ChangeListener, ServerInfo
from mbxai.mcp.connection._link import Link, Means, auth_hint
from mbxai.mcp.connection._listening import Listening
from mbxai.mcp.connection._loops import LoopUnavailableError, run_on
from mbxai.mcp.connection._requested import Answers
from mbxai.mcp.connection._session import Session
from mbxai.mcp.connection._targets import Endpoint, ServerTarget, endpoints
from mbxai.mcp.connection._transport import error_code
from mbxai.mcp.connection._verdicts import UNKNOWN, Failure, early_verdict, late_verdict
from mbxai.mcp.connection._watch import CallNote, current_call

if TYPE_CHECKING:  # slow to load
    import httpx2

T = TypeVar("T")
Ask = Callable[[Session, CallClock], Awaitable[T]]

logger = get_logger(__name__)


class NeverRanError(Exception):
    """The server provably did not see the request."""


class ReachableServer:
    """The connections to one server, one after the other.

    Attributes:
        target: The server.
        info: What the server said of itself when it was last connected; None before.
        subscriptions: Resources of whose changes is to be heard.
    """

    def __init__(
        self, target: ServerTarget, callbacks: Callbacks, on_change: ChangeListener | None
    ) -> None:
        """Take the server's settings; nothing is opened.

        Args:
            target: The server.
            callbacks: What it may ask for.
            on_change: Is told of changes; None hears of none.
        """
        _warn_of_plain_http(target)
        self.target = target
        self.info: ServerInfo | None = None
        self.subscriptions: set[str] = set()
        self._callbacks = callbacks
        self._listener = on_change
        self._link: Link | None = None
        self._scopes: dict[anyio.CancelScope, Link] = {}
        self._greeted: Link | None = None
        self._retired: set[Link] = set()
        self._known_way: Endpoint | None = None
        self._is_closed = False
        self._process = os.getpid()
        self._moving = threading.Lock()  # guards _home
        self._home: asyncio.AbstractEventLoop | None = None  # the loop of all that is open
        self._prepare()

    def _prepare(self) -> None:
        """Make what belongs to one event loop."""
        self._clocks = Clocks()
        self._backoff = Backoff()
        self._asking = Asking(self.target.name, self._callbacks, self._clocks)
        self._auth: httpx2.Auth | None = None

    @property
    def state(self) -> Literal["idle", "connecting", "connected", "failed", "closed"]:
        """How the connection is now."""
        link = self._link
        if self._is_closed:
            return "closed"
        if link is not None and link.is_connected:
            return "connected"
        if link is not None and link.is_usable:
            return "connecting"
        return "failed" if self._backoff.error is not None else "idle"

    @property
    def problem(self) -> str:
        """Why the server could not be reached the last time; empty if it could."""
        return self._backoff.error.message if self._backoff.error is not None else ""

    def check_open(self) -> None:
        """Raise if the connection has been closed.

        Raises:
            MCPConnectionError: It has.
        """
        if self._is_closed:
            name = self.target.name
            raise MCPConnectionError(
                f"The connection to MCP server {name!r} is closed.",
                hint="Register the server again.",
                server=name,
            )

    async def connect(self) -> None:
        """Connect if there is no connection; tries at once, whatever has failed before."""
        await self._at_home("connecting", partial(self._reach, at_once=True))

    async def reconnect(self) -> None:
        """End the connection if there is one, and connect again."""

        async def again() -> None:
            link, self._link = self._link, None
            if link is not None:
                await self._close(link)
            await self._reach(at_once=True)

        await self._at_home("connecting again", again)

    async def aclose(self) -> None:
        """End the connection and wait for it; safe from any task, and more than once."""
        self._is_closed = True
        links = [*self._retired, *([self._link] if self._link else [])]
        self._link = None
        if self._process != os.getpid():
            return  # a forked child; the connection is its parent's
        running = asyncio.get_running_loop()
        for link in links:
            if link.loop is running:
                await self._close(link)
            elif link.loop.is_running():
                try:
                    await run_on(link.loop, partial(self._close, link))
                except LoopUnavailableError as error:
                    logger.warning(
                        "The connection to MCP server %s is left open: its event loop %s",
                        self.target.name,
                        error,
                    )

    async def _close(self, link: Link) -> None:
        """End a connection, and what waits for anything but an answer of it."""
        await link.aclose()
        for scope, used in list(self._scopes.items()):
            if used is link:
                scope.cancel()

    async def request(
        self,
        what: str,
        ask: Ask[T],
        seconds: float | None,
        *,
        may_resend: bool = False,
        state: str = "",
    ) -> T:
        """Make a request on the loop of the connection, wherever the caller runs.

        Args:
            what: The request, for an error's text.
            ask: Makes it.
            seconds: How long it may take, people apart; None sets no limit.
            may_resend: Whether it may be made once more if it is not known whether it arrived.
            state: Names the question that it answers, if it does; a call that is held goes on where
                it was begun.

        Raises:
            MCPError: It failed; see `ServerConnection.call_tool`.
        """
        make = partial(self._request_here, what, ask, seconds, may_resend, state)
        if self._home_loop() is asyncio.get_running_loop():
            self.check_open()
            return await make()
        return await self._at_home(what, make)

    def hear(self) -> None:
        """Hear of the changes of all subscriptions, where a stream must be opened for it."""
        listening = self._link.means.listening if self._link is not None else None
        if listening is not None:
            listening.subscribe(frozenset(self.subscriptions))

    async def _at_home(self, what: str, work: Callable[[], Any]) -> Any:
        self.check_open()
        while (home := self._home_loop()) is not asyncio.get_running_loop():
            try:
                return await run_on(home, work)
            except LoopUnavailableError as error:
                if not error.has_begun and not home.is_running():
                    continue  # nothing was sent, and the connection may move
                self._raise_unavailable(what, error)
        return await work()

    def _home_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the connection; the running one if there is no other that lives."""
        if self._process != os.getpid():  # a forked child; the parent's loop only looks alive
            self._link = self._home = None
            self._retired.clear()
            self._process, self._moving = os.getpid(), threading.Lock()
        home = self._home
        if home is not None and home.is_running():
            return home
        with self._moving:
            if self._home is None or not self._home.is_running():
                self._home = asyncio.get_running_loop()
                self._prepare()
            return self._home

    def _raise_unavailable(self, what: str, error: LoopUnavailableError) -> NoReturn:
        name = self.target.name
        if error.has_begun:
            raise MCPConnectionError(
                f"The event loop of the connection to MCP server {name!r} ended during {what}.",
                hint=UNKNOWN,
                server=name,
            ) from error
        raise MCPConnectionError(
            f"The connection to MCP server {name!r} belongs to another event loop, which stands"
            f" still, so {what} could not be sent. Nothing was run.",
            hint="Do not block that loop: await an async client there, or register with MCPClient.",
            server=name,
        ) from error

    async def _request_here(
        self, what: str, ask: Ask[T], seconds: float | None, may_resend: bool, state: str
    ) -> T:
        try:
            return await self._attempt(what, ask, seconds, may_resend=may_resend, state=state)
        except NeverRanError:
            logger.info("MCP server %s is gone; connecting again", self.target.name)
        except MCPConnectionError as error:
            if not may_resend or error.hint != UNKNOWN:
                raise
            logger.info("MCP server %s went away; %s is sent once more", self.target.name, what)
        try:
            return await self._attempt(what, ask, seconds, state=state)
        except NeverRanError as error:
            raise MCPConnectionError(
                f"MCP server {self.target.name!r} went away twice before {what} could be sent.",
                hint="Nothing was run.",
                server=self.target.name,
            ) from error.__cause__

    async def _attempt(
        self,
        what: str,
        ask: Ask[T],
        seconds: float | None,
        *,
        may_resend: bool = False,
        state: str = "",
    ) -> T:
        link = self._holding(state)
        if link is not None:
            session = await link.session()
        else:
            link, session = await self._reach()
        if session is None:
            raise NeverRanError
        note = CallNote()
        token = current_call.set(note)
        link.calls += 1
        scope = anyio.CancelScope()
        self._scopes[scope] = link
        try:
            with scope, CallClock(seconds, self._clocks) as clock:
                note.pause = clock.paused
                return await ask(session, clock)
        except TimeoutError as error:
            raise self._too_late(what, seconds, link) from error
        except (Exception, BaseExceptionGroup) as error:  # a foreign package
            cause = root_cause(error)
            if isinstance(cause, MCPError) and not isinstance(cause, RefusedError):
                raise
            failure = Failure(what, cause, error_code(cause), note)
            raise await self._verdict(failure, link, may_resend=may_resend) from cause
        finally:
            del self._scopes[scope]
            current_call.reset(token)
            link.calls -= 1
            link.stop_if_idle()
        name = self.target.name
        raise MCPConnectionError(
            f"The connection to MCP server {name!r} was closed during {what}.",
            hint=UNKNOWN,
            server=name,
        )

    def _holding(self, state: str) -> Link | None:
        """Return the connection of the held call whose question a state names; it may be retired.

        Args:
            state: What the question said; empty for a request that answers none.
        """
        if not held_id(state):
            return None
        for link in filter(None, (self._link, *self._retired)):
            is_here = link.loop is asyncio.get_running_loop()
            if is_here and link.means.answers.held.find(state) is not None:
                return link
        return None

    async def _reach(self, *, at_once: bool = False) -> tuple[Link, Session | None]:
        """Return the connection, or make a new one; runs on the loop that is its home."""
        link = self._usable()
        if link is None:
            if not at_once:
                await self._backoff.wait()
            link = self._usable()  # others may have been quicker
            if link is None:
                means = self._means()
                link = self._link = Link(self.target, self._ways(), means)
                means.answers.held.on_empty = link.stop_if_idle
        try:
            session = await link.session()
        except MCPConnectionError as error:
            if link is self._link and link.has_failed:
                self._retire(link)
                self._backoff.note_failure(error)
            raise
        if session is not None and link is not self._greeted:
            await self._greet(link, session)
        return link, session

    def _usable(self) -> Link | None:
        self.check_open()
        link = self._link
        if link is not None and link.loop is not asyncio.get_running_loop():
            link = self._link = None  # its loop has ended
        if link is not None and not link.is_usable:
            self._retire(link)
            link = None
        return link

    def _means(self) -> Means:
        if self._auth is None:
            # Kept from one connection to the next: a person who has logged in is not asked again.
            self._auth = make_auth(self.target, self._clocks.waiting)
        listening = None
        if self._listener is not None:
            listening = Listening(self.target.name, self._tell)
            listening.subscribe(frozenset(self.subscriptions))
        answers = Answers(self._asking, HeldCalls(), self._tell)
        return Means(answers=answers, clocks=self._clocks, auth=self._auth, listening=listening)

    async def _greet(self, link: Link, session: Session) -> None:
        """Take note of a new connection."""
        is_first, self._greeted = self._greeted is None, link
        self._backoff.note_success()
        self.info = session.info
        way = link.endpoint
        if way is not None and way.mode == "auto" and not session.is_modern:
            way = replace(way, mode="legacy")  # the next connection asks for nothing newer
        self._known_way = way
        if is_first:
            return
        self._tell(Change("tools"))  # it may be another version of the server now
        if not session.is_modern:
            for uri in tuple(self.subscriptions):
                try:
                    await session.request("resources/subscribe", {"uri": uri})
                except Exception:  # noqa: BLE001  # the call that wants the connection matters more
                    logger.warning(
                        "MCP server %s: a subscription was not renewed", self.target.name
                    )

    def _tell(self, change: Change) -> None:
        if self._listener is None:
            return
        try:
            self._listener(change)
        except Exception:
            logger.exception("A change of MCP server %s could not be told", self.target.name)

    def _ways(self) -> list[Endpoint]:
        """Return what to try: the way that worked before comes first."""
        ways, known = endpoints(self.target), self._known_way
        if known is None:
            return ways
        if known.kind == "stdio":
            return [known, ways[0]] if known.mode != ways[0].mode else ways
        return [known, *(way for way in ways if way != known)]

    def _retire(self, link: Link) -> None:
        link.retire()
        if self._link is link:
            self._link = None
        self._retired = {old for old in self._retired if not old.has_left} | {link}

    async def _verdict(self, failure: Failure, link: Link, *, may_resend: bool) -> Exception:
        """Say in our own words what became of a request, and keep the connection or not."""
        watch = link.watch
        verdict = early_verdict(failure, self.target, auth_hint(self.target))
        if verdict is not None:
            return verdict
        seems_forgotten = failure.is_forgotten(has_session=watch is not None and watch.has_session)
        if seems_forgotten and failure.is_proven_forgotten:
            failure.note.refused += 1
        if failure.never_ran or (seems_forgotten and may_resend):
            self._retire(link)
            return NeverRanError()
        if seems_forgotten:
            self._retire(link)  # a tool may have said it, so only what comes later profits
        last_words = await link.last_words() if link.has_ended else ""
        is_too_large = watch is not None and watch.is_too_large
        return late_verdict(failure, self.target, last_words, is_too_large=is_too_large)

    def _too_late(self, what: str, seconds: float | None, link: Link) -> MCPToolError:
        skipped = link.watch.skipped if link.watch is not None else 0
        garbage = f" {skipped} lines that it wrote are no messages." if skipped else ""
        return MCPToolError(
            f"MCP server {self.target.name!r} did not answer {what} within {seconds:g} s.{garbage}",
            hint=UNKNOWN,
            server=self.target.name,
        )


def _warn_of_plain_http(target: ServerTarget) -> None:
    has_secret = target.auth is not None or "authorization" in map(str.lower, target.headers)
    if has_secret and target.url.lower().startswith("http:") and not is_loopback(target.url):
        logger.warning(
            "MCP server %s is spoken to over plain http, so its token can be read on the way; use"
            " https.",
            target.name,
        )
