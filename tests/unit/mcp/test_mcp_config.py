import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from mbxai._redaction import redact
from mbxai.errors import ConfigurationError
from mbxai.mcp._config import load_servers, read_servers
from mbxai.mcp._config_entry import ConfiguredServer
from mbxai.mcp._config_text import ConfigInput, parse_jsonc


def one(fields: dict[str, Any], **more: Any) -> ConfiguredServer:
    return read_servers({"mcpServers": {"files": fields}}, **more)["files"]


def problem(fields: Any, **more: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_servers({"mcpServers": {"files": fields}}, **{"variables": {}, **more})
    return str(caught.value)


def test_a_command_is_read_word_by_word() -> None:
    server = one(
        {
            "command": "npx",
            "args": ["-y", "@scope/server"],
            "env": {"LEVEL": 3, "UNSET": None},
            "cwd": "/work",
            "timeout": 5,
        }
    )
    assert server == ConfiguredServer(
        name="files",
        command=("npx", "-y", "@scope/server"),
        env={"LEVEL": "3"},
        cwd="/work",
        timeout=5.0,
    )


def test_a_command_may_be_a_list() -> None:
    assert one({"command": ["npx", "-y"], "args": ["x"]}).command == ("npx", "-y", "x")


@pytest.mark.parametrize(
    ("fields", "transport"),
    [
        ({"url": "http://h/x"}, "auto"),
        ({"type": "http", "url": "http://h/x"}, "http"),
        ({"type": "streamable-http", "url": "http://h/x"}, "http"),
        ({"transport": "streamableHttp", "url": "http://h/x"}, "http"),
        ({"type": "sse", "url": "http://h/x"}, "sse"),
        ({"httpUrl": "http://h/x"}, "http"),
        ({"serverUrl": "http://h/x"}, "auto"),
    ],
)
def test_a_url_is_read_with_its_transport(fields: dict[str, Any], transport: str) -> None:
    server = one({**fields, "headers": {"X-Team": "a"}})
    assert (server.base_url, server.transport) == ("http://h/x", transport)
    assert server.headers == {"X-Team": "a"}


@pytest.mark.parametrize(
    "data",
    [
        {"mcpServers": {"files": {"command": "x"}}},
        {"servers": {"files": {"type": "stdio", "command": "x"}}, "inputs": []},
        {"mcp": {"servers": {"files": {"command": "x"}}}, "editor.fontSize": 9},
        {"files": {"command": "x"}},
    ],
)
def test_the_files_of_every_program_are_understood(data: dict[str, Any]) -> None:
    assert [server.command for server in read_servers(data).values()] == [("x",)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${NAME}", "bo"),
        ("a-${env:NAME}-b", "a-bo-b"),
        ("${MISSING:-x y}", "x y"),
        ("${EMPTY:-full}", "full"),
        ("${EMPTY}", ""),
        ("${env:MISSING:-}", ""),
        ("$${NAME}", "${NAME}"),
        ("$NAME and 5$$", "$NAME and 5$$"),
    ],
)
def test_variables_stand_for_their_values(text: str, value: str) -> None:
    fields = {"command": "run", "args": [text], "env": {"A": text}, "cwd": text}
    server = one(fields, variables={"NAME": "bo", "EMPTY": ""})
    assert (server.command, server.env, server.cwd) == (("run", value), {"A": value}, value)


def test_variables_are_replaced_in_urls_and_headers() -> None:
    server = one(
        {"url": "https://${HOST}/mcp", "headers": {"X": "${HOST}"}}, variables={"HOST": "h"}
    )
    assert (server.base_url, server.headers) == ("https://h/mcp", {"X": "h"})


def test_the_environment_is_read_when_nothing_else_is_given() -> None:
    assert one({"command": "${PATH}"}).command == (os.environ["PATH"],)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"command": "x", "env": {"GH": "${GH_TOKEN}"}},
            ["server 'files', env.GH: the variable GH_TOKEN is not set", "${GH_TOKEN:-a default}"],
        ),
        ({"command": "x", "args": ["a", "${NO}"]}, ["args[1]: the variable NO is not set"]),
        ({"url": "http://${NO}"}, ["url: the variable NO is not set"]),
        ({"url": "u", "headers": {"A": "${command:x}"}}, ["headers.A: '${command:x}' is not"]),
        ({"command": "x", "cwd": "${workspaceFolder}"}, ["variable workspaceFolder is not set"]),
        ({"command": "x", "env": {"A": "${input:key}"}}, ["env.A: there is no answer", "'key'"]),
        ({"command": "python server.py"}, ['"command" must be one program', 'Put them in "args"']),
        ({"command": ""}, ['"command" is empty']),
        ({"command": 7}, ['"command" must be a text, not a number']),
        ({"command": "x", "args": "-y"}, ['"args" must be a list of texts, not a text']),
        ({"command": "x", "args": [1]}, ['"args" must be a list of texts', "quotation marks"]),
        ({"command": "x", "env": ["A=1"]}, ['"env" must be an object, not a list']),
        ({"command": "x", "env": {"A": True}}, ['"env.A" must be a text']),
        ({"url": "u", "headers": {"A": "x\ny"}}, ['"headers.A" cannot be put into a header']),
        ({}, ["needs a command or a URL", '"command" and "args"']),
        ({"url": "u", "command": "x"}, ["has both a command and a URL"]),
        ({"type": "stdio", "url": "u"}, ['"type" is stdio, which needs a "command"']),
        ({"type": "sse", "command": "x"}, ['"type" is sse, which needs a "url"']),
        ({"type": "ws", "url": "u"}, ['"type" must be stdio, http, streamable-http or sse']),
        ({"command": True}, ['"command" must be a text, not true or false']),
        ({"command": "x", "timeout": 0}, ['"timeout" must be a number of seconds above 0']),
        ({"command": "x", "timeout": "1s"}, ['"timeout" must be a number of seconds']),
        ({"command": "x", "disabled": "no"}, ['"disabled" must be true or false, not a text']),
        ("npx", ["server 'files': it must be an object, not a text"]),
        (None, ["it must be an object, not null"]),
    ],
)
def test_what_is_wrong_is_said_with_server_and_key(fields: Any, words: list[str]) -> None:
    message = problem(fields, where="mcp.json")
    assert message.startswith("mcp.json: server 'files'")
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "must be an object, not a list"),
        ({}, 'names no servers; expected "mcpServers" or "servers"'),
        ({"tools": {"a": 1}}, "names no servers"),
        ({"tools": 1}, "names no servers"),
        ({"mcpServers": []}, '"mcpServers" must be an object of servers, not a list'),
        ({"mcpServers": {" ": {"command": "x"}}}, "a server needs a name"),
        ({"servers": {}, "inputs": [{}]}, '"inputs" must be a list of objects with an "id"'),
        (
            {"mcpServers": {"a": {"command": "x"}}, "servers": {"a": {"command": "x"}}},
            "there are two servers 'a'",
        ),
    ],
)
def test_a_file_that_is_none_says_what_was_expected(data: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^mcp\.json: ") as caught:
        read_servers(data, where="mcp.json")
    assert words in str(caught.value)


def test_no_message_holds_a_value() -> None:
    message = problem(
        {"command": "x", "env": {"A": "hunter2-${NO}"}, "args": ["hunter3"]}, variables={}
    )
    assert "hunter" not in message
    assert "hunter" not in repr(one({"command": "x", "args": ["hunter"], "env": {"A": "hunter"}}))


def test_values_of_credentials_are_secret_from_then_on() -> None:
    variables = {"A": "from-a-header-1", "B_TOKEN": "from-an-argument-2", "C": "no-secret-3"}
    one({"url": "https://h", "headers": {"Authorization": "Bearer ${A}"}}, variables=variables)
    one({"command": "x", "args": ["--t=${B_TOKEN}", "${C}"]}, variables=variables)
    one(
        {"command": "x", "env": {"API_KEY": "${input:k}"}},
        inputs={"k": "from-an-input-4"},
    )
    text = "from-a-header-1 from-an-argument-2 no-secret-3 from-an-input-4"
    assert redact(text) == "[redacted] [redacted] no-secret-3 [redacted]"


def test_a_directory_is_no_credential() -> None:
    one({"command": "x", "env": {"KEY_FILE": "${WHERE}/k"}}, variables={"WHERE": "/some/dir"})
    assert redact("/some/dir") == "/some/dir"


def test_inputs_are_answered_by_a_mapping() -> None:
    data = {
        "inputs": [{"type": "promptString", "id": "key"}, {"id": "zone", "default": "eu"}],
        "servers": {"a": {"url": "https://${input:zone}", "headers": {"K": "${input:key}"}}},
    }
    server = read_servers(data, inputs={"key": "k"})["a"]
    assert (server.base_url, server.headers) == ("https://eu", {"K": "k"})


def test_a_function_is_asked_once_for_each_input_that_is_used() -> None:
    asked: list[ConfigInput] = []

    def ask(question: ConfigInput) -> str:
        asked.append(question)
        return "answer"

    data = {
        "inputs": [
            {"id": "a", "description": "Key of A", "password": True, "options": ["x", 1]},
            {"id": "b"},
        ],
        "servers": {
            "one": {"command": "x", "args": ["${input:a}", "${input:a}"]},
            "two": {"command": "x", "args": ["${input:b}"], "disabled": True},
        },
    }
    servers = read_servers(data, inputs=ask)
    assert list(servers) == ["one"]
    assert servers["one"].command == ("x", "answer", "answer")
    assert asked == [
        ConfigInput(id="a", description="Key of A", is_secret=True, options=("x", "1"))
    ]


@pytest.mark.parametrize("fields", [{"disabled": True}, {"enabled": False}])
def test_disabled_servers_are_left_out_unread(fields: dict[str, Any]) -> None:
    data = {"servers": {"a": {"command": "${NO}", **fields}, "b": {"command": "x"}}}
    assert list(read_servers(data, variables={})) == ["b"]


def test_only_the_wanted_servers_are_read() -> None:
    data = {"servers": {"files": {"command": "${NO}"}, "git": {"command": "x"}}}
    assert list(read_servers(data, only=["git"], variables={})) == ["git"]
    with pytest.raises(ConfigurationError, match="no server 'fils'") as caught:
        read_servers(data, only=["fils"])
    assert "Did you mean 'files'?" in str(caught.value)
    with pytest.raises(ConfigurationError, match="It has files, git"):
        read_servers(data, only=["zzz"])
    with pytest.raises(ConfigurationError, match="only must be a list"):
        read_servers(data, only="git")


def test_tools_are_allowed_and_excluded() -> None:
    server = one(
        {"command": "x", "allowedTools": ["read_*"], "includeTools": ["ls"], "disabledTools": ["a"]}
    )
    assert server.options == {"tools": ["read_*", "ls"], "exclude_tools": ["a"]}
    assert one({"command": "x", "includeTools": []}).options == {"tools": []}
    assert one({"command": "x"}).options == {}


def test_what_is_ignored_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mbxai"):
        one({"command": "x", "alwaysAllow": ["rm"], "colour": "red", "headers": {"A": "b"}})
        one({"url": "http://h", "env": {"A": "b"}, "timeout": 60_000})
    assert [record.getMessage().partition("'files': ")[2] for record in caplog.records] == [
        "unknown keys are ignored: colour",
        "alwaysAllow is ignored; approval is decided by requires_approval",
        "headers is ignored without a URL",
        "timeout is 60000 seconds; perhaps milliseconds were meant",
        "env is ignored without a command",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, // one\n "b": [1, 2,],\n}', {"a": 1, "b": [1, 2]}),
        ('/* all */ {"a": "x // y /* z */", "b": "\\",]"}', {"a": "x // y /* z */", "b": '",]'}),
        ('{"a": "b,}" /* no */ , }', {"a": "b,}"}),
        ('{"u": "http://h/x"}', {"u": "http://h/x"}),
    ],
)
def test_comments_and_last_commas_are_skipped_outside_of_texts(text: str, value: object) -> None:
    assert parse_jsonc(text, "x") == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,\n /* two\n lines */ "b" 2}', "at line 3, column"),
        ("", "at line 1, column 1"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("[" * 100_000, "nested too deep"),
        ("9" * 10_000, "a number too long"),
        ('{"key": "hunter2', "at line 1, column"),
    ],
)
def test_text_that_is_no_json_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^mcp\.json: ") as caught:
        parse_jsonc(text, "mcp.json")
    assert words in str(caught.value)
    assert "hunter" not in str(caught.value)


async def test_a_file_knows_its_folder(tmp_path: Path) -> None:
    file = tmp_path / ".vscode" / "mcp.json"
    file.parent.mkdir()
    server = {"command": "run", "args": ["${workspaceFolder}", "${workspaceFolderBasename}${/}"]}
    file.write_text("\ufeff// mine\n" + json.dumps({"servers": {"a": server}}), "utf-8")
    servers = await load_servers(file)
    assert servers["a"].command == ("run", str(tmp_path), f"{tmp_path.name}{os.sep}")
    assert await load_servers(str(file)) == servers


async def test_a_parsed_configuration_needs_no_file() -> None:
    servers = await load_servers({"mcpServers": {"a": {"command": "${userHome}"}}})
    assert servers["a"].command == (str(Path.home()),)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no such file"), (b"\xff\xfe{", "not in UTF-8"), (b"x" * 5_000_000, "4 MiB")],
)
async def test_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "mcp.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        await load_servers(file)


@pytest.mark.parametrize(("source", "words"), [(7, "not int"), ("a\0b", "it is no path")])
async def test_what_is_no_path_is_refused(source: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await load_servers(source)


async def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await load_servers(tmp_path)
