"""Choose models: by slug, by the names that come with mbxai, by names of your own.

    python examples/custom_model.py

Needs OPENROUTER_API_KEY.
"""

import asyncio

from mbxai import AsyncOpenRouterClient, OpenRouterClient, OpenRouterModel

MESSAGES = [{"role": "user", "content": "Say hello."}]


def blocking() -> None:
    OpenRouterClient.register_model("HOUSE_MODEL", "openai/gpt-4.1-mini")
    with OpenRouterClient(model="HOUSE_MODEL") as client:
        print("by your name: ", client.create(MESSAGES).model)
        print("for one call: ", client.create(MESSAGES, model=OpenRouterModel.GPT41).model)
        client.model = "mistralai/mistral-small:free"
        print("from now on:  ", client.create(MESSAGES).model)


async def awaited() -> None:
    AsyncOpenRouterClient.register_model("HOUSE_MODEL", "openai/gpt-4.1-mini")  # again: no harm
    async with AsyncOpenRouterClient(model="HOUSE_MODEL") as client:
        answer = await client.create(MESSAGES)
        print("awaited:      ", answer.model)
    for name, slug in AsyncOpenRouterClient.list_models().items():
        print(f"  {name:16} {slug}")


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
