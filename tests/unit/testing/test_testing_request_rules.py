"""Requests that the real service would refuse."""

from typing import Any

import pytest

from mbxai.testing._request_rules import problem_of

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOLD = {"role": "tool", "tool_call_id": "c1", "content": "1"}
TOOL = {"type": "function", "function": {"name": "a"}}
CLOSED = {
    "type": "object",
    "properties": {"x": {"type": "string"}},
    "required": ["x"],
    "additionalProperties": False,
}


def structured(schema: object, **more: Any) -> dict[str, Any]:
    wanted = {"name": "A", "schema": schema, "strict": True, **more}
    return {
        "messages": [USER],
        "response_format": {"type": "json_schema", "json_schema": wanted},
    }


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "system", "content": "Be kind"}, USER]},
        {"messages": [USER, CALLS, TOLD]},
        {"messages": [USER, CALLS, TOLD, USER], "tools": [TOOL], "tool_choice": "auto"},
        {"messages": [USER], "tools": [TOOL], "tool_choice": {"function": {"name": "a"}}},
        structured(CLOSED),
        structured({"type": "object"}, strict=False),
        structured({"type": "object", "properties": {}, "additionalProperties": False}),
    ],
)
def test_a_proper_request_has_no_problem(body: dict[str, Any]) -> None:
    assert problem_of(body) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": ""}]}, "role"),
        ({"messages": [USER, TOLD]}, "must answer"),
        ({"messages": [USER, CALLS]}, "no tool message answers"),
        ({"messages": [USER, CALLS, USER]}, "must be followed"),
        ({"messages": [USER, CALLS, TOLD, TOLD]}, "must answer"),
        ({"messages": [USER, {**CALLS, "tool_calls": [{**CALL, "id": ""}]}]}, "needs an id"),
        (
            {"messages": [USER, {**CALLS, "tool_calls": [{**CALL, "function": {"name": "a"}}]}]},
            "must be a string",
        ),
        ({"messages": [USER], "tools": [{"function": {"name": "a b"}}]}, "does not match"),
        ({"messages": [USER], "tools": [TOOL, TOOL]}, "twice"),
        ({"messages": [USER], "tool_choice": "auto"}, "only allowed"),
        (
            {"messages": [USER], "tools": [TOOL], "tool_choice": {"function": {"name": "b"}}},
            "no tool is called",
        ),
        (
            {
                "messages": [USER],
                "tools": [{"function": {"name": "a", "parameters": {}, "strict": True}}],
            },
            None,
        ),
        (structured(CLOSED, name="A B"), "name"),
        (structured(None), "schema"),
        (structured({**CLOSED, "additionalProperties": True}), "additionalProperties"),
        (structured({**CLOSED, "required": []}), "required"),
        (structured({**CLOSED, "properties": {"x": {"type": "object"}}}), "properties.x"),
        (structured({**CLOSED, "$defs": {"y": {"type": "object"}}}), "$defs.y"),
        (structured({"type": "array", "items": {"type": "object"}}), "items"),
        (structured({"anyOf": [{"type": "object"}]}), "anyOf.0"),
    ],
)
def test_an_improper_request_is_told_what_is_wrong(body: dict[str, Any], words: str | None) -> None:
    problem = problem_of(body)
    if words is None:
        assert problem is None
    else:
        assert problem is not None
        assert words in problem


def test_a_tool_of_openrouters_own_needs_no_name() -> None:
    body = {"messages": [USER], "tools": [{"type": "openrouter:web_search"}], "tool_choice": "auto"}
    assert problem_of(body) is None
