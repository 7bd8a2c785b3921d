"""Blocking calls into asynchronous code: what every facade stands on.

One background thread with one event loop serves all clients of the process, since facades wrap each
other and a connection belongs to one loop. It starts at the first call and ends with the
interpreter. Here are the two ways in: `run` for a call, `StreamPump` for a stream. What a facade
does with them belongs in the facade.
"""

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Generic, ParamSpec, Self, TypeVar, cast

from mbxai._portal_guard import check_arguments, check_caller
from mbxai._portal_loop import (
    LoopThread,
    Work,
    acquire,
    is_loop_thread,
    loop_thread,
    register,
    use_uvloop,
)
from mbxai.errors import BlockingCallError

__all__ = ["StreamPump", "register", "run", "use_uvloop"]

P = ParamSpec("P")
T = TypeVar("T")

READ_AHEAD: Final = 64
"""How many items a stream reads ahead before it waits for its caller."""


def run(function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a coroutine function on the background loop and return what it returns.

    The caller's context variables are copied in. On Ctrl-C, or any exception raised in the waiting
    thread, the call is cancelled and has one second for its clean-up.

    Args:
        function: A coroutine function, usually a bound method of an async client.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Returns:
        The awaited result. What the function raises is raised here, `SystemExit` included.

    Raises:
        BlockingCallError: Called on the background loop's own thread, or while the interpreter
            exits.
        ConfigurationError: An argument is a coroutine that nobody awaited.

    Warns:
        RunningLoopWarning: Another event loop runs in this thread and now stands still; once per
            call site, and not in notebooks.
    """
    check_caller(function)
    check_arguments(function, args, kwargs)
    call = _Call(loop_thread(), lambda: function(*args, **kwargs))
    try:
        call.start()
        call.wait()
    except BaseException:
        call.abort()
        raise
    return call.outcome()


class StreamPump(Generic[T]):
    """An asynchronous stream as a blocking iterator and context manager.

    One task on the background loop opens, reads and closes the source, as far as it reads ahead of
    the caller. The source is closed when it ends, when the caller closes the
    pump, leaves its `with` block, or drops it; a second thread may take turns in reading.
    """

    def __init__(
        self, factory: Callable[[], AsyncIterator[T] | Awaitable[AsyncIterator[T]]]
    ) -> None:
        """Open the source and begin to read.

        Args:
            factory: Called on the background loop; returns the source, or a coroutine of it. The
                source's `aclose`, if it has one, is awaited at the end. Its `read_ahead`, if it
                has one, says how many items may wait for the caller; else it is 64.

        Raises:
            BlockingCallError: As for `run`.
            Exception: Whatever the factory raises.
        """
        check_caller(factory)
        self._factory = factory
        self._closed = False
        self._ready: deque[T] = deque()
        self._turn = threading.Lock()  # guards the refilling of _ready
        self._flow = _Flow(loop_thread(), factory)
        self._finalizer = weakref.finalize(self, self._flow.cancel)
        self._finalizer.atexit = False  # at exit the loop cancels everything itself
        try:
            self._flow.start()
            self._flow.wait_until_open()
        except BaseException:
            self._flow.abort()
            raise
        if self._flow.source is None:
            self._finish()

    @property
    def source(self) -> AsyncIterator[T]:
        """The opened source, for reading plain attributes; awaiting on it stays the pump's."""
        return cast("AsyncIterator[T]", self._flow.source)  # opened, or __init__ had raised

    def __iter__(self) -> Self:
        """The pump itself."""
        return self

    def __next__(self) -> T:
        """The next item, waiting for it if none is ready.

        Raises:
            StopIteration: The source ended, or the pump is closed.
            BlockingCallError: As for `run`; also in a forked child, which has no part in the
                stream.
        """
        while True:
            try:
                return self._ready.popleft()
            except IndexError:
                self._refill()

    def close(self) -> None:
        """Close the source, wait up to a second for it; safe from anywhere and more than once."""
        self._closed = True
        self._ready.clear()
        if self._finalizer.detach() is None:
            return
        if is_loop_thread():
            self._flow.cancel()
        else:
            self._flow.abort()

    def __enter__(self) -> Self:
        """The pump itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the source."""
        self.close()

    def _refill(self) -> None:
        """Wait for items; raise what ended the stream if none can come."""
        check_caller(self._factory)
        try:
            with self._turn:
                if self._closed or self._ready:  # closed or refilled by another thread meanwhile
                    batch = None
                else:
                    batch = self._flow.take()
                    self._ready.extend(batch)
        except BaseException:
            self.close()
            raise
        if self._closed or batch == []:
            self._finish()

    def _finish(self) -> None:
        """Raise what ended the stream, the first time; `StopIteration` ever after."""
        closed, self._closed = self._closed, True
        self._ready.clear()
        self._finalizer.detach()
        error = self._flow.take_error()
        if error is None or closed:
            raise StopIteration
        try:
            raise error
        finally:
            del error  # a cycle through its own traceback


class _Call(Work, Generic[T]):
    """One call and its outcome."""

    def __init__(self, host: LoopThread, function: Callable[[], Awaitable[T]]) -> None:
        super().__init__(host)
        self._function = function
        self._result: T | None = None

    async def perform(self) -> None:
        self._result = await self._function()

    def outcome(self) -> T:
        """Return or raise what the function did."""
        error = self.take_error()
        if error is None:
            return cast("T", self._result)
        try:
            raise error
        finally:
            del error  # a cycle through its own traceback


class _Flow(Work, Generic[T]):
    """The loop's side of a stream: reads the source into a bounded buffer.

    It does not know the pump, so that a dropped pump is collected while this still runs.
    """

    def __init__(
        self,
        host: LoopThread,
        factory: Callable[[], AsyncIterator[T] | Awaitable[AsyncIterator[T]]],
    ) -> None:
        super().__init__(host)
        self.source: AsyncIterator[T] | None = None
        self._factory = factory
        self._lock = threading.Lock()  # guards the five below
        self._items: list[T] = []
        self._read_ahead = READ_AHEAD
        self._open = False
        self._ended = False
        self._reader: threading.Lock | None = None  # held by the caller's thread while it waits
        self._room: asyncio.Future[None] | None = None  # awaited by the task while it is ahead

    async def perform(self) -> None:
        made = self._factory()
        source = made if isinstance(made, AsyncIterator) else await made
        self.source = source
        self._read_ahead = getattr(source, "read_ahead", READ_AHEAD)
        with self._lock:
            self._open = True
            reader, self._reader = self._reader, None
        _release(reader)
        try:
            async for item in source:
                room = self._put(item)
                if room is not None:
                    await room
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    def settle(self) -> None:
        with self._lock:
            self._ended = True
            reader, self._reader = self._reader, None
        _release(reader)
        super().settle()

    def wait_until_open(self) -> None:
        """Block until the source is open, or has failed to."""
        with self._lock:
            reader = None if self._open or self._ended else self._announce_reader()
        if reader is not None:
            acquire(reader)

    def take(self) -> list[T]:
        """Wait for items and take all that are there; an empty list is the end.

        Raises:
            BlockingCallError: The stream was opened before this process was forked, or the loop
                has been stopped.
        """
        while True:
            # First, since in a forked child the lock may be held by a thread that does not exist.
            if not self.host.alive and not self._ended:
                raise BlockingCallError(
                    "The stream belongs to a process or an event loop that is gone.",
                    hint="Open it in the process that reads it.",
                )
            with self._lock:
                items, self._items = self._items, []
                room, self._room = self._room, None
                idle = not items and not self._ended
                reader = self._announce_reader() if idle else None
            if room is not None:
                self.host.schedule(_resolve, room)
            if reader is None:
                return items
            acquire(reader)

    def _put(self, item: T) -> asyncio.Future[None] | None:
        """Hand an item over; returns what to await where the caller is far behind."""
        with self._lock:
            self._items.append(item)
            reader, self._reader = self._reader, None
            if len(self._items) >= self._read_ahead:
                self._room = self.host.loop.create_future()
            room = self._room
        _release(reader)
        return room

    def _announce_reader(self) -> "threading.Lock":
        reader = self._reader = threading.Lock()
        reader.acquire()
        return reader


def _release(reader: "threading.Lock | None") -> None:
    if reader is not None:
        reader.release()


def _resolve(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)
