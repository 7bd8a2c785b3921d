"""Print an answer while it is written, and stop one early.

    python examples/streaming.py

Needs OPENROUTER_API_KEY. Leaving the `with` block closes the connection, which is what stops the
billing of an answer that nobody reads to its end.
"""

import asyncio

from mbxai import AsyncOpenRouterClient, OpenRouterClient

MESSAGES = [{"role": "user", "content": "Write a haiku about rivers."}]


def blocking() -> None:
    with OpenRouterClient(model="openai/gpt-4.1") as client:
        stream = client.create(MESSAGES, stream=True)
        for chunk in stream:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        print(f"\n[{stream.completion.choices[0].finish_reason}]")


async def awaited() -> None:
    async with AsyncOpenRouterClient(model="openai/gpt-4.1") as client:
        async with await client.create(MESSAGES, stream=True) as stream:
            async for chunk in stream:
                print(chunk.choices[0].delta.content or "", end="", flush=True)
                if len(stream.completion.choices[0].message.content or "") > 20:
                    break
        print("\n[stopped early]")


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
