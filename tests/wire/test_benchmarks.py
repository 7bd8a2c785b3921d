"""The benchmarks run, and a client that skips work does not get through."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mbxai.testing import FakeOpenRouter, Reply

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def benchmark(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_run_of_calls_and_streams_ends_with_a_table_of_figures() -> None:
    done = benchmark("run.py", "--clients", "mbxai", "--only", "call,stream", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    figures = dict(re.findall(r"^\| (.+) \| ([\d.]+) \|$", done.stdout, re.MULTILINE))
    assert list(figures) == ["one call, CPU us", "a chunk of 2000 in one write, CPU us"]
    assert all(float(figure) > 0 for figure in figures.values())


def test_the_tool_loop_ends_with_its_figures_and_the_goal_that_needs_no_other_client() -> None:
    scenarios = ("--only", "tools,tools-stream", "--rounds", "1", "--loops", "5")
    done = benchmark("run.py", "--clients", "mbxai", *scenarios)
    assert done.returncode == 0, done.stderr
    figures = dict(re.findall(r"^\| (.+) \| ([\d.]+) \|$", done.stdout, re.MULTILINE))
    assert list(figures) == [
        "tool loop, 2 x 8 calls of 50 ms, wall ms",
        "the same, 90th percentile, ms",
        "the same, CPU ms",
        "the same streamed, CPU ms",
    ]
    # The tools really wait, twice, and each figure is of a whole loop.
    assert float(figures["tool loop, 2 x 8 calls of 50 ms, wall ms"]) >= 100
    assert re.findall(r"<= .+? \|", done.stdout) == ["<= 110 |"]


@pytest.mark.parametrize("scenario", ["call", "stream", "tools", "tools-stream"])
def test_a_client_that_hands_back_something_else_fails(scenario: str) -> None:
    with FakeOpenRouter([Reply("something else")]) as fake:
        done = benchmark("worker.py", "mbxai", scenario, fake.base_url)
    assert done.returncode != 0
    assert "expected" in done.stderr


@pytest.fixture
def server_url() -> Iterator[str]:
    command = [sys.executable, str(BENCHMARKS / "server.py")]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/api/v1"
    finally:
        server.stdin.close()
        server.wait(5)
        server.stdout.close()


def test_the_tool_loop_goes_on_only_when_each_call_has_its_own_result(server_url: str) -> None:
    def ask(messages: list[dict[str, Any]]) -> httpx.Response:
        body = {"model": "bench/tools", "messages": messages, "tools": [{}] * 8}
        return httpx.post(f"{server_url}/chat/completions", json=body, timeout=5)

    def result(call: dict[str, Any]) -> dict[str, Any]:
        values = [call["function"]["name"], *json.loads(call["function"]["arguments"]).values()]
        more = {"distance": ["True"], "flight": ["True"], "rate": ["1"]}.get(values[0], [])
        content = "/".join(str(value) for value in [*values, *more])
        return {"role": "tool", "tool_call_id": call["id"], "content": content}

    question = {"role": "user", "content": "?"}
    first = ask([question]).json()["choices"][0]["message"]
    results = [result(call) for call in first["tool_calls"]]
    second = ask([question, first, *results]).json()["choices"][0]["message"]
    assert len(first["tool_calls"]) == len(second["tool_calls"]) == 8
    assert [call["id"] for call in first["tool_calls"]] != [c["id"] for c in second["tool_calls"]]
    assert ask([question, first, *results[1:]]).status_code == 400
    swapped = [{**results[0], "content": results[1]["content"]}, *results[1:]]
    assert ask([question, first, *swapped]).status_code == 400


def test_what_our_schemas_take_reaches_the_functions_as_it_was_meant() -> None:
    done = benchmark("tool_schemas.py", "--alone")
    assert done.returncode == 0, done.stderr
    rows = dict(re.findall(r"^\| (.+) \| (\d+) \|$", done.stdout, re.MULTILINE))
    right = rows["right arguments"]
    assert int(right) > 500
    assert rows["reach the function as the values they stand for"] == right
    assert rows["and the function runs"] == "0"


def test_the_check_of_cancellations_ends_with_a_pool_that_lives() -> None:
    done = benchmark("cancellations.py", "--count", "200")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| the next call succeeds | yes |" in done.stdout
    assert "| dead places in the pool | 0 |" in done.stdout
