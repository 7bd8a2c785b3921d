"""What users and servers get wrong: commands, files, names, addresses, answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.mcp_http_fault_server import answering, site
from support.mcp_model import NoModel
from support.mcp_processes import children
from support.mcp_reach_faults import BOUND, call, command, is_call, reach, seen

from mbxai.errors import ConfigurationError, MCPConnectionError, MCPError
from mbxai.mcp import AsyncMCPClient

HUNDRED_MB = 100_000_000


@pytest.fixture
async def client() -> AsyncIterator[AsyncMCPClient]:
    before = children()
    async with AsyncMCPClient(NoModel()) as opened:
        yield opened
    assert children() <= before, "a child process was left behind"


def listing(*tools: Any) -> str:
    """The word for a server that lists these tools."""
    return f"tools={json.dumps(tools)}"


# A command as one string


@pytest.mark.parametrize("words", ["python server.py", b"python", "", [], [""], ["a", 7], None])
async def test_a_command_that_is_no_list_of_words_is_said_to_be_wrong(
    client: AsyncMCPClient, words: Any
) -> None:
    with pytest.raises(ConfigurationError, match="'s'"):
        await client.register_mcp_server("s", command=words)
    assert client.tool_infos() == []


async def test_a_command_with_its_arguments_in_one_string_of_a_file_is_explained(
    client: AsyncMCPClient,
) -> None:
    config = {"mcpServers": {"s": {"command": "python server.py"}}}
    with pytest.raises(ConfigurationError, match=r"'s'.*command.*args"):
        await client.register_mcp_servers(config)


# Files


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("env", {"command": "python", "env": {"KEY": "${NO_SUCH_VARIABLE}"}}),
        ("args", {"command": "python", "args": ["-c", "${NO_SUCH_VARIABLE}"]}),
        ("command", {"command": "${NO_SUCH_VARIABLE}"}),
        ("url", {"url": "http://127.0.0.1:1/${NO_SUCH_VARIABLE}"}),
        ("headers", {"url": "http://127.0.0.1:1", "headers": {"X": "Bearer ${NO_SUCH_VARIABLE}"}}),
    ],
    ids=["env", "args", "command", "url", "headers"],
)
async def test_an_unknown_variable_in_a_file_is_named_with_its_server_and_key(
    client: AsyncMCPClient, tmp_path: Path, key: str, entry: dict[str, Any]
) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"shop": entry}}))
    with pytest.raises(ConfigurationError) as caught:
        await client.register_mcp_servers(file, variables={})
    for word in ("shop", key, "NO_SUCH_VARIABLE"):
        assert word in str(caught.value)
    assert client.servers() == {}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"mcpServers": []}', '{"mcpServers": {"s": 7}}', "\x00"],
)
async def test_a_file_that_says_no_servers_is_a_configuration_error(
    client: AsyncMCPClient, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"mcp\.json"):
        await client.register_mcp_servers(file)


async def test_a_file_that_is_not_there_is_a_configuration_error(
    client: AsyncMCPClient, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.json"):
        await client.register_mcp_servers(tmp_path / "nothing.json")


# Two servers of one name


async def test_the_same_server_registered_again_is_replaced(client: AsyncMCPClient) -> None:
    before = children()
    first = await client.register_mcp_server("s", command=command())
    assert await client.register_mcp_server("s", command=command()) == first
    assert len(children() - before) == 1
    assert await call(client, "good") == ('{"tool": "good"}', False)


async def test_another_server_of_the_same_name_must_be_meant(client: AsyncMCPClient) -> None:
    await client.register_mcp_server("s", command=command())
    with pytest.raises(ConfigurationError, match=r"'s'.*replace"):
        await client.register_mcp_server("s", command=command("only"))
    assert await call(client, "good") == ('{"tool": "good"}', False)
    names = await client.register_mcp_server("s", command=command("only"), replace=True)
    assert names == ["seen"]
    assert [info.name for info in client.tool_infos()] == ["seen"]


# A URL that is no MCP server


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("200 OK", "text/html", b"<html><title>Shop</title></html>"), ("200", "text/html")),
        (("200 OK", "application/json", b'{"hello": "world"}'), ("200",)),
        (("200 OK", "application/json", b"<html>"), ("200",)),
        (("204 No Content", "text/plain", b""), ("204",)),
        (("302 Found", "text/html", b"elsewhere"), ("302",)),
        (("404 Not Found", "text/html", b"nothing here"), ("404",)),
        (("502 Bad Gateway", "text/html", b"<html>bad</html>"), ("502",)),
    ],
    ids=lambda value: value[0][:3] if isinstance(value[0], str) and len(value) == 3 else "",
)
async def test_a_url_that_is_no_mcp_server_says_what_it_answered(
    client: AsyncMCPClient, answer: tuple[str, str, bytes], said: tuple[str, ...]
) -> None:
    async with site() as server:
        server.faults[""] = answer
        with pytest.raises(MCPConnectionError, match="could not be reached") as caught:
            await client.register_mcp_server("s", f"http://127.0.0.1:{server.port}")
    for word in said:
        assert word in str(caught.value)
    assert f"http://127.0.0.1:{server.port}/mcp" in str(caught.value), "what was tried"


async def test_a_server_of_another_protocol_is_a_typed_error(client: AsyncMCPClient) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP ready\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, asyncio.timeout(BOUND):
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(MCPConnectionError, match="could not be reached"):
            await client.register_mcp_server("s", f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://x", "http://", "", "http://[::1", "mcp", ["python", "s.py"], 8000],
)
async def test_what_is_no_url_is_a_configuration_error(client: AsyncMCPClient, url: str) -> None:
    with pytest.raises(ConfigurationError, match="URL"):
        await client.register_mcp_server("s", url)


# A server that lies about its schema


NO_SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"x": {"type": "nonsense"}}},
    {"type": "object", "properties": {"x": {"pattern": "("}}},
    {"type": "object", "properties": {"x": {"$ref": "#/$defs/missing"}}},
    {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:9/schema.json"}}},
    {"type": "object", "properties": {"x": {"$ref": "file:///etc/passwd"}}},
    {"type": "object", "properties": {"x": {"$ref": "#/properties/x"}}},
    {"type": "object", "required": "x"},
    {"type": "object", "properties": [1]},
]


async def test_a_schema_that_is_none_costs_neither_the_server_nor_the_client(
    client: AsyncMCPClient,
) -> None:
    liars = [{"name": f"liar{n}", "inputSchema": one} for n, one in enumerate(NO_SCHEMAS)]
    async with reach("stdio modern", listing(*liars)) as server:
        assert "good" in await client.register_mcp_server("s", **server.options)
        for liar in liars:
            result = await client.call_tool(str(liar["name"]), '{"x": 1}')
            assert result.content, liar  # a typed result, whatever it is
        assert await call(client, "good") == ('{"tool": "good"}', False)


@pytest.mark.parametrize("kind", ["stdio legacy", "stdio modern"])
async def test_a_server_that_refuses_what_its_schema_allows_is_an_error_for_the_model(
    client: AsyncMCPClient, kind: str
) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    async with reach(kind, listing({"name": "refuse", "inputSchema": schema})) as server:
        await client.register_mcp_server("s", **server.options)
        text, is_error = await call(client, "refuse", x=1)
        assert is_error
        assert "not today" in text
        text, is_error = await call(client, "refuse", x="one")
        assert is_error
        assert "Nothing was run" in text
        assert sum(map(is_call("refuse"), await seen(client))) == 1


# A server that answers garbage


@pytest.mark.parametrize("kind", ["stdio legacy", "stdio modern"])
async def test_lines_that_are_no_messages_are_passed_over(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind, "garbage") as server:
        await client.register_mcp_server("s", **server.options)
        assert await call(client, "good", x=1) == ('{"tool": "good", "x": 1}', False)


GARBAGE = [
    ("application/json", b"garbage"),
    ("application/json", b""),
    ("application/json", b'{"jsonrpc": "2.0"}'),
    ("application/json", b"[1, 2"),
    ("text/event-stream", b"data: garbage\n\n"),
    ("text/event-stream", b""),
    ("text/html", b"<html>"),
    ("application/octet-stream", b"\xff\xfe\x00"),
]


@pytest.mark.parametrize("kind", ["http legacy", "http modern"])
async def test_a_garbage_answer_to_a_call_is_a_typed_error_of_that_call_alone(
    client: AsyncMCPClient, kind: str
) -> None:
    async with reach(kind) as server:
        await client.register_mcp_server("s", **server.options)
        for media_type, body in GARBAGE:
            server.http.faults["tools/call"] = ("200 OK", media_type, body)
            text, is_error = await call(client, "good")
            assert is_error, body
            assert "MCP server 's'" in text, body
            assert "validation error" not in text, "the words of a library are no help"
            del server.http.faults["tools/call"]
            assert await call(client, "good") == ('{"tool": "good"}', False), body
        assert server.http.methods().count("initialize") == (kind == "http legacy")
        await client.aclose()


@pytest.mark.parametrize(
    "body",
    [
        {"jsonrpc": "2.0", "id": 10**9, "result": {}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": -1, "message": "what?"}},
        {"jsonrpc": "2.0", "id": 0, "result": "text"},
        {"jsonrpc": "2.0", "id": 0, "error": "text"},
    ],
    ids=["id", "null", "result", "error"],
)
async def test_an_answer_that_belongs_to_nothing_does_not_hang_the_call(
    client: AsyncMCPClient, body: dict[str, Any]
) -> None:
    async with reach("http modern") as server:
        late = {"good": {"timeout": 0.5}}
        await client.register_mcp_server("s", **server.options, tool_options=late)
        server.http.faults["tools/call"] = ("200 OK", "application/json", json.dumps(body).encode())
        text, is_error = await call(client, "good")
        assert is_error
        assert "MCP server 's'" in text
        await client.aclose()


# A server that never answers


async def test_a_url_that_never_answers_is_given_up_in_time(client: AsyncMCPClient) -> None:
    async with answering(None) as server, asyncio.timeout(BOUND):
        with pytest.raises(MCPConnectionError, match=r"within 0\.4 s"):
            await client.register_mcp_server(
                "s", f"http://127.0.0.1:{server.port}", connect_timeout=0.4
            )


async def test_a_list_that_never_comes_is_given_up_in_time(client: AsyncMCPClient) -> None:
    never = "hello\n"  # answers the handshake only
    program = (
        "import sys, json\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if m.get('method') == 'initialize':\n"
        "        r = {'protocolVersion': '2025-11-25', 'capabilities': {'tools': {}},"
        " 'serverInfo': {'name': 'n', 'version': '1'}}\n"
        "        print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': r}), flush=True)\n"
        f"print({never!r})\n"
    )
    words = [*command()[:3], "-c", program]
    async with asyncio.timeout(BOUND):
        with pytest.raises(MCPError, match=r"within 0\.4 s"):
            await client.register_mcp_server("s", command=words, timeout=0.4, mode="legacy")
    assert client.tool_infos() == []


# A server that sends 100 MB


@pytest.mark.parametrize(
    ("kind", "words"),
    [("stdio modern", ()), ("http legacy", ("sse",))],
    ids=["stdio", "events"],
)
async def test_an_answer_of_100_mb_is_a_typed_error_and_the_server_stays_usable(
    client: AsyncMCPClient, kind: str, words: tuple[str, ...]
) -> None:
    async with reach(kind, *words) as server:
        await client.register_mcp_server("s", **server.options)
        text, is_error = await call(client, "large", bytes=HUNDRED_MB)
        assert is_error
        assert "MCP server 's'" in text
        assert "67108864" in text or "64 MiB" in text or "67.1 MB" in text, "the limit is said"
        assert len(text) < 1_000
        assert await call(client, "good") == ('{"tool": "good"}', False)
        await client.aclose()
