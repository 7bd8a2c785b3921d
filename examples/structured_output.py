"""Get an answer as an instance of a pydantic model.

    python examples/structured_output.py

Needs OPENROUTER_API_KEY. The field descriptions are part of what the model is told. An answer that
does not fit raises `OutputValidationError`.
"""

import asyncio

from pydantic import BaseModel, Field

from mbxai import AsyncOpenRouterClient, OpenRouterClient


class CityInfo(BaseModel):
    """What we want to know of a city."""

    name: str = Field(description="City name")
    country: str = Field(description="Country name")
    population: int = Field(description="Population count")


def blocking() -> None:
    with OpenRouterClient(model="openai/gpt-4.1") as client:
        answer = client.parse([{"role": "user", "content": "Tell me about Paris"}], CityInfo)
    show(answer.choices[0].message.parsed)


async def awaited() -> None:
    async with AsyncOpenRouterClient(model="openai/gpt-4.1") as client:
        answer = await client.parse([{"role": "user", "content": "Tell me about Oslo"}], CityInfo)
    show(answer.choices[0].message.parsed)


def show(city: CityInfo | None) -> None:
    if city is not None:
        print(f"{city.name}, {city.country}: {city.population:,} people")


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
