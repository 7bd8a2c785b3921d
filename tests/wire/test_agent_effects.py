"""Effects happen once, whoever resumes, answers or is killed; and what a run writes stays small."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def cells(script: str, title: str, *arguments: str) -> list[str]:
    """Run a part of a benchmark, and return what its table says of mbxai."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = re.findall(rf"^\| {title} \| (.+) \|$", done.stdout, re.MULTILINE)
    return row.split(" | ")


def effects(*arguments: str) -> list[str]:
    """Return what became of effects with sessions in SQLite."""
    return cells("bench_effects.py", "mbxai, SQLite", "--only", "mbxai", *arguments)


def test_two_processes_that_resume_one_pause_run_its_effect_once() -> None:
    repeated, lost, slower = effects("--parts", "pauses", "--pauses", "5")

    assert (repeated, lost) == ("0", "0")
    # The slower one comes too late, or is told who has the session.
    assert set(re.findall(r"[A-Za-z]+", slower)) <= {"SessionBusyError", "done"}


@pytest.mark.parametrize("manner", ["at_once", "in_sequence"])
def test_an_answer_that_is_posted_twice_has_one_effect(manner: str) -> None:
    repeated, lost, _slower = effects("--parts", manner, "--posts", "3")

    assert (repeated, lost) == ("0", "0")


def test_a_run_that_is_killed_repeats_no_effect_and_hides_no_unknown_one() -> None:
    repeated, lost, kills, missing, said = effects("--parts", "kills", "--every", "14")

    assert (repeated, lost, kills, missing) == ("0", "0", "2", "0")
    assert said == "1 to a person"


def test_a_run_of_24_steps_with_much_text_writes_no_more_than_the_text() -> None:
    writes, kibibytes, is_reached = cells("bench_stores.py", "mbxai", "--parts", "bytes")

    assert int(writes) >= 24
    assert float(kibibytes) <= 36
    assert is_reached == "yes"
