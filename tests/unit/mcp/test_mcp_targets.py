from typing import Any

import pytest

from mbxai._redaction import redact
from mbxai.errors import ConfigurationError
from mbxai.mcp.connection._targets import ServerTarget, endpoints, read_target


def target(base_url: str | None = None, **given: Any) -> ServerTarget:
    settings: dict[str, Any] = {
        "command": None,
        "env": None,
        "cwd": None,
        "headers": None,
        "token": None,
        "timeout": 60.0,
        "connect_timeout": 30.0,
        "mode": "auto",
    }
    return read_target(given.pop("name", "files"), base_url, **{**settings, **given})


def test_a_url_without_a_path_is_tried_in_three_ways() -> None:
    ways = endpoints(target("http://localhost:8000"))
    assert [(way.kind, way.url) for way in ways] == [
        ("http", "http://localhost:8000"),
        ("http", "http://localhost:8000/mcp"),
        ("sse", "http://localhost:8000/sse"),
    ]


def test_a_url_with_a_path_is_taken_as_it_is() -> None:
    ways = endpoints(target("http://localhost:8000/v1/mcp"))
    assert [(way.kind, way.url) for way in ways] == [
        ("http", "http://localhost:8000/v1/mcp"),
        ("sse", "http://localhost:8000/v1/mcp"),
    ]


def test_a_url_that_ends_in_sse_is_tried_as_such_first() -> None:
    assert endpoints(target("http://localhost:8000/sse"))[0].kind == "sse"


def test_a_command_is_started_again_in_the_older_way() -> None:
    assert [way.mode for way in endpoints(target(command=["server"]))] == ["auto", "legacy"]
    assert [way.mode for way in endpoints(target(command=["server"], mode="legacy"))] == ["legacy"]


def test_a_way_is_named_without_password_and_query() -> None:
    way = endpoints(target("https://user:hunter22@host/mcp?key=abcdefgh"))[0]
    assert way.label == "streamable HTTP https://host/mcp"
    assert "hunter22" not in redact("the password is hunter22")


def test_a_token_becomes_a_header_and_is_not_shown() -> None:
    made = target("http://localhost", token="tok-123456", headers={"X-Team": "a"})
    assert made.headers == {"X-Team": "a", "Authorization": "Bearer tok-123456"}
    assert "tok-123456" not in repr(made)
    assert "tok-123456" not in redact("it said tok-123456")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "either a URL or a command"),
        ({"base_url": "http://h", "command": ["x"]}, "either a URL or a command"),
        ({"command": "python server.py"}, "not one string"),
        ({"command": []}, "sequence of words"),
        ({"command": ["python", 3]}, "sequence of words"),
        ({"base_url": "localhost:8000"}, "http://"),
        ({"base_url": "ftp://host"}, "http://"),
        ({"base_url": "http://host:port"}, "http://"),
        ({"base_url": "http://h", "env": {"A": "b"}}, "env and cwd"),
        ({"command": ["x"], "token": "t"}, "headers and token"),
        ({"base_url": "http://h", "token": "a\nb"}, "token"),
        ({"base_url": "http://h", "token": "t", "headers": {"authorization": "x"}}, "token or"),
        ({"base_url": "http://h", "timeout": 0}, "timeout"),
        ({"base_url": "http://h", "connect_timeout": -1}, "timeout"),
        ({"base_url": "http://h", "mode": "newest"}, "mode"),
        ({"base_url": "http://h", "name": " "}, "name"),
        ({"base_url": "http://h", "transport": "websocket"}, "transport must be one of"),
        ({"base_url": "http://h", "token": "t", "auth": object()}, "token or auth"),
        ({"command": ["x"], "transport": "sse"}, "auth and transport"),
        ({"command": ["x"], "auth": object()}, "auth and transport"),
        ({"server": "my server"}, "must be an MCPServer, not str"),
        ({"server": object(), "command": ["x"]}, "either a URL or a command"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_opened(
    given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        target(**given)


@pytest.mark.parametrize(
    ("transport", "kinds"),
    [("http", ["http", "http"]), ("sse", ["sse", "sse"]), ("auto", ["http", "http", "sse"])],
)
def test_the_transport_says_which_ways_are_tried(transport: str, kinds: list[str]) -> None:
    ways = endpoints(target("http://localhost:8000", transport=transport))
    assert [way.kind for way in ways] == kinds


def test_a_pinned_version_is_spoken_and_nothing_else() -> None:
    ways = endpoints(target(command=["server"], mode="2026-07-28"))
    assert [way.mode for way in ways] == ["2026-07-28"]


def test_an_object_is_a_server_of_this_process() -> None:
    class Server:
        def create_initialization_options(self) -> None: ...

    ways = endpoints(target(server=Server()))
    assert [(way.kind, way.label) for way in ways] == [("memory", "in-process Server")]


@pytest.mark.parametrize("name", ["local", " Local"])
def test_a_server_is_not_called_what_our_own_tools_are(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be called"):
        target(name=name, command=["server"])


def test_keys_in_the_query_of_a_url_are_shown_nowhere() -> None:
    made = target("https://example.com/mcp?tavilyApiKey=SECRET42&project=0123456789abcdef&lang=en")
    assert "SECRET42" not in repr(made)
    shown = redact("to ?tavilyApiKey=SECRET42&project=0123456789abcdef&lang=en")
    assert shown == "to ?tavilyApiKey=[redacted]&project=[redacted]&lang=en"


def test_a_key_in_a_url_is_known_however_it_is_written() -> None:
    target("https://example.com/mcp?my_key=qux%2Fquux%3D%3D7")
    assert "quux" not in redact("key qux%2Fquux%3D%3D7, or qux/quux==7")
