"""What served functions take and return, without a client: forms, content, outputs, addresses."""

import asyncio
import dataclasses
import datetime as dt
import enum
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import BaseModel, Field

from mbxai import audio_part, file_part, image_part
from mbxai.errors import ConfigurationError, MCPError, ToolDefinitionError
from mbxai.mcp.server import EmbeddedResource, MCPContext, MCPServer, ResourceLink
from mbxai.mcp.serving._blocks import message_blocks, result_blocks, shown_result
from mbxai.mcp.serving._conversations import prompt_messages, sampling_messages
from mbxai.mcp.serving._event_store import make_event_store
from mbxai.mcp.serving._failures import ServingError
from mbxai.mcp.serving._forms import read_form
from mbxai.mcp.serving._functions import ServedFunction
from mbxai.mcp.serving._outputs import output_shape
from mbxai.mcp.serving._prompts import Completions
from mbxai.mcp.serving._resources import ServedResource
from mbxai.mcp.serving._served_tools import ServedTools
from mbxai.tools import Tool, ToolCall, ToolRegistry
from mbxai.tools.runner._runner import ToolRunner

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 16


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Everything(BaseModel):
    name: str = Field(description="Who", max_length=10)
    age: int = 3
    colour: Colour = Colour.RED
    size: Literal["s", "l"] = "s"
    when: dt.date | None = None
    tags: list[Literal["a", "b"]] = []
    said: Annotated[bool | None, Field(title="Said")] = None


def test_a_model_becomes_a_flat_form() -> None:
    form = read_form(Everything)
    fields = form.schema["properties"]
    assert form.schema["required"] == ["name"]
    assert fields["name"]["maxLength"] == 10
    assert fields["colour"] == {
        "type": "string",
        "title": "Colour",
        "enum": ["red", "blue"],
        "default": "red",
    }
    assert fields["when"]["format"] == "date"
    assert fields["tags"]["items"] == {"type": "string", "enum": ["a", "b"]}
    assert fields["said"]["type"] == "boolean"
    assert "$defs" not in form.schema
    values, problem = form.read({"name": "Bo"})
    assert problem == ""
    assert values["colour"] == "red"
    assert form.read({"name": "far too long a name"})[1].startswith("name: ")


class Nested(BaseModel):
    inner: Everything


class Numbers(BaseModel):
    choice: Literal[1, 2]


class Either(BaseModel):
    value: int | str


@pytest.mark.parametrize(
    "schema",
    [
        Nested,
        Numbers,
        Either,
        int,
        {"type": "string"},
        {"type": "object"},
        {"type": "object", "properties": {"x": {"type": "object"}}},
    ],
)
def test_what_no_form_can_ask_for_is_refused(schema: Any) -> None:
    with pytest.raises(ConfigurationError):
        read_form(schema)


def test_the_values_of_a_given_schema_are_checked_against_it() -> None:
    form = read_form({"type": "object", "properties": {"n": {"type": "integer", "minimum": 2}}})
    assert form.read({"n": 3}) == ({"n": 3}, "")
    assert form.read({"n": 1}) == ({}, "n: minimum is not met")


def test_content_of_every_kind_becomes_blocks_in_its_order() -> None:
    value = [
        "first",
        image_part(PNG),
        PNG,
        audio_part(b"RIFF\x00\x00\x00\x00WAVE", format="wav"),
        audio_part(b"ID3", format="mp3"),
        file_part(b"%PDF-1.4", filename="a.pdf"),
        image_part("https://example.org/a.png"),
        EmbeddedResource(uri="x://1", data=b"raw"),
        ResourceLink(uri="x://2", name="two", size_bytes=5),
        {"just": "data"},
        5,
    ]
    result = shown_result(value)
    assert result is not None
    blocks = result_blocks(result)
    assert [block["type"] for block in blocks] == [
        *("text", "image", "image", "audio", "audio", "resource", "resource_link", "resource"),
        *("resource_link", "text", "text"),
    ]
    assert blocks[3]["mimeType"] == "audio/wav"
    assert blocks[4]["mimeType"] == "audio/mpeg"
    assert blocks[5]["resource"]["uri"] == "file:///a.pdf"
    assert blocks[5]["resource"]["mimeType"] == "application/pdf"
    assert blocks[6]["uri"] == "https://example.org/a.png"
    assert blocks[7]["resource"]["blob"] == "cmF3"
    assert blocks[8]["size"] == 5
    assert [block["text"] for block in blocks[9:]] == ['{"just":"data"}', "5"]


@pytest.mark.parametrize(
    "value", ["text", 5, None, [1, 2], {"type": "other"}, [], b"not a picture"]
)
def test_data_alone_is_left_to_the_tool_runner(value: object) -> None:
    assert shown_result(value) is None


def test_a_resource_is_either_a_text_or_data() -> None:
    with pytest.raises(ConfigurationError, match="either"):
        EmbeddedResource(uri="x://1")
    with pytest.raises(ConfigurationError, match="either"):
        EmbeddedResource(uri="x://1", text="a", data=b"a")


def test_messages_are_written_in_the_words_of_the_protocol() -> None:
    assert prompt_messages("Hello") == [
        {"role": "user", "content": {"type": "text", "text": "Hello"}}
    ]
    both = prompt_messages([{"role": "assistant", "content": ["a", PNG]}, "b"])
    assert [message["role"] for message in both] == ["assistant", "assistant", "user"]
    with pytest.raises(ConfigurationError, match="role"):
        prompt_messages({"role": "system", "content": "x"})
    told, asked = sampling_messages([{"role": "system", "content": "be brief"}, "why?"])
    assert told == "be brief"
    assert asked == [{"role": "user", "content": {"type": "text", "text": "why?"}}]
    with pytest.raises(ConfigurationError, match="role"):
        sampling_messages([{"role": "tool", "content": "x"}])
    assert message_blocks({"a": 1}) == [{"type": "text", "text": '{"a":1}'}]


class Weather(BaseModel):
    celsius: float = 1.0
    inner: "Weather | None" = None


class Pair(TypedDict):
    left: int


@dataclasses.dataclass
class Point:
    x: int


def gives(annotation: Any) -> Any:
    def function() -> None: ...

    function.__annotations__["return"] = annotation
    return function


@pytest.mark.parametrize("annotation", [Weather, Pair, Point, dict[str, int], dict[str, Any]])
def test_objects_are_promised_as_they_are(annotation: Any) -> None:
    shape = output_shape(gives(annotation))
    assert shape is not None
    assert shape.schema["type"] == "object"
    assert not shape.is_wrapped


@pytest.mark.parametrize(
    "annotation", [int, float, bool, Colour, list[int], list[Weather], Weather | None, dt.date]
)
def test_all_other_data_is_promised_under_a_name(annotation: Any) -> None:
    shape = output_shape(gives(annotation))
    assert shape is not None
    assert shape.is_wrapped
    assert shape.schema["required"] == ["result"]
    assert shape.structured(1) == {"result": 1}


@pytest.mark.parametrize(
    "annotation",
    [
        *(None, Any, object, str, bytes, list, list[Any], list[bytes | str], ResourceLink),
        *(Iterator[int], AsyncIterator[int], socket := object(), "Missing", list[ResourceLink]),
    ],
)
def test_what_is_no_data_is_not_promised(annotation: Any) -> None:
    assert output_shape(gives(annotation)) is None


async def test_a_function_that_breaks_its_promise_is_a_failure_without_its_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def liar() -> Weather:
        return {"celsius": "secret value"}  # type: ignore[return-value]

    def mild() -> Weather:
        return {"celsius": "1.5"}  # type: ignore[return-value]

    tools = ServedTools()
    tools.add(Tool.from_function(liar))
    tools.add(Tool.from_function(mild))
    told = await tools.run("liar", {})
    assert told.is_error
    assert "promises" in told.content
    assert "secret value" not in told.content + caplog.text
    kept = await tools.run("mild", {})
    assert tools.structured(kept) == {"celsius": 1.5, "inner": None}


async def test_a_context_of_a_server_is_missing_elsewhere_unless_it_may_be() -> None:
    def wanting(context: MCPContext) -> str:
        return context.client_name

    def content(context: MCPContext | None = None) -> str:
        return "without" if context is None else "with"

    registry = ToolRegistry()
    registry.add(Tool.from_function(wanting))
    registry.add(Tool.from_function(content))
    runner = ToolRunner(registry)
    refused = await runner.run(ToolCall("1", "wanting"))
    assert refused.is_error
    assert "MCPContext" in refused.content
    assert (await runner.run(ToolCall("2", "content"))).content == "without"
    given = await runner.run(ToolCall("3", "content"), MCPContext())
    assert given.content == "with"


async def test_a_context_without_a_client_says_what_it_cannot_do() -> None:
    context: MCPContext = MCPContext()
    assert (context.client_name, context.protocol_version, context.token, context.state) == (
        *("", "", None, ""),
    )
    assert not context.can("elicit")
    with pytest.raises(MCPError, match="cannot ask its user"):
        await context.elicit("Sure?", Choice)
    with pytest.raises(MCPError, match="cannot ask its model"):
        await context.sample("Hello?", max_tokens=5)
    with pytest.raises(MCPError, match="cannot name its directories"):
        await context.list_roots()
    with pytest.raises(MCPError, match="address"):
        await context.elicit_url("Pay", "https://pay.example")
    await context.log("info", {"goes": "nowhere"})
    await context.close_stream()


class Choice(BaseModel):
    sure: bool


def resource(uri: str, function: Any) -> ServedResource:
    return ServedResource(uri=uri, name="r", function=ServedFunction(function, "r"))


def one(name: str) -> str:
    return name


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("a://{name}/x", "a://b/x", {"name": "b"}),
        ("a://{name}/x", "a://b%20c/x", {"name": "b c"}),
        ("a://{name}/x", "a://b/c/x", None),
        ("a://{name}/x", "a://b%2Fc/x", None),
        ("a://{name}", "a://..", None),
        ("a://{name}", "a://b\x00", None),
        ("a://{+name}", "a://b/c", {"name": "b/c"}),
        ("a://{+name}", "a://b/../c", None),
        ("a://{+name}", "a:///etc/passwd", None),
        ("a://{+name}", "a://%2Fetc", None),
        ("a://{+name}", "a://%5C%5Chost/share", None),
        ("a://{+name}", "a://C:/windows", None),
        ("a://{name}", "a://user:1", {"name": "user:1"}),
        ("a://{+name}", "a://b%2f..%2fc", None),
        ("a.b://{name}", "axb://c", None),
    ],
)
def test_addresses_fit_a_template_or_do_not(
    template: str, uri: str, values: dict[str, str] | None
) -> None:
    assert resource(template, one).match(uri) == values


@pytest.mark.parametrize(
    "uri", ["no scheme", "a://{other}", "a://fixed", "a://{name", "a://{name}{name}", "a://{?name}"]
)
def test_an_address_that_does_not_fit_its_function_is_refused(uri: str) -> None:
    with pytest.raises(ToolDefinitionError):
        resource(uri, one)


async def test_texts_are_read_as_what_the_annotations_say() -> None:
    def function(count: int, colours: list[Colour], when: dt.date = dt.date(2026, 1, 1)) -> Any:
        return count, colours, when

    served = ServedFunction(function, "f")
    given = {"count": "3", "colours": '["red"]', "unknown": "x"}
    assert await served(given, MCPContext()) == (3, [Colour.RED], dt.date(2026, 1, 1))
    for wrong in ({"count": "three", "colours": "[]"}, {"colours": "[]"}):
        with pytest.raises(ServingError, match="count") as caught:
            await served(wrong, MCPContext())
        assert caught.value.code == -32602
        assert "three" not in caught.value.message


def test_functions_that_no_text_can_fill_are_refused() -> None:
    def variadic(**options: str) -> str: ...
    def strange(value: asyncio.Lock) -> str: ...
    def untyped(value) -> str: ...  # type: ignore[no-untyped-def]

    for function in (variadic, strange, untyped, 5):
        with pytest.raises(ToolDefinitionError):
            ServedFunction(function, "f")  # type: ignore[arg-type]


async def test_a_completion_that_returns_no_list_is_a_failure() -> None:
    def wrong(value: str) -> str:
        return value

    def none() -> list[str]:
        return []

    completions = Completions()
    completions.add("p", "a", wrong)
    with pytest.raises(ToolDefinitionError):
        completions.add("p", "b", none)
    reference: Mapping[str, Any] = {"type": "ref/prompt", "name": "p"}
    with pytest.raises(ServingError):
        await completions.complete(reference, {"name": "a", "value": "x"}, {}, MCPContext())


def test_settings_that_cannot_be_are_refused() -> None:
    for options in (
        {"state_keys": ["short"]},
        {"state_keys": ["k" * 32, "k" * 32]},
        {"max_body_bytes": 0},
        {"idle_seconds": 0},
        {"cache_seconds": {"everything": 1}},
        {"cache_seconds": {"tools": -1}},
    ):
        with pytest.raises(ConfigurationError):
            MCPServer("s", **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="slash"):
        MCPServer("s").asgi_app(path="mcp")
    with pytest.raises(ConfigurationError, match="no token"):
        MCPServer("s").metadata_route()
    with pytest.raises(ConfigurationError, match="list of words"):
        MCPServer("s").register(one, scopes="notes:read")


async def test_scopes_without_anybody_who_asks_for_tokens_are_refused() -> None:
    server = MCPServer("s")
    server.register(one, scopes=["notes:read"])
    with pytest.raises(ConfigurationError, match="scopes"):
        async with server.lifespan():
            raise AssertionError("must not be served")


async def test_a_lifespan_is_opened_once_at_a_time() -> None:
    server = MCPServer("s")
    async with server.lifespan():
        with pytest.raises(ConfigurationError, match="open already"):
            await server.lifespan().__aenter__()
    async with server.lifespan():
        assert server.registry.names() == []


async def test_the_last_events_are_given_again_and_the_oldest_forgotten() -> None:
    import mcp_types as types

    store = make_event_store()
    notes = [types.JSONRPCNotification(jsonrpc="2.0", method=f"n/{i}") for i in range(1_003)]
    first = await store.store_event("stream", None)
    ids = [await store.store_event("stream", note) for note in notes[:3]]
    other = await store.store_event("other", notes[0])
    seen: list[Any] = []

    async def send(event: Any) -> None:
        seen.append((event.event_id, event.message.method))

    assert await store.replay_events_after(ids[0], send) == "stream"
    assert seen == [(ids[1], "n/1"), (ids[2], "n/2")]
    seen.clear()
    assert await store.replay_events_after(first, send) == "stream"
    assert len(seen) == 3
    seen.clear()
    assert await store.replay_events_after(other, send) == "other"
    assert seen == []
    for unknown in ("nonsense", "", f"{'0' * 16}-1", f"{ids[0]}x"):
        assert await store.replay_events_after(unknown, send) is None
    for note in notes:
        await store.store_event("stream", note)
    assert await store.replay_events_after(first, send) == "stream"
    assert len(seen) == 1_000
    for index in range(1_000):
        await store.store_event(f"more {index}", notes[0])
    assert await store.replay_events_after(other, send) is None
