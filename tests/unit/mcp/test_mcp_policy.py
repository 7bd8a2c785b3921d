"""What holds for a server's tools: checked when it is said, and what follows from it."""

from typing import Any

import pytest

from mbxai.errors import ConfigurationError
from mbxai.mcp._options import ServerOptions
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.registry._filters import is_chosen, matches_any, matching, unmatched
from mbxai.mcp.registry._policy import OPTION_NAMES, ServerPolicy, is_alike, read_policy
from mbxai.wire import ToolInfo

READ_ONLY = {"readOnlyHint": True}


def info(name: str, description: str = "") -> ToolInfo:
    return ToolInfo(name=name, description=description, parameters={}, source="s")


def test_all_options_are_known_here() -> None:
    assert set(OPTION_NAMES) == set(ServerOptions.__annotations__)


def test_nothing_said_means_all_tools_once_without_approval_and_a_warning_for_changes() -> None:
    policy = read_policy("s", {})
    assert policy == ServerPolicy()
    assert (policy.tools, policy.pin, policy.prefix) == (None, "warn", False)
    assert policy.options_for("a", READ_ONLY)["effect"] == "once"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tool": ["a"]}, "Did you mean 'tools'"),
        ({"zzz": 1}, "There are"),
        ({"tools": "read_*"}, "tools must be a list"),
        ({"tools": [1]}, "tools must be a list"),
        ({"exclude_tools": "a"}, "exclude_tools must be a list"),
        ({"prefix": 1}, "prefix must be"),
        ({"pin": "strict"}, "pin must be"),
        ({"trust_annotations": "yes"}, "trust_annotations must be True or False"),
        ({"max_concurrent_calls": 0}, "max_concurrent_calls must be at least 1"),
        ({"max_concurrent_calls": True}, "max_concurrent_calls must be at least 1"),
        ({"max_result_bytes": 0}, "max_result_bytes must be at least 1"),
        ({"requires_approval": "yes"}, "requires_approval must be"),
        ({"tool_options": ["a"]}, "tool_options must map"),
        ({"tool_options": {"a": 1}}, r"tool_options\['a'\] must be a mapping"),
        ({"tool_options": {"a": {"retires": 1}}}, "Did you mean 'retries'"),
        ({"tool_options": {"a": {"timeout": -1}}}, "'a': timeout must be more than 0"),
        ({"tool_options": {"a": {"name": "b"}}}, "its name"),
    ],
)
def test_what_cannot_be_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_policy("files", options)
    assert "'files'" in str(caught.value)


def test_a_coroutine_function_cannot_choose_tools() -> None:
    async def choose(tool: ToolInfo) -> bool:
        return True

    with pytest.raises(ConfigurationError, match="coroutine"):
        read_policy("s", {"tools": choose})


def test_options_of_a_tool_win_over_those_of_a_pattern_and_of_the_server() -> None:
    policy = read_policy(
        "s",
        {
            "requires_approval": True,
            "max_result_bytes": 10,
            "trust_annotations": True,
            "tool_options": {
                "read_file": {"timeout": 1.0},
                "read_*": {"timeout": 9.0, "requires_approval": False, "effect": "idempotent"},
            },
        },
    )
    assert policy.options_for("read_file", READ_ONLY) == {
        "requires_approval": False,
        "max_result_bytes": 10,
        "effect": "idempotent",
        "timeout": 1.0,
    }
    assert policy.options_for("delete", {})["requires_approval"] is True


@pytest.mark.parametrize(
    ("annotations", "effect"),
    [
        (READ_ONLY, "read"),
        ({"idempotentHint": True}, "idempotent"),
        ({"idempotentHint": "yes", "readOnlyHint": 1}, "once"),
        ({"destructiveHint": False}, "once"),
    ],
)
def test_annotations_decide_the_effect_of_a_trusted_server_and_never_the_approval(
    annotations: dict[str, Any], effect: str
) -> None:
    policy = read_policy("s", {"trust_annotations": True, "requires_approval": True})
    options = policy.options_for("a", annotations)
    assert options["effect"] == effect
    assert options["requires_approval"] is True


def test_tools_are_chosen_by_name_pattern_or_function() -> None:
    assert is_chosen(info("read_file"), ["read_*"])
    assert is_chosen(info("a[1]"), ["a[1]"])
    assert not is_chosen(info("Read_file"), ["read_*"])
    assert is_chosen(info("x", "Reads."), lambda tool: "Reads" in tool.description)
    assert not is_chosen(info("x"), [])
    assert is_chosen(info("x"), None)


@pytest.mark.parametrize("name", ["delete_file\u200b", "del\u2060ete_file", "delete.file"])
def test_a_rule_holds_however_a_name_is_written(name: str) -> None:
    assert matches_any(name, ["delete_file"])
    assert matches_any(name, ["*_file"])
    assert matching({"delete_file": 1, "*": 0}, name) == [0, 1]
    assert unmatched(["delete_file"], [name]) == []
    assert is_chosen(info(name), ["delete_file"])


def test_of_several_rules_the_one_for_the_servers_own_name_wins() -> None:
    assert matching({"a.b": 3, "a_b": 2, "a?b": 1}, "a.b") == [1, 2, 3]
    assert not matches_any("a_b", ["a.b"])


def test_a_choice_that_fails_chooses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert not is_chosen(info("x"), lambda tool: 1 / 0 > 1)
    assert "tools= of MCP server s failed for tool 'x'" in caplog.text


def test_names_that_no_tool_has_are_found_and_patterns_are_not() -> None:
    assert unmatched(["read", "raed", "write_*"], ["read"]) == ["raed"]
    assert matching({"a*": 1, "ab": 2, "*": 3}, "ab") == [1, 3, 2]


def settings(**options: Any) -> list[object]:
    target = ServerTarget(name="s", command=("a",), env={"K": "v"}, **options)
    return [target, read_policy("s", {"tools": lambda tool: True, "exclude_tools": ["x"]})]


def test_the_same_settings_made_twice_are_alike() -> None:
    assert is_alike(settings(), settings())
    assert is_alike(settings(server=object()), settings(server=object()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (settings(), settings(timeout=1.0)),
        ({"a": 1}, {"b": 1}),
        ([1], [1, 2]),
        (print, len),
        (int, str),
        (1, True),
        ("a", "b"),
    ],
)
def test_other_settings_are_not_alike(one: object, other: object) -> None:
    assert not is_alike(one, other)
