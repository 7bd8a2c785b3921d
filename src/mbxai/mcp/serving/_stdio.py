"""A server over standard input and output.

The protocol's package reads the input in a thread that cannot be called back, so that a program
told to stop would wait for its client. Here the descriptors are taken aside, and the input is read
by the loop, where it is a pipe.
"""

import asyncio
import json
import os
import signal
import stat
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from io import TextIOWrapper
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

import anyio
import anyio.lowlevel
import anyio.to_thread

from mbxai._redaction import get_logger
from mbxai.mcp.serving._failures import INVALID_REQUEST, PARSE_ERROR
from mbxai.mcp.serving._state_seal import over_stdio

if TYPE_CHECKING:  # slow to load
    from mcp.server import Server

logger = get_logger(__name__)

_CHUNK_BYTES: Final = 65_536
_MAX_LINE_BYTES: Final = 64 * 1_048_576


async def serve_stdio(server: "Server[Any]") -> None:
    """Serve one client until it hangs up, or the program is told to stop (SIGTERM).

    Args:
        server: The protocol's low-level server.
    """
    from mcp.server.stdio import stdio_server

    with anyio.CancelScope() as serving, _stopped_by_sigterm(serving.cancel), over_stdio():
        async with (
            _taken_aside() as (lines, output),
            stdio_server(cast("Any", lines), cast("Any", output)) as (reads, writes),
        ):
            await server.run(reads, writes, server.create_initialization_options())


@contextmanager
def sigterm_exits() -> Generator[None]:
    """Let SIGTERM end a blocking program in the orderly way, as `SystemExit`, while in here.

    Does nothing in any other thread than the main one, and where the program has its own handler.
    """
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if not is_ours:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _stopped_by_sigterm(stop: Callable[[], None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_ours:
        try:
            loop.add_signal_handler(signal.SIGTERM, stop)
        except NotImplementedError:  # Windows
            is_ours = False
    try:
        yield
    finally:
        if is_ours:
            loop.remove_signal_handler(signal.SIGTERM)


@asynccontextmanager
async def _taken_aside() -> AsyncGenerator[tuple["_Lines", "_Output"]]:
    """Take standard input and output for the protocol alone.

    Meanwhile what tools read from standard input is empty, and what they print goes to standard
    error.
    """
    sys.stdout.flush()
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    output = TextIOWrapper(os.fdopen(writing, "wb", closefd=False), encoding="utf-8")
    try:
        async with _reader(reading) as read:
            written = _Output(output)
            yield _Lines(read, written), written
    finally:
        sys.stdout.flush()
        with suppress(OSError):
            os.dup2(reading, 0)
            os.dup2(writing, 1)
        output.detach()
        os.close(reading)
        os.close(writing)


class _Output:
    """Standard output; takes whole messages, one after the other."""

    def __init__(self, file: TextIOWrapper) -> None:
        self._file = anyio.wrap_file(file)
        self._lock = anyio.Lock()

    async def write(self, text: str) -> None:
        async with self._lock:
            await self._file.write(text)
            await self._file.flush()

    async def flush(self) -> None:
        """Do nothing: each message is sent as it is written."""


class _Lines:
    """The messages of standard input; what is none is answered at once.

    The protocol's package would drop it, and its sender would wait for ever.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]], output: _Output) -> None:
        self._read = read
        self._output = output
        self._rest = bytearray()
        self._whole: deque[str] = deque()
        self._is_too_long = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            while self._whole:
                line = self._whole.popleft()
                refusal = unreadable(line)
                if not refusal:
                    return line
                await self._output.write(f"{refusal}\n")
            chunk = await self._read()
            if not chunk:
                raise StopAsyncIteration
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        *whole, last = chunk.split(b"\n")
        for piece in whole:
            if not self._is_too_long:
                self._whole.append((self._rest + piece).decode("utf-8", "replace"))
            self._rest, self._is_too_long = bytearray(), False
        self._rest += last
        if len(self._rest) > _MAX_LINE_BYTES:
            logger.error("a message of more than %d bytes was dropped", _MAX_LINE_BYTES)
            self._rest, self._is_too_long = bytearray(), True
        elif self._is_too_long:
            self._rest = bytearray()


def unreadable(line: str) -> str:
    """Return the answer to a line that is no message of the protocol; empty for one that is.

    Args:
        line: A line of the input.
    """
    import mcp_types as types

    try:
        types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        pass
    else:
        return ""
    if not line.strip():
        return ""  # nobody waits for an answer to nothing
    try:
        read: object = json.loads(line)
    except (ValueError, RecursionError):
        return json.dumps(_refusal(None, PARSE_ERROR, "This is no JSON."))
    known = cast("dict[str, object]", read) if isinstance(read, dict) else {}
    if "id" in known and "method" not in known:
        logger.warning("an answer that cannot be read was dropped")
        return ""
    call = known.get("id")
    call_id = call if isinstance(call, (int, str)) and not isinstance(call, bool) else None
    return json.dumps(_refusal(call_id, INVALID_REQUEST, "This is no message of the protocol."))


def _refusal(call_id: int | str | None, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "error": {"code": code, "message": message}}


@asynccontextmanager
async def _reader(descriptor: int) -> AsyncGenerator[Callable[[], Awaitable[bytes]]]:
    """What reads the next bytes; empty at the end. Cancelled, it ends at once, where it can."""
    loop = asyncio.get_running_loop()
    kind = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)) or sys.platform == "win32":
        # A file never waits. A terminal would be left in a state that the shell cannot use.
        waiting = partial(os.read, descriptor, _CHUNK_BYTES)
        yield lambda: anyio.to_thread.run_sync(waiting)
        return
    stream = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0, closefd=False)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    try:
        yield partial(stream.read, _CHUNK_BYTES)
    finally:
        transport.close()
        await anyio.lowlevel.checkpoint()
        os.set_blocking(descriptor, True)
