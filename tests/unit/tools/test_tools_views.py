"""Provider views of foreign JSON Schemas."""

import copy
from typing import Any

import jsonschema
import pytest

from mbxai.tools import convert_to_strict_schema
from mbxai.tools.schema._google_view import google_view
from mbxai.tools.schema._provider_view import provider_view


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


def test_a_rule_beside_a_reference_holds_too() -> None:
    schema = {
        "properties": {
            "a": {"$ref": "#/$defs/Text", "minLength": 5, "description": "beside"},
            "b": {"$ref": "#/$defs/Text", "maxLength": 9},
            "c": {"$ref": "#/$defs/Open", "additionalProperties": False},
        },
        "$defs": {
            "Text": {"type": "string", "minLength": 2, "description": "own"},
            "Open": {"type": "object", "properties": {"x": {}}},
        },
    }
    text = {"type": "string", "minLength": 2, "description": "own"}
    assert provider_view(schema)["properties"] == {
        "a": {"description": "beside", "allOf": [text, {"minLength": 5}]},
        "b": {**text, "maxLength": 9},
        "c": {
            "allOf": [
                {"type": "object", "properties": {"x": {}}},
                {"additionalProperties": False},
            ]
        },
    }


def test_references_by_anchor_are_found() -> None:
    schema = {
        "properties": {"a": {"$ref": "#word"}, "b": {"$dynamicRef": "#word"}, "c": {"$ref": "#no"}},
        "$defs": {"x": {"properties": {"y": {"$anchor": "word", "type": "string"}}}},
    }
    assert provider_view(schema)["properties"] == {
        "a": {"type": "string"},
        "b": {"type": "string"},
        "c": {"description": "Any value; it is described elsewhere."},
    }


@pytest.mark.parametrize(
    "reference",
    ["https://example.com/a.json", "other.json#/a", "#/nowhere", "#/properties/a", "#/$defs/X"],
)
def test_a_reference_to_elsewhere_takes_anything_and_says_so(reference: str) -> None:
    circle = {"X": {"$ref": "#/$defs/Y"}, "Y": {"$ref": "#/$defs/X"}}
    place = {"$ref": reference, "description": "A place."}
    schema = {"properties": {"a": place}, "$defs": circle}
    assert provider_view(schema)["properties"]["a"] == {
        "description": "A place. Any value; it is described elsewhere."
    }


def test_words_of_older_drafts_become_those_of_today() -> None:
    schema = {
        "properties": {
            "pair": {"items": [{"type": "string"}, True], "additionalItems": False},
            "more": {"items": [{"type": "string"}], "additionalItems": {"type": "integer"}},
            "none": {"items": [], "type": "array"},
            "closed": {"type": "array", "items": False, "maxItems": 3},
            "above": {"type": "number", "minimum": 3, "exclusiveMinimum": True},
            "least": {"type": "number", "minimum": 3, "exclusiveMinimum": False},
            "linked": {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
        }
    }
    assert provider_view(schema)["properties"] == {
        "pair": {"prefixItems": [{"type": "string"}, {}], "maxItems": 2},
        "more": {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
        "none": {"type": "array", "items": {}},
        "closed": {"type": "array", "maxItems": 0, "items": {}},
        "above": {"type": "number", "exclusiveMinimum": 3},
        "least": {"type": "number", "minimum": 3},
        "linked": {
            "dependentRequired": {"a": ["b"]},
            "dependentSchemas": {"c": {"required": ["d"]}},
        },
    }


def test_keywords_with_a_value_of_a_wrong_kind_are_left_out() -> None:
    schema: dict[Any, Any] = {
        "properties": {
            "a": {"type": ["string", "text", "string"], "minLength": -1, "pattern": 3},
            "b": {"type": "any", "enum": "x", "minimum": float("nan"), "default": object()},
            "c": {"required": True, "anyOf": [], "$ref": ["x"], "multipleOf": 0},
            "d": {"required": ["x", 1], "items": 5, "maxItems": 1.5, "const": {1: 2}},
            "e": 5,
            "f": {"type": "object", "properties": [1], "additionalProperties": "no"},
            7: {"type": "string"},
        },
        3: "x",
    }
    view = provider_view(schema)
    assert view["properties"] == {}
    del schema["properties"][7]
    assert provider_view(schema)["properties"] == {
        "a": {"type": ["string"]},
        "b": {},
        "c": {},
        "d": {},
        "e": {},
        "f": {"type": "object"},
    }


def test_a_mapping_of_tags_goes_with_the_references_it_names() -> None:
    cat = {"properties": {"kind": {"const": "cat"}, "discriminator": {"type": "string"}}}
    schema = {
        "properties": {
            "pet": {
                "oneOf": [{"$ref": "#/$defs/Cat"}],
                "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/Cat"}},
            }
        },
        "$defs": {"Cat": cat},
    }
    assert provider_view(schema)["properties"] == {"pet": {"oneOf": [cat]}}


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


def _deep_data() -> dict[str, Any]:
    data: list[Any] = []
    for _ in range(5_000):
        data = [data]
    return {"properties": {"a": {"enum": data}}}


def _wide() -> dict[str, Any]:
    return {"properties": {f"p{number}": {"type": "string"} for number in range(30_000)}}


def _fork() -> dict[str, Any]:
    both = {"allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}
    return {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"properties": {"x": both, "y": both}}, "B": {"properties": {"z": both}}},
    }


@pytest.mark.parametrize(
    "schema",
    [_bomb(), _deep(), _deep_data(), _wide(), _fork()],
    ids=["bomb", "deep", "data", "wide", "fork"],
)
def test_a_hostile_schema_ends_in_a_small_view(schema: dict[str, Any]) -> None:
    view = provider_view(schema)
    assert len(str(view)) < 5_000
    assert view["type"] == "object"
    assert len(str(google_view(schema))) < 500_000
    assert convert_to_strict_schema(schema)["type"] == "object"


def test_what_is_too_large_in_place_keeps_its_references() -> None:
    view = provider_view(_bomb())
    assert view["properties"] == {"a": {"$ref": "#/$defs/D39"}}
    assert len(view["$defs"]) == 40


def test_a_schema_that_contains_itself_is_cut() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    schema["properties"]["self"] = schema
    for view in (provider_view(schema), google_view(schema), convert_to_strict_schema(schema)):
        assert view["properties"] == {}
        assert "too large" in view["description"]
    endless: list[Any] = []
    endless.append(endless)
    assert provider_view({"properties": {"a": {"default": endless}}})["properties"] == {}


def test_many_references_are_too_much() -> None:
    definitions = {f"D{number}": {"$ref": f"#/$defs/D{number + 1}"} for number in range(400)}
    view = provider_view({"properties": {"a": {"$ref": "#/$defs/D0"}}, "$defs": definitions})
    assert "too large" in view["description"]


def test_recursive_definitions_of_one_name_are_told_apart() -> None:
    def tree(reference: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"next": {"$ref": reference}}}

    view = provider_view(
        {
            "properties": {"a": {"$ref": "#/$defs/T"}, "b": {"$ref": "#/definitions/T"}},
            "$defs": {"T": tree("#/$defs/T")},
            "definitions": {"T": {**tree("#/definitions/T"), "required": ["next"]}},
        }
    )
    assert set(view["$defs"]) == {"T", "T2"}
    names = {part["$ref"] for part in view["properties"].values()}
    assert names == {"#/$defs/T", "#/$defs/T2"}


def test_references_into_lists_are_followed() -> None:
    schema = {
        "properties": {
            "a": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "b": {"$ref": "#/properties/a/anyOf/1"},
            "c": {"$ref": "#/properties/a/anyOf/9"},
            "d": {"$ref": "#/properties/a/anyOf/x"},
            "e": {"$ref": "#/properties/a/anyOf/0/type/x"},
            "f": {"$ref": "#spot"},
            "g": True,
        }
    }
    elsewhere = {"description": "Any value; it is described elsewhere."}
    properties = provider_view(schema)["properties"]
    assert properties["b"] == {"type": "integer"}
    assert [properties[name] for name in "cdef"] == [elsewhere] * 4
