"""Give a model the tools of an MCP server, here examples/mcp_server.py over standard input.

    python examples/mcp_client.py

Needs OPENROUTER_API_KEY. A server on the network is named by its address instead:
`client.register_mcp_server("files", "http://localhost:8000")`.
"""

import asyncio
import sys
from pathlib import Path

from mbxai import AsyncMCPClient, AsyncOpenRouterClient, MCPClient, OpenRouterClient

SERVER = [sys.executable, str(Path(__file__).with_name("mcp_server.py"))]
MESSAGES = [{"role": "user", "content": "What is this project? Read its README.md."}]


def blocking() -> None:
    with OpenRouterClient(model="openai/gpt-4.1") as openrouter, MCPClient(openrouter) as client:
        names = client.register_mcp_server("files", command=SERVER)
        print("tools:", ", ".join(names))
        answer = client.chat(MESSAGES)
        print(answer.choices[0].message.content)


async def awaited() -> None:
    async with (
        AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter,
        AsyncMCPClient(openrouter) as client,
    ):
        await client.register_mcp_server("files", command=SERVER)
        counted = await client.call_tool("count_words", '{"text": "one two three"}')
        print("counted without a model:", counted.content)
        answer = await client.chat(MESSAGES)
        print(answer.choices[0].message.content)


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
