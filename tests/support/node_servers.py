"""Servers and tools from npm, installed once into a cache directory of the user."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

EVERYTHING = "@modelcontextprotocol/server-everything@2026.8.31"


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
            subprocess.run(
                [
                    "npm",
                    "install",
                    "--prefix",
                    str(target),
                    "--no-save",
                    "--no-audit",
                    "--no-fund",
                    *packages,
                ],
                check=True,
                capture_output=True,
                timeout=seconds,
            )
            done.write_text(" ".join(packages))
    return target


def everything_command() -> list[str]:
    """The command of the reference server that shows every feature of the protocol.

    Skips the test where there is no node; on CI that is a failure.
    """
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("node and npm are needed on CI")
        pytest.skip("node and npm are not installed")
    folder = npm_install("mcp-everything-2026.8.31", EVERYTHING)
    program = folder / "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
    return [node, str(program)]
