"""A server made with the SDK's own MCPServer, over streamable HTTP: `mcp_sdk_server.py PORT`."""

import logging
import sys

from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp_library_server import PICTURE_BYTES, SOUND
from mcp_types import (
    Annotations,
    AudioContent,
    Completion,
    CompletionArgument,
    CompletionContext,
    EmbeddedResource,
    PromptReference,
    ResourceLink,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
)

server = MCPServer("sdk", instructions="Made with the SDK.")


@server.resource("sdk://words", mime_type="text/plain")
def words() -> str:
    """Some words."""
    return "some words"


@server.resource("sdk://picture", mime_type="image/png")
def picture() -> bytes:
    """A picture."""
    return PICTURE_BYTES


@server.resource("sdk://days/{day}")
def day(day: str) -> str:
    """A day."""
    return f"It was {day}."


@server.prompt()
def greet(whom: str) -> list[UserMessage]:
    """Say hello."""
    note = TextResourceContents(uri="sdk://note", text=f"{whom} is shy")
    return [
        UserMessage(content=f"Greet {whom}"),
        UserMessage(content=EmbeddedResource(type="resource", resource=note)),
    ]


@server.completion()
async def complete(
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: CompletionContext | None,
) -> Completion:
    """Propose something."""
    name = ref.name if isinstance(ref, PromptReference) else ref.uri
    known = (context.arguments or {}) if context else {}
    return Completion(values=[f"{name} {argument.name} {argument.value} {sorted(known)}"])


@server.tool()
def draw() -> Image:
    """Draw a picture."""
    return Image(data=PICTURE_BYTES, format="png")


@server.tool()
def numbers() -> list[int]:
    """Return some numbers."""
    return [1, 2, 3]


@server.tool(structured_output=False)
def everything() -> list[TextContent | AudioContent | ResourceLink]:
    """Return one of each kind."""
    return [
        TextContent(type="text", text="for both"),
        TextContent(type="text", text="for you", annotations=Annotations(audience=["user"])),
        AudioContent(type="audio", data=SOUND, mime_type="audio/wav"),
        ResourceLink(type="resource_link", uri="sdk://words", name="words"),
    ]


if __name__ == "__main__":
    logging.disable()
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
