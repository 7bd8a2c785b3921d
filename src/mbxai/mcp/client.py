"""The MCP clients, at the path where they have always been importable from."""

from mbxai.mcp._client import AsyncMCPClient
from mbxai.mcp._sync import MCPClient
from mbxai.mcp.registry._registry import MCPTool

__all__ = ["AsyncMCPClient", "MCPClient", "MCPTool"]
