"""Streams that cannot tell how a run ends: it was deleted, or its store is out of reach."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.agent_http import agent_of, served
from support.agent_worker_shop import plan

from mbxai import SessionStoreError
from mbxai.sessions import InMemorySessionStore
from mbxai.testing import FakeOpenRouter

SESSION = "/agent/sessions/t"
MESSAGE = {
    "id": "1",
    "role": "user",
    "content": "Ship",
    "parts": [{"type": "text", "text": "Ship"}],
}


class Leaving(InMemorySessionStore):
    """A store whose log cannot be read any more from some moment on."""

    is_away = False

    async def read_log(self, *args: Any, **more: Any) -> list[Any]:
        if self.is_away:
            raise SessionStoreError("It is away.")
        return await super().read_log(*args, **more)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as server:
        yield server


@pytest.fixture
def store() -> Leaving:
    return Leaving()


@pytest.fixture
def service(fake: FakeOpenRouter, tmp_path: Path, store: Leaving) -> Iterator[httpx.Client]:
    with served(agent_of(fake, tmp_path, seconds=1.0, store=store)) as client:
        yield client


def until_a_tool_runs(lines: Iterator[str]) -> None:
    for line in lines:
        if "TOOL_CALL_START" in line or "tool-input-available" in line or "tool_called" in line:
            return
    raise AssertionError("no tool was called")


def rest(lines: Iterator[str]) -> list[dict[str, Any]]:
    told = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(text) for text in told if text != "[DONE]"]


def ag_ui(service: httpx.Client) -> Any:
    body = {"threadId": "t", "runId": "r", "messages": [MESSAGE]}
    return service.stream("POST", "/agent/ag-ui", json=body)


def vercel(service: httpx.Client) -> Any:
    return service.stream("POST", "/agent/vercel/chat", json={"id": "t", "messages": [MESSAGE]})


def test_a_deleted_session_is_over_and_no_success(service: httpx.Client) -> None:
    with ag_ui(service) as told, service.stream("GET", f"{SESSION}/events") as events:
        lines = told.iter_lines()
        until_a_tool_runs(lines)
        again = service.stream("GET", "/agent/vercel/chat/t/stream")
        with again as chat:
            assert service.delete(SESSION).status_code == 204
            *_, last = rest(lines)
            assert (last["type"], last["code"]) == ("RUN_ERROR", "session_not_found")
            *_, said = rest(chat.iter_lines())
            assert said == {"type": "error", "errorText": "There is no such session."}
        assert [line for line in events.iter_lines() if line.startswith("event: ")][-1] == (
            "event: done"
        )
    assert service.get(SESSION).status_code == 404


def test_where_the_log_cannot_be_read_on_front_ends_are_told_and_others_come_again(
    service: httpx.Client, store: Leaving
) -> None:
    with vercel(service) as told, service.stream("GET", f"{SESSION}/events") as events:
        lines = told.iter_lines()
        until_a_tool_runs(lines)
        with service.stream(
            "POST", "/agent/ag-ui", json={"threadId": "u", "runId": "r", "messages": [MESSAGE]}
        ) as other:
            others = other.iter_lines()
            until_a_tool_runs(others)
            store.is_away = True
            *_, said = rest(lines)
            assert said["type"] == "error"
            assert said["errorText"].startswith("Sessions cannot be reached")
            *_, last = rest(others)
            assert (last["type"], last["code"]) == ("RUN_ERROR", "store_unavailable")
        names = [line for line in events.iter_lines() if line.startswith("event: ")]
        assert names[-1] == "event: reconnect"
