"""The local model: a real llama.cpp server with a tiny model whose weights are set by hand."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import jsonschema
import pytest
from pydantic import BaseModel, Field
from support.tiny_model import NUMBER, TEXT, WORD, make_tiny_model

from mbxai.errors import AuthenticationError, BadRequestError, LocalModelError
from mbxai.local import LocalModel

HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Look something up.",
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string"}, "count": {"type": "integer"}},
                "required": ["word", "count"],
            },
        },
    }
    for name in ("look_up", "search")
]


class Plan(BaseModel):
    """A plan."""

    title: str
    steps: list["Step"] = Field(min_length=1)
    done: bool


class Step(BaseModel):
    """A step, with steps of its own."""

    name: str
    effort: int = Field(ge=1, le=5)
    parts: list["Step"] = []


SCHEMAS = {
    "plan": Plan.model_json_schema(),
    "alternatives": {
        "type": "object",
        "properties": {
            "a": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "b": {"type": ["integer", "null"]},
            "c": {"oneOf": [{"const": "x"}, {"enum": [1, 2]}]},
        },
        "required": ["a", "b", "c"],
    },
    "formats": {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date"},
            "id": {"type": "string", "format": "uuid"},
            "code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"},
        },
        "required": ["day", "id", "code"],
        "additionalProperties": False,
    },
    "bounds": {
        "type": "object",
        "properties": {
            "long": {"type": "string", "minLength": 130},
            "many": {"type": "array", "items": {"type": "integer", "minimum": 7}, "minItems": 5},
            "half": {"type": "number", "minimum": 0, "maximum": 1},
            "pair": {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "string"}]},
        },
        "required": ["long", "many", "half", "pair"],
    },
    "open": {
        "type": "object",
        "properties": {
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "any": {},
        },
        "required": ["map", "any"],
    },
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def constrained(weights: Path) -> Iterator[LocalModel]:
    with LocalModel(weights, tool_mode="constrained") as model:
        yield model


@pytest.fixture(scope="module")
def native(weights: Path) -> Iterator[LocalModel]:
    with LocalModel(weights) as model:
        yield model


@pytest.fixture(params=["constrained", "native"])
def model(request: pytest.FixtureRequest) -> LocalModel:
    return request.getfixturevalue(request.param)


async def test_it_answers(model):
    async with model.client() as client:
        completion = await client.create(HELLO)
    assert completion.choices[0].message.content == TEXT
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.completion_tokens > 0
    assert completion.model == model.name == "local/tiny"


async def test_it_streams_token_by_token(model):
    async with model.client() as client:
        stream = await client.create(HELLO, stream=True)
        texts = [chunk.choices[0].delta.content async for chunk in stream]
    assert [text for text in texts if text] == list(TEXT)
    assert stream.completion.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", SCHEMAS)
async def test_structured_answers_fit_their_schema(constrained, name):
    form = {"type": "json_schema", "json_schema": {"name": name, "schema": SCHEMAS[name]}}
    async with constrained.client() as client:
        completion = await client.create(HELLO, response_format=form)
    value = json.loads(completion.choices[0].message.content)
    jsonschema.validate(value, SCHEMAS[name], format_checker=jsonschema.FormatChecker())


async def test_typed_output(model):
    async with model.client() as client:
        completion = await client.parse(HELLO, Plan)
    plan = completion.choices[0].message.parsed
    assert plan.title == WORD
    assert plan.steps[0].effort == NUMBER
    assert plan.done


async def test_a_tool_round_ends_in_text(model):
    async with model.client() as client:
        first = await client.create(HELLO, tools=TOOLS)
        assert first.choices[0].finish_reason == "tool_calls"
        (call,) = first.choices[0].message.tool_calls
        assert call.id
        assert call.function.name in {"look_up", "search"}
        assert json.loads(call.function.arguments) == {"word": WORD, "count": NUMBER}
        messages = [
            *HELLO,
            first.choices[0].message.to_param(),
            {"role": "tool", "tool_call_id": call.id, "content": "It is 42."},
        ]
        second = await client.create(messages, tools=TOOLS)
    assert second.choices[0].message.content == TEXT
    assert not second.choices[0].message.tool_calls


async def test_a_tool_call_can_be_streamed(model):
    async with model.client() as client:
        stream = await client.create(HELLO, tools=TOOLS, stream=True)
        async for _ in stream:
            pass
    (call,) = stream.completion.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"word": WORD, "count": NUMBER}
    assert stream.completion.choices[0].finish_reason == "tool_calls"
    assert stream.completion.usage.total_tokens > 0


async def test_a_named_tool_is_the_one_that_is_called(constrained):
    choice = {"type": "function", "function": {"name": "search"}}
    async with constrained.client() as client:
        completion = await client.create(HELLO, tools=TOOLS, tool_choice=choice)
    assert completion.choices[0].message.tool_calls[0].function.name == "search"


async def test_no_tool_is_called_where_none_may_be(constrained):
    async with constrained.client() as client:
        completion = await client.create(HELLO, tools=TOOLS, tool_choice="none")
    assert completion.choices[0].message.content == TEXT


def test_it_works_without_an_event_loop(constrained):
    with constrained.sync_client() as client:
        assert client.create(HELLO).choices[0].message.content == TEXT
        texts = [chunk.choices[0].delta.content for chunk in client.create(HELLO, stream=True)]
    assert "".join(text for text in texts if text) == TEXT


async def test_more_requests_than_slots_are_all_answered(constrained):
    texts = []

    async def ask(client):
        completion = await client.create(HELLO)
        texts.append(completion.choices[0].message.content)

    async with constrained.client() as client, anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(ask, client)
    assert texts == [TEXT] * 12


async def test_only_who_has_the_key_is_answered(constrained):
    from mbxai.openrouter import AsyncOpenRouterClient

    async with AsyncOpenRouterClient(
        token="another-key", model="local/tiny", base_url=constrained.base_url
    ) as client:
        with pytest.raises(AuthenticationError):
            await client.create(HELLO)


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 400), (b"[]", 400), (b'{"messages": [1]}', 400)]
)
async def test_a_broken_request_is_refused(constrained, content, status):
    headers = {"Authorization": f"Bearer {constrained.token}"}
    async with httpx.AsyncClient(headers=headers) as client:
        url = f"{constrained.base_url}/chat/completions"
        answer = await client.post(url, content=content)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
        assert (await client.get(f"{constrained.base_url}/models")).status_code == 200


async def test_a_request_without_a_length_is_refused(constrained):
    async def pieces():
        yield b"{}"

    headers = {"Authorization": f"Bearer {constrained.token}"}
    async with httpx.AsyncClient(headers=headers) as client:
        url = f"{constrained.base_url}/chat/completions"
        assert (await client.post(url, content=pieces())).status_code == 411


async def test_a_prompt_that_is_too_long_is_a_typed_error(native):
    async with native.client() as client:
        with pytest.raises(BadRequestError):
            await client.create([{"role": "user", "content": "x" * 9000}])


async def test_a_client_that_leaves_frees_the_model(weights):
    endless = {"ignore_eos": True, "max_tokens": 10_000_000, "stop": ["never"]}
    model = LocalModel(weights, slots=1, context_tokens=8192)
    async with model, model.client() as client:
        stream = await client.create(HELLO, stream=True, extra_body=endless)
        await anext(stream)
        await stream.aclose()
        with anyio.fail_after(5):
            assert (await client.create(HELLO)).choices[0].message.content


async def test_nothing_is_left_when_the_block_ends(weights):
    async with LocalModel(weights) as model:
        (pid,) = engines_of(os.getpid(), model)
    await gone(pid)
    with pytest.raises(LocalModelError, match="not started"):
        _ = model.base_url


async def test_a_model_can_be_started_again(weights):
    model = LocalModel(weights)
    for _ in range(2):
        async with model:
            await model.start()
            async with model.client() as client:
                assert (await client.create(HELLO)).choices
    await model.aclose()


async def test_starts_at_the_same_time_make_one_server(weights):
    model = LocalModel(weights)
    before = set(children(os.getpid()))
    async with anyio.create_task_group() as group:
        group.start_soon(model.start)
        group.start_soon(model.start)
        group.start_soon(anyio.to_thread.run_sync, model.__enter__)
    assert set(children(os.getpid())) - before == set(engines_of(os.getpid(), model))
    async with model.client() as client:
        assert (await client.create(HELLO)).choices
    await model.aclose()
    assert set(children(os.getpid())) <= before


async def test_who_waited_for_a_start_that_was_cancelled_starts_it(weights):
    model = LocalModel(weights)
    started = []

    async def first(scope):
        with scope:
            await model.start()

    async def second():
        await model.start()
        started.append(model.base_url)

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(first, scope)
        await anyio.sleep(0.02)
        group.start_soon(second)
        await anyio.sleep(0.02)
        scope.cancel()
    assert started
    await model.aclose()


async def test_a_start_that_is_cancelled_leaves_nothing(weights):
    before = set(children(os.getpid()))
    with anyio.move_on_after(0.05):
        async with LocalModel(weights):
            pytest.fail("started faster than a process can")
    assert set(children(os.getpid())) <= before


async def test_a_start_that_takes_too_long_says_what_to_do(weights):
    before = set(children(os.getpid()))
    with pytest.raises(LocalModelError, match="startup_timeout"):
        await LocalModel(weights, startup_timeout=0.01).start()
    assert set(children(os.getpid())) <= before


async def test_a_damaged_model_file_is_explained_by_the_engine(weights, tmp_path):
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(weights.read_bytes()[:20_000])
    with pytest.raises(LocalModelError, match="ended at its start") as caught:
        await LocalModel(damaged).start()
    assert "failed to load model" in str(caught.value)


async def test_the_environment_names_the_model(weights, monkeypatch):
    monkeypatch.setenv("MBXAI_LOCAL_MODEL", str(weights))
    async with LocalModel() as model:
        assert model.name == "local/tiny"


def test_nothing_is_printed(weights):
    script = (
        "import sys; from mbxai.local import LocalModel\n"
        "with LocalModel(sys.argv[1]) as model:\n"
        "    model.sync_client().create([{'role': 'user', 'content': 'x'}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(weights)],
        capture_output=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("how", ["killed", "left open"])
async def test_the_engine_ends_with_the_process_that_started_it(weights, how):
    script = (
        "import sys, time; from mbxai.local import LocalModel\n"
        "model = LocalModel(sys.argv[1]).__enter__()\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(weights)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert parent.stdout.readline() == b"ready\n"
        (pid,) = children(parent.pid)
        if how == "killed":
            parent.send_signal(signal.SIGKILL)
        out, err = parent.communicate(timeout=20)
        assert (out, err) == (b"", b"")
        await gone(pid)
    finally:
        parent.kill()
        parent.wait()


def children(parent: int) -> list[int]:
    """Ids of the living children of a process."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            state, owner = state_of(int(folder.name))
            if owner == parent and state not in "ZX":
                found.append(int(folder.name))
    return found


def engines_of(parent: int, model: LocalModel) -> list[int]:
    """The engine of a model, found among the children of this process."""
    return [pid for pid in children(parent) if pid == model._engine.process.pid]


def state_of(pid: int) -> tuple[str, int]:
    """State letter and parent of a process; X if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X", 0
    state, owner = text.rpartition(")")[2].split()[:2]
    return state, int(owner)


async def gone(pid: int) -> None:
    """Wait until a process is gone, at most five seconds."""
    deadline = time.monotonic() + 5
    while state_of(pid)[0] not in "ZX":
        assert time.monotonic() < deadline, f"process {pid} is still there"
        await anyio.sleep(0.05)
