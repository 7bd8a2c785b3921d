"""A real server made with our MCPServer: `[stdio]`, `asgi PORT`, `rest PORT` or `sse PORT`."""

import os
import sys
import time
from typing import Any

import anyio
import uvicorn

from mbxai.errors import ToolError
from mbxai.mcp import MCPServer

server = MCPServer("tools", "Tools for tests.", version="1.2.3")


@server.tool(effect="read")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool
async def slow(seconds: float) -> str:
    """Take some time."""
    await anyio.sleep(seconds)
    return "done"


@server.tool
def pid() -> int:
    """Return the process id."""
    return os.getpid()


@server.tool
def weather(city: str) -> dict[str, Any]:
    """Return the weather."""
    print("this must not disturb the protocol")
    return {"city": city, "celsius": 21.5}


@server.tool
def refuse() -> str:
    """Fail in a way the caller may read."""
    raise ToolError("The weather is not for sale.")


@server.tool
def crash() -> str:
    """Fail in a way the caller may not read."""
    raise RuntimeError("secret internals")


@server.tool
def environment(name: str) -> str:
    """Return an environment variable."""
    return os.environ.get(name, "(not set)")


@server.tool
def large(characters: int) -> str:
    """Return much text."""
    return "x" * characters


@server.tool
def block(seconds: float) -> str:
    """Take some time in a thread."""
    time.sleep(seconds)
    return "done"


def main() -> None:
    flavour, *rest = sys.argv[1:] or ["stdio"]
    if flavour == "stdio":
        server.run_stdio_sync()
        return
    if flavour == "sse":
        from mcp.server.sse import SseServerTransport
        from starlette.applications import Starlette
        from starlette.responses import Response
        from starlette.routing import Mount, Route

        transport = SseServerTransport("/messages/")

        async def sse(request: Any) -> Response:
            streams = transport.connect_sse(request.scope, request.receive, request._send)
            async with streams as (reads, writes):
                options = server.mcp_server.create_initialization_options()
                await server.mcp_server.run(reads, writes, options)
            return Response()

        app: Any = Starlette(
            routes=[Route("/sse", sse), Mount("/messages/", transport.handle_post_message)]
        )
    else:
        app = server.app if flavour == "rest" else server.asgi_app()
    uvicorn.run(app, host="127.0.0.1", port=int(rest[0]), log_level="error")


if __name__ == "__main__":
    main()
