"""openai-python with OpenRouter's address, as OpenRouter's own documentation shows it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from answers import MESSAGES
from lookups import TOOLS
from openai import AsyncOpenAI, OpenAI
from report import Report


class Client:
    def __init__(self, url: str) -> None:
        self._client = AsyncOpenAI(api_key="sk-or-benchmark", base_url=url)

    async def call(self, model: str) -> str | None:
        completion = await self._client.chat.completions.create(model=model, messages=MESSAGES)
        return completion.choices[0].message.content

    async def stream(self, model: str) -> AsyncIterator[str]:
        stream = await self._client.chat.completions.create(
            model=model, messages=MESSAGES, stream=True
        )
        async for chunk in stream:
            if text := chunk.choices[0].delta.content:
                yield text

    async def typed(self, model: str) -> Report | None:
        completion = await self._client.chat.completions.parse(
            model=model, messages=MESSAGES, response_format=Report
        )
        return completion.choices[0].message.parsed

    async def use_tools(self, model: str) -> str | None:
        messages: list[Any] = list(MESSAGES)
        while True:
            completion = await self._client.chat.completions.create(
                model=model, messages=messages, tools=_DEFINITIONS
            )
            message = completion.choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            messages += await asyncio.gather(*(_result(call) for call in message.tool_calls))

    async def close(self) -> None:
        await self._client.close()


class BlockingClient:
    def __init__(self, url: str) -> None:
        self._client = OpenAI(api_key="sk-or-benchmark", base_url=url)

    def call(self, model: str) -> str | None:
        completion = self._client.chat.completions.create(model=model, messages=MESSAGES)
        return completion.choices[0].message.content

    def stream(self, model: str) -> Iterator[str]:
        for chunk in self._client.chat.completions.create(
            model=model, messages=MESSAGES, stream=True
        ):
            if text := chunk.choices[0].delta.content:
                yield text

    def close(self) -> None:
        self._client.close()


def _definition(
    name: str, description: str, properties: dict[str, Any], *required: str
) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _number(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "description": description, **more}


def _flag(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "boolean", "description": description, **more}


_DAY = _number("Day of the year.")
_LETTERS = _text("Three letters.")

# Written once by hand, as those do who use this SDK for tools.
_DEFINITIONS = [
    _definition(
        "weather",
        "Return the weather of a city.",
        {
            "city": _text("Name of the city."),
            "day": _DAY,
            "unit": _text("Degrees Celsius (c) or Fahrenheit (f).", default="c"),
        },
        "city",
        "day",
    ),
    _definition(
        "distance",
        "Return the distance of two cities.",
        {
            "start": _text("One city."),
            "end": _text("The other city."),
            "is_by_road": _flag("Whether along roads rather than as the crow flies.", default=True),
        },
        "start",
        "end",
    ),
    _definition(
        "price",
        "Return the price of an article.",
        {
            "article": _text("Name of the article."),
            "amount": _number("How many pieces."),
            "currency": {**_LETTERS, "default": "EUR"},
        },
        "article",
        "amount",
    ),
    _definition(
        "population",
        "Return how many people live in a city.",
        {"city": _text("Name of the city."), "year": _number("Which year.")},
        "city",
        "year",
    ),
    _definition(
        "translation",
        "Translate a text.",
        {"text": _text("English text."), "language": _text("Two letters.")},
        "text",
        "language",
    ),
    _definition(
        "stock",
        "Return how many pieces of an article a store has.",
        {"article": _text("Name of the article."), "store": _number("Number of the store.")},
        "article",
        "store",
    ),
    _definition(
        "flight",
        "Find a flight.",
        {
            "start": _text("City of departure."),
            "end": _text("City of arrival."),
            "day": _DAY,
            "is_direct": _flag("Whether without a stop.", default=True),
        },
        "start",
        "end",
        "day",
    ),
    _definition(
        "rate",
        "Return an exchange rate.",
        {"currency": _LETTERS, "target": _LETTERS, "day": {**_DAY, "default": 1}},
        "currency",
        "target",
    ),
]

_FUNCTIONS = {function.__name__: function for function in TOOLS}


async def _result(call: Any) -> dict[str, Any]:
    result = await _FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
    return {"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)}
