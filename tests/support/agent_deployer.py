"""An agent whose own MCP server, a child process, asks a person before it deploys.

    agent_deployer.py serve LOG                       the server, over standard input and output
    agent_deployer.py run BASE_URL DATABASE LOG       the agent, until it waits; never ends by itself

Both are there to be killed. The server notes its process id and what it did in LOG.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from pydantic import BaseModel

from mbxai import AsyncAgentClient, AsyncMCPClient, AsyncOpenRouterClient
from mbxai.mcp.server import MCPContext, MCPServer
from mbxai.sessions import SQLiteSessionStore


class Release(BaseModel):
    """What the agent is to find out."""

    title: str
    status: str


class Approval(BaseModel):
    """What the person is asked."""

    sure: bool


def serve(log: Path) -> None:
    server = MCPServer("dep")

    def note(line: str) -> None:
        with log.open("a") as file:
            file.write(line + "\n")

    @server.tool
    async def deploy(version: str, context: MCPContext) -> str:
        answer = await context.elicit("Deploy it?", Approval)
        if answer.content.get("sure"):
            note(f"deployed {version}")
            return f"deployed {version}"
        return "not deployed"

    note(f"started {os.getpid()}")
    server.run_stdio_sync()


class Deployer:
    """The agent; use it as a context manager."""

    def __init__(self, base_url: str, database: Path, log: Path) -> None:
        self.command = [sys.executable, str(Path(__file__).resolve()), "serve", str(log)]
        self.client = AsyncOpenRouterClient("test-key-123456", "m/x", base_url, max_retries=0)
        self.mcp = AsyncMCPClient(self.client)
        self.agent = AsyncAgentClient(self.mcp, True, session_handler=SQLiteSessionStore(database))

    async def __aenter__(self) -> AsyncAgentClient:
        await self.mcp.register_mcp_server(
            "dep", command=self.command, env={"PYTHONPATH": os.pathsep.join(sys.path)}
        )
        return self.agent

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.agent.aclose()
        await self.mcp.aclose()
        await self.client.aclose()


async def run(base_url: str, database: str, log: str) -> None:
    async with Deployer(base_url, Path(database), Path(log)) as agent:
        response = await agent.agent("Deploy version 2", Release, agent_id="s")
        request = response.human_interaction_request
        print(json.dumps(request.model_dump(mode="json") if request else None), flush=True)
        await asyncio.sleep(3600)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]))
    else:
        asyncio.run(run(*sys.argv[2:]))
