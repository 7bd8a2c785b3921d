"""MCP servers in processes of their own, and what became of them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parent.parent
SOURCES = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}"}

TOOLS_SERVER = [sys.executable, str(SUPPORT / "mcp_tools_server.py")]
"""Our own server over stdio; environment SOURCES."""


def fault_server(*behaviour: str) -> list[str]:
    """The command of a stdio server that misbehaves; see `mcp_fault_server`."""
    return [sys.executable, str(SUPPORT / "mcp_fault_server.py"), *behaviour]


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """Wait until a server listens."""
    deadline = time.monotonic() + seconds
    while not is_listening(port):
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.02)


def children() -> set[int]:
    """Processes that this process has started and that are not yet reaped."""
    path = Path(f"/proc/{os.getpid()}/task")
    found: set[int] = set()
    for task in path.iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextmanager
def http_server(
    port: int, *, flavour: str = "asgi", seconds: float = 20.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Our own server over HTTP.

    Args:
        port: Where it listens.
        flavour: "asgi" serves `/mcp` only, "rest" is the FastAPI application, "sse" the old
            transport at `/sse`.
        seconds: How long it may take to start.
    """
    process = subprocess.Popen(
        [*TOOLS_SERVER, flavour, str(port)],
        env={**os.environ, **SOURCES},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process, seconds)
        yield process
    finally:
        process.kill()
        process.wait()
