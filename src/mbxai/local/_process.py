"""The parent's side of the engine process: starts it, waits for it, ends it. Blocking."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from mbxai.errors import LocalModelError

# Any in this file: settings and the ready line are JSON.

# Not `-m`: that would put the current directory before everything else.
_PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); from mbxai.local._engine import main; main()"
)
_GRACE_SECONDS: Final = 1.0
_TERMINATE_SECONDS: Final = 0.5
_TAIL_BYTES: Final = 4000
_TAIL_LINES: Final = 12


class EngineProcess:
    """One running engine. It ends with `stop`, with this object, or with this process."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Start the process; it loads the model while the caller goes on.

        Args:
            settings: What `mbxai.local._engine` reads; sent through a pipe, because other users
                of the machine can read a command line, and the key is among them.

        Raises:
            LocalModelError: No process can be started.
        """
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop
        root = str(Path(__file__).parents[2])
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and program
                [sys.executable, "-P", "-c", _PROGRAM, root],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
        except (OSError, ValueError) as error:
            self._log.close()
            raise LocalModelError(
                f"The local model's process cannot be started: {error}."
            ) from error
        self._finalizer = weakref.finalize(self, _end, self._process, self._log, os.getpid())
        stdin = self._process.stdin
        if stdin is not None:
            try:
                stdin.write(json.dumps(dict(settings)).encode() + b"\n")
                stdin.flush()
            except OSError:  # it died already; `wait_until_ready` tells why
                pass

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def wait_until_ready(self, timeout_seconds: float) -> dict[str, Any]:
        """Wait until the model answers.

        Args:
            timeout_seconds: Most seconds to wait.

        Returns:
            `port` and `tool_mode`.

        Raises:
            LocalModelError: The process ended, or the time was up; with the end of its output.
        """
        line = self._first_line(time.monotonic() + timeout_seconds)
        if line is None:
            raise LocalModelError(
                f"The local model was not ready after {timeout_seconds:g} seconds.{self._tail()}",
                hint="A large model needs a longer startup_timeout.",
            )
        if not line.endswith(b"\n"):
            self._process.wait()
            raise LocalModelError(
                f"The local model ended at its start (exit status {self._process.returncode})."
                f"{self._tail()}"
            )
        return json.loads(line)

    def stop(self) -> None:
        """End the process; at most two seconds, and harmless when it has ended."""
        self._finalizer()

    def _first_line(self, deadline: float) -> bytes | None:
        """The first line of output, cut short if the process ended; None when the time is up."""
        stdout = self._process.stdout
        line = b""
        with selectors.DefaultSelector() as selector:
            if stdout is None:
                return line
            selector.register(stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                piece = os.read(stdout.fileno(), 4096)
                if not piece:
                    break
                line += piece
        return line

    def _tail(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _TAIL_BYTES))
        text = self._log.read().decode("utf-8", "replace").strip()
        lines = text.splitlines()[-_TAIL_LINES:]
        return "".join(f"\n  {line}" for line in lines)


def _end(process: "subprocess.Popen[bytes]", log: IO[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked child has a copy of the object; the process is not its own
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()  # the engine ends by itself
    for seconds, insist in (
        (_GRACE_SECONDS, process.terminate),
        (_TERMINATE_SECONDS, process.kill),
    ):
        try:
            process.wait(seconds)
            break
        except subprocess.TimeoutExpired:
            insist()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    log.close()
