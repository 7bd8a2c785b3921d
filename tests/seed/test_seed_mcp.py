"""The MCP blocks of the README of mbxai 2.3.0, unchanged, against a real server on its port 8000."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import seed

from mbxai.testing import FakeOpenRouter

SERVER = """
import sys, uvicorn
from mbxai.mcp import MCPServer

server = MCPServer("data-analysis", "Sales figures")

@server.tool
def total_sales(region: str) -> dict:
    "Sum the sales of a region."
    return {"region": region, "total": 4711}

uvicorn.run(server.app, host=sys.argv[1], port=8000, log_level="warning", loop="asyncio")
"""

CLIENT = """
import os
from mbxai import MCPClient, OpenRouterClient
openrouter_client = OpenRouterClient(token=os.getenv("OPENROUTER_API_KEY"))
"""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, int]]]:
    folder = tmp_path_factory.mktemp("server")
    with seed.served(folder, SERVER, port=8000) as host:
        yield {"localhost:8000": (host, 8000)}


@pytest.mark.slow
def test_mcp_client_for_server_integration(
    names: dict[str, tuple[str, int]], tmp_path: Path
) -> None:
    with FakeOpenRouter() as fake:
        done = seed.run(tmp_path, fake.env(), seed.block("# Initialize MCP client"), names=names)

    assert "4711" in done.stdout


@pytest.mark.slow
def test_mcp_client_usage(names: dict[str, tuple[str, int]], tmp_path: Path) -> None:
    text = seed.block('mcp_client.register_mcp_server("server-name", "http://localhost:8000")')
    with FakeOpenRouter() as fake:
        seed.run(
            tmp_path,
            fake.env(),
            text,
            prelude=CLIENT,
            epilogue="assert mcp_client.registry.names() == ['total_sales']",
            names=names,
        )
