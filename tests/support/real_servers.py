"""Servers that others wrote, each with a client of ours: what to call, and how to stop one."""

import fcntl
import os
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.mcp_processes import SOURCES, children, free_port, wait_for_port
from support.node_servers import everything_command, node_command
from support.python_servers import git_command, time_command

Call = tuple[str, dict[str, Any], str]
"""Name of a tool, its arguments, and what its answer holds."""

ESTABLISHED = "01"


@dataclass(frozen=True)
class Kind:
    """A server and how it is reached.

    Attributes:
        transport: "stdio", or the word by which "everything" is told to serve HTTP.
        command: From a directory of the test's own to the command.
        tools: Some of its tools.
        calls: What is called, in this order.
        slow: A call that takes long, or would; to be interrupted.
        env: From the directory to environment variables.
    """

    transport: str
    command: Callable[[Path], list[str]]
    tools: frozenset[str]
    calls: Callable[[Path], list[Call]]
    slow: Callable[[Path], tuple[str, dict[str, Any]]]
    env: Callable[[Path], dict[str, str]] = field(default=lambda _: {})


def _everything(transport: str) -> Kind:
    return Kind(
        transport,
        lambda _: [*everything_command(), transport],
        frozenset({"echo", "get-sum", "get-tiny-image", "get-structured-content"}),
        lambda _: [
            ("echo", {"message": "hi"}, "Echo: hi"),
            ("get-sum", {"a": 1, "b": 2}, "The sum of 1 and 2 is 3."),
        ],
        lambda _: ("trigger-long-running-operation", {"duration": 30, "steps": 3}),
    )


def _note(folder: Path) -> str:
    note = folder / "note.txt"
    note.write_text("written for the test")
    return str(note)


def _repository(folder: Path) -> Path:
    repository = folder / "repository"
    if not repository.exists():
        git = ["git", "-c", "user.name=Test", "-c", "user.email=test@localhost"]
        subprocess.run([*git, "init", "-q", str(repository)], check=True)
        (repository / "file").write_text("text")
        for words in (["add", "file"], ["commit", "-qm", "The first of all commits"]):
            subprocess.run([*git, *words], check=True, cwd=repository)
    return repository


_ADA = {"name": "Ada", "entityType": "person", "observations": ["wrote a program"]}

KINDS: dict[str, Kind] = {
    "everything-stdio": _everything("stdio"),
    "everything-http": _everything("streamableHttp"),
    "everything-sse": _everything("sse"),
    "filesystem": Kind(
        "stdio",
        lambda folder: node_command("filesystem", str(folder)),
        frozenset({"read_text_file", "write_file", "list_directory"}),
        lambda folder: [("read_text_file", {"path": _note(folder)}, "written for the test")],
        lambda folder: ("directory_tree", {"path": str(folder)}),
    ),
    "memory": Kind(
        "stdio",
        lambda _: node_command("memory"),
        frozenset({"create_entities", "read_graph", "search_nodes"}),
        lambda _: [
            ("create_entities", {"entities": [_ADA]}, ""),
            ("search_nodes", {"query": "program"}, "Ada"),
        ],
        lambda _: ("read_graph", {}),
        lambda folder: {"MEMORY_FILE_PATH": str(folder / "memory.json")},
    ),
    "time": Kind(
        "stdio",
        lambda _: time_command(),
        frozenset({"get_current_time", "convert_time"}),
        lambda _: [
            (
                "convert_time",
                {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"},
                "21:00",
            )
        ],
        lambda _: ("get_current_time", {"timezone": "UTC"}),
    ),
    "git": Kind(
        "stdio",
        lambda folder: git_command(_repository(folder)),
        frozenset({"git_status", "git_log", "git_diff"}),
        lambda folder: [
            ("git_log", {"repo_path": str(_repository(folder))}, "The first of all commits")
        ],
        lambda folder: ("git_status", {"repo_path": str(_repository(folder))}),
    ),
}


class Served:
    """A server over HTTP, always at the same port."""

    def __init__(self, command: list[str], *, port: int) -> None:
        """Start it."""
        self.port = port
        self._command = command
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.process = subprocess.Popen(
            self._command,
            env={**os.environ, **SOURCES, "PORT": str(self.port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(self.port, self.process)

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()

    def url(self) -> str:
        """Where it is; which transport it speaks, the client finds out."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(command: list[str]) -> Iterator[Served]:
    """A server over HTTP, as long as the block runs.

    Args:
        command: What starts it. Its port is in the environment, as PORT, and stands for a word
            "{port}".
    """
    port = free_port()
    server = Served([word.replace("{port}", str(port)) for word in command], port=port)
    try:
        yield server
    finally:
        server.kill()


def child_of(command: list[str]) -> int:
    """The process of a stdio server: the one child that runs this command."""
    (pid,) = [pid for pid in children() if _words(pid) == command]
    return pid


def _words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process stands still while the block runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 5.0
        while _states(pid) != {"T"}:
            assert time.monotonic() < deadline, "it does not stand still"
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> set[str]:
    """States of all threads of a process; "T" is one that has been stopped."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return {(thread / "stat").read_text().rpartition(")")[2].split()[0] for thread in threads}


def unread_bytes(pid: int, port: int | None) -> int:
    """How much has arrived at a process that it has not read: at a port, or by its pipes."""
    return _unread_in_pipes(pid) if port is None else _unread_at(port)


def _unread_in_pipes(pid: int) -> int:
    # All of them: some servers move the protocol away from their standard input.
    total = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        flags = int(_line(f"/proc/{pid}/fdinfo/{descriptor.name}", "flags:"), 8)
        if not descriptor.is_fifo() or flags & os.O_ACCMODE != os.O_RDONLY:
            continue
        pipe = os.open(descriptor, os.O_RDONLY | os.O_NONBLOCK)
        try:
            (unread,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
        finally:
            os.close(pipe)
        total += unread
    return total


def _unread_at(port: int) -> int:
    total = 0
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, queues, *_ = line.split()
            if state == ESTABLISHED and local.endswith(f":{port:04X}"):
                total += int(queues.partition(":")[2], 16)
    return total


def _line(path: str, name: str) -> str:
    (found,) = [line for line in Path(path).read_text().splitlines() if line.startswith(name)]
    return found.removeprefix(name)
