"""The door to the protocol's package, on the server's side.

Everything of `mcp` that a server needs is imported here, at first use: loading it takes a second.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mbxai.mcp._served_tools import ServedTools, structured_part, tool_schema
from mbxai.tools import Tool

if TYPE_CHECKING:  # slow to load
    import mcp_types
    from mcp.server import Server, ServerRequestContext
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


def make_protocol_server(
    name: str, description: str | None, version: str, tools: ServedTools
) -> "Server[Any]":
    """Return the package's low-level server, which knows the protocol and asks us for tools.

    Args:
        name: The server's name.
        description: What it is for; clients may show it to their models.
        version: Its version; may be empty.
        tools: What it serves, also what is added later.
    """
    import mcp_types as types
    from mcp import MCPError
    from mcp.server import Server

    async def list_tools(
        context: "ServerRequestContext[Any]", params: "mcp_types.PaginatedRequestParams | None"
    ) -> types.ListToolsResult:
        del context, params
        return types.ListToolsResult(tools=[_listed(tool) for tool in tools.registry.tools()])

    async def call_tool(
        context: "ServerRequestContext[Any]", params: "mcp_types.CallToolRequestParams"
    ) -> types.CallToolResult:
        if params.name not in tools.registry:
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name[:100]!r}.")
        call_id = str(context.request_id or "")
        result = await tools.run(params.name, params.arguments or {}, call_id=call_id)
        return types.CallToolResult(
            content=[types.TextContent(text=result.content)],
            structured_content=structured_part(result),
            is_error=result.is_error,
        )

    return Server(
        name,
        version=version,
        description=description,
        instructions=description,
        get_tool_input_schema=tools.schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def serve_stdio(server: "Server[Any]") -> None:
    """Serve one client over standard input and output until it hangs up.

    Args:
        server: See `make_protocol_server`.
    """
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (reads, writes):
        await server.run(reads, writes, server.create_initialization_options())


@asynccontextmanager
async def serving_sessions(
    server: "Server[Any]",
) -> AsyncGenerator["StreamableHTTPSessionManager"]:
    """Hold the sessions of streamable HTTP as long as the context is open.

    Args:
        server: See `make_protocol_server`.
    """
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    # One manager serves one lifespan; an application may be started more than once.
    manager = StreamableHTTPSessionManager(server)
    async with manager.run():
        yield manager


def _listed(tool: Tool) -> "mcp_types.Tool":
    import mcp_types as types

    hints = {
        "read": types.ToolAnnotations(read_only_hint=True, idempotent_hint=True),
        "idempotent": types.ToolAnnotations(idempotent_hint=True),
        "once": None,
    }
    return types.Tool(
        name=tool.name,
        description=tool.description or None,
        input_schema=tool_schema(tool),
        annotations=hints[tool.effect],
    )
