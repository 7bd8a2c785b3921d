"""Runs a script in a Python process of its own, where exit, fork or Ctrl-C matter."""

import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How a script ended."""

    code: int
    out: str
    err: str
    seconds: float

    def check(self) -> str:
        """What it printed, once it is clear that it ended well and said nothing on stderr."""
        assert (self.code, self.err) == (0, ""), f"exit {self.code}\n{self.out}\n{self.err}"
        return self.out


def run_script(code: str, *arguments: str, warnings: str = "error", limit: float = 20) -> Outcome:
    """Run a script to its end; the time counts from the line `exiting`, if it prints one."""
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-W", warnings, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            lines = []
            assert process.stdout is not None
            for line in process.stdout:
                if line == "exiting\n":
                    started = time.monotonic()
                lines.append(line)
            _, err = process.communicate(timeout=limit)
        except BaseException:
            process.kill()
            raise
    return Outcome(process.returncode, "".join(lines), err, time.monotonic() - started)
