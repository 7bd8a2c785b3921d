"""What a model writes as arguments, read as far as its meaning is beyond doubt, then held to."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from support.tool_calls import call_of, run, runner_of

from mbxai.errors import ToolArgumentError
from mbxai.tools import Tool, ToolCall
from mbxai.tools.runner._argument_text import read_arguments
from mbxai.tools.runner._arguments import read_object, with_decoded

DICT = {"type": "dict_type"}
LIST = {"type": "list_type"}


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", {}),
        (" \n", {}),
        ("null", {}),
        ('""', {}),
        ('"null"', {}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        (' ```\n{"a": 1}``` ', {"a": 1}),
        ('```json{"a": 1}```', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        (json.dumps(json.dumps('{"a": 1}')), {"a": 1}),
        ('{"a": "x\ny\tz\x00"}', {"a": "x\ny\tz\x00"}),
        ('{"a": "quoted \\"x\n\\\\"}', {"a": 'quoted "x\n\\'}),
        ('{"a": [1, 2, ], }', {"a": [1, 2]}),
        ('{"a": "1, }", "b": [1 , \n]}', {"a": "1, }", "b": [1]}),
        ('{}{"a": 1}', {"a": 1}),
        ('{} {} {"a": 1}', {"a": 1}),
        ('{"a": 1}{"a": 1}', {"a": 1}),
        ('{"a": 1}\n{"a":1}', {"a": 1}),
        ("{}{}", {}),
    ],
)
def test_the_ways_in_which_models_write_an_object_are_understood(
    text: str, meaning: dict[str, Any]
) -> None:
    assert read_object(text) == meaning
    assert json.loads(read_arguments(text)[1]) == meaning


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1', "not valid JSON"),
        ('{"a": "x', "not valid JSON"),
        ('{"a": tru', "not valid JSON"),
        ('{"a": 1,', "not valid JSON"),
        ('{"a": [1, 2', "not valid JSON"),
        ('```json\n{"a": 1', "not valid JSON"),
        ('"{\\"a\\": 1"', "one JSON object"),
        ('Sure: {"a": 1}', "not valid JSON"),
        ('{"a": 1} Done.', "not valid JSON"),
        ('{"a": 1}{"a": 2}', "not valid JSON"),
        ('{"a": 1}{}', "not valid JSON"),
        ("{}" * 17, "not valid JSON"),
        ("``````", "not valid JSON"),
        ("{'a': 1}", "not valid JSON"),
        ('{"a": NaN}', "not valid JSON"),
        ('{"a": [Infinity]}', "not valid JSON"),
        ('{"a": 1e999}', "too large"),
        ('{"a": [{"b": -1e999}]}', "too large"),
        (f'{{"a": {"9" * 250}.0e99}}', "too large"),
        (f'{{"a": {"9" * 5_000}}}', "not valid JSON"),
        ('{"a": "\ud800"}', "not valid JSON"),
        ("[1]", "one JSON object"),
        ("3", "one JSON object"),
        ('"text"', "one JSON object"),
        ("true", "one JSON object"),
        ('{"a":' * 300 + "1" + "}" * 300, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": "' + "x" * 1_048_576 + '"}', "too long: more than 1 MiB"),
        ('{"a": "' + "ü" * 600_000 + '"}', "too long: more than 1 MiB"),
    ],
)
def test_what_is_cut_or_in_doubt_is_refused_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(ToolArgumentError, match=words) as caught:
        read_object(text)
    assert len(str(caught.value)) < 300


def test_a_text_that_is_proper_stays_as_it_was_written() -> None:
    text = '{ "b": 1.0, "a": [1e400000000, 2] }'.replace("1e400000000", "1e2")
    assert read_arguments(text) == ({"b": 1.0, "a": [100.0, 2]}, text)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(),
        st.text() | st.integers() | st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    ),
    st.data(),
)
def test_a_text_that_was_cut_anywhere_is_never_completed(
    value: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert read_object(text) == value
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(ToolArgumentError):
        read_object(text[:cut])


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='{}[]",:\\ \n`1ae'))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        value = read_object(text)
    except ToolArgumentError:
        return
    assert isinstance(value, dict)


def test_strings_that_hold_what_was_wanted_are_read() -> None:
    values = {"a": "[1, 2]", "b": {"c": ' {"d": 1}'}, "e": "x", "f": [{"g": "[]"}]}
    before = json.dumps(values)
    decoded = with_decoded(
        values,
        [
            {**LIST, "loc": ("a", "list[int]")},
            {"type": "int_type", "loc": ("a", "int")},
            {"type": "model_type", "loc": ("b", "Inner", "c", "Deep")},
            {**DICT, "loc": ("e",)},
            {**LIST, "loc": ("f", 0, "g")},
        ],
    )
    assert decoded == {"a": [1, 2], "b": {"c": {"d": 1}}, "e": "x", "f": [{"g": []}]}
    assert json.dumps(values) == before


@pytest.mark.parametrize(
    ("values", "errors"),
    [
        ({"a": "x"}, [{**LIST, "loc": ("a",)}]),
        ({"a": "3"}, [{**LIST, "loc": ("a",)}]),
        ({"a": "[1"}, [{**LIST, "loc": ("a",)}]),
        ({"a": "[1e999]"}, [{**LIST, "loc": ("a",)}]),
        ({"a": "[1]"}, [{"type": "int_type", "loc": ("a",)}]),
        ({"a": 3}, [{**LIST, "loc": ("a",)}]),
        ({"a": None}, [{**LIST, "loc": ("a", "b")}]),
        ({}, [{**LIST, "loc": ("a",)}]),
        ({"a": "[1]"}, [{**DICT, "loc": ()}]),
        ({}, []),
    ],
)
def test_nothing_is_read_where_it_would_not_help(
    values: dict[str, Any], errors: list[dict[str, Any]]
) -> None:
    assert with_decoded(values, errors) is None


class Point(BaseModel):
    x: int


@dataclasses.dataclass
class Size:
    w: int


async def test_inner_objects_that_were_encoded_twice_reach_the_function() -> None:
    def draw(point: Point, size: Size, tags: list[str], note: str, extra: dict[str, int]) -> str:
        return f"{point.x} {size.w} {tags} {note} {extra}"

    arguments = {
        "point": '{"x": 1}',
        "size": ' {"w": 2}',
        "tags": '["[a]"]',
        "note": "[1]",
        "extra": '{"k": 3}',
    }
    assert (await run(draw, arguments)).content == "1 2 ['[a]'] [1] {'k': 3}"
    wrong = await run(draw, {**arguments, "point": '{"x": "hunter2"}'})
    assert wrong.is_error
    assert "hunter2" not in wrong.content


async def test_a_given_schema_also_reads_what_was_encoded_twice() -> None:
    async def call(**arguments: Any) -> Any:
        return arguments

    schema = {
        "type": "object",
        "properties": {
            "filter": {"anyOf": [{"type": "object"}, {"type": "null"}]},
            "ids": {"type": ["array", "null"], "items": {"type": "integer"}},
            "text": {"type": "string"},
        },
        "additionalProperties": False,
    }
    remote = Tool("remote", "", call, schema, source="shop")
    result = await run(remote, {"filter": '{"a": 1}', "ids": "[1]", "text": "[2]"})
    assert result.value == {"filter": {"a": 1}, "ids": [1], "text": "[2]"}
    wrong = await run(remote, {"ids": '["hunter2"]'})
    assert wrong.is_error
    assert "ids.0: must be of type integer" in wrong.content
    assert "hunter2" not in wrong.content


async def test_a_given_schema_tells_its_rules_and_only_the_first_problems() -> None:
    async def call(**arguments: Any) -> Any:
        return arguments

    names = [f"n{i}" for i in range(30)]
    schema = {"type": "object", "properties": {name: {"maxLength": 2} for name in names}}
    result = await run(
        Tool("remote", "", call, schema, source="s"), dict.fromkeys(names, "hunter2")
    )
    assert "n0: must satisfy maxLength 2." in result.content
    assert "more." in result.content
    assert result.content.count("maxLength") == 10
    assert "hunter2" not in result.content


async def test_a_rule_for_approval_sees_the_arguments_that_the_function_gets() -> None:
    seen: list[dict[str, Any]] = []

    def wipe(target: dict[str, str]) -> str:
        return "wiped"

    def needs_approval(arguments: dict[str, Any]) -> bool:
        seen.append(arguments)
        target = arguments["target"]
        return isinstance(target, dict) and target["env"] == "prod"

    runner = runner_of(wipe, requires_approval=needs_approval)
    call = call_of(wipe, {"target": '{"env": "prod"}'})
    outcome = await runner.run_round([call])
    assert seen == [{"target": {"env": "prod"}}]
    [pending] = outcome.pending
    assert json.loads(pending.call.arguments) == {"target": {"env": "prod"}}
    again = await runner.run_round([call], approvals=[pending.approve()])
    assert again.results[0].content == "wiped"


async def test_large_arguments_are_read_beside_the_loop() -> None:
    def measure(text: str) -> int:
        return len(text)

    result = await run(measure, {"text": "x" * 1_000_000})
    assert result.value == 1_000_000
    too_long = await run(measure, {"text": "x" * 1_048_576})
    assert "too long" in too_long.content
    assert len(too_long.content) < 300


async def test_a_name_that_is_nearly_right_is_suggested() -> None:
    def get_weather(city: str) -> str:
        return city

    def send_mail(to: str) -> str:
        return to

    runner = runner_of(get_weather, send_mail)
    near = await runner.run(ToolCall("1", "get_wether", "{}"))
    assert "Did you mean 'get_weather'?" in near.content
    assert "send_mail" in near.content
    far = await runner.run(ToolCall("1", "zzz", "{}"))
    assert "Did you mean" not in far.content
    many = runner_of(*[Tool(f"tool_{i:03}", "", get_weather) for i in range(60)])
    assert "and 10 more" in (await many.run(ToolCall("1", "x" * 500))).content
