"""A fake OpenRouter for a whole file, and a tool client on it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from support.tool_talk import tool_client

from mbxai.testing import FakeOpenRouter
from mbxai.tools import AsyncToolClient


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


@pytest.fixture
async def client(fake: FakeOpenRouter) -> AsyncIterator[AsyncToolClient]:
    async with tool_client(fake) as made:
        yield made
