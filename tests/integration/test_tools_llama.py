"""Loops with tools on a real llama.cpp, sixty at once; the tiny model's template knows tools."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import jsonschema
import pytest
from pydantic import BaseModel, Field
from support.tiny_model import TEXT, make_tiny_model

from mbxai.local import LocalModel, ToolMode
from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.tools import AsyncToolClient, ToolCompletion, ToolContext
from mbxai.wire import Choice

LOOPS = 60
# Room for a whole call: a cut one is never run.
ENOUGH = 1_000
# Room for the beginning of a call, and for the whole answer after it.
TOO_LITTLE = 40

Level = Annotated[int, Field(ge=1, le=5)]


class Stay(BaseModel):
    town: str
    nights: Level


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def native(weights: Path) -> Iterator[LocalModel]:
    with local_model(weights, "native") as model:
        yield model


@pytest.fixture(scope="module")
def constrained(weights: Path) -> Iterator[LocalModel]:
    with local_model(weights, "constrained") as model:
        yield model


@pytest.fixture(params=["native", "constrained"])
def model(request: pytest.FixtureRequest) -> LocalModel:
    return request.getfixturevalue(request.param)


class Desk:
    """Tools that note who called them, and with what."""

    def __init__(self) -> None:
        self.seen: dict[int, list[dict[str, Any]]] = {}

    async def look(self, word: str, is_new: bool, context: ToolContext[int]) -> dict[str, int]:
        """Look for a room."""
        return self._note(context, word=word, is_new=is_new)

    def book(self, stay: Stay, is_new: bool, context: ToolContext[int]) -> dict[str, int]:
        """Book a room; runs in a worker thread."""
        return self._note(context, stay=stay.model_dump(), is_new=is_new)

    def _note(self, context: ToolContext[int], **arguments: Any) -> dict[str, int]:
        self.seen.setdefault(context.deps, []).append(arguments)
        return {"for": context.deps}


def local_model(weights: Path, tool_mode: ToolMode) -> LocalModel:
    """A model that is not yet started."""
    model = LocalModel(weights, slots=4, tool_mode=tool_mode)
    # Two threads that wait for each other in short loops take several times as long where other
    # work keeps the cores busy.
    model._settings["prompt_threads"] = 1
    return model


def sockets() -> set[str]:
    """The sockets of this process."""
    found: set[str] = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("socket:"):
                found.add(target)
    return found


@asynccontextmanager
async def tool_client(model: LocalModel, desk: Desk) -> AsyncIterator[AsyncToolClient]:
    """A client of the model with the tools of a desk; at the end nothing of it may be left."""
    tasks, before = asyncio.all_tasks(), sockets()
    async with (
        AsyncOpenRouterClient(
            token=model.token, model=model.name, base_url=model.base_url, max_retries=0
        ) as inner,
        AsyncToolClient(inner) as client,
    ):
        client.tool(desk.look)
        client.tool(desk.book)
        yield client
    with anyio.fail_after(5):
        while asyncio.all_tasks() - tasks or sockets() - before:
            await anyio.lowlevel.checkpoint()


def question(number: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"Guest {number}"}]


async def sixty(loop: Callable[[int], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as group:
        for number in range(LOOPS):
            group.start_soon(loop, number)


def check(desk: Desk, client: AsyncToolClient, kept: dict[int, list[Any]]) -> None:
    """Every loop has called a tool once, as its schema says, and was told its own result."""
    assert set(desk.seen) == set(kept) == set(range(LOOPS))
    schemas = {
        tool["function"]["name"]: tool["function"]["parameters"]
        for tool in client.tool_definitions()
    }
    for number, messages in kept.items():
        user, assistant, result, answer = messages
        assert user == question(number)[0]
        [call] = assistant["tool_calls"]
        [arguments] = desk.seen[number]
        jsonschema.validate(arguments, schemas[call["function"]["name"]])
        assert result["tool_call_id"] == call["id"]
        assert result["content"] == f'{{"for":{number}}}'
        assert answer["role"] == "assistant"
        assert answer["content"] == TEXT


@pytest.mark.slow
async def test_sixty_loops_at_once_call_tools_and_end_in_text(model: LocalModel) -> None:
    desk, kept = Desk(), {}

    async with tool_client(model, desk) as client:

        async def loop(number: int) -> None:
            answer = await client.chat(
                question(number), max_tokens=ENOUGH, context=ToolContext(deps=number)
            )
            assert answer.choices[0].finish_reason == "stop"
            assert answer.usage is not None
            assert answer.usage.completion_tokens > len(TEXT)
            kept[number] = answer.run.messages

        await sixty(loop)
        check(desk, client, kept)


@pytest.mark.long
async def test_sixty_streamed_loops_at_once_call_tools_and_end_in_text(
    model: LocalModel,
) -> None:
    desk, kept, texts = Desk(), {}, Counter()

    async with tool_client(model, desk) as client:

        async def loop(number: int) -> None:
            async with client.stream(
                question(number), max_tokens=ENOUGH, context=ToolContext(deps=number)
            ) as stream:
                texts["".join([text async for text in stream.text_stream])] += 1
            kept[number] = stream.run.messages

        await sixty(loop)
        check(desk, client, kept)
    assert texts == {TEXT: LOOPS}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_native_call_that_is_cut_is_not_run_and_the_model_is_told(
    stream: bool, native: LocalModel
) -> None:
    desk = Desk()
    async with tool_client(native, desk) as client:
        client.registry.remove("look")
        answer = await cut_answer(client, stream)
    [user, assistant, result, last] = answer.run.messages
    assert user == question(0)[0]
    [call] = assistant["tool_calls"]
    assert call["function"]["name"] == "book"
    [half] = choices(answer)[0].message.tool_calls or ()
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(half.function.arguments)
    assert "cut at the token limit" in result["content"]
    assert "Nothing was run" in result["content"]
    assert last["content"] == answer.text == TEXT
    assert [one.finish_reason for one in choices(answer)] == ["length", "stop"]
    assert desk.seen == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_constrained_call_that_is_cut_is_text_and_says_so(
    stream: bool, constrained: LocalModel
) -> None:
    desk = Desk()
    async with tool_client(constrained, desk) as client:
        client.registry.remove("look")
        answer = await cut_answer(client, stream)
    assert answer.text.startswith('{"name": "book"')
    assert [one.finish_reason for one in choices(answer)] == ["length"]
    assert [message["role"] for message in answer.run.messages] == ["user", "assistant"]
    assert desk.seen == {}


async def cut_answer(client: AsyncToolClient, stream: bool) -> ToolCompletion:
    """Ask with too few tokens for a whole call."""
    context = ToolContext(deps=0)
    if not stream:
        return await client.chat(question(0), max_tokens=TOO_LITTLE, context=context)
    async with client.stream(question(0), max_tokens=TOO_LITTLE, context=context) as opened:
        return await opened.get_final_completion()


def choices(answer: ToolCompletion) -> list[Choice]:
    """The first choice of every answer that the model gave."""
    return [completion.choices[0] for completion in answer.run.completions]
