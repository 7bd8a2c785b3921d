"""Registered servers and their tools in a client's registry.

A server's schema is kept word for word; only the tool's name may change, so that a model can use
it. Each server has its own connection: one that fails does not touch the others.
"""

from dataclasses import dataclass
from typing import Any, cast

import anyio

from mbxai._redaction import get_logger
from mbxai.errors import MCPError, ToolDefinitionError
from mbxai.mcp._connection import ServerConnection
from mbxai.mcp._content import tool_result
from mbxai.mcp._names import exposed_names
from mbxai.mcp._targets import ServerTarget
from mbxai.tools import Tool, ToolRegistry
from mbxai.tools.runner._arguments import SchemaChecker
from mbxai.wire import ToolResult

logger = get_logger(__name__)


@dataclass(frozen=True)
class MCPTool(Tool):
    """A tool of an MCP server.

    Attributes:
        original_name: The server's own name of the tool.
        output_schema: JSON Schema of the structured result; None if the server declares none.
    """

    original_name: str = ""
    output_schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Server:
    connection: ServerConnection
    tools: tuple[MCPTool, ...]


class ServerRegistry:
    """Servers by name, with their connections."""

    def __init__(self, tools: ToolRegistry) -> None:
        """Start with no servers.

        Args:
            tools: Where the servers' tools are offered.
        """
        self._tools = tools
        self._servers: dict[str, _Server] = {}
        self._opening: set[ServerConnection] = set()

    def names(self) -> list[str]:
        """Return the names of all servers, oldest first."""
        return list(self._servers)

    async def add(self, target: ServerTarget) -> list[str]:
        """Connect to a server and offer its tools; one of the same name is replaced.

        Args:
            target: The server.

        Returns:
            The names under which its tools are offered.

        Raises:
            MCPError: The server cannot be reached, or does not tell its tools; nothing changes.
        """
        connection = ServerConnection(target)
        self._opening.add(connection)
        try:
            listed = await connection.list_tools()
            connection.check_open()  # the client may have been closed meanwhile
        except BaseException:
            with anyio.CancelScope(shield=True):
                await connection.aclose()
            raise
        finally:
            self._opening.discard(connection)
        old = self._servers.pop(target.name, None)
        if old is not None:
            self._withdraw(old)
        tools = self._make_tools(target.name, listed, connection)
        self._servers[target.name] = _Server(connection, tools)
        for tool in tools:
            self._tools.add(tool, replace=True)
        if old is not None:
            await old.connection.aclose()
        return [tool.name for tool in tools]

    async def aclose(self) -> None:
        """Withdraw all tools and close all connections at the same time."""
        servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            self._withdraw(server)
        connections = {*self._opening, *(server.connection for server in servers)}
        async with anyio.create_task_group() as group:
            for connection in connections:
                group.start_soon(connection.aclose)

    def _withdraw(self, server: _Server) -> None:
        for tool in server.tools:
            if self._tools.get(tool.name) is tool:  # not one that has replaced it meanwhile
                self._tools.remove(tool.name)

    def _make_tools(
        self, server: str, listed: list[dict[str, Any]], connection: ServerConnection
    ) -> tuple[MCPTool, ...]:
        by_name: dict[str, dict[str, Any]] = {}
        for raw in listed:
            if raw["name"] in by_name:
                logger.warning("MCP server %s lists tool %.100r twice", server, raw["name"])
            by_name.setdefault(raw["name"], raw)
        exposed = exposed_names(server, by_name, self._tools.names())
        tools: list[MCPTool] = []
        for name, raw in by_name.items():
            try:
                tools.append(_make_tool(server, exposed[name], raw, connection))
            except (ToolDefinitionError, RecursionError):
                logger.warning("Tool %.100r of MCP server %s cannot be used", name, server)
        return tuple(tools)


def _make_tool(
    server: str, name: str, raw: dict[str, Any], connection: ServerConnection
) -> MCPTool:
    original: str = raw["name"]
    output = cast("dict[str, Any] | None", raw.get("outputSchema"))
    checker = SchemaChecker(output, name) if output is not None else None

    # The arguments may have any names, so the function's own variables come from outside.
    async def run(**arguments: Any) -> ToolResult:
        try:
            result = await connection.call_tool(original, arguments)
        except MCPError as error:
            # The model is told, as of any tool that failed; a traceback would add nothing.
            logger.warning("Tool %s failed: %s", name, error)
            return ToolResult(
                call_id="", name=name, content=f"{name} failed: {error}", is_error=True
            )
        return tool_result(result, name=name, checker=checker)

    return MCPTool(
        name,
        str(raw.get("description") or raw.get("title") or ""),
        run,
        raw["inputSchema"],
        source=server,
        original_name=original,
        output_schema=output,
    )
