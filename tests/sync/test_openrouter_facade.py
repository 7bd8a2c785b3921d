import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import BaseModel
from support.raw_server import (
    USAGE_CHUNK,
    RawServer,
    answer,
    chunk,
    completion,
    events,
    hang,
    part,
    sse_head,
    stream,
    wait,
)

from mbxai.errors import AuthenticationError, OpenRouterConfigurationError, StreamTruncatedError
from mbxai.openrouter import AsyncOpenRouterClient, ChatStream, OpenRouterClient
from mbxai.openrouter.client import OpenRouterAPIError

KEY = "sk-or-v1-facade"
USER = [{"role": "user", "content": "hi"}]
ROOT = Path(__file__).parents[2]


class City(BaseModel):
    name: str


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
def client(raw):
    with OpenRouterClient(KEY, "a/b", raw.base_url, retry_initial_delay=0.01) as made:
        yield made


def test_a_blocking_call_returns_what_the_async_one_does(raw, client):
    raw.script(answer(b"", status=503), answer(completion("Hello")))
    result = client.create(USER, temperature=0.0)
    assert result.choices[0].message.content == "Hello"
    assert result.attempts == 2
    assert isinstance(client.async_client, AsyncOpenRouterClient)
    assert client.config is client.async_client.config


def test_typed_output_works_blocking(raw, client):
    raw.script(answer(completion('{"name": "Paris"}')))
    result = client.parse(messages=USER, response_format=City)
    assert result.choices[0].message.parsed == City(name="Paris")


def test_a_stream_is_an_ordinary_iterator(raw, client):
    raw.script(stream(chunk("Hel"), chunk("lo"), chunk(finish="stop"), USAGE_CHUNK))
    chunks = client.create(USER, stream=True)
    assert isinstance(chunks, ChatStream)
    assert "".join(piece.choices[0].delta.content or "" for piece in chunks) == "Hello"
    assert chunks.completion.usage.total_tokens == 5
    assert (chunks.generation_id, chunks.attempts) == ("gen-1", 1)
    assert "content-type" in chunks.headers
    assert chunks.request_id is None


def test_leaving_a_stream_closes_its_connection(raw, client):
    raw.script([sse_head(), part(events(chunk("a"), done=False)), hang()])
    with client.create(USER, stream=True) as chunks:
        next(chunks)
    raw.wait_for(lambda seen: seen.disconnects == 1)
    raw.script([sse_head(), part(events(chunk("a"), done=False)), hang()])
    for _piece in client.create(USER, stream=True):
        break
    raw.wait_for(lambda seen: seen.disconnects == 1)


def test_errors_arrive_as_themselves(raw, client):
    raw.script(answer({"error": {"code": 401, "message": "no"}}, status=401))
    with pytest.raises(AuthenticationError) as caught:
        client.create(USER)
    assert isinstance(caught.value, OpenRouterAPIError)
    raw.script(stream(chunk("a"), done=False))
    with pytest.raises(StreamTruncatedError):
        list(client.create(USER, stream=True))
    with pytest.raises(OpenRouterConfigurationError, match="messages is empty"):
        client.create([], stream=True)


def test_many_threads_share_a_client(raw, client):
    raw.script([wait(0.02), *answer(completion())])
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.append(client.create(USER))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(results) == 20


def run_script(raw, source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        env={
            **os.environ,
            "OPENROUTER_API_KEY": KEY,
            "OPENROUTER_BASE_URL": raw.base_url,
            "OPENROUTER_MODEL": "a/b",
            "PYTHONPATH": str(ROOT / "src"),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


HEAD = """
import asyncio, os, sys
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient
USER = [{"role": "user", "content": "hi"}]
"""


@pytest.mark.parametrize(
    "source",
    [
        "client = OpenRouterClient()\nclient.create(USER)",
        "client = OpenRouterClient()\nstream = client.create(USER, stream=True)\nnext(stream)",
        "client = AsyncOpenRouterClient()\nasyncio.run(client.create(USER))\nasyncio.run(client.create(USER))",
        "asyncio.run(AsyncOpenRouterClient().create(USER))\nOpenRouterClient().create(USER)",
    ],
    ids=["facade", "open stream", "two loops", "both"],
)
def test_a_program_that_closes_nothing_ends_quietly(raw, source):
    reply = (
        stream(chunk("a"), chunk(finish="stop"))
        if "stream=True" in source
        else answer(completion())
    )
    raw.script(reply)
    done = run_script(raw, HEAD + source)
    assert (done.returncode, done.stderr) == (0, "")
    raw.wait_for(lambda seen: seen.open_connections == 0)


def test_a_forked_child_has_its_own_connections_and_leaves_the_parents_alone(raw):
    raw.script(answer(completion()))
    done = run_script(
        raw,
        HEAD
        + """
client = OpenRouterClient()
client.create(USER)
child = os.fork()
if child == 0:
    client.create(USER)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
client.create(USER)
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    seen = raw.wait_for(lambda seen: seen.open_connections == 0)
    assert (len(seen.requests), seen.connections) == (3, 2)
