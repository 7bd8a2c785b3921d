"""Ask a model: one conversation blocking, then two questions at the same time, awaited.

    python examples/chat.py

Needs OPENROUTER_API_KEY.
"""

import asyncio

from mbxai import AsyncOpenRouterClient, OpenRouterClient


def blocking() -> None:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    with OpenRouterClient(model="openai/gpt-4.1") as client:
        answer = client.create(messages)
        print(answer.choices[0].message.content)

        messages += [
            answer.choices[0].message.to_param(),
            {"role": "user", "content": "And how many people live there?"},
        ]
        answer = client.create(messages, max_tokens=200)
        print(answer.choices[0].message.content)
        if answer.usage:
            print(f"{answer.usage.total_tokens} tokens, {answer.usage.cost} USD")


async def awaited() -> None:
    questions = ["What is the capital of Norway?", "What is the capital of Peru?"]
    async with AsyncOpenRouterClient(model="openai/gpt-4.1") as client:
        answers = await asyncio.gather(
            *(client.create([{"role": "user", "content": question}]) for question in questions)
        )
    for answer in answers:
        print(answer.choices[0].message.content)


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
