"""Servers that a configuration file names, connected, over the client's public calls."""

import json
import sys
from pathlib import Path

import pytest
from support.mcp_model import NoModel
from support.mcp_processes import SUPPORT, free_port

from mbxai.errors import ConfigurationError
from mbxai.mcp import AsyncMCPClient

SCRIPT = SUPPORT / "mcp_library_server.py"


def vs_code_file(folder: Path) -> Path:
    servers = {
        "library": {
            "type": "stdio",
            "command": "${env:PYTHON}",
            "args": ["${workspaceFolder}/server.py", "${input:kind}"],
        },
        "gone": {"type": "http", "url": "http://127.0.0.1:${PORT:-1}/mcp"},
        "resting": {"command": "${NOT_SET}", "disabled": True},
    }
    inputs = [{"id": "kind", "type": "promptString", "description": "Which library?"}]
    text = json.dumps({"servers": servers, "inputs": inputs}, indent=1)
    (folder / "server.py").symlink_to(SCRIPT)
    file = folder / ".vscode" / "mcp.json"
    file.parent.mkdir()
    file.write_text(f"// the servers of this project\n{text[:-1]},}}", "utf-8")
    return file


async def test_the_servers_of_a_file_are_connected_and_one_that_is_gone_says_so(
    tmp_path: Path,
) -> None:
    async with AsyncMCPClient(NoModel()) as client:
        statuses = await client.register_mcp_servers(
            vs_code_file(tmp_path),
            variables={"PYTHON": sys.executable, "PORT": str(free_port())},
            inputs=lambda question: "bare" if question.description == "Which library?" else "",
        )
        assert list(statuses) == ["library", "gone"]
        assert (statuses["library"].state, statuses["library"].tools) == ("connected", ["lend"])
        assert statuses["gone"].state == "failed"
        assert "127.0.0.1" in statuses["gone"].problem
        assert await client.server("library").prompts() == []


async def test_a_file_with_an_error_connects_nothing(tmp_path: Path) -> None:
    file = vs_code_file(tmp_path)
    async with AsyncMCPClient(NoModel()) as client:
        with pytest.raises(ConfigurationError, match=r"'library', command: the variable PYTHON"):
            await client.register_mcp_servers(file, variables={})
        assert client.servers() == {}
