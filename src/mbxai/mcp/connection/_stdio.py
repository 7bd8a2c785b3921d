"""A server as a child process that is spoken to over its standard input and output.

Ours and not the package's: that one holds a line of any length in memory, copying it again and
again, logs a traceback for every line that is no message, and loses the child if its owner is
cancelled twice. Nothing lies between the pipe and the reader here, which halves a call's cost.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import anyio.lowlevel

from mbxai._redaction import get_logger
from mbxai.mcp.connection._lines import LineSplitter, TooLarge, without_half_characters
from mbxai.mcp.connection._stderr import StderrTail
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.connection._watch import ConnectionWatch, note_failure

if TYPE_CHECKING:  # slow to load
    from mcp.shared.message import SessionMessage

logger = get_logger(__name__)

LEAVE_SECONDS: Final = 2.0
"""How long a child may take to leave, once its input has ended, and again after SIGTERM."""

_LATE_SECONDS: Final = 0.15
"""The same for a child that has let the time to connect pass: its caller waits for the end."""

_CHUNK_BYTES: Final = 256 * 1024
_POLL_SECONDS: Final = 0.01
_KILL_SECONDS: Final = 0.2
_TURN_MESSAGES: Final = 32
TOO_LARGE: Final = -32603


class StartError(Exception):
    """The program could not be started; the text says why."""


@asynccontextmanager
async def child_streams(
    target: ServerTarget, watch: ConnectionWatch, stderr: StderrTail
) -> AsyncGenerator[tuple["LineReads", "LineWrites"], None]:
    """Start a child process and return its streams of messages.

    Args:
        target: The server.
        watch: Told what happens on the wire.
        stderr: Takes what the child writes to its standard error.

    Raises:
        StartError: There is no such program or working directory, or it may not be used.
    """
    from mcp.client.stdio import get_default_environment

    try:
        process = await asyncio.create_subprocess_exec(
            *target.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr.file,
            env={**get_default_environment(), **target.env},
            cwd=target.cwd,
            start_new_session=True,
            limit=_CHUNK_BYTES,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise StartError(_why_not(error, target)) from error
    try:
        yield LineReads(process, target, watch), LineWrites(process, watch)
    finally:
        try:
            with anyio.CancelScope(shield=True):
                await _end(process, watch)
        finally:
            await _kill(process)


def _why_not(error: OSError, target: ServerTarget) -> str:
    """Return why a program could not be started; the system names one path, or none."""
    where = target.cwd
    if (
        where is not None
        and error.filename in (where, None)
        and error.filename != target.command[0]
    ):
        if isinstance(error, FileNotFoundError):
            return f"no such directory {where!r} to run it in"
        if isinstance(error, NotADirectoryError):
            return f"{where!r}, to run it in, is no directory"
        return f"not allowed to run in {where!r}"
    if isinstance(error, PermissionError):
        return f"not allowed to be started: {target.command[0]!r} is no program, or not ours"
    return f"no such program {target.command[0]!r}"


class LineReads:
    """The child's messages."""

    def __init__(
        self, process: asyncio.subprocess.Process, target: ServerTarget, watch: ConnectionWatch
    ) -> None:
        """Read from a child's standard output."""
        self._pipe = cast("asyncio.StreamReader", process.stdout)
        self._target = target
        self._watch = watch
        self._splitter = LineSplitter(target.max_message_bytes)
        self._since_wait = 0

    async def receive(self) -> "SessionMessage":
        """Return the next message.

        Raises:
            EndOfStream: There are no more.
        """
        lines = self._splitter.lines
        while True:
            while lines:
                message = self._read(lines.popleft())
                if message is not None:
                    self._since_wait += 1
                    if self._since_wait >= _TURN_MESSAGES:  # a flood may not starve the others
                        self._since_wait = 0
                        await anyio.lowlevel.cancel_shielded_checkpoint()
                    return message
            chunk = await self._pipe.read(_CHUNK_BYTES)
            if not chunk:
                raise anyio.EndOfStream
            self._splitter.feed(chunk)

    async def aclose(self) -> None:
        """Do nothing; the child is ended by its owner."""

    def _read(self, line: "bytes | TooLarge") -> "SessionMessage | None":
        from mcp.shared.message import SessionMessage
        from mcp_types import ErrorData, JSONRPCError, jsonrpc_message_adapter

        if isinstance(line, TooLarge):
            what = f"a message of more than {self._target.max_message_bytes} bytes"
            if line.ident is None:
                self._watch.problem, self._watch.is_too_large = f"it sent {what}", True
                raise anyio.EndOfStream
            error = ErrorData(code=TOO_LARGE, message=f"The answer was {what}; it was dropped.")
            return SessionMessage(JSONRPCError(jsonrpc="2.0", id=line.ident, error=error))
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            pass
        mended = without_half_characters(line) if line.strip() else None
        if mended is not None:
            with suppress(ValueError):
                return SessionMessage(jsonrpc_message_adapter.validate_json(mended, by_name=False))
        if line.strip():
            self._skip()
        return None

    def _skip(self) -> None:
        if not self._watch.skipped:
            logger.warning(
                "MCP server %s writes lines to its standard output that are no messages; they are"
                " skipped. Its own log belongs on standard error.",
                self._target.name,
            )
        self._watch.skipped += 1


class LineWrites:
    """Our messages to the child."""

    def __init__(self, process: asyncio.subprocess.Process, watch: ConnectionWatch) -> None:
        """Write to a child's standard input."""
        self._pipe = cast("asyncio.StreamWriter", process.stdin)
        self._watch = watch

    async def send(self, item: "SessionMessage", /) -> None:
        """Send a message.

        Raises:
            BrokenResourceError: The child does not read any more.
        """
        pipe, transport = self._pipe, self._pipe.transport
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        if not transport.is_closing():
            pipe.write(f"{text}\n".encode())
        if transport.is_closing():  # nobody reads at the other end, so nothing of it was read
            self._watch.has_hung_up = True
            self._watch.cut()
            note_failure(BrokenPipeError(), item, was_sent=False)
            raise anyio.BrokenResourceError
        if transport.get_write_buffer_size():
            try:
                await pipe.drain()
            except OSError as error:
                # It may still run and write; but no answer will ever come.
                self._watch.has_hung_up = True
                self._watch.cut()
                raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Do nothing; the child is ended by its owner."""


async def _end(process: asyncio.subprocess.Process, watch: ConnectionWatch) -> None:
    """Let a child leave: close its input, then ask its group, then force it."""
    seconds = _LATE_SECONDS if watch.is_late else LEAVE_SECONDS
    cast("asyncio.StreamWriter", process.stdin).close()
    # A child that is stuck in writing cannot leave.
    drain = asyncio.get_running_loop().create_task(
        _drain(cast("asyncio.StreamReader", process.stdout))
    )
    try:
        if await _is_gone(process, seconds):
            watch.exit_status = process.returncode
            return
        _signal_group(process, signal.SIGTERM)
        if await _is_gone(process, seconds):
            return
        _signal_group(process, signal.SIGKILL)
        if not await _is_gone(process, LEAVE_SECONDS):
            logger.warning("Process %d of an MCP server cannot be ended", process.pid)
    finally:
        drain.cancel()
        await asyncio.wait({drain})


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Leave no child behind, whatever has interrupted its orderly end."""
    try:
        if process.returncode is None:
            _signal_group(process, signal.SIGKILL)
            with anyio.CancelScope(shield=True):  # until then asyncio's watcher needs the loop
                await _is_gone(process, _KILL_SECONDS)
    finally:
        _release(process)


async def _drain(pipe: asyncio.StreamReader) -> None:
    while await pipe.read(_CHUNK_BYTES):
        pass


async def _is_gone(process: asyncio.subprocess.Process, seconds: float) -> bool:
    # Not `process.wait()`: that waits for the pipes too, which a grandchild may hold.
    deadline = anyio.current_time() + seconds
    while process.returncode is None:
        if anyio.current_time() >= deadline:
            return False
        await anyio.sleep(_POLL_SECONDS)
    return True


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)  # it leads a group of its own


def _release(process: asyncio.subprocess.Process) -> None:
    """Close the pipes, which a grandchild may hold open; asyncio has no public way to do it."""
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:
        with suppress(ProcessLookupError, PermissionError):
            transport.close()
