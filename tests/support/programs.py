"""Runs the program `mbxai` as a user would: in a pipe, or in a terminal of its own."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LIMIT = 30.0
COMMAND = [sys.executable, "-W", "error", "-m", "mbxai.cli"]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a user who never set anything."""
    ours = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_", "_TYPER")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", **(more or {})}


@dataclass(frozen=True)
class Ended:
    """How the program ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def mbxai(*words: str, env: Mapping[str, str], cwd: Path, typed: str = "") -> Ended:
    """Run the program in a pipe, to its end."""
    done = subprocess.run(
        [*COMMAND, *words],
        env=environment(env),
        cwd=cwd,
        input=typed,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Terminal:
    """The program in a terminal; everything that it wrote is in `raw`."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.master = master
        self.raw = ""

    @property
    def text(self) -> str:
        """What it wrote, without what steers the terminal."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw)

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Read until it has written a text."""
        deadline = time.monotonic() + LIMIT
        while self.text.count(text) < times:
            assert time.monotonic() < deadline, f"never wrote {text!r}:\n{self.text}"
            assert self._read() or self.text.count(text) >= times, f"no {text!r}:\n{self.text}"

    def type(self, line: str) -> None:
        """Type a line and press Enter."""
        os.write(self.master, f"{line}\r".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C, as a person does: again, if nothing happens.

        Line editing misses one that comes in the microseconds between the prompt and its wait.
        """
        for _ in range(5):
            os.write(self.master, b"\x03")
            if select.select([self.master], [], [], 1.0)[0]:
                return

    def end(self) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + LIMIT
        while self._read():
            assert time.monotonic() < deadline, self.text
        return self.process.wait(LIMIT)

    def _read(self) -> bool:
        if not select.select([self.master], [], [], LIMIT)[0]:
            return False
        try:
            piece = os.read(self.master, 65_536)
        except OSError:  # Linux: the other side is closed
            return False
        self.raw += piece.decode(errors="replace")
        return bool(piece)


@contextmanager
def terminal(
    *words: str, env: Mapping[str, str], cwd: Path, width: int = 80, height: int = 24
) -> Iterator[Terminal]:
    """Run the program in a terminal of its own."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    boot = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", boot, *COMMAND, *words],
        env=environment(env),
        cwd=cwd,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)
