"""What the fake server answers besides chatting."""

from collections.abc import Iterator

import pytest

from mbxai.errors import NotFoundError, OpenRouterAPIError
from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.testing import FakeOpenRouter


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as server:
        yield server


async def test_a_model_has_endpoints_that_say_what_they_support(fake: FakeOpenRouter) -> None:
    async with AsyncOpenRouterClient("sk-or-v1-test", "a/b", fake.base_url) as client:
        answer = await client.request("GET", "models/openai/gpt-4.1/endpoints")
        model = await client.request("GET", "model/openai/gpt-4.1")
    endpoint = answer.to_dict()["data"]["endpoints"][0]
    assert "tools" in endpoint["supported_parameters"]
    assert model.to_dict()["data"]["id"] == "openai/gpt-4.1"


async def test_embeddings_of_the_same_text_are_the_same(fake: FakeOpenRouter) -> None:
    async with AsyncOpenRouterClient("sk-or-v1-test", "a/b", fake.base_url) as client:
        body = {"model": "a/embed", "input": ["one", "two", "one"]}
        data = (await client.request("POST", "embeddings", body=body)).to_dict()["data"]
    assert data[0]["embedding"] == data[2]["embedding"] != data[1]["embedding"]


async def test_what_it_does_not_know_is_not_found(fake: FakeOpenRouter) -> None:
    async with AsyncOpenRouterClient("sk-or-v1-test", "a/b", fake.base_url) as client:
        with pytest.raises(NotFoundError):
            await client.request("GET", "workspaces")
        with pytest.raises(OpenRouterAPIError) as caught:
            await client.request("GET", "embeddings")
    assert caught.value.status == 405
