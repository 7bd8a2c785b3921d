"""Connection pools: one for each client and event loop, closed even if nobody does.

The engine complains loudly about a session or a connection that the garbage collector finds open,
and inside a reference cycle it finds all parts at once. So whatever is open is held by this module
and not by the client: a client that is collected only asks the loop of each pool to close it.
"""

import asyncio
import contextlib
import importlib
import os
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
import httpx

from mbxai.openrouter._network import foreign_errors
from mbxai.openrouter._transport_error import closed_client

if TYPE_CHECKING:  # loads the engine, which takes a tenth of a second
    from mbxai.openrouter._engine import AiohttpBody, Engine

_MOMENT_SECONDS: Final = 0.01


class Pool:
    """The connections of one client on one event loop.

    Attributes:
        engine: Sends; closed with the pool.
        loop: The event loop to which the connections belong.
        pid: The process that opened them; a forked child must not touch them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: "Engine") -> None:
        """Make the pool of the running loop; connections are opened by the first request."""
        self.engine: Engine = engine
        self.is_closed = False
        self.loop = loop
        self.pid: int = os.getpid()
        self._lent: set[AiohttpBody] = set()  # not read to the end yet
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

    def lend(self, body: "AiohttpBody", borrower: object) -> Callable[[], object]:
        """Hold a body open as long as its borrower lives.

        Args:
            body: Closed if the borrower is collected first.
            borrower: Whoever reads the body.

        Returns:
            What the borrower calls when it has closed the body.
        """
        self._lent.add(body)
        lost = weakref.finalize(borrower, self._close_lost, body)
        lost.atexit = False  # at exit the end of the loop closes everything

        def give_back() -> None:
            lost.detach()
            self._lent.discard(body)

        return give_back

    def close_soon(self) -> None:
        """Ask for the end; safe from any thread and from finalizers, since it never waits."""
        self._schedule(self.aclose)

    def forget(self) -> None:
        """Let go of what a closed loop left behind, where nothing can be awaited any more."""
        _open_pools.discard(self)
        self.engine.forget()

    def _close_lost(self, body: "AiohttpBody") -> None:
        async def close() -> None:
            try:
                with contextlib.suppress(*foreign_errors()):
                    await body.aclose()
            finally:
                self._lent.discard(body)

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
            self.is_closed = True
            try:
                for body in list(self._lent):
                    with contextlib.suppress(*foreign_errors()):
                        await body.aclose()
            finally:
                try:
                    with contextlib.suppress(*foreign_errors()):
                        await self.engine.aclose()
                finally:
                    self._lent.clear()
                    _open_pools.discard(self)


# Also holds what a forked child has from its parent: collected there, it would disturb the
# parent's connections.
_open_pools: "Final[set[Pool]]" = set()


class Pools:
    """The pools of one client, by event loop."""

    def __init__(
        self,
        *,
        is_tls: bool,
        proxy: httpx.Proxy | None,
        limits: httpx.Limits,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            is_tls: Whether certificates are needed.
            proxy: Through which every connection goes.
            limits: Most connections of an event loop, and how long an unused one is kept.
            ssl_context: Certificates to trust; None takes those of httpx, once for all clients.
        """
        self._is_tls = is_tls
        self._proxy = proxy
        self._limits = limits
        self._ssl_context = ssl_context
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
            transport = await _engine()
            context = self._ssl_context
            if context is None:
                context = await _tls_context() if self._is_tls else _no_tls_context()
            pool = self._by_loop.get(loop) or await self._open(
                loop, transport(context, self._proxy, limits=self._limits)
            )
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
        forget_closed_loops()

    async def _open(self, loop: asyncio.AbstractEventLoop, engine: "Engine") -> Pool:
        pool = Pool(loop, engine)
        with self._lock:
            if self._is_closed:
                raise closed_client()
            for known in [known for known in self._by_loop if known.is_closed()]:
                del self._by_loop[known]
            self._by_loop[loop] = pool
        forget_closed_loops()
        # Runs to its first yield without giving way, so no second task opens another pool.
        await pool.open()
        return pool


def _close_soon(by_loop: dict[asyncio.AbstractEventLoop, Pool]) -> None:
    for pool in by_loop.values():
        pool.close_soon()


def forget_closed_loops() -> None:
    """Let go of the connections whose event loop is closed."""
    for pool in _open_pools.copy():
        if pool.pid == os.getpid() and pool.loop.is_closed():
            pool.forget()


def _keep_for_ever() -> None:
    """Keep what a forked child has from its parent past the end of all modules.

    Freed at any moment, it would warn of sockets left open, or end the parent's connections.
    """
    import ctypes  # noqa: PLC0415  # the child alone needs it

    for pool in _open_pools:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(pool))


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_keep_for_ever)


_loaded: Final = threading.Event()


def _import_engine() -> None:
    importlib.import_module("mbxai.openrouter._engine")
    _loaded.set()


async def _engine() -> "type[Engine]":
    """Load the engine in a thread, since that would hold the loop up for a tenth of a second."""
    if not _loaded.is_set():
        # A limiter of its own: those who wait for this call may hold every other thread.
        await anyio.to_thread.run_sync(_import_engine, limiter=anyio.CapacityLimiter(1))
    from mbxai.openrouter._engine import Engine  # noqa: PLC0415

    return Engine


_context_lock = threading.Lock()  # guards _contexts
_contexts: dict[str, ssl.SSLContext] = {}


async def _tls_context() -> ssl.SSLContext:
    # Reading a bundle of certificates takes 10 to 30 ms, too long for the loop.
    return _contexts.get("tls") or await anyio.to_thread.run_sync(
        _load_tls_context, limiter=anyio.CapacityLimiter(1)
    )


def _load_tls_context() -> ssl.SSLContext:
    with _context_lock:
        if "tls" not in _contexts:
            _contexts["tls"] = httpx.create_ssl_context()  # honours SSL_CERT_FILE, SSL_CERT_DIR
        return _contexts["tls"]


def _no_tls_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, costs nothing
