"""The MCP clients, at the path where they have always been importable from."""

from mbxai.mcp._client import AsyncMCPClient
from mbxai.mcp._registry import MCPTool
from mbxai.mcp._sync import MCPClient

__all__ = ["AsyncMCPClient", "MCPClient", "MCPTool"]
