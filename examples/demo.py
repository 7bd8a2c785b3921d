"""The tool and the final answer of `python -m nox -s demo`; the MCP server is mcp_server.py."""

from pydantic import BaseModel, Field


class Report(BaseModel):
    """What the demo run answers with."""

    project: str = Field(description="Name of the project")
    summary: str = Field(description="What the project is, in one sentence")


def count_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())
