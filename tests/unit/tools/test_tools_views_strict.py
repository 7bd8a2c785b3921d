"""Strict mode: what is converted, what is never claimed, and how it is offered."""

import copy
from typing import Any

import pytest

from mbxai.tools import convert_to_strict_schema
from mbxai.tools.schema._provider_view import provider_view
from mbxai.tools.schema._strict import says_the_same_when_strict


def test_strict_conversion_closes_objects_and_makes_optional_properties_nullable() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer", "default": 3, "description": "How many."},
            "c": {"enum": ["x", "y"], "type": "string"},
            "d": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
            "e": {
                "type": "array",
                "items": {"type": "object", "properties": {"f": {"type": "string"}}},
            },
            "g": {"const": "z"},
            "h": {"type": ["integer", "null"], "default": None},
            "i": {},
            "j": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        "required": ["a"],
    }
    before = copy.deepcopy(schema)
    strict = convert_to_strict_schema(schema)
    assert schema == before
    assert strict == {
        "type": "object",
        "additionalProperties": False,
        "required": list("abcdeghij"),
        "properties": {
            "a": {"type": "string"},
            "b": {
                "type": ["integer", "null"],
                "description": "How many. Null means the default, 3.",
            },
            "c": {"type": ["string", "null"], "enum": ["x", "y", None]},
            "d": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
            "e": {
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "properties": {"f": {"type": ["string", "null"]}},
                    "required": ["f"],
                    "additionalProperties": False,
                },
            },
            "g": {"anyOf": [{"const": "z"}, {"type": "null"}]},
            "h": {"type": ["integer", "null"]},
            "i": {},
            "j": {"type": ["object", "null"], "additionalProperties": {"type": "integer"}},
        },
    }


def test_strict_conversion_of_a_recursive_schema_is_strict_and_finite() -> None:
    schema = {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/Tree"}},
        "required": ["tree"],
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {
                    "left": {"$ref": "#/$defs/Tree", "description": "d"},
                    "v": {"type": "integer"},
                },
            }
        },
    }
    strict = convert_to_strict_schema(schema)
    assert says_the_same_when_strict(strict)
    assert strict["$defs"]["Tree"]["properties"]["left"] == {
        "anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}],
        "description": "d",
    }


def test_a_recursive_root_stays_an_object_under_strict_rules() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}, "value": {"type": "string"}},
        "required": ["value"],
    }
    strict = convert_to_strict_schema(node)
    assert strict["properties"]["next"] == {"anyOf": [{"$ref": "#/$defs/Root"}, {"type": "null"}]}
    assert says_the_same_when_strict(strict)
    assert convert_to_strict_schema(strict) == strict


ANYTHING_ELSE = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True},
        {"type": "object", "patternProperties": {"^a": {"type": "string"}}},
        {**ANYTHING_ELSE, "required": ["a", "b"]},
        {"allOf": [ANYTHING_ELSE, ANYTHING_ELSE]},
        {"type": "string", "not": {"const": "a"}},
        {"if": {"type": "string"}, "then": {"minLength": 1}},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"$ref": "https://example.com/other.json"},
        {},
        True,
        False,
    ],
    ids=str,
)
def test_what_strict_rules_cannot_say_is_never_called_strict(part: object) -> None:
    for schema in (
        {"type": "object", "properties": {"x": part}},
        {"type": "object", "properties": {"x": part}, "required": ["x"]},
        {"properties": {"x": {"type": "array", "items": part}}, "required": ["x"]},
        {"properties": {"x": {"anyOf": [{"type": "null"}, part]}}, "required": ["x"]},
    ):
        converted = convert_to_strict_schema(schema)
        assert not says_the_same_when_strict(converted)
        assert not says_the_same_when_strict(provider_view(schema))
        assert convert_to_strict_schema(converted) == converted


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
def test_alternatives_at_the_root_are_never_called_strict(keyword: str) -> None:
    schema = {"type": "object", keyword: [ANYTHING_ELSE, {**ANYTHING_ELSE, "required": []}]}
    assert not says_the_same_when_strict(convert_to_strict_schema(schema))


def test_rules_that_strict_mode_does_not_know_are_said_in_words() -> None:
    schema = {
        "properties": {
            "code": {"type": "string", "pattern": "^a$", "minLength": 2, "description": "A code."},
            "link": {"type": "string", "format": "uri"},
            "count": {"type": "integer", "minimum": 1, "default": 3},
            "unit": {"type": "string", "default": "m"},
            "names": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "only": {"allOf": [{"type": "string"}], "description": "One."},
        },
        "required": ["code", "link", "names", "unit", "only"],
    }
    strict = convert_to_strict_schema(schema)
    assert strict["properties"] == {
        "code": {"type": "string", "description": 'A code. (pattern: "^a$"; minLength: 2)'},
        "link": {"type": "string", "description": '(format: "uri")'},
        "count": {
            "type": ["integer", "null"],
            "description": "(minimum: 1) Null means the default, 3.",
        },
        "unit": {"type": "string", "description": 'The default is "m".'},
        "names": {
            "type": "array",
            "items": {"type": "string"},
            "description": "(uniqueItems: true)",
        },
        "only": {"type": "string", "description": "One."},
    }
    assert says_the_same_when_strict(strict)
    assert not says_the_same_when_strict(provider_view(schema))


def test_without_strict_only_the_noise_goes() -> None:
    schema = {
        "title": "T",
        "type": "object",
        "properties": {"a": {"type": "string", "default": "x"}},
    }
    assert convert_to_strict_schema(schema, strict=False) == {
        "type": "object",
        "properties": {"a": {"type": "string", "default": "x"}},
        "required": [],
    }


def test_the_input_wrapper_comes_off_unless_it_is_kept_or_real() -> None:
    wrapped = {
        "type": "object",
        "properties": {"input": {"$ref": "#/$defs/In"}},
        "required": ["input"],
        "$defs": {
            "In": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
        },
    }
    assert set(convert_to_strict_schema(wrapped)["properties"]) == {"q"}
    assert set(convert_to_strict_schema(wrapped, keep_input_wrapper=True)["properties"]) == {
        "input"
    }
    text = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert set(convert_to_strict_schema(text)["properties"]) == {"input"}


def test_wrappers_come_off_until_there_is_none() -> None:
    inner: dict[str, Any] = {"type": "object", "properties": {"q": {"type": "string"}}}
    for level in range(3):
        inner = {
            "type": "object",
            "properties": {"input": inner},
            "required": ["input"],
            "description": f"Level {level}.",
        }
    once = convert_to_strict_schema(inner, strict=False)
    assert set(once["properties"]) == {"q"}
    assert once["description"] == "Level 0."
    assert convert_to_strict_schema(once, strict=False) == once


def test_alternatives_that_may_both_fit_are_told_apart_in_words() -> None:
    tagged = [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, "size": {"type": "integer"}},
            "required": ["kind", "size"],
        }
        for kind in ("a", "b")
    ]
    schema = {
        "properties": {
            "tagged": {"oneOf": tagged},
            "kinds": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "both": {"oneOf": [{"type": "number"}, {"type": "integer"}]},
        },
        "required": ["tagged", "kinds", "both"],
    }
    strict = convert_to_strict_schema(schema)
    notes = {name: part.get("description") for name, part in strict["properties"].items()}
    assert notes == {
        "tagged": None,
        "kinds": None,
        "both": "Exactly one of the alternatives must fit.",
    }
    assert says_the_same_when_strict(strict)


def test_a_reference_with_rules_beside_it_is_not_called_strict() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/N", "type": "object"}},
        "required": ["next"],
        "additionalProperties": False,
    }
    schema = {**node, "$defs": {"N": node}}
    assert not says_the_same_when_strict(convert_to_strict_schema(schema))


def test_alternatives_that_are_no_tagged_objects_are_told_apart_in_words() -> None:
    schema = {"properties": {"x": {"oneOf": [True, {"type": "object"}]}}, "required": ["x"]}
    converted = convert_to_strict_schema(schema)["properties"]["x"]
    assert converted["description"] == "Exactly one of the alternatives must fit."


def test_one_of_becomes_any_of_under_strict_rules() -> None:
    schema = {
        "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "integer"}]}},
        "required": ["a"],
    }
    assert convert_to_strict_schema(schema)["properties"]["a"] == {
        "anyOf": [{"type": "string"}, {"type": "integer"}]
    }


@pytest.mark.parametrize(
    ("schema", "same"),
    [
        ({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, True),
        ({"type": "object", "properties": {}, "required": []}, False),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string", "format": "uri"}},
                "required": ["a"],
                "additionalProperties": False,
            },
            False,
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
                "required": ["a"],
                "additionalProperties": False,
            },
            True,
        ),
        ({"anyOf": [{"type": "object"}]}, False),
    ],
)
def test_strict_is_only_claimed_for_schemas_that_obey_it(
    schema: dict[str, Any], same: bool
) -> None:
    assert says_the_same_when_strict(schema) is same
