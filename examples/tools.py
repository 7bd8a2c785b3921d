"""Let a model call Python functions.

    python examples/tools.py

Needs OPENROUTER_API_KEY. Names, schemas and descriptions come from the signatures and docstrings.
Blocking functions run in worker threads; an exception is told to the model, which may try again.
"""

import asyncio
from typing import Literal

from mbxai import AsyncOpenRouterClient, AsyncToolClient, OpenRouterClient, ToolClient, ToolContext

MESSAGES = [{"role": "user", "content": "What's the weather like in Tokyo? Note it, too."}]


def get_weather(location: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Get the weather of a place.

    Args:
        location: The city or location name.
        unit: Temperature unit.
    """
    degrees = 22 if unit == "celsius" else 72
    return f"{location}: sunny, {degrees} degrees {unit}"


async def remember(note: str, context: ToolContext) -> str:  # the model does not see the context
    """Remember a note."""
    return f"remembered {note!r} in call {context.call_id}"


def blocking() -> None:
    with OpenRouterClient(model="openai/gpt-4.1") as openrouter, ToolClient(openrouter) as client:
        client.register_tool("get_weather", "Get current weather for a location", get_weather)
        answer = client.chat(MESSAGES)
        print(answer.choices[0].message.content)


async def awaited() -> None:
    async with (
        AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter,
        AsyncToolClient(openrouter) as client,
    ):
        client.tool(effect="read", timeout=10.0)(get_weather)
        client.tool(remember)
        stream = await client.chat(MESSAGES, stream=True)  # chunks come once the tools have run
        async for chunk in stream:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        print()


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
