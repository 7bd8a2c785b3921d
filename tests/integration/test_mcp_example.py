"""The example server, as a reader would start it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support.mcp_model import NoModel
from support.mcp_processes import SOURCES, free_port, wait_for_port

from mbxai.mcp import AsyncMCPClient

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/mcp_server.py"


async def test_the_example_counts_words_and_reads_files_over_stdio() -> None:
    async with AsyncMCPClient(NoModel()) as client:
        command = [sys.executable, str(EXAMPLE)]
        names = await client.register_mcp_server("files", command=command, env=SOURCES)
        assert names == ["read_project_file", "count_words"]
        counted = await client.call_tool("count_words", json.dumps({"text": "one two three"}))
        assert counted.content == "3"
        read = await client.call_tool("read_project_file", '{"name": "pyproject.toml"}')
        assert read.content.startswith("[build-system]")
        other = await client.call_tool("read_project_file", '{"name": "/etc/passwd"}')
        assert other.is_error


async def test_the_example_is_served_over_http() -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE), "--http", str(port)],
        env={**os.environ, **SOURCES},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        async with AsyncMCPClient(NoModel()) as client:
            await client.register_mcp_server("files", f"http://localhost:{port}")
            counted = await client.call_tool("count_words", '{"text": "one two"}')
            assert counted.content == "2"
    finally:
        process.kill()
        process.wait()
