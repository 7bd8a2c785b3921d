"""Servers and programs that some tests need: found, started, or missed loudly.

Where the environment says `CI=true` nothing may be missing: there a test fails instead of being
skipped.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

START_SECONDS = 20.0


def missing(what: str) -> NoReturn:
    """Skip the running test for want of something; in CI, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is needed in CI", pytrace=False)
    pytest.skip(f"{what} is not here")


def require(condition: object, what: str) -> None:
    """Go on only if something is there."""
    if not condition:
        missing(what)


def program(name: str) -> str:
    """The path of an installed program."""
    found = shutil.which(name)
    if found is None:
        missing(f"The program {name}")
    return found


def node() -> str:
    """The path of Node.js."""
    return program("node")


def npx() -> str:
    """The path of npx, which runs programs from the npm registry."""
    return program("npx")


def free_port() -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def redis_url() -> Iterator[str]:
    """The URL of a Redis server: REDIS_URL, the one on its usual port, or one of our own."""
    if url := os.environ.get("REDIS_URL"):
        yield url
    elif answers(6379):
        yield "redis://127.0.0.1:6379/0"
    else:
        port = free_port()
        binary = program("redis-server")
        with (
            tempfile.TemporaryDirectory() as folder,
            _running([binary, "--port", str(port), "--save", "", "--dir", folder], port),
        ):
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def own_redis(port: int, folder: str, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A Redis server of a test's own, which it may kill; started again it has its data."""
    binary = program("redis-server")
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    command = [binary, "--port", str(port), "--dir", folder, *durable, *options]
    with _running(command, port) as server:
        yield server


@contextmanager
def postgres_url() -> Iterator[str]:
    """The URL of a Postgres server: POSTGRES_URL, or one of our own."""
    if url := os.environ.get("POSTGRES_URL"):
        yield url
        return
    programs = _postgres_programs()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "data")
        as_user = _unprivileged(folder)
        make = [programs / "initdb", "-D", data, "-U", "mbxai", "-A", "trust", "--no-sync"]
        subprocess.run(as_user + [str(part) for part in make], check=True, capture_output=True)
        serve = [programs / "postgres", "-D", data, "-p", port, "-k", folder, "-h", "127.0.0.1"]
        with _running(as_user + [str(part) for part in serve], port):
            yield f"postgresql://mbxai@127.0.0.1:{port}/postgres"


def _postgres_programs() -> Path:
    """The folder that holds both `initdb` and `postgres`."""
    folders = [*map(Path, os.get_exec_path()), *Path("/usr/lib/postgresql").glob("*/bin")]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    missing("Postgres")


def _unprivileged(folder: str) -> list[str]:
    """What to put before a command so that it does not run as root, which Postgres refuses."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "nobody")
    Path(folder).chmod(0o700)
    return [program("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@contextmanager
def _running(command: list[str], port: int) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not answers(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[0]} did not start (exit code {server.returncode})")
                time.sleep(0.05)
            yield server
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
