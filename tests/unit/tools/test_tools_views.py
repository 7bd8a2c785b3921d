"""Provider views and strict schemas of foreign JSON Schemas."""

import copy
from typing import Any

import jsonschema
import pytest

from mbxai.tools import convert_to_strict_schema
from mbxai.tools._provider_view import provider_view
from mbxai.tools._strict import says_the_same_when_strict


def test_local_references_are_replaced_by_what_they_name() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/Na~1me%20x", "description": "beside"},
            "b": {"$ref": "#/properties/a"},
            "c": {"$ref": "#/definitions/Old"},
        },
        "$defs": {"Na/me x": {"type": "string", "description": "own", "title": "T"}},
        "definitions": {"Old": {"type": "integer"}},
    }
    assert provider_view(schema) == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "beside"},
            "b": {"type": "string", "description": "beside"},
            "c": {"type": "integer"},
        },
        "required": [],
    }


def test_recursive_references_stay_and_are_defined() -> None:
    schema = {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/Tree"}, "leaf": {"$ref": "#/$defs/Leaf"}},
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/Tree", "description": "d"}},
            },
            "Leaf": {"type": "string"},
        },
    }
    view = provider_view(schema)
    assert view["properties"] == {"tree": {"$ref": "#/$defs/Tree"}, "leaf": {"type": "string"}}
    assert set(view["$defs"]) == {"Tree"}
    assert jsonschema.Draft202012Validator(view).is_valid({"tree": {"next": {"next": {}}}})
    assert not jsonschema.Draft202012Validator(view).is_valid({"tree": {"next": 1}})


def test_a_root_that_refers_to_itself_is_an_object() -> None:
    schema = {
        "$ref": "#/$defs/Node",
        "$defs": {"Node": {"type": "object", "properties": {"n": {"$ref": "#/$defs/Node"}}}},
    }
    view = provider_view(schema)
    assert view["type"] == "object"
    assert view["properties"] == {"n": {"$ref": "#/$defs/Node"}}
    root = {"type": "object", "properties": {"n": {"$ref": "#"}}}
    assert jsonschema.Draft202012Validator(provider_view(root)).is_valid({"n": {"n": {}}})


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"$ref": "https://example.com/other.json"},
        {"$ref": "#/nowhere"},
        {"anyOf": [{"type": "object"}]},
        {"properties": {"a": True, "b": False, "c": {"type": "array"}, "d": {"items": True}}},
    ],
)
def test_every_view_is_an_object_with_properties(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    view = provider_view(schema)
    assert view["type"] == "object"
    assert isinstance(view["properties"], dict)
    assert isinstance(view["required"], list)
    jsonschema.Draft202012Validator.check_schema(view)
    assert schema == before


def test_boolean_schemas_and_bare_arrays_are_written_out() -> None:
    view = provider_view({"properties": {"a": True, "b": False, "c": {"type": "array"}}})
    assert view["properties"] == {"a": {}, "b": {"not": {}}, "c": {"type": "array", "items": {}}}


def test_noise_goes_and_data_of_the_same_name_stays() -> None:
    schema = {
        "$schema": "x",
        "$id": "y",
        "title": "T",
        "properties": {
            "title": {"type": "string", "title": "Title", "examples": ["a"]},
            "examples": {"const": {"title": "kept", "$ref": "#/kept"}},
            "choice": {"enum": [{"title": "kept"}], "default": {"title": "kept"}},
        },
    }
    assert provider_view(schema)["properties"] == {
        "title": {"type": "string"},
        "examples": {"const": {"title": "kept", "$ref": "#/kept"}},
        "choice": {"enum": [{"title": "kept"}], "default": {"title": "kept"}},
    }


def _bomb() -> dict[str, Any]:
    definitions: dict[str, Any] = {"D0": {"type": "string"}}
    for level in range(1, 40):
        reference = {"$ref": f"#/$defs/D{level - 1}"}
        definitions[f"D{level}"] = {
            "type": "object",
            "properties": {"a": reference, "b": reference},
        }
    return {"type": "object", "properties": {"a": {"$ref": "#/$defs/D39"}}, "$defs": definitions}


def _deep() -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"items": schema}
    return {"properties": {"a": schema}}


@pytest.mark.parametrize("schema", [_bomb(), _deep()], ids=["bomb", "deep"])
def test_a_hostile_schema_ends_in_a_small_view(schema: dict[str, Any]) -> None:
    view = provider_view(schema)
    assert len(str(view)) < 1_000
    assert view["type"] == "object"


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
