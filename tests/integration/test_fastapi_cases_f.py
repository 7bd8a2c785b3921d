"""Cases F of the service, with real uvicorn processes: who leaves, who comes back, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from support.agent_worker_shop import FOLDER, Shop, plan

from mbxai.testing import FakeOpenRouter

START = {"prompt": "Ship the lamp"}


@contextmanager
def service(shop: Shop) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--factory", "support.agent_service:app", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *words, "--log-level", "warning"],
        env={**os.environ, **shop.env(), "PYTHONPATH": str(FOLDER)},
    )
    limits = httpx.Limits(max_connections=300)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}/agent",
            headers={"X-User": "ann"},
            timeout=20,
            limits=limits,
        ) as client:
            until = time.monotonic() + 20
            while True:
                try:
                    client.get("/sessions")
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < until, "the service does not listen"
                    time.sleep(0.05)
            yield client, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as server:
        yield server


@pytest.fixture
def shop(fake: FakeOpenRouter, tmp_path: Path) -> Shop:
    return Shop(url=fake.base_url, folder=tmp_path, seconds=0.4)


def begun(client: httpx.Client) -> str:
    answer = client.post("/sessions", json=START)
    assert answer.status_code == 202, answer.text
    return answer.json()["agent_id"]


def rested(client: httpx.Client, agent_id: str) -> dict[str, Any]:
    until = time.monotonic() + 20
    while (state := client.get(f"/sessions/{agent_id}").json())["is_running"]:
        assert time.monotonic() < until, state
        time.sleep(0.02)
    return state


def events(client: httpx.Client, agent_id: str, after: int = 0) -> Iterator[tuple[int, str]]:
    headers = {"Last-Event-ID": str(after)} if after else {}
    with client.stream("GET", f"/sessions/{agent_id}/events", headers=headers) as answer:
        number, name = 0, ""
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "id":
                number = int(value)
            elif field == "event":
                name = value
            elif not line and name:
                yield number, name
                number, name = 0, ""


def test_f1_who_leaves_ends_no_run_and_f3_others_see_it_all(shop: Shop) -> None:
    with service(shop) as (client, _):
        agent_id = begun(client)
        for _, name in events(client, agent_id):
            if name == "tool_called":
                break  # and hang up
        with ThreadPoolExecutor(2) as pool:
            seen = list(pool.map(lambda _: list(events(client, agent_id)), range(2)))
        numbers = [[number for number, _ in found if number] for found in seen]
        assert numbers[0] == numbers[1] == list(range(1, numbers[0][-1] + 1))
        assert rested(client, agent_id)["state"] == "completed"


def test_f2_who_comes_back_again_and_again_misses_nothing_and_gets_nothing_twice(
    shop: Shop,
) -> None:
    with service(shop) as (client, _):
        agent_id, numbers, last = begun(client), [], ""
        while last != "done":
            for n, (number, name) in enumerate(events(client, agent_id, max(numbers, default=0))):
                last = name
                if number:
                    numbers.append(number)
                if n == 3 and name != "done":
                    break
        assert numbers == list(range(1, numbers[-1] + 1))


def test_f5_the_end_of_a_service_waits_for_no_stream_and_the_next_one_goes_on(shop: Shop) -> None:
    slow = replace(shop, seconds=60)
    with service(slow) as (client, process):
        agent_id = begun(client)
        last = ""
        for _, name in events(client, agent_id):
            last = name
            if name == "tool_called":
                process.send_signal(signal.SIGTERM)
        assert last == "reconnect"
        assert process.wait(8) in {0, -signal.SIGTERM}  # a second of grace for the tool
    with service(replace(shop, seconds=0)) as (client, _):
        assert rested(client, agent_id)["state"] == "completed"
    assert len(shop.notes("ended")) == 1


def test_an_answer_to_one_process_lets_go_on_what_another_one_began(
    tmp_path: Path, redis_url: str
) -> None:
    with FakeOpenRouter(auto_overrides=plan(estimated_complexity=5)) as asking:
        shop = Shop(
            url=asking.base_url,
            folder=tmp_path,
            store=redis_url,
            prefix=f"service-{uuid4().hex}:",
            people=True,
        )
        with service(shop) as (one, _), service(shop) as (two, _):
            ids = [begun((one, two)[n % 2]) for n in range(6)]
            for n, agent_id in enumerate(ids):
                here, there = (one, two)[n % 2], (two, one)[n % 2]
                [asked] = rested(here, agent_id)["interactions"]
                answer = {
                    "interaction_id": asked["id"],
                    "response_type": "decision",
                    "decision": asked["options"][0],
                }
                # Both get it at once, as from a person who clicks in two windows.
                with ThreadPoolExecutor(2) as pool:
                    given = list(
                        pool.map(
                            lambda c, a=agent_id, b=answer: c.post(
                                f"/sessions/{a}/responses", json=b
                            ),
                            (there, here),
                        )
                    )
                assert {found.status_code for found in given} <= {202, 409}
                assert rested(here, agent_id)["state"] == "completed"
            notes = shop.notes("begun")
            assert sorted(note.agent_id for note in notes) == sorted(ids)  # each effect once


@pytest.mark.slow
def test_two_hundred_may_follow_at_once(shop: Shop) -> None:
    with service(replace(shop, seconds=1.0)) as (client, _):
        agent_id = begun(client)
        with ThreadPoolExecutor(200) as pool:
            seen = list(pool.map(lambda _: list(events(client, agent_id)), range(200)))
        assert {found[-1][1] for found in seen} == {"done"}
        counted = {json.dumps([pair for pair in found if pair[0]]) for found in seen}
        assert len(counted) == 1
