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
    """The URL of a Postgres server: POSTGRES_URL, one on its usual port, or one of our own."""
    if url := os.environ.get("POSTGRES_URL"):
        yield url
    elif _lets_in(usual := "postgresql://postgres@127.0.0.1:5432/postgres"):
        yield usual
    else:
        with tempfile.TemporaryDirectory() as folder:
            cluster = PostgresCluster(folder)
            with cluster.running():
                yield cluster.url


class PostgresCluster:
    """A Postgres server of a test's own, which it may kill; started again it has its data."""

    def __init__(self, folder: str) -> None:
        self._programs = _postgres_programs()
        self._folder = folder
        self._port = free_port()
        self._data = str(Path(folder) / "data")
        self._as_user = _unprivileged(folder)
        make = ["-D", self._data, "-U", "mbxai", "-A", "trust", "--no-sync"]
        self._call("initdb", *make)
        self.url = f"postgresql://mbxai@127.0.0.1:{self._port}/postgres"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for a block."""
        self.start()
        try:
            yield
        finally:
            self.stop("immediate")

    def start(self) -> None:
        options = f"-p {self._port} -k {self._folder} -h 127.0.0.1"
        log = str(Path(self._folder) / "log")
        self._call("pg_ctl", "-D", self._data, "-w", "-s", "-l", log, "-o", options, "start")

    def stop(self, mode: str) -> None:
        """Stop it: "fast" ends sessions in order, "immediate" as a crash would."""
        self._call("pg_ctl", "-D", self._data, "-w", "-s", "-m", mode, "stop")

    def _call(self, program: str, *args: str) -> None:
        command = [*self._as_user, str(self._programs / program), *args]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _lets_in(url: str) -> bool:
    try:
        import psycopg
    except ImportError:
        missing("psycopg")
    if not answers(5432):
        return False
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.Error:
        return False
    return True


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
