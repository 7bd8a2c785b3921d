"""Servers and tools from npm, installed once into a cache directory of the user."""

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

RELEASE = "2026.8.31"
SERVERS = ("everything", "filesystem", "memory")


def cache_directory() -> Path:
    """Where packages of tests are kept from run to run."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mbxai-tests"


def npm_install(folder: str, *packages: str, seconds: float = 300.0) -> Path:
    """Install npm packages, unless they are there; safe from several processes at a time.

    Args:
        folder: Name of the directory below the cache; must change with the packages' versions.
        packages: Names with exact versions.
        seconds: How long the installation may take.

    Returns:
        The directory that holds `node_modules`.
    """
    target = cache_directory() / folder
    target.mkdir(parents=True, exist_ok=True)
    with (target / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = target / ".installed"
        if not done.exists() or done.read_text() != " ".join(packages):
            command = ["npm", "install", "--prefix", str(target), "--no-save", "--no-audit"]
            installed = subprocess.run(
                [*command, "--no-fund", *packages],
                capture_output=True,
                text=True,
                timeout=seconds,
            )
            if installed.returncode:
                raise RuntimeError(f"npm could not install {packages}: {installed.stderr[-2000:]}")
            done.write_text(" ".join(packages))
    return target


def missing(what: str) -> None:
    """Skip the test for what this machine lacks; on CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} needed on CI")
    pytest.skip(f"{what} needed here")


@functools.cache
def node() -> str:
    """The Node.js program itself; a wrapper around it would outlive it, or it the wrapper."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        missing("node and npm are")
        raise AssertionError
    asked = [found, "-p", "process.execPath"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def node_command(server: str, *words: str) -> list[str]:
    """The command of a reference server of the protocol, on Node.

    Skips the test where there is no node; on CI that is a failure.

    Args:
        server: "everything", "filesystem" or "memory".
        words: Arguments for the server.
    """
    program = node()
    packages = [f"@modelcontextprotocol/server-{name}@{RELEASE}" for name in SERVERS]
    modules = npm_install(f"mcp-servers-{RELEASE}", *packages) / "node_modules"
    folder = modules / f"@modelcontextprotocol/server-{server}/dist"
    return [program, str(folder / "index.js"), *words]


def everything_command() -> list[str]:
    """The command of the reference server that shows every feature of the protocol."""
    return node_command("everything")
