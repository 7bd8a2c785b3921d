"""A program that serves an agent by the Model Context Protocol.

agent_serving.py BASE_URL DATABASE            over standard input and output
agent_serving.py BASE_URL DATABASE PORT       over streamable HTTP, at /mcp
"""

import sys
from pathlib import Path

from pydantic import BaseModel

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient
from mbxai.agent_server import agent_server
from mbxai.mcp import MCPServer
from mbxai.sessions import SQLiteSessionStore


class Story(BaseModel):
    """What the agent finds out."""

    title: str
    status: str


def server_of(base_url: str, database: Path) -> MCPServer:
    """The server, with an agent whose sessions are in a database."""
    client = AsyncOpenRouterClient("test-key-123456", "m/x", base_url, max_retries=0)
    store = SQLiteSessionStore(database)
    agent = AsyncAgentClient(AsyncToolClient(client), True, session_handler=store)
    return agent_server(agent, name="teller", result_type=Story)


def main() -> None:
    """Serve until killed, or until the client hangs up."""
    base_url, database, *port = sys.argv[1:]
    server = server_of(base_url, Path(database))
    if not port:
        server.run_stdio_sync()
        return
    import uvicorn

    uvicorn.run(server.asgi_app(), host="127.0.0.1", port=int(port[0]), log_level="warning")


if __name__ == "__main__":
    main()
