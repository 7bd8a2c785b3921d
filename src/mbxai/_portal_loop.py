"""The one thread and event loop of the process: its start, its guards, its end.

Nothing in here knows what the loop is used for; `portal` does. The loop is a plain asyncio loop on
a daemon thread: a stray cancel scope or a `SystemExit` in one task cannot end it for the others,
and no suspended generator waits to be finalised at interpreter exit.
"""

import asyncio
import atexit
import contextlib
import contextvars
import functools
import itertools
import logging
import os
import selectors
import socket
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, cast

import anyio.to_thread

from mbxai.errors import BlockingCallError, ConfigurationError

if TYPE_CHECKING:  # exists for checkers only
    from _typeshed import FileDescriptorLike

    _AnyLoop = asyncio.BaseEventLoop
else:
    _AnyLoop = object

_log = logging.getLogger(__name__)

GRACE_SECONDS: Final = 1.0
"""How long a cancelled call may take for its clean-up before its caller goes on."""

_CLOSE_SECONDS: Final = 1.0  # for the closers at exit, all together
# For what is still running after them: the first cancellation may begin a clean-up, the second one
# cuts it short. Whatever it then leaves undone at once is lost.
_CANCEL_SECONDS: Final = (0.4, 0.2)
_JOIN_SECONDS: Final = 1.7  # for all of it and the thread's own end: exit stays below two seconds

# Windows does not interrupt a lock that is waited for, so there the wait comes in slices.
_SLICE_SECONDS: Final = 0.2 if sys.platform == "win32" else -1.0


class _Lasting(_AnyLoop):
    """What makes a loop one that a forked child can leave behind and that never holds up the exit.

    A part of the classes of loops below, in front of the loop itself.
    """

    abandoned = False

    def is_closed(self) -> bool:
        """Whether the loop is of no more use; a child's copy of the parent's loop never was."""
        return self.abandoned or super().is_closed()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Log what went wrong; in a child, that the parent's connections stay open is right."""
        if not self.abandoned:
            super().call_exception_handler(context)

    def __del__(self) -> None:
        """Say nothing: in a forked child the loop is the parent's and must not be touched."""

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 -- the name that asyncio gives it
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Resolve on a daemon thread: the interpreter joins the default executor's at exit."""
        look_up = functools.partial(socket.getaddrinfo, host, port, family, type, proto, flags)
        return await anyio.to_thread.run_sync(look_up, abandon_on_cancel=True)


class _Loop(_Lasting, asyncio.SelectorEventLoop):
    """The loop of asyncio."""


class _Selector(selectors.DefaultSelector):
    """A selector whose copy in a forked child can be made harmless.

    On Linux the kernel's side of it is shared with the parent: were some connection cleaned up in
    the child, the parent would hear no more of that connection.
    """

    abandoned = False

    def register(
        self, fileobj: "FileDescriptorLike", events: int, data: object = None
    ) -> selectors.SelectorKey:
        """Watch a descriptor."""
        return self._kept(fileobj) if self.abandoned else super().register(fileobj, events, data)

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        """Watch a descriptor no more."""
        return self._kept(fileobj) if self.abandoned else super().unregister(fileobj)

    def modify(
        self, fileobj: "FileDescriptorLike", events: int, data: object = None
    ) -> selectors.SelectorKey:
        """Watch a descriptor for something else."""
        return self._kept(fileobj) if self.abandoned else super().modify(fileobj, events, data)

    def _kept(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        descriptor = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return selectors.SelectorKey(fileobj, descriptor, 0, None)


class LoopThread:
    """A daemon thread that runs one event loop until it is told to stop.

    Attributes:
        loop: The event loop.
        alive: False once the thread has ended, and in a forked child, which has no such thread.
        work: What runs on the loop now; the loop itself holds its tasks only weakly.
    """

    def __init__(self) -> None:
        """Start the thread.

        Raises:
            BlockingCallError: The interpreter is exiting and starts no more threads.
        """
        self._selector = _Selector()
        self.loop = _Loop(self._selector) if _uvloop is None else _uvloop()
        self.alive = True
        self.work: set[Work] = set()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="mbxai-loop", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as refused:
            self.alive = False
            self.loop.close()
            raise BlockingCallError(
                "The event loop of mbxai cannot be started.",
                hint="Close clients before the interpreter exits.",
            ) from refused

    def stop(self) -> None:
        """Close what is registered, cancel what is left, end the thread; bounded in time."""
        self.schedule(self._stop.set)
        self._thread.join(_JOIN_SECONDS)

    def schedule(self, callback: Callable[..., object], *args: object) -> bool:
        """Have the loop call something soon, from any thread; False if the loop is gone."""
        if not self.alive:
            return False
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # closed in between
            return False
        return True

    def abandon(self) -> None:
        """Give the loop up in a forked child without touching what the parent still uses."""
        self.alive = False
        self.loop.abandoned = True
        self._selector.abandoned = True

    def _serve(self) -> None:
        main = self.loop.create_task(self._main())
        while not main.done():
            try:
                # As the "root task", `main` keeps anyio's worker threads between calls.
                self.loop.run_until_complete(main)
            # A SystemExit that some background task raised must not end the loop for everybody.
            except BaseException:  # noqa: BLE001
                _log.exception("A task disturbed the event loop")
        self.alive = False
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def _main(self) -> None:
        await self._stop.wait()
        closing = [asyncio.ensure_future(_attempt(closer)) for closer in _living_closers()]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        for seconds in _CANCEL_SECONDS:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=seconds)


class Work(ABC):
    """One task on the loop whose every end, `SystemExit` included, is a value and not a raise."""

    def __init__(self, host: LoopThread) -> None:
        """Take a copy of the caller's context variables; nothing runs yet."""
        self.host = host
        self.error: BaseException | None = None
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._done = threading.Lock()
        self._done.acquire()

    @abstractmethod
    async def perform(self) -> None:
        """Do the work."""

    def settle(self) -> None:
        """Tell whoever waits that the work has ended; runs on the loop."""
        self._done.release()

    def start(self) -> None:
        """Begin on the loop.

        Raises:
            BlockingCallError: The loop has been stopped, because the interpreter is exiting.
        """
        if not self.host.schedule(self._begin):
            self._done.release()
            raise BlockingCallError("The event loop of mbxai has been stopped.")

    def wait(self, seconds: float | None = None) -> None:
        """Block until the end, or for so many seconds."""
        if acquire(self._done, seconds):
            self._done.release()

    def cancel(self) -> None:
        """Ask for the end; safe from anywhere, finalizers included, since it never blocks."""
        self.host.schedule(self._cancel)

    def abort(self) -> None:
        """Ask for the end and give the clean-up its time."""
        self.cancel()
        if self.host.alive:
            self.wait(GRACE_SECONDS)

    def take_error(self) -> BaseException | None:
        """Hand the error over; kept here it would form a cycle with its own traceback."""
        error, self.error = self.error, None
        return error

    def _begin(self) -> None:
        self.host.work.add(self)
        self._task = self.host.loop.create_task(self._guard(), context=self._context)

    def _cancel(self) -> None:
        # Only once: a second cancellation would interrupt the clean-up that the first one started.
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    async def _guard(self) -> None:
        try:
            await self.perform()
        # Anything may come out of foreign code; it is raised again on the caller's side.
        except BaseException as error:  # noqa: BLE001
            self.error = error
        finally:
            self.host.work.discard(self)
            self.settle()


def acquire(lock: "threading.Lock", seconds: float | None = None) -> bool:
    """Acquire a lock so that Ctrl-C arrives on every platform; False if the time was up."""
    if seconds is not None:
        return lock.acquire(timeout=seconds)
    while not lock.acquire(timeout=_SLICE_SECONDS):
        pass
    return True


_uvloop: "Callable[[], _Lasting] | None" = None  # makes the loop, where it was asked for


def use_uvloop() -> None:
    """Have the background loop run on uvloop, for blocking calls that cost less.

    Call it before the first blocking call of the process. It changes nothing for code that awaits.

    Raises:
        ConfigurationError: uvloop is not installed, or blocking calls were made already.
    """
    global _uvloop  # noqa: PLW0603 -- one a process is the point
    try:
        import uvloop  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ConfigurationError(
            "uvloop is not installed.", hint="pip install 'mbxai[uvloop]'; it is not for Windows."
        ) from error

    with _start_lock:
        if _uvloop is None and _current is not None:
            raise ConfigurationError(
                "Blocking calls were made already, on the loop of asyncio.",
                hint="Call use_uvloop() first.",
            )
        # Made so, since their bases differ in what only checkers see.
        _uvloop = cast("Callable[[], _Lasting]", type("UVLoop", (_Lasting, uvloop.Loop), {}))


_start_lock = threading.Lock()  # guards _current and _uvloop
_current: LoopThread | None = None
_closers: "dict[int, tuple[weakref.ref[object], Callable[[Any], Awaitable[object]]]]" = {}
_closer_numbers = itertools.count()


def loop_thread() -> LoopThread:
    """The loop thread of this process, started at the first call.

    Raises:
        BlockingCallError: The interpreter is exiting.
    """
    global _current  # noqa: PLW0603 -- one a process is the point
    host = _current
    if host is not None and host.alive:
        return host
    with _start_lock:
        if _current is None or not _current.alive:
            if _current is not None:
                _log.error("The event loop thread had ended and is replaced")
            _current = LoopThread()
        return _current


def is_loop_thread() -> bool:
    """Whether this code runs on the loop's own thread."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return False
    return _current is not None and running is _current.loop


def register(closer: Callable[[], Awaitable[object]], /) -> None:
    """Have an open resource closed on the loop when the interpreter exits.

    Args:
        closer: A bound coroutine method, usually `aclose`. It is held weakly, so registering keeps
            nothing alive. It has about one second, together with all others; its errors are only
            logged. After a fork it is also called in the child, where it must leave alone what
            belongs to a loop other than the running one.
    """
    # Not a WeakMethod: its callback fails, visibly, for objects that live until the very end.
    owner, function = cast("MethodType", closer).__self__, cast("MethodType", closer).__func__
    number = next(_closer_numbers)
    _closers[number] = (weakref.ref(owner), function)
    weakref.finalize(owner, _closers.pop, number, None).atexit = False


def _living_closers() -> list[Callable[[], Awaitable[object]]]:
    return [
        functools.partial(function, owner)
        for reference, function in list(_closers.values())
        if (owner := reference()) is not None
    ]


async def _attempt(closer: Callable[[], Awaitable[object]]) -> None:
    try:
        await closer()
    # A store or transport of the user's may raise anything; nobody is left to be told.
    except Exception:  # noqa: BLE001
        _log.debug("A resource could not be closed at exit", exc_info=True)


def _stop_at_exit() -> None:
    if _current is not None and _current.alive:
        _current.stop()


def _forget_parent() -> None:
    """In a forked child: start anew at the next call and touch nothing of the parent."""
    global _current, _start_lock  # noqa: PLW0603 -- the parent's lock may be held for ever
    _start_lock = threading.Lock()
    if _current is not None:
        _current.abandon()
        _abandoned.append(_current)
    _current = None


_abandoned: list[LoopThread] = []  # kept, so that no finalizer of the parent's things runs early

# On import, not at the first call: hooks run last-in first-out, so a user's own `atexit` function
# that closes a client still finds the loop running.
atexit.register(_stop_at_exit)
with contextlib.suppress(AttributeError):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_forget_parent)
