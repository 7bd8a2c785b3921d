"""Replays recorded traffic of OpenRouter, where the recordings lie beside the project.

Nothing of an answer may be lost on the way: what a result gives back is compared with the JSON that
came, field by field.
"""

import base64
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.published_schema import request_problems
from support.raw_server import RawServer, answer, end, part, sse_head

from mbxai.errors import (
    BadRequestError,
    InvalidResponseError,
    StreamProtocolError,
)
from mbxai.openrouter import AsyncOpenRouterClient

FOLDER = Path(__file__).parents[3] / "shared" / "wire" / "or-ai-sdk"
BASE = "https://openrouter.ai/api/v1"
USER = [{"role": "user", "content": "hi"}]

# Recordings that are no traffic of OpenRouter: the recorder fetched files for the model's prompt.
FOREIGN = ("https://bitcoin.org/", "data:")

# The recorder gave the answer of an embeddings call to a request of /responses.
MIXED_UP = {"73f0f43/LfXI3PQO1xh"}
# The recorder lost the tail of the last event before `[DONE]`.
CUT = {"73f0f43/69A9tNSV4LJ", "73f0f43/AqVbNG5aaow", "73f0f43/hnYapIezhZy"}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recordings beside the project")


@dataclass(frozen=True)
class Recording:
    """One request with its answer.

    `pieces` are the bytes of a streamed answer as they were read, `events` the JSON in them.
    """

    name: str
    url: str
    path: str
    status: int
    request: dict[str, Any]
    whole: dict[str, Any] | None = None
    text: str = ""
    pieces: list[bytes] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


@cache
def recordings() -> list[Recording]:
    return [recording_in(path.parent) for path in sorted(FOLDER.glob("*/*/request.json"))]


def recording_in(folder: Path) -> Recording:
    request = json.loads((folder / "request.json").read_text())
    meta = json.loads((folder / "response.meta.json").read_text())
    body = request.get("body")
    recording = {
        "name": f"{folder.parent.name}/{folder.name}",
        "url": request["url"],
        "path": request["url"].removeprefix(BASE),
        "status": meta["status"],
        "request": (body.get("json") or {}) if isinstance(body, dict) else {},
    }
    if (folder / "response.jsonl").exists():
        pieces, events = streamed(folder / "response.jsonl")
        return Recording(**recording, pieces=pieces, events=events)
    if (folder / "response.json").exists():
        text = (folder / "response.json").read_text()
        return Recording(**recording, text=text, whole=json.loads(text))
    return Recording(**recording)


def streamed(file: Path) -> tuple[list[bytes], list[dict[str, Any]]]:
    """The pieces as they were read, and the JSON of the events in them.

    The recorder took `data: ` off where a piece began with it, the blank line off `[DONE]` too, and
    wrote a piece that is one whole event as JSON. A piece that goes on where the one before it
    stopped came without `data: `.
    """
    pieces: list[bytes] = []
    events: list[dict[str, Any]] = []
    begun = ""
    for line in file.read_text().splitlines():
        item = json.loads(line)
        if "json" in item:
            events.append(item["json"])
            pieces.append(f"data: {json.dumps(item['json'])}\n\n".encode())
        elif "comment" in item:
            pieces.append(item["comment"].encode())
        elif "base64" in item:
            pieces.append(base64.b64decode(item["base64"]))
        elif item.get("text") == "[DONE]":
            pieces.append(b"\n\ndata: [DONE]\n\n" if begun else b"data: [DONE]\n\n")
        elif "text" in item:
            pieces.append(("" if begun else "data: ").encode() + item["text"].encode())
            begun += item["text"]
            if begun.endswith("\n\n"):
                events.append(json.loads(begun))
                begun = ""
    return pieces, events


def of(path: str, *, is_stream: bool | None = None) -> list[Any]:
    return [
        pytest.param(one, id=one.name)
        for one in (recordings() if FOLDER.is_dir() else [])
        if one.path == path and is_stream in (None, bool(one.pieces))
    ]


def split_streams(path: str) -> list[Any]:
    """Every stream in the pieces that were read, and the short ones in very small pieces, too."""
    streams = [param.values[0] for param in of(path, is_stream=True)]
    short = [one for one in streams if sum(map(len, one.pieces)) < 6000]
    return [pytest.param(one, None, id=one.name) for one in streams] + [
        pytest.param(one, 7, id=f"{one.name}-7") for one in short
    ]


def split(pieces: list[bytes], size: int) -> list[bytes]:
    whole = b"".join(pieces)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
async def client(raw):
    async with AsyncOpenRouterClient("sk-or-v1-replay", "a/b", raw.base_url, max_retries=0) as made:
        yield made


def play(raw: RawServer, one: Recording, *, size: int | None = None) -> None:
    if one.pieces:
        pieces = one.pieces if size is None else split(one.pieces, size)
        raw.script([sse_head(), *(part(piece) for piece in pieces), end()])
    else:
        raw.script(answer(one.text, status=one.status))


# --- what there is --------------------------------------------------------------------------------


def test_every_recording_is_replayed_or_is_no_traffic_of_openrouter():
    replayed = {"/chat/completions", "/responses", "/embeddings"}
    left = [one for one in recordings() if one.path not in replayed]
    assert len(recordings()) == 46
    assert len(left) == 6
    assert all(one.url.startswith(FOREIGN) and one.whole is None for one in left)


def test_the_recorder_lost_the_end_of_no_other_answer():
    lost = {
        one.name
        for one in recordings()
        if one.pieces
        and one.path == "/responses"
        and one.events[-1]["type"] != "response.completed"
    }
    assert lost == CUT


# --- chat -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", of("/chat/completions", is_stream=False))
async def test_a_recorded_completion_loses_nothing(raw, client, one):
    play(raw, one)
    if one.status >= 400:
        with pytest.raises(BadRequestError) as caught:
            await client.create(USER)
        assert caught.value.status == one.status
        assert caught.value.provider == one.whole["error"]["metadata"]["provider_name"]
        assert "messages.0.content.1" in str(caught.value)  # what the provider itself said
        return
    result = await client.create(USER)
    assert result.to_dict() == one.whole
    json.dumps(result.message.to_param())


@pytest.mark.parametrize(("one", "size"), split_streams("/chat/completions"))
async def test_a_recorded_chat_stream_loses_nothing(raw, client, one, size):
    play(raw, one, size=size)
    stream = await client.create(USER, stream=True)
    seen = [chunk.to_dict() async for chunk in stream]
    assert [without_empty_choice(chunk) for chunk in seen] == [
        without_empty_choice(event) for event in one.events
    ]
    final = stream.completion
    check_completion(final.to_dict(), one.events)
    assert final.choices[0].finish_reason
    assert final.usage.total_tokens > 0


def without_empty_choice(chunk: dict[str, Any]) -> dict[str, Any]:
    """The chunk as it came; one without choices is given an empty one for whoever indexes it."""
    return {**chunk, "choices": [choice for choice in chunk["choices"] if choice]}


def check_completion(final: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """Everything that the chunks said is in the completion."""
    for event in events:
        for name, value in event.items():
            if name not in {"choices", "object"} and value is not None:
                assert final[name] == value
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    message = final["choices"][0]["message"]
    for name in {name for delta in deltas for name in delta}:
        values = [delta[name] for delta in deltas if delta.get(name) is not None]
        if name in {"content", "reasoning"}:
            assert (message.get(name) or "") == "".join(values)
        elif name == "role":
            assert message[name] == values[0]
        elif name == "tool_calls":
            check_tool_calls(message["tool_calls"], [call for value in values for call in value])
        elif name == "reasoning_details":
            check_texts(message[name], [detail for value in values for detail in value])
        else:
            assert message[name] == values[-1]


def check_tool_calls(calls: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for index, call in enumerate(calls):
        pieces = [delta["function"] for delta in deltas if delta["index"] == index]
        assert call["function"]["arguments"] == "".join(piece["arguments"] for piece in pieces)
        assert call["function"]["name"] == next(one["name"] for one in pieces if one.get("name"))
    assert [call["id"] for call in calls] == [delta["id"] for delta in deltas if delta.get("id")]


def check_texts(details: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for name in ("text", "summary", "data", "signature"):
        came = "".join(delta.get(name) or "" for delta in deltas)
        assert "".join(detail.get(name) or "" for detail in details) == came


# --- responses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", of("/responses", is_stream=False))
async def test_a_recorded_response_loses_nothing(raw, client, one):
    play(raw, one)
    if one.name in MIXED_UP:
        with pytest.raises(InvalidResponseError):
            await client.responses.create("hi")
        return
    result = await client.responses.create("hi")
    assert result.to_dict() == one.whole
    assert result.output_text or result.function_calls
    assert result.is_complete()
    assert result.usage.total_tokens > 0
    assert [{**item, "status": None} for item in result.to_input()] == [
        {**item, "status": None} for item in one.whole["output"]
    ]


@pytest.mark.parametrize(("one", "size"), split_streams("/responses"))
async def test_a_recorded_response_stream_loses_nothing(raw, client, one, size):
    play(raw, one, size=size)
    seen = []
    async with await client.responses.stream("hi") as stream:
        if one.name in CUT:
            with pytest.raises(StreamProtocolError) as caught:
                seen.extend([event.to_dict() async for event in stream])
            check_partial(caught.value.partial, one)
        else:
            seen.extend([event.to_dict() async for event in stream])
            final = await stream.get_final_response()
            assert final.to_dict() == one.events[-1]["response"]
            assert final.output_text == "".join(deltas_of(one))
            assert final.is_complete()
            assert final.usage.cost > 0
    if one.name not in CUT:
        assert seen == one.events


def deltas_of(one: Recording) -> list[str]:
    return [event["delta"] for event in one.events if event["type"] == "response.output_text.delta"]


def check_partial(partial: Any, one: Recording) -> None:
    whole_items = [e["item"] for e in one.events if e["type"] == "response.output_item.done"]
    assert partial.to_dict()["output"] == whole_items
    assert not partial.is_complete()


# --- embeddings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("one", of("/embeddings"))
async def test_a_recorded_embedding_loses_nothing(raw, client, one):
    play(raw, one)
    result = await client.embeddings.create(**one.request)
    assert result.to_dict() == one.whole
    assert json.loads(raw.seen().requests[0]["body"]) == one.request


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", [*of("/chat/completions"), *of("/responses"), *of("/embeddings")])
def test_a_recorded_request_is_what_the_published_schema_takes(one):
    assert one.request["model"]
    assert request_problems(one.path, one.request) == []
