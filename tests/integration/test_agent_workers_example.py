"""`examples/worker.py` does what it says, with processes of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
from support.programs import environment, mbxai

from mbxai.testing import FakeOpenRouter

EXAMPLE = Path(__file__).parents[2] / "examples" / "worker.py"
COMMAND = [sys.executable, "-W", "error", str(EXAMPLE)]
STORE = "sessions.sqlite"


async def test_the_worker_of_the_example_runs_what_another_process_submits_and_a_third_answers(
    tmp_path: Path,
) -> None:
    def listed(status: str) -> list[str]:
        words = ["sessions", "list", "--store", STORE, "--status", status]
        return [line.split()[0] for line in mbxai(*words, env={}, cwd=tmp_path).lines]

    with FakeOpenRouter() as fake:
        env = environment(fake.env())

        def told(*words: str) -> list[str]:
            done = subprocess.run(
                [*COMMAND, *words],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                check=True,
            )
            assert not done.stderr
            return done.stdout.splitlines()

        ids = told("submit")
        assert len(ids) == 2
        process = subprocess.Popen(
            [*COMMAND, "work"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
        )
        with process, anyio.fail_after(25):
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "working\n"
                while len(waiting := listed("waiting_for_human")) < 2:
                    await anyio.sleep(0.1)
                assert sorted(waiting) == sorted(ids)
                assert told("answer", ids[0], "decline") == ["1 answered"]
                words = ["sessions", "answer", ids[1], "--store", STORE, "--decision", "approve"]
                assert mbxai(*words, env={}, cwd=tmp_path).code == 0
                while len(listed("completed")) < 2:
                    await anyio.sleep(0.1)
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0
            finally:
                process.kill()
