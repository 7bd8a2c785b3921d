"""The Python blocks of the README of mbxai 2.3.0, and how to run one unchanged in a process.

A block runs as a script of its own: prelude (names of earlier blocks), the block as it stands in
the README, epilogue (assertions). What a container network would resolve (`agent-service:8001`) or a
machine would serve on a fixed port (`localhost:8000`) is a loopback address of its own here, so that
the README's ports are free.
"""

import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "seed" / "mbxai-2.3.0-readme.md"

_BLOCKS = re.findall(
    r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)

_LAUNCHER = """
import json, os, runpy, socket, sys
names = json.loads(os.environ.pop("SEED_NAMES"))
resolve = socket.getaddrinfo
def mapped(host, port, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    host, port = names.get(f"{name}:{port}", (host, port))
    return resolve(host, port, *args, **kwargs)
socket.getaddrinfo = mapped
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def block(opening: str) -> str:
    """Return the one block that holds this line."""
    found = [text for text in _BLOCKS if opening in text]
    assert len(found) == 1, f"{len(found)} blocks hold {opening!r}"
    return found[0]


def command(script: Path, *args: str, warnings: tuple[str, ...] = ("error",)) -> list[str]:
    """Return the command that runs a script with mapped names."""
    filters = [part for rule in warnings for part in ("-W", rule)]
    return [sys.executable, *filters, "-c", _LAUNCHER, str(script), *args]


def environment(base: Mapping[str, str], names: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """Return a process environment with mapped names."""
    return {**os.environ, **base, "SEED_NAMES": json.dumps(names), "PYTHONUNBUFFERED": "1"}


def loopback_address(port: int) -> str:
    """Return an address of this machine on which nobody uses the port."""
    for _ in range(20):
        host = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return host
    return "127.0.0.1"  # a system that has one loopback address only


@contextlib.contextmanager
def served(
    folder: Path,
    text: str,
    env: Mapping[str, str] | None = None,
    *,
    port: int,
    names: Mapping[str, tuple[str, int]] | None = None,
) -> Iterator[str]:
    """Run a script that serves the port on the address in `sys.argv[1]`; gives the address."""
    folder.mkdir(exist_ok=True)
    script, host = folder / "service.py", loopback_address(port)
    script.write_text(text, encoding="utf-8")
    log = folder / "service.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command(script, host, warnings=()),
            env=environment(env or {}, names or {}),
            stdout=output,
            stderr=output,
        )
        try:
            until = time.monotonic() + 20
            while not _answers(host, port):
                if process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"the service did not start:\n{log.read_text(encoding='utf-8')}")
                time.sleep(0.05)
            yield host
        finally:
            process.terminate()
            process.wait(10)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def run(
    folder: Path,
    env: Mapping[str, str],
    text: str,
    *,
    prelude: str = "",
    epilogue: str = "",
    names: Mapping[str, tuple[str, int]] | None = None,
    warnings: tuple[str, ...] = ("error",),
) -> subprocess.CompletedProcess[str]:
    """Run a block in a process of its own and return its output; it must exit with 0."""
    script = folder / "block.py"
    script.write_text(
        f"{textwrap.dedent(prelude)}\n{text}\n{textwrap.dedent(epilogue)}\n", encoding="utf-8"
    )
    done = subprocess.run(
        command(script, warnings=warnings),
        env=environment(env, names or {}),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done
