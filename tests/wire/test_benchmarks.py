"""The benchmarks run, and a client that skips work does not get through."""

import re
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("scenario", ["call", "stream"])
def test_a_client_that_hands_back_something_else_fails(scenario: str) -> None:
    with FakeOpenRouter([Reply("something else")]) as fake:
        done = benchmark("worker.py", "mbxai", scenario, fake.base_url)
    assert done.returncode != 0
    assert "expected" in done.stderr


def test_the_check_of_cancellations_ends_with_a_pool_that_lives() -> None:
    done = benchmark("cancellations.py", "--count", "200")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| the next call succeeds | yes |" in done.stdout
    assert "| dead places in the pool | 0 |" in done.stdout
