"""What Google's models are shown of a schema, and how their arguments come back."""

import json
import logging
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from support.tool_signatures import CASES, SignatureCase

from mbxai.errors import ToolArgumentError
from mbxai.tools import Tool
from mbxai.tools.schema._google_view import google_view
from mbxai.tools.schema._restore import restored
from mbxai.tools.schema._views import family_of, view_for

# All that a schema may say there.
KNOWN = {
    *("type", "description", "properties", "required", "items", "enum", "anyOf", "nullable"),
    *("minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "pattern", "format"),
    *("minProperties", "maxProperties"),
}


def shown(part: object, **more: Any) -> Any:
    view = google_view({"type": "object", "properties": {"x": part}, **more})
    check(view)
    return view["properties"]["x"]


def check(schema: dict[str, Any]) -> None:
    """Hold every part of a view to what Gemini takes."""
    assert set(schema) <= KNOWN
    if "anyOf" in schema:
        assert set(schema) == {"anyOf"}
        assert len(schema["anyOf"]) > 1
    else:
        assert schema["type"] in {"string", "integer", "number", "boolean", "array", "object"}
    if "enum" in schema:
        assert schema["type"] == "string"
        assert schema["enum"]
        assert all(isinstance(value, str) and value for value in schema["enum"])
    if schema.get("type") == "array":
        assert schema["items"]
    assert set(schema.get("required", ())) <= set(schema.get("properties", ()))
    for part in [
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", ()),
        *([schema["items"]] if "items" in schema else ()),
    ]:
        check(part)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_signature_has_a_view_that_gemini_takes(case: SignatureCase) -> None:
    tool = Tool("tool", "", case.function)
    function = tool.definition_for("google/gemini-3-pro")["function"]
    check(function["parameters"])
    assert function["parameters"]["type"] == "object"
    assert set(function["parameters"]["properties"]) == set(case.schema["properties"])
    assert function["parameters"]["required"] == case.schema["required"]
    assert "strict" not in function
    json.dumps(function, allow_nan=False)


@pytest.mark.parametrize(
    ("part", "view"),
    [
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": 3}, {"type": "string", "enum": ["3"]}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "string", "enum": ["1", "2"]}),
        (
            {"enum": ["a", None, True, 1.5, ""]},
            {"type": "string", "enum": ["a", "true", "1.5", '""'], "nullable": True},
        ),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        (
            {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "How many."},
            {"type": "integer", "nullable": True, "description": "How many."},
        ),
        (
            {"type": ["string", "integer"], "minLength": 2, "minimum": 3},
            {"anyOf": [{"type": "string", "minLength": 2}, {"type": "integer", "minimum": 3}]},
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            {
                "anyOf": [
                    {"type": "string", "nullable": True},
                    {"type": "integer", "nullable": True},
                ]
            },
        ),
        (
            {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "boolean"}]}, {"type": "number"}]},
            {"anyOf": [{"type": "string"}, {"type": "boolean"}, {"type": "number"}]},
        ),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}]},
            {
                "type": "array",
                "items": {"type": "integer"},
                "description": '(prefixItems: [{"type":"integer"},{"type":"integer"}])',
            },
        ),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        (
            {"type": "string", "format": "uri", "description": "A link."},
            {"type": "string", "description": "A link. (format: uri)"},
        ),
        (
            {"type": "integer", "exclusiveMinimum": 0, "default": 3, "multipleOf": 2},
            {
                "type": "integer",
                "description": "(exclusiveMinimum: 0; default: 3; multipleOf: 2)",
            },
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"type": "object", "description": '(additionalProperties: {"type":"integer"})'},
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": ["a", "b"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": ["a"],
                "description": "(additionalProperties: false)",
            },
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "string"}}, "required": ["a", "b"]},
                ]
            },
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "required": ["a", "b"],
            },
        ),
        (
            {"not": {"type": "null"}, "minimum": 1},
            {"type": "number", "minimum": 1, "description": '(not: {"type":"null"})'},
        ),
        ({"type": "null"}, {"type": "string", "nullable": True, "description": "(always null)"}),
        (
            {"enum": [None], "description": "Nothing."},
            {"type": "string", "nullable": True, "description": "Nothing. (always null)"},
        ),
        (
            {"anyOf": [{"type": "null"}]},
            {"type": "string", "nullable": True, "description": "(always null)"},
        ),
        (
            {"type": "string", "anyOf": [{"maxLength": 1}, {"pattern": "^a"}]},
            {
                "anyOf": [
                    {"type": "string", "maxLength": 1},
                    {"type": "string", "pattern": "^a"},
                ]
            },
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
            {
                "type": "array",
                "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "description": '(prefixItems: [{"type":"integer"},{"type":"string"}])',
            },
        ),
    ],
)
def test_each_form_becomes_what_gemini_knows(part: dict[str, Any], view: dict[str, Any]) -> None:
    assert shown(part) == view


def test_anything_at_all_is_one_of_the_kinds_that_there_are() -> None:
    kinds = [member["type"] for member in shown({"description": "Free."})["anyOf"]]
    assert kinds == ["string", "number", "boolean", "object", "array"]


def test_recursion_is_cut_and_says_so() -> None:
    tree = {"type": "object", "properties": {"branches": {"type": "array", "items": {}}}}
    tree["properties"]["branches"]["items"] = {"$ref": "#/$defs/Tree"}
    view = shown({"$ref": "#/$defs/Tree"}, **{"$defs": {"Tree": tree}})
    tree["properties"]["branches"]["items"]["description"] = "A branch."
    tree["description"] = "A tree."
    described = shown({"$ref": "#/$defs/Tree"}, **{"$defs": {"Tree": tree}})
    branch = described["properties"]["branches"]["items"]
    assert branch["description"] == "A tree. A branch."
    assert branch["properties"]["branches"]["items"]["description"] == (
        "A branch. (It goes on in the same way; the rest is not shown.)"
    )
    first = view["properties"]["branches"]["items"]
    second = first["properties"]["branches"]["items"]
    assert second == {
        "type": "object",
        "description": "(It goes on in the same way; the rest is not shown.)",
    }
    assert "$" not in json.dumps(view)


def test_alternatives_at_the_root_are_said_in_words() -> None:
    view = google_view({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})
    check(view)
    assert view["description"] == '(anyOf: [{"required":["a"]},{"required":["b"]}])'


def test_a_root_that_never_says_what_it_is_is_cut() -> None:
    loop = {"allOf": [{"$ref": "#/$defs/A"}]}
    view = google_view({**loop, "$defs": {"A": loop}})
    check(view)
    assert view["properties"] == {}


@pytest.mark.parametrize(
    ("model", "family"),
    [
        (None, "general"),
        ("", "general"),
        ("openai/gpt-5", "general"),
        ("anthropic/claude:google/", "general"),
        ("googleish/model", "general"),
        ("google/gemini-3-pro", "google"),
        ("google/gemini-3-pro:free", "google"),
        ("~google/gemini-flash-latest", "google"),
        ("Google/Gemini", "google"),
    ],
)
def test_the_name_of_a_model_says_its_family(model: str | None, family: str) -> None:
    assert family_of(model) == family
    schema = {"properties": {"a": {"const": 1}}}
    shown_type = view_for(model, schema)["properties"]["a"].get("type")
    assert shown_type == ("string" if family == "google" else None)


class Item(BaseModel):
    name: str
    size: Literal[1, 2] = 1


def order(items: list[Item], level: Literal[1, 2], fast: bool = False) -> None: ...


def test_values_that_a_view_made_text_come_back_as_what_they_were() -> None:
    signature = Tool("order", "", order).signature
    values = signature.validate(
        '{"items": [{"name": "1", "size": "2"}], "level": "1", "fast": null}'
    )
    assert values == {"items": [Item(name="1", size=2)], "level": 1}


def test_arguments_of_a_given_schema_come_back_too() -> None:
    schema = {
        "type": "object",
        "properties": {
            "level": {"type": "integer", "enum": [1, 2]},
            "filter": {"$ref": "#/$defs/Filter"},
        },
        "required": ["level"],
        "$defs": {
            "Filter": {
                "type": "object",
                "properties": {"limit": {"type": "integer"}, "by": {"type": ["string", "null"]}},
            }
        },
    }

    async def call(**arguments: Any) -> None: ...

    checker = Tool("call", "", call, schema, source="server").checker
    sent = {"level": "2", "filter": {"limit": None, "by": None}}
    assert checker.fitted(sent) == {"level": 2, "filter": {"by": None}}
    assert sent == {"level": "2", "filter": {"limit": None, "by": None}}
    same = {"level": 1}
    assert checker.fitted(same) is same
    with pytest.raises(ToolArgumentError, match="level"):
        checker.fitted({"level": None})


def test_null_in_a_schema_without_an_end_is_left_alone() -> None:
    loop = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}]}
    schema = {"properties": {"a": loop, "b": {"const": None}}, "$defs": {"A": loop}}
    assert restored({"a": None, "b": None}, schema) == {"a": None, "b": None}
    chain = {f"D{number}": {"$ref": f"#/$defs/D{number + 1}"} for number in range(30)}
    long = {"properties": {"a": {"$ref": "#/$defs/D0"}}, "$defs": chain}
    assert restored({"a": None}, long) == {"a": None}
    deep = {"type": "array", "items": {"$ref": "#/$defs/L"}}
    value: Any = 1.0
    for _ in range(300):
        value = [value]
    assert restored({"a": value}, {"properties": {"a": deep}, "$defs": {"L": deep}}) == {"a": value}


def test_null_goes_where_no_alternative_takes_it() -> None:
    numbers = {"anyOf": [{"type": "integer"}, {"enum": ["x"]}]}
    assert restored({"a": None}, {"properties": {"a": numbers}}) == {}


def test_alternatives_are_told_apart_by_kind_and_tag() -> None:
    def tagged(tag: str, part: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"tag": {"const": tag}, "n": part},
            "required": ["tag"],
        }

    schema = {
        "properties": {
            "x": {
                "anyOf": [
                    tagged("a", {"type": "integer"}),
                    tagged("b", {"type": ["string", "null"]}),
                    {"type": "array", "items": {"type": "integer"}},
                    {"type": "boolean"},
                    {"type": "integer"},
                ]
            }
        }
    }
    for sent, meant in [
        ({"tag": "a", "n": None}, {"tag": "a"}),
        ({"tag": "b", "n": None}, {"tag": "b", "n": None}),
        ([1.0, 2], [1, 2]),
        (3.0, 3),
        (3.5, 3.5),
        (True, True),
        ("text", "text"),
        ({"tag": "c", "n": None}, {"tag": "c", "n": None}),
    ]:
        back = restored({"x": sent}, schema)["x"]
        assert (back, type(back)) == (meant, type(meant))


def test_definitions_are_made_once_for_each_family() -> None:
    tool = Tool("order", "", order)
    google = tool.definition_for("google/gemini-3-pro")
    assert tool.definition_for("~google/gemini-3-flash:free") is google
    assert tool.definition_for("openai/gpt-5") is tool.definition_for(None) is tool.definition
    assert google != tool.definition


def test_strict_on_demand_changes_the_schema_and_takes_its_nulls_back() -> None:
    tool = Tool("order", "", order, strict=True)
    function = tool.definition["function"]
    assert function["strict"] is True
    assert function["parameters"]["required"] == ["items", "level", "fast"]
    assert function["parameters"]["properties"]["fast"]["type"] == ["boolean", "null"]
    item = function["parameters"]["properties"]["items"]["items"]
    assert item["required"] == ["name", "size"]
    values = tool.signature.validate(
        '{"items": [{"name": "a", "size": null}], "level": 1, "fast": null}'
    )
    assert values == {"items": [Item(name="a")], "level": 1}
    assert "strict" not in tool.definition_for("google/gemini-3-pro")["function"]


def test_strict_that_cannot_be_is_left_out_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def function(table: dict[str, int]) -> None: ...

    tool = Tool("tabulate", "", function, strict=True)
    with caplog.at_level(logging.WARNING, "mbxai"):
        for _ in range(3):
            assert "strict" not in tool.definition_for("openai/gpt-5")["function"]
    assert [record.getMessage() for record in caplog.records] == [
        "Tool tabulate is sent without strict: its schema cannot say it"
    ]
    assert tool.definition["function"]["parameters"] == tool.schema


def test_strict_can_be_switched_off() -> None:
    def function(text: str) -> None: ...

    assert Tool("tool", "", function).definition["function"]["strict"] is True
    assert "strict" not in Tool("tool", "", function, strict=False).definition["function"]


def test_a_servers_schema_is_strict_only_on_demand() -> None:
    async def call(**arguments: Any) -> None: ...

    schema = {
        "type": "object",
        "properties": {"input": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "required": ["input"],
    }
    on_demand = Tool("call", "", call, schema, source="server", strict=True)
    assert "strict" not in Tool("call", "", call, schema, source="server").definition["function"]
    assert on_demand.definition["function"]["strict"] is True
    assert set(on_demand.definition["function"]["parameters"]["properties"]) == {"input"}
