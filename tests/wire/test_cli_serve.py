"""`mbxai serve` as a process: who may use it, and what it says where it cannot work."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mbxai.testing import FakeOpenRouter

MODULE = """
from pydantic import BaseModel
from mbxai import AsyncAgentClient, AsyncOpenRouterClient

class Receipt(BaseModel):
    words: str

def agent():
    return AsyncAgentClient(AsyncOpenRouterClient())
"""


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    (folder / "desk.py").write_text(MODULE)
    with FakeOpenRouter() as fake:
        command = [sys.executable, "-m", "mbxai.cli", "serve", "desk:agent", "--port", "0"]
        with subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env=os.environ | fake.env(),
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stderr is not None
            first = program.stderr.readline()
            found = re.search(r"http://\S+", first)
            assert found, first + program.stderr.read()
            try:
                yield found[0], program
            finally:
                program.kill()


def test_a_run_through_the_served_agent(tmp_path: Path) -> None:
    with served(tmp_path, "--schema", "desk:Receipt") as (url, program):
        with httpx.Client(follow_redirects=True, timeout=10) as person:
            page = person.get(url)
            assert page.status_code == 200
            assert "token" not in str(page.url)
            assert "default-src 'none'" in page.headers["content-security-policy"]
            service = str(page.url).removesuffix("/inspector")
            begun = person.post(f"{service}/sessions", json={"prompt": "Say it"}).json()
            state = {"is_running": True}
            until = time.monotonic() + 9
            while state["is_running"] and time.monotonic() < until:
                state = person.get(f"{service}/sessions/{begun['agent_id']}").json()
            assert state["state"] == "completed"
            evil = {"Host": "evil.example"}
            assert person.get(f"{service}/sessions", headers=evil).status_code == 421
            foreign = {"Origin": "https://evil.example"}
            refused = person.post(f"{service}/sessions", json={"prompt": "x"}, headers=foreign)
            assert refused.status_code == 403
        assert httpx.get(f"{service}/sessions").status_code == 401
        program.send_signal(signal.SIGTERM)
        assert program.wait(8) in (0, 143, -signal.SIGTERM)
        assert program.stderr is not None
        assert url.partition("token=")[2] not in program.stderr.read()


def test_without_a_token_the_host_is_still_looked_at(tmp_path: Path) -> None:
    with served(tmp_path, "--no-token") as (url, _):
        assert "token" not in url
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "reached by others"),
        (["--host", "0.0.0.0", "--allow-host", "desk.example", "--no-token"], "reached by others"),
        (["--schema", "desk:nothing"], "has no 'nothing'"),
        (["--schema", "desk:agent"], "no pydantic model"),
        (["--port", "{taken}"], "Nothing can listen"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "desk.py").write_text(MODULE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        given = [argument.format(taken=port) for argument in arguments]
        command = [sys.executable, "-m", "mbxai.cli", "serve", "desk:agent", *given]
        env = os.environ | {"OPENROUTER_API_KEY": "sk-or-v1-x"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
