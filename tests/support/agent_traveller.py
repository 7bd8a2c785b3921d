"""A program that runs an agent until it waits for a person, says so, and never ends by itself.

    agent_traveller.py BASE_URL DATABASE LOG

`traveller` is the agent; the program is there to be killed.
"""

import asyncio
import json
import sys
from pathlib import Path

from pydantic import BaseModel

from mbxai import AsyncAgentClient, AsyncMCPClient, AsyncOpenRouterClient
from mbxai.sessions import SQLiteSessionStore

SERVER = Path(__file__).with_name("mcp_booking_server.py")


class Trip(BaseModel):
    """What the agent is to find out."""

    title: str
    status: str


class Traveller:
    """An agent that books by the booking server; use it as a context manager."""

    def __init__(
        self, base_url: str, database: Path, log: Path, *, era: str = "modern", asks: bool = True
    ) -> None:
        self.command = [sys.executable, str(SERVER), era, str(log)]
        self.client = AsyncOpenRouterClient("test-key-123456", "m/x", base_url, max_retries=0)
        self.mcp = AsyncMCPClient(self.client)
        self.agent = AsyncAgentClient(self.mcp, asks, session_handler=SQLiteSessionStore(database))

    async def __aenter__(self) -> AsyncAgentClient:
        await self.mcp.register_mcp_server("travel", command=self.command)
        return self.agent

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.agent.aclose()
        await self.mcp.aclose()
        await self.client.aclose()


async def main() -> None:
    base_url, database, log = sys.argv[1:]
    async with Traveller(base_url, Path(database), Path(log)) as agent:
        response = await agent.agent("Book a trip to Oslo", Trip, agent_id="s")
        request = response.human_interaction_request
        print(json.dumps(request.model_dump(mode="json") if request else None), flush=True)
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main())
