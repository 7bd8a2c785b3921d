"""Model Context Protocol: a client that uses servers' tools, and a server for one's own."""

from mbxai.mcp._client import AsyncMCPClient
from mbxai.mcp._registry import MCPTool
from mbxai.mcp._sync import MCPClient
from mbxai.mcp.server import MCPServer
from mbxai.tools import Tool

__all__ = ["AsyncMCPClient", "MCPClient", "MCPServer", "MCPTool", "Tool"]
