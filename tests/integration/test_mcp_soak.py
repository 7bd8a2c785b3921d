"""A small soak: calls to four servers, two of which are killed on the way; see `nox -s soak`.

It runs in a process of its own, where nothing else opens or closes anything.
"""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "soak/mcp_soak.py"


def test_no_call_is_lost_and_nothing_is_left_when_servers_are_killed() -> None:
    command = [sys.executable, "-W", "error", str(SCRIPT), "--plain", "--calls", "200"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    figures = dict(re.findall(r"^ *([a-z ]+?) +(\d+)", ended.stdout, re.MULTILINE))
    assert (figures["calls"], figures["lost"], figures["servers killed"]) == ("200", "0", "2")
    assert int(figures["told of a death"]) >= 8, "what the victims held"
    assert int(figures["returned"]) > 100
