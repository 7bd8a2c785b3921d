"""Connection pools: one for each client and event loop, closed even if nobody does.

The engine complains loudly about a session or a connection that the garbage collector finds open,
and inside a reference cycle it finds all parts at once. So whatever is open is held by this module
and not by the client: a client that is collected only asks the loop of each pool to close it.
"""

import asyncio
import atexit
import contextlib
import os
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Final

import aiohttp
import anyio.to_thread
import httpx
from httpx_aiohttp import AiohttpTransport

from mbxai.errors import OpenRouterConfigurationError

FOREIGN: Final = (
    httpx.HTTPError,
    httpx.StreamError,
    httpx.InvalidURL,
    aiohttp.ClientError,
    OSError,
)
"""What the engine and httpx raise."""

_LIMITS: Final = httpx.Limits(max_connections=1000, keepalive_expiry=30.0)
_MOMENT_SECONDS: Final = 0.01


class Pool:
    """The connections of one client on one event loop.

    Attributes:
        client: Sends; closed with the pool.
        loop: The event loop to which the connections belong.
        pid: The process that opened them; a forked child must not touch them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: "_Engine") -> None:
        """Make the pool of the running loop; connections are opened by the first request."""
        self.client: httpx.AsyncClient = httpx.AsyncClient(transport=engine, trust_env=False)
        self.loop = loop
        self.pid: int = os.getpid()
        self._engine = engine
        self._lent: set[httpx.Response] = set()  # not read to the end yet
        self._closings: set[asyncio.Task[None]] = set()  # a loop holds its tasks only weakly
        self._keeper = self._keep()

    async def open(self) -> None:
        """Have the loop close the pool at its end; runs without giving way."""
        _open_pools.add(self)
        await anext(self._keeper)

    async def aclose(self) -> None:
        """Close every connection; on the pool's own loop only."""
        # A RuntimeError: another task, or the end of the loop, closes it at this moment.
        with contextlib.suppress(RuntimeError):
            await self._keeper.aclose()

    def lend(self, response: httpx.Response, borrower: object) -> Callable[[], object]:
        """Hold a response open as long as its borrower lives.

        Args:
            response: Closed if the borrower is collected first.
            borrower: Whoever reads the response.

        Returns:
            What the borrower calls when it has closed the response.
        """
        self._lent.add(response)
        lost = weakref.finalize(borrower, self._close_lost, response)
        lost.atexit = False  # at exit the end of the loop closes everything

        def give_back() -> None:
            lost.detach()
            self._lent.discard(response)

        return give_back

    def close_soon(self) -> None:
        """Ask for the end; safe from any thread and from finalizers, since it never waits."""
        self._schedule(self.aclose)

    def forget(self) -> None:
        """Let go of what a closed loop left behind, where nothing can be awaited any more."""
        _open_pools.discard(self)
        self._engine.forget()

    def _close_lost(self, response: httpx.Response) -> None:
        async def close() -> None:
            try:
                with contextlib.suppress(*FOREIGN):
                    await response.aclose()
            finally:
                self._lent.discard(response)

        self._schedule(close)

    def _schedule(self, close: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run a clean-up on the loop; where the loop ends before, the keeper does it."""

        def begin() -> None:
            task = self.loop.create_task(close())
            self._closings.add(task)
            task.add_done_callback(self._closings.discard)

        # A moment later, so that a loop that is about to end is not left with a task.
        if self.pid == os.getpid():
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(self.loop.call_later, _MOMENT_SECONDS, begin)

    async def _keep(self) -> AsyncGenerator[None]:
        """Close the pool with its loop.

        A loop closes the asynchronous generators that it has seen at its end. So a client that
        nobody closes leaves nothing open when `asyncio.run` returns.
        """
        try:
            yield
        finally:
            try:
                for response in list(self._lent):
                    with contextlib.suppress(*FOREIGN):
                        await response.aclose()
            finally:
                try:
                    with contextlib.suppress(*FOREIGN):
                        await self.client.aclose()
                finally:
                    self._lent.clear()
                    _open_pools.discard(self)


# Also holds what a forked child has from its parent: collected there, it would disturb the
# parent's connections.
_open_pools: "Final[set[Pool]]" = set()


class Pools:
    """The pools of one client, by event loop."""

    def __init__(self, *, is_tls: bool, proxy: httpx.Proxy | None) -> None:
        """Open nothing yet.

        Args:
            is_tls: Whether certificates are needed.
            proxy: Through which every connection goes.
        """
        self._is_tls = is_tls
        self._proxy = proxy
        self._lock = threading.Lock()  # guards the two below
        self._by_loop: dict[asyncio.AbstractEventLoop, Pool] = {}
        self._is_closed = False
        weakref.finalize(self, _close_soon, self._by_loop).atexit = False

    async def of_this_loop(self) -> Pool:
        """Return the pool of the running loop; the first call there makes it.

        Raises:
            OpenRouterConfigurationError: The pools are closed.
        """
        loop = asyncio.get_running_loop()
        pool = self._by_loop.get(loop)
        if pool is None:
            context = await _tls_context() if self._is_tls else _no_tls_context()
            pool = self._by_loop.get(loop) or await self._open(loop, context)
        return pool

    async def aclose(self) -> None:
        """Close the pool of this loop and have other loops close theirs."""
        with self._lock:
            self._is_closed = True
            pools = list(self._by_loop.values())
            self._by_loop.clear()
        here = asyncio.get_running_loop()
        for pool in pools:
            if pool.loop is here:
                await pool.aclose()
            else:
                pool.close_soon()
        _forget_closed_loops()

    async def _open(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext) -> Pool:
        pool = Pool(loop, _Engine(context, self._proxy))
        with self._lock:
            if self._is_closed:
                raise OpenRouterConfigurationError("The client is closed.")
            for known in [known for known in self._by_loop if known.is_closed()]:
                del self._by_loop[known]
            self._by_loop[loop] = pool
        _forget_closed_loops()
        # Runs to its first yield without giving way, so no second task opens another pool.
        await pool.open()
        return pool


def _close_soon(by_loop: dict[asyncio.AbstractEventLoop, Pool]) -> None:
    for pool in by_loop.values():
        pool.close_soon()


def _forget_closed_loops() -> None:
    for pool in _open_pools.copy():
        if pool.pid == os.getpid() and pool.loop.is_closed():
            pool.forget()


atexit.register(_forget_closed_loops)


class _Engine(AiohttpTransport):
    """The engine with a session of our making: no cookies, no second reading of the environment."""

    def __init__(self, context: ssl.SSLContext, proxy: httpx.Proxy | None) -> None:
        super().__init__(verify=context, limits=_LIMITS, proxy=proxy)

    def get_client(self) -> aiohttp.ClientSession:
        """Make the session; called inside the loop that will use it."""
        connector = aiohttp.TCPConnector(
            limit=self.limits.max_connections or 0,
            keepalive_timeout=self.limits.keepalive_expiry or 0.0,
            ssl=self.ssl_context,
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    def forget(self) -> None:
        """Let go of a session whose loop is closed, where nothing can be awaited any more."""
        session = self.client
        if isinstance(session, aiohttp.ClientSession) and session.connector is not None:
            closing = session.connector.close()  # on a closed loop it only drops what it holds
            session.detach()
            for _ in closing.__await__():  # run out, since it complains if nobody awaits it
                pass


_context_lock = threading.Lock()  # guards _contexts
_contexts: dict[str, ssl.SSLContext] = {}


async def _tls_context() -> ssl.SSLContext:
    # Reading a bundle of certificates takes 10 to 30 ms, too long for the loop.
    return _contexts.get("tls") or await anyio.to_thread.run_sync(_load_tls_context)


def _load_tls_context() -> ssl.SSLContext:
    with _context_lock:
        if "tls" not in _contexts:
            _contexts["tls"] = httpx.create_ssl_context()  # honours SSL_CERT_FILE, SSL_CERT_DIR
        return _contexts["tls"]


def _no_tls_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, costs nothing
