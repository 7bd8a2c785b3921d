"""A small MCP server: reads this project's own files and counts words.

Run it over standard input and output, or over HTTP:

    python examples/mcp_server.py
    python examples/mcp_server.py --http 8000
"""

import argparse
from pathlib import Path
from typing import Literal

from mbxai.errors import ToolError
from mbxai.mcp import MCPServer

ROOT = Path(__file__).resolve().parent.parent

server = MCPServer("project-files", "Reads the files at the root of this project.")


@server.tool(effect="read")
def read_project_file(
    name: Literal["README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"],
) -> str:
    """Read the beginning of a project file."""
    path = ROOT / name
    if not path.is_file():
        raise ToolError(f"This project has no {name}.")
    return path.read_text(encoding="utf-8")[:1500]


@server.tool(effect="read")
def count_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


@server.resource("project://license", mime_type="text/plain")
def project_license() -> str:
    """The license of this project."""
    return (ROOT / "LICENSE").read_text(encoding="utf-8")


@server.prompt
def explain(topic: str) -> str:
    """Ask for an explanation of a part of this project."""
    return f"Explain {topic} to somebody who has just found this project. Read its files first."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http", type=int, metavar="PORT", help="serve HTTP instead of stdio")
    port = parser.parse_args().http
    if port is None:
        server.run_stdio_sync()
    else:
        server.run_http_sync(port=port)


if __name__ == "__main__":
    main()
