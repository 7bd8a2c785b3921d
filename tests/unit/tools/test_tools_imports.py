"""What using tools loads: slow libraries come with their first use."""

import subprocess
import sys


def test_slow_libraries_are_loaded_on_first_use_only() -> None:
    script = (
        "import sys, mbxai.tools as t\n"
        "t.Tool('a', '', lambda: None)\n"
        "slow = {'jsonschema', 'docstring_parser', 'mcp', 'referencing'} & sys.modules.keys()\n"
        "print(sorted(slow))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
