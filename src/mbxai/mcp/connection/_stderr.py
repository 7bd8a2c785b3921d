"""What a child process writes to its standard error: a log as it comes, and its last words."""

import asyncio
import logging
import os
from collections import deque
from contextlib import suppress
from typing import Final, TextIO

from mbxai._redaction import get_logger, redact

lines_logger = get_logger("mbxai.mcp.stderr")

_KEPT_BYTES: Final = 8_192
_SHOWN_CHARS: Final = 1_000
_TURN_CHUNKS: Final = 64  # a child that never stops to talk may not starve the others


class StderrTail:
    """A pipe that is drained while the loop runs, and of which only the end is kept.

    Each line is logged at level DEBUG, cut where it is long.

    A child needs a real descriptor, which `sys.stderr` of a notebook is not; and a file would grow
    as long as the child talks.
    """

    def __init__(self, server: str) -> None:
        """Open the pipe and begin to drain it.

        Args:
            server: The name the server was registered under, for the log.
        """
        self._server = server
        self._line = b""  # the beginning of one that has no end yet
        self._loop = asyncio.get_running_loop()
        self._read_fd, write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self.file: TextIO = os.fdopen(write_fd, "w", encoding="utf-8")
        self._chunks: deque[bytes] = deque()
        self._is_open = True
        self._loop.add_reader(self._read_fd, self._drain)

    def text(self) -> str:
        """Return the last lines that the child wrote, without known secrets."""
        if self._is_open:
            self._drain()
        whole = b"".join(self._chunks).decode("utf-8", "replace").strip()
        return redact(whole)[-_SHOWN_CHARS:].strip()

    def release_writer(self) -> None:
        """Close this process's copy of the writing end; the child has its own."""
        with suppress(OSError):
            self.file.close()

    def close(self) -> None:
        """Read what is left and close the pipe."""
        if not self._is_open:
            return
        self.release_writer()
        self._drain()
        if self._is_open:
            self._stop()

    def _drain(self) -> None:
        for _ in range(_TURN_CHUNKS):
            if not self._is_open:
                return
            try:
                chunk = os.read(self._read_fd, _KEPT_BYTES)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if not chunk:
                self._stop()
                return
            self._log(chunk)
            self._chunks.append(chunk)
            while sum(map(len, self._chunks)) - len(self._chunks[0]) >= _KEPT_BYTES:
                self._chunks.popleft()

    def _log(self, chunk: bytes) -> None:
        if not lines_logger.isEnabledFor(logging.DEBUG):
            self._line = b""
            return
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = self._line + lines[0]
            self._line = rest
        else:
            self._line += rest
        self._line = self._line[:_KEPT_BYTES]
        for line in lines:
            text = line[:_KEPT_BYTES].decode("utf-8", "replace").rstrip()
            # No control characters: a log is read in terminals, which obey them.
            shown = "".join(sign if sign.isprintable() else " " for sign in redact(text))
            if shown.strip():
                lines_logger.debug("%s: %s", self._server, shown[:_SHOWN_CHARS])

    def _stop(self) -> None:
        self._is_open = False
        self._log(b"\n")
        if not self._loop.is_closed():
            self._loop.remove_reader(self._read_fd)
        os.close(self._read_fd)
