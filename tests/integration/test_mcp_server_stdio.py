"""Our server over standard input and output."""

import json
import os
import signal
import subprocess
from typing import Any

import pytest
from support.mcp_peer import PROGRAM, stdio_peer
from support.mcp_processes import SOURCES

pytestmark = pytest.mark.filterwarnings("ignore:.*(deprecated|removed) as of:UserWarning")


async def test_a_client_is_asked_and_answered_over_pipes() -> None:
    def fill_in(message: str) -> dict[str, Any]:
        return {"sure": True}

    async with stdio_peer(elicit=fill_in, sample="Hi!", roots="file:///here") as client:
        weather = await client.call_tool("weather", {"city": "Oslo"})
        assert weather.structured_content == {"city": "Oslo", "celsius": 21.5}
        together = await client.call_tool("ask_together", {})
        assert together.content[0].text == "accept Hi! (Be brief.) file:///here"


@pytest.mark.parametrize("flavour", ["stdio", "async-stdio"])
def test_a_server_that_is_told_to_stop_cancels_what_runs_and_ends(flavour: str) -> None:
    process = subprocess.Popen(
        [*PROGRAM, flavour],
        env={**os.environ, **SOURCES},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def send(message: dict[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        process.stdin.flush()

    def ask(number: int, method: str, params: dict[str, Any]) -> None:
        send({"id": number, "method": method, "params": params})

    try:
        version = {"protocolVersion": "2025-11-25", "capabilities": {}}
        ask(1, "initialize", {**version, "clientInfo": {"name": "raw", "version": "1"}})
        assert json.loads(process.stdout.readline())["id"] == 1
        send({"method": "notifications/initialized"})
        ask(9, "tools/list", ["no", "object"])  # type: ignore[arg-type]
        refused = json.loads(process.stdout.readline())
        assert (refused["id"], refused["error"]["code"]) == (9, -32600)
        ask(2, "tools/call", {"name": "endless", "arguments": {}})
        ask(3, "tools/call", {"name": "wait_until_running", "arguments": {}})
        assert json.loads(process.stdout.readline())["id"] == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
