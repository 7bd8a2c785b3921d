"""What a registered server has besides tools, against servers in processes of their own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from support.mcp_library_server import PICTURE, PICTURE_BYTES, SOUND
from support.mcp_processes import SUPPORT, free_port, wait_for_port

from mbxai.errors import ConfigurationError, MCPConnectionError, MCPProtocolError, MCPToolError
from mbxai.mcp._remote_models import Prompt, PromptArgument, Resource, ResourceTemplate
from mbxai.mcp._remote_server import AsyncRemoteServer
from mbxai.mcp._sync_remote_server import RemoteServer
from mbxai.mcp.connection._callbacks import Callbacks
from mbxai.mcp.connection._info import Change
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.registry._pins import MemoryPinStore
from mbxai.mcp.registry._policy import ServerPolicy
from mbxai.mcp.registry._registry import ServerRegistry
from mbxai.tools import ToolCall, ToolRegistry
from mbxai.tools.runner._runner import ToolRunner

LIBRARY = (sys.executable, str(SUPPORT / "mcp_library_server.py"))


@asynccontextmanager
async def registered(target: ServerTarget) -> AsyncIterator[tuple[AsyncRemoteServer, ToolRunner]]:
    tools = ToolRegistry()
    registry, runner = ServerRegistry(tools, pins=MemoryPinStore()), ToolRunner(tools)
    try:
        await registry.add(target, ServerPolicy(), Callbacks())
        yield AsyncRemoteServer(registry, target.name), runner
    finally:
        await runner.aclose()
        await registry.aclose()


@asynccontextmanager
async def library(*words: str) -> AsyncIterator[AsyncRemoteServer]:
    target = ServerTarget(name="library", command=(*LIBRARY, *words), mode="legacy")
    async with registered(target) as (server, _):
        yield server


@pytest.fixture
async def server() -> AsyncIterator[AsyncRemoteServer]:
    async with library() as opened:
        yield opened


@pytest.fixture(scope="module")
def sdk_url() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "mcp_sdk_server.py"), str(port)], env=dict(os.environ)
    )
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


async def seen(server: AsyncRemoteServer) -> list[dict[str, Any]]:
    (content,) = await server.read_resource("library:seen")
    return list(json.loads(content.content))


async def test_a_server_says_who_it_is(server: AsyncRemoteServer) -> None:
    info = server.info
    assert info is not None
    assert (info.name, info.title, info.version) == ("library", "The library", "7")
    assert (info.protocol_version, info.instructions) == ("2025-11-25", "Be quiet.")
    assert (server.name, server.tools()) == ("library", ["lend"])
    assert (server.status.state, server.status.tools) == ("connected", ["lend"])


async def test_resources_are_listed_from_all_pages_and_read(server: AsyncRemoteServer) -> None:
    assert await server.resources() == [
        Resource(uri="library:words", name="words", title="Words", mime_type="text/plain"),
        Resource(uri="library:picture", name="picture", size=18),
    ]
    assert await server.resource_templates() == [
        ResourceTemplate(uri_template="library:{shelf}", name="shelf")
    ]
    (words,) = await server.read_resource("library:words")
    assert (words.content, words.mime_type) == ("some words", "text/plain")
    (picture,) = await server.read_resource("library:picture")
    assert picture.content == PICTURE_BYTES
    folder = await server.read_resource("library:folder")
    assert [content.content for content in folder] == ["some words", ""]


async def test_large_answers_are_read_as_small_ones_are(server: AsyncRemoteServer) -> None:
    (long,) = await server.read_resource("library:long")
    assert long.content == "x" * 50_000
    (message,) = await server.prompt("greet", {"whom": "Bo", "times": 5_000})
    assert message["content"] == "Hello Bo! " * 4_999 + "Hello Bo!"


async def test_what_cannot_be_read_is_said(server: AsyncRemoteServer) -> None:
    with pytest.raises(MCPToolError, match="No such book"):
        await server.read_resource("library:lost")
    with pytest.raises(MCPProtocolError, match="neither text nor base64"):
        await server.read_resource("library:broken")
    assert len(await server.resources()) == 2, "the connection lives"


async def test_prompts_become_messages_of_a_chat(server: AsyncRemoteServer) -> None:
    greet, look = await server.prompts()
    assert greet == Prompt(
        name="greet",
        description="Say hello.",
        arguments=[PromptArgument(name="whom", required=True), PromptArgument(name="times")],
    )
    assert look.name == "look"
    assert await server.prompt("greet", {"whom": "Bo", "times": 2}) == [
        {"role": "user", "content": "Hello Bo! Hello Bo!"}
    ]
    url = f"data:image/png;base64,{PICTURE}"
    assert await server.prompt("look") == [
        {"role": "user", "content": "Look at this:"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]},
        {"role": "assistant", "content": "<library:words> (text/plain)\n```\nsome words\n```"},
    ]
    with pytest.raises(MCPToolError, match="whom is missing"):
        await server.prompt("greet")


async def test_arguments_are_completed(server: AsyncRemoteServer) -> None:
    proposals = await server.complete("whom", "B", prompt="greet", context={"times": "2"})
    assert proposals == ["greet whom B 2"]
    proposals = await server.complete("shelf", "a", template="library:{shelf}")
    assert [words.split() for words in proposals] == [["library:{shelf}", "shelf", "a"]]
    for wrong in ({}, {"prompt": "a", "template": "b"}):
        with pytest.raises(ConfigurationError, match="either prompt or template"):
            await server.complete("whom", **wrong)


async def test_the_server_is_told_what_to_log_and_what_to_watch(
    server: AsyncRemoteServer,
) -> None:
    await server.set_log_level("warning")
    await server.subscribe("library:words")
    await server.unsubscribe("library:words")
    await server.ping()
    asked = {
        request["method"]: request.get("level") or request.get("uri")
        for request in await seen(server)
    }
    assert asked["logging/setLevel"] == "warning"
    assert asked["resources/subscribe"] == asked["resources/unsubscribe"] == "library:words"
    assert "ping" in asked
    with pytest.raises(ConfigurationError, match="no level 'loud'"):
        await server.set_log_level("loud")  # type: ignore[arg-type]  # the test's point


async def test_a_listener_hears_of_resources_that_are_subscribed_to(
    server: AsyncRemoteServer,
) -> None:
    heard: asyncio.Queue[Change] = asyncio.Queue()
    end = server.listen(heard.put_nowait)
    await server.subscribe("library:words")
    async with asyncio.timeout(5):
        assert await heard.get() == Change("resource", "library:words")
    end()
    await server.subscribe("library:picture")
    await server.ping()
    assert heard.empty()


async def test_tools_are_read_anew_and_the_connection_is_made_anew(
    server: AsyncRemoteServer,
) -> None:
    assert await server.refresh() == ["lend"]
    assert await server.trust() == [], "nothing had changed"
    assert [r["method"] for r in await seen(server)].count("tools/list") >= 2
    await server.reconnect()
    assert [r["method"] for r in await seen(server)].count("initialize") == 1
    assert server.status.state == "connected"


async def test_a_server_without_resources_or_prompts_has_none() -> None:
    async with library("bare") as server:
        assert await server.resources() == []
        assert await server.resource_templates() == []
        assert await server.prompts() == []


async def test_a_server_that_is_not_registered_is_named(server: AsyncRemoteServer) -> None:
    registry = server._registry
    with pytest.raises(ConfigurationError, match="'librari'"):
        AsyncRemoteServer(registry, "librari")
    await registry.remove("library")
    for read in (lambda: server.status, lambda: server.info, server.tools):
        with pytest.raises(ConfigurationError, match="'library'"):
            read()
    with pytest.raises(ConfigurationError, match="'library'"):
        await server.resources()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_server_of_the_sdk_is_understood_in_both_eras(
    sdk_url: str, mode: Literal["auto", "legacy"]
) -> None:
    async with registered(ServerTarget(name="sdk", url=sdk_url, mode=mode)) as (server, runner):
        assert [resource.uri for resource in await server.resources()] == [
            "sdk://words",
            "sdk://picture",
        ]
        assert [t.uri_template for t in await server.resource_templates()] == ["sdk://days/{day}"]
        (day,) = await server.read_resource("sdk://days/monday")
        assert day.content == "It was monday."
        (picture,) = await server.read_resource("sdk://picture")
        assert picture.to_part()["type"] == "image_url"
        assert await server.prompt("greet", {"whom": "Bo"}) == [
            {"role": "user", "content": "Greet Bo"},
            {"role": "user", "content": "<sdk://note>\n```\nBo is shy\n```"},
        ]
        assert await server.complete("whom", "B", prompt="greet", context={"a": "b"}) == [
            "greet whom B ['a']"
        ]
        drawn = await runner.run(ToolCall("1", "draw", "{}"))
        assert [part["type"] for part in drawn.parts] == ["image_url"]
        numbers = await runner.run(ToolCall("2", "numbers", "{}"))
        assert (numbers.content, numbers.value) == ("[1,2,3]", [1, 2, 3])
        mixed = await runner.run(ToolCall("3", "everything", "{}"))
        assert mixed.content == "for both"
        sound = {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}
        assert list(mixed.parts) == [
            sound,
            {"type": "text", "text": "[resource] words <sdk://words>"},
        ]
        assert "for you" in str(mixed.value)
        assert mixed.raw is not None
        assert len(mixed.raw["content"]) == 4


async def test_a_server_that_went_away_is_said_to_have_gone() -> None:
    target = ServerTarget(name="gone", url=f"http://127.0.0.1:{free_port()}/mcp")
    registry = ServerRegistry(ToolRegistry(), pins=MemoryPinStore())
    try:
        await registry.add(target, ServerPolicy(), Callbacks(), required=False)
        server = AsyncRemoteServer(registry, "gone")
        assert (server.status.state, server.info, server.tools()) == ("failed", None, [])
        with pytest.raises(MCPConnectionError, match="'gone'"):
            await server.reconnect()
        with pytest.raises(MCPConnectionError, match="'gone'"):
            await server.resources()
    finally:
        await registry.aclose()


async def test_the_blocking_face_does_the_same(server: AsyncRemoteServer) -> None:
    face = RemoteServer(server)

    def work() -> None:
        assert (face.name, face.tools(), face.status.state) == ("library", ["lend"], "connected")
        assert face.info == server.info
        assert [resource.name for resource in face.resources()] == ["words", "picture"]
        assert [template.name for template in face.resource_templates()] == ["shelf"]
        assert face.read_resource("library:words")[0].content == "some words"
        assert [prompt.name for prompt in face.prompts()] == ["greet", "look"]
        assert face.prompt("greet", {"whom": "Bo"})[0]["content"] == "Hello Bo!"
        assert face.complete("whom", "B", prompt="greet")[0].startswith("greet whom B")
        face.set_log_level("error")
        face.subscribe("library:words")
        face.unsubscribe("library:words")
        face.ping()
        face.reconnect()
        assert (face.refresh(), face.trust()) == (["lend"], [])
        face.listen(print)()

    async with asyncio.timeout(10):
        await asyncio.to_thread(work)
    assert [r["method"] for r in await seen(server)].count("tools/list") == 1
