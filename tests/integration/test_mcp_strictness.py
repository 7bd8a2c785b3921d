"""Servers that do not keep to the protocol: what mcp's own client refuses, and what comes of it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.mcp_model import NoModel
from support.mcp_processes import children
from support.mcp_reach_faults import call, is_call, reach, seen

from mbxai.mcp import AsyncMCPClient

ERAS = ["stdio legacy", "stdio modern"]
OUTPUT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
async def client() -> AsyncIterator[AsyncMCPClient]:
    before = children()
    async with AsyncMCPClient(NoModel()) as opened:
        yield opened
    assert children() <= before, "a child process was left behind"


def answering(result: dict[str, Any]) -> str:
    """The word for a server whose `good` gives this result."""
    return f"result={json.dumps(result)}"


def listing(*tools: Any) -> str:
    """The word for a server that lists these tools."""
    return f"tools={json.dumps(tools)}"


BAD_TOOLS: list[Any] = [
    {"name": "bad"},
    {"name": "bad", "inputSchema": {"type": "string"}},
    {"name": "bad", "inputSchema": "none"},
    {"name": "bad", "inputSchema": None},
    {"inputSchema": {"type": "object"}},
    {"name": 7, "inputSchema": {"type": "object"}},
    {"name": "bad", "inputSchema": {"type": "object"}, "annotations": "harmless"},
    {"name": "", "inputSchema": {"type": "object"}},
    7,
    None,
    [],
]


@pytest.mark.parametrize("kind", ERAS)
async def test_strict_malformed_tools_do_not_lose_the_others(
    client: AsyncMCPClient, kind: str
) -> None:
    good = {"name": "fine", "inputSchema": {"type": "object"}}
    async with reach(kind, "only", listing(*BAD_TOOLS, good, *BAD_TOOLS)) as server:
        names = await client.register_mcp_server("s", **server.options)
        assert {"fine", "seen"} <= set(names) <= {"fine", "seen", "bad"}
        assert await call(client, "fine", x=1) == ('{"tool": "fine", "x": 1}', False)


@pytest.mark.parametrize("kind", ERAS)
async def test_strict_a_list_of_nothing_but_malformed_tools_is_no_error(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind, f"list={json.dumps({'tools': [7, {'name': 'x'}]})}") as server:
        assert set(await client.register_mcp_server("s", **server.options)) <= {"x"}


TEXT = {"type": "text", "text": "kept"}
MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"content": [{"type": "hologram", "depth": 3}]}, "hologram"),
    ({"content": [{"type": "text", "text": None}, TEXT]}, "kept"),
    ({"content": ["plain", TEXT]}, "plain"),
    ({"content": "just a text"}, "just a text"),
    ({"content": [7, None, [], TEXT]}, "kept"),
    ({"structuredContent": {"n": 1}}, '"n"'),
    ({"content": [], "structuredContent": [1, 2]}, "1,2"),
    ({"content": [TEXT], "isError": "perhaps"}, "kept"),
    ({"content": [TEXT], "_meta": "none"}, "kept"),
    ({"content": [{"type": "image", "data": 7, "mimeType": "image/png"}]}, "image"),
    ({}, "no content"),
]


@pytest.mark.parametrize("kind", ERAS)
async def test_strict_malformed_results_still_reach_the_model(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        for result, told in MALFORMED:
            text, is_error = await call(client, "say", result=result)
            assert told in text.replace(", ", ","), result
            assert "isError" in result or not is_error, result
        times = sum(map(is_call("say"), await seen(client)))
        assert times == len(MALFORMED), "a call that had run ran again"


@pytest.mark.parametrize("words", [("no-type",), ("no-discover-type",)])
@pytest.mark.parametrize("kind", ["stdio modern", "http modern"])
async def test_strict_results_that_do_not_say_their_type_count_as_complete(
    client: AsyncMCPClient, kind: str, words: tuple[str, ...]
) -> None:
    async with reach(kind, *words) as server:
        assert "good" in await client.register_mcp_server("s", **server.options)
        assert await call(client, "good") == ('{"tool": "good"}', False)
        await client.aclose()


@pytest.mark.parametrize("kind", ERAS)
@pytest.mark.parametrize("structured", [{"n": "many"}, {}, None], ids=["wrong", "empty", "missing"])
async def test_strict_a_result_against_its_schema_keeps_its_content_and_gets_a_note(
    client: AsyncMCPClient, kind: str, structured: dict[str, Any] | None
) -> None:
    declared = {"name": "good", "inputSchema": {"type": "object"}, "outputSchema": OUTPUT}
    result: dict[str, Any] = {"content": [{"type": "text", "text": "kept"}]}
    result |= {} if structured is None else {"structuredContent": structured}
    async with reach(kind, "only", listing(declared), answering(result)) as server:
        await client.register_mcp_server("s", **server.options)
        text, is_error = await call(client, "good")
        assert not is_error
        assert "kept" in text or structured is not None
        assert "does not fit" in text


@pytest.mark.parametrize("kind", ERAS)
async def test_strict_a_result_that_keeps_its_schema_gets_no_note(
    client: AsyncMCPClient, kind: str
) -> None:
    declared = {"name": "good", "inputSchema": {"type": "object"}, "outputSchema": OUTPUT}
    result = {"content": [{"type": "text", "text": '{"n": 3}'}], "structuredContent": {"n": 3}}
    async with reach(kind, "only", listing(declared), answering(result)) as server:
        await client.register_mcp_server("s", **server.options)
        answer = await client.call_tool("good", "{}")
        assert answer.value == {"n": 3}
        assert "note" not in answer.content


@pytest.mark.parametrize("kind", ["stdio modern", "http legacy"])
async def test_strict_a_call_is_no_reason_to_list_the_tools_again(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        for _ in range(3):
            await call(client, "good")
        lists = [m for m in await seen(client) if m.get("method") == "tools/list"]
        assert len(lists) == 1
        await client.aclose()


async def test_strict_a_list_that_has_become_invalid_loses_no_result(
    client: AsyncMCPClient,
) -> None:
    async with reach("http modern") as server:
        await client.register_mcp_server("s", **server.options)
        server.http.kill()
        server.http.words.append('list={"tools": "none"}')
        await server.http.start()
        assert await call(client, "good") == ('{"tool": "good"}', False)
        await client.aclose()


@pytest.mark.parametrize("kind", ERAS)
@pytest.mark.parametrize("cursor", ["again", "new"])
async def test_strict_a_list_without_end_is_read_for_a_while(
    client: AsyncMCPClient, kind: str, cursor: str
) -> None:
    async with reach(kind, f"cursor={cursor}") as server:
        assert "good" in await client.register_mcp_server("s", **server.options)
        lists = [m for m in await seen(client) if m.get("method") == "tools/list"]
        assert 1 <= len(lists) <= 1000


@pytest.mark.parametrize("kind", ERAS)
async def test_strict_a_name_that_is_listed_twice_is_one_tool(
    client: AsyncMCPClient, kind: str
) -> None:
    first, second = ({"name": "twin", "inputSchema": {"type": "object"}} for _ in range(2))
    async with reach(kind, "only", listing(first, {**second, "description": "Other."})) as server:
        assert sorted(await client.register_mcp_server("s", **server.options)) == ["seen", "twin"]
        assert await call(client, "twin") == ('{"tool": "twin"}', False)


@pytest.mark.parametrize("kind", ERAS)
async def test_strict_names_that_no_model_may_use_are_changed_and_still_work(
    client: AsyncMCPClient, kind: str
) -> None:
    odd = ["a.b", "a b", "é", "a/b", "n" * 128]
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in odd]
    async with reach(kind, "only", listing(*tools)) as server:
        names = await client.register_mcp_server("s", **server.options)
        assert len(set(names)) == len(odd) + 1
        answers = [json.loads((await call(client, name))[0]) for name in names if name != "seen"]
        assert sorted(answer["tool"] for answer in answers) == sorted(odd)
        assert all(len(name) <= 64 and name.replace("_", "a").isalnum() for name in names)


async def test_strict_a_version_that_nobody_knows_is_a_typed_error(client: AsyncMCPClient) -> None:
    from mbxai.errors import MCPError

    async with reach("stdio legacy", "version=1999-01-01") as server:
        with pytest.raises(MCPError, match="1999-01-01"):
            await client.register_mcp_server("s", **server.options)


@pytest.mark.parametrize("kind", ["stdio legacy", "stdio modern"])
@pytest.mark.parametrize("flag", [1, "true"])
async def test_strict_an_error_that_is_flagged_in_another_way_is_an_error(
    client: AsyncMCPClient, kind: str, flag: object
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        text = {"type": "text", "text": "no such city"}
        answer = await call(client, "say", result={"content": [text], "isError": flag})
        assert answer == ("no such city", True)
