"""A tool client on a fake OpenRouter, and short words for what the model says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.testing import FakeOpenRouter
from mbxai.tools import AsyncToolClient

MESSAGES = [{"role": "user", "content": "Do it."}]


def call(name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """A tool call of a scripted answer."""
    return {"name": name, "arguments": {} if arguments is None else arguments, **more}


def bodies(fake: FakeOpenRouter) -> list[Any]:
    """The bodies of the requests so far."""
    return [request.json for request in fake.requests()]


@asynccontextmanager
async def tool_client(fake: FakeOpenRouter, **options: Any) -> AsyncIterator[AsyncToolClient]:
    """A tool client that repeats nothing."""
    async with (
        AsyncOpenRouterClient(
            token=fake.api_key, base_url=fake.base_url, model="fake/model", max_retries=0
        ) as inner,
        AsyncToolClient(inner, **options) as client,
    ):
        yield client


async def answer_of(client: AsyncToolClient, messages: Any, *, stream: bool, **params: Any) -> Any:
    """The final answer, streamed or not."""
    if not stream:
        return await client.chat(messages, **params)
    async with client.stream(messages, **params) as opened:
        return await opened.get_final_completion()
