"""Tool and final answer of `python -m nox -s demo`; its MCP server is mcp_server.py."""

from pydantic import BaseModel, Field


class Report(BaseModel):
    """What the demo run answers with."""

    project: str = Field(description="Name of the project")
    summary: str = Field(description="What the project is, in one sentence")


def take_note(note: str) -> str:
    """Take a note for later."""
    return f"Noted: {note}"
