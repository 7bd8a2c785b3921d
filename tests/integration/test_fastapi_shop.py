"""The example pair as processes: a UI (and its ui_forms), a service, workers, a shop, and Redis."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis
from support import services

from mbxai.sessions import KeyRing
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply, Stall

FOLDER = Path(__file__).parents[2] / "examples" / "fastapi_shop"
PASSWORD = "pw-canary-9c41e0"
ASK = {"message": "Give me my last order"}
OPEN = {
    "name": "open_dialog",
    "arguments": {"dialog_option_id": "shop_credentials", "reason": "to list your orders"},
}
LIST = {"name": "list_orders_from_shop", "arguments": {}}
PLAN = {
    "tasks": [
        {
            "key": "a",
            "title": "Find the order",
            "description": "Find the last order",
            "depends_on": [],
            "tools_needed": ["list_orders_from_shop"],
            "estimated_complexity": 1,
        }
    ],
    "estimated_total_time": "1 minute",
}
LAST = {"id": "ord_002", "order_number": "ORD-2024-002", "date": "2024-01-20"}


def story(fake: FakeOpenRouter, *between: Any) -> None:
    fake.script(
        Reply(when=Match(schema="TodoList"), json=PLAN),
        Reply(tool_calls=[OPEN], when=Match(tool="open_dialog")),
        Reply(tool_calls=[LIST], when=Match(tool="open_dialog")),
        *between,
        Reply(when=Match(schema="Order"), json=LAST),
        Auto(times=None),
    )


class Pair:
    """All processes of the example.

    Attributes:
        user: A browser of ann.
        logs: What all processes have said.
        keys: Pattern of the keys in Redis.
    """

    def __init__(self, folder: Path, env: dict[str, str], stack: ExitStack) -> None:
        self.folder = folder
        self.env = env
        self.stack = stack
        self.shop, self.agent, ui = (services.free_port() for _ in range(3))
        env["SHOP_URL"] = f"http://127.0.0.1:{self.shop}"
        env["AGENT_URL"] = f"http://127.0.0.1:{self.agent}"
        services_at = {"shop_service": self.shop, "agent_service": self.agent, "ui_service": ui}
        for module, port in services_at.items():
            self.run(module, "uvicorn", f"{module}:app", "--port", str(port))
        self.workers = [self.work(number) for number in (1, 2)]
        self.user = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{ui}", cookies={"user": "ann"}, timeout=20)
        )
        for port in (self.shop, self.agent, ui):
            until(lambda port=port: services.answers(port), bool)

    def run(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        log = self.stack.enter_context((self.folder / f"{name}.log").open("wb"))
        program = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=FOLDER, env=self.env, stdout=log, stderr=log
        )
        self.stack.callback(lambda: (program.kill(), program.wait()))
        return program

    def work(self, number: int) -> "subprocess.Popen[bytes]":
        words = ("mbxai.cli", "sessions", "work", "shop_agent:agent", "--poll", "0.1")
        return self.run(f"worker-{number}", *words)

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def session(self, session_id: str, kind: str) -> dict[str, Any]:
        return until(
            lambda: self.user.get(f"/sessions/{session_id}").json(),
            lambda found: found.get("type") == kind,
        )

    def log_in(self, form: dict[str, Any], password: str = PASSWORD) -> httpx.Response:
        body = {"interaction_id": form["interaction_id"], "username": "demo", "password": password}
        return self.user.post(f"/sessions/{form['session_id']}/credentials", json=body)


def until(look: Callable[[], Any], is_it: Callable[[Any], bool], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not is_it(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


@pytest.fixture
def url() -> Iterator[str]:
    with services.redis_url() as found:
        yield found


@pytest.fixture
def kept(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as server:
        yield server


@contextmanager
def running(folder: Path, url: str, fake: FakeOpenRouter) -> Iterator[Pair]:
    env = os.environ | fake.env() | {"REDIS_URL": url, "SHOP_PASSWORD": PASSWORD}
    env |= {"MBXAI_SESSION_KEY": KeyRing.generate(), "SERVICE_TOKEN": uuid4().hex}
    env |= {"PYTHONUNBUFFERED": "1", "LEASE_SECONDS": "1.5"}
    with ExitStack() as stack:
        yield Pair(folder, env, stack)


def sealed_bytes(kept: redis.Redis) -> bytes:
    """All that Redis has of the shop's sessions, as it has it."""
    found = b""
    for key in kept.scan_iter("*shop:*"):
        found += key + (kept.dump(key) or b"")
        kind = kept.type(key)
        if kind == b"hash":
            found += repr(kept.hgetall(key)).encode()
        elif kind == b"string":
            found += kept.get(key) or b""
    return found


def test_the_story_and_where_the_password_is_not(
    tmp_path: Path, url: str, kept: redis.Redis, fake: FakeOpenRouter
) -> None:
    story(fake)
    with running(tmp_path, url, fake) as pair:
        begun = pair.user.post("/chat", json=ASK)
        assert begun.status_code == 202
        session_id = begun.json()["session_id"]
        form = pair.session(session_id, "credentials_form")
        assert form["shop_url"] == pair.env["SHOP_URL"]

        stranger = {"user": "bob"}
        foreign = httpx.get(pair.user.base_url.join(f"/sessions/{session_id}"), cookies=stranger)
        assert foreign.status_code == 404
        forged = {"X-Service-Token": "guess", "X-User": "ann"}
        refused = httpx.get(f"{pair.env['AGENT_URL']}/agent/sessions/{session_id}", headers=forged)
        assert refused.status_code == 403

        assert pair.log_in(form).status_code == 202
        result = pair.session(session_id, "order_result")
        assert result["message"] == ("Your last order: #ORD-2024-002 from 2024-01-20 (ID: ord_002)")
        assert pair.log_in(form).status_code in (404, 409)
        told = pair.user.get(f"/sessions/{session_id}/events").text
        assert "event: tool_ended" in told
        again = pair.user.get(f"/sessions/{session_id}/events", headers={"Last-Event-ID": "5"}).text
        assert told.endswith(again.partition("retry: 2000\n\n")[2])
        headers = {"X-Service-Token": pair.env["SERVICE_TOKEN"], "X-User": "ann"}
        agent = f"{pair.env['AGENT_URL']}/agent/sessions/{session_id}"
        exported = httpx.get(f"{agent}/export", headers=headers).text
        everywhere = [told, exported, str([request.body for request in fake.requests()])]
        assert all("list_orders_from_shop" in place for place in everywhere)
        everywhere.append(sealed_bytes(kept).decode("latin-1"))
        assert session_id in everywhere[-1]
        everywhere.append(pair.logs())
        assert "GET /orders" in everywhere[-1]
        assert not any(PASSWORD in place for place in everywhere)
        assert "Traceback" not in pair.logs()
        httpx.delete(agent, headers=headers)


def test_a_worker_that_is_killed_in_the_middle_loses_nothing(
    tmp_path: Path, url: str, fake: FakeOpenRouter
) -> None:
    story(fake, Stall(seconds=60, when=Match(tool="open_dialog")))
    with running(tmp_path, url, fake) as pair:
        session_id = pair.user.post("/chat", json=ASK).json()["session_id"]
        pair.log_in(pair.session(session_id, "credentials_form"))
        until(lambda: "GET /orders" in pair.logs(), bool)
        stalled = lambda: [r for r in fake.requests() if "ord_002" in str(r.body)]  # noqa: E731
        until(stalled, bool)
        # Whichever has it; the other one goes on where it stopped.
        for worker in pair.workers:
            worker.send_signal(signal.SIGKILL)
        pair.work(3)
        result = until(
            lambda: pair.user.get(f"/sessions/{session_id}").json(),
            lambda found: found["type"] == "order_result",
        )
        assert "ORD-2024-002" in result["message"]
        assert pair.logs().count("GET /orders") == 1


def test_a_wrong_password_is_asked_for_again(
    tmp_path: Path, url: str, fake: FakeOpenRouter
) -> None:
    again = [Reply(tool_calls=[call], when=Match(tool="open_dialog")) for call in (OPEN, LIST)]
    story(fake, *again)
    with running(tmp_path, url, fake) as pair:
        session_id = pair.user.post("/chat", json=ASK).json()["session_id"]
        first = pair.session(session_id, "credentials_form")
        pair.log_in(first, "wrong")
        second = until(
            lambda: pair.user.get(f"/sessions/{session_id}").json(),
            lambda found: found["interaction_id"] not in ("", first["interaction_id"]),
        )
        pair.log_in(second)
        pair.session(session_id, "order_result")
        assert pair.logs().count("GET /orders") == 2
