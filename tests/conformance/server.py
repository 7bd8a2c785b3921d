"""The server under test: `server.py PORT`, with the tools that the scenarios ask for by name."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src")]

import uvicorn  # noqa: E402

from mbxai.errors import ToolError  # noqa: E402
from mbxai.mcp import MCPServer  # noqa: E402

server = MCPServer("mbxai-conformance", version="1.0.0")


@server.tool
def test_simple_text() -> str:
    """Return a simple text."""
    return "This is a simple text response for testing."


@server.tool
def test_error_handling() -> str:
    """Fail on purpose."""
    raise ToolError("This tool intentionally returns an error for testing")


if __name__ == "__main__":
    uvicorn.run(server.asgi_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
