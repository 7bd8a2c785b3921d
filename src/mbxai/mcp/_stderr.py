"""The last words of a child process, for the error that tells of its death."""

import asyncio
import os
from collections import deque
from contextlib import suppress
from typing import Final, TextIO

from mbxai._redaction import redact

_KEPT_BYTES: Final = 8_192
_SHOWN_CHARS: Final = 1_000


class StderrTail:
    """A pipe that is drained while the loop runs, and of which only the end is kept.

    A child needs a real descriptor, which `sys.stderr` of a notebook is not; and a file would grow
    as long as the child talks.
    """

    def __init__(self) -> None:
        """Open the pipe and begin to drain it."""
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
        while self._is_open:
            try:
                chunk = os.read(self._read_fd, _KEPT_BYTES)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if not chunk:
                self._stop()
                return
            self._chunks.append(chunk)
            while sum(map(len, self._chunks)) - len(self._chunks[0]) >= _KEPT_BYTES:
                self._chunks.popleft()

    def _stop(self) -> None:
        self._is_open = False
        if not self._loop.is_closed():
            self._loop.remove_reader(self._read_fd)
        os.close(self._read_fd)
