"""The short view of a JSON Schema."""

import copy
import json

import jsonschema
import pytest

from mbxai.local._view import (
    ARGUMENT,
    MAX_ITEM_TEXT_CHARS,
    MAX_LIST_ITEMS,
    MAX_NESTED_LIST_ITEMS,
    MAX_TEXT_CHARS,
    PROSE,
    bounded_schema,
    grammar_of,
)

TREE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["name", "children"],
        }
    },
    "$ref": "#/$defs/Node",
}


def of_property(part: object) -> dict:
    return bounded_schema({"type": "object", "properties": {"a": part}})["properties"]["a"]


def test_texts_without_a_bound_get_one_and_begin_with_a_letter():
    assert of_property({"type": "string"}) == {
        "type": "string",
        "pattern": PROSE,
        "maxLength": MAX_TEXT_CHARS,
    }


def test_engines_that_do_not_know_the_pattern_get_none():
    view = bounded_schema({"type": "string"}, text_pattern=None)
    assert view == {"type": "string", "maxLength": MAX_TEXT_CHARS}


def test_a_long_bound_is_lowered_and_a_short_one_is_kept():
    assert of_property({"type": "string", "maxLength": 9000})["maxLength"] == MAX_TEXT_CHARS
    assert of_property({"type": "string", "maxLength": 7})["maxLength"] == 7


def test_a_text_that_must_be_long_may_be_as_long_as_it_must():
    view = of_property({"type": "string", "minLength": 500})
    assert view == {"type": "string", "minLength": 500, "maxLength": 500}


def test_a_text_that_must_be_empty_stays_possible():
    schema = of_property({"type": "string", "maxLength": 0})
    assert jsonschema.Draft202012Validator(schema).is_valid("")


def test_patterns_and_formats_are_kept():
    assert of_property({"type": "string", "pattern": "^[a-z]+$"})["pattern"] == "^[a-z]+$"
    assert of_property({"type": "string", "format": "date"}) == {"type": "string", "format": "date"}
    assert of_property({"type": "string", "format": "email"})["maxLength"] == MAX_TEXT_CHARS


@pytest.mark.parametrize("pattern", ["^(?=a)b", "a(?!b)", "(?<=x)y", r"(a)\1", "(?P=name)"])
def test_patterns_that_no_grammar_can_hold_are_left_out(pattern):
    assert of_property({"type": "string", "pattern": pattern})["pattern"] == PROSE


def test_formats_that_no_grammar_knows_are_left_out():
    assert "format" not in of_property({"type": "string", "format": "password"})


def test_lists_are_short_and_lists_in_lists_are_shorter():
    view = of_property({"type": "array", "items": {"type": "array", "items": {"type": "string"}}})
    assert view["maxItems"] == MAX_LIST_ITEMS
    assert view["items"]["maxItems"] == MAX_NESTED_LIST_ITEMS
    assert view["items"]["items"]["maxLength"] == MAX_ITEM_TEXT_CHARS


def test_lists_of_objects_are_shorter_too():
    item = {"type": "object", "properties": {"b": {"type": "null"}}}
    assert of_property({"type": "array", "items": item})["maxItems"] == MAX_NESTED_LIST_ITEMS


def test_a_list_that_must_be_long_may_be_as_long_as_it_must():
    view = of_property({"type": "array", "items": {"type": "integer"}, "minItems": 9})
    assert (view["minItems"], view["maxItems"]) == (9, 9)


def test_tuples_have_exactly_their_places():
    view = of_property({"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}]})
    assert (view["minItems"], view["maxItems"]) == (2, 2)


def test_integers_cannot_have_digits_without_end():
    view = of_property({"type": "integer"})
    assert view["minimum"] < 0 < view["maximum"]
    assert of_property({"type": "integer", "minimum": 5_000_000_000})["maximum"] > 5_000_000_000
    assert of_property({"type": "integer", "exclusiveMaximum": -7})["minimum"] < -7


def test_bounds_of_numbers_are_kept():
    part = {"type": "integer", "minimum": 1, "maximum": 10}
    assert of_property(part) == part


def test_references_are_put_in_place():
    view = bounded_schema(
        {
            "definitions": {"a/b": {"type": "boolean"}},
            "type": "object",
            "properties": {"x": {"$ref": "#/definitions/a~1b", "description": "beside"}},
        }
    )
    assert view["properties"]["x"] == {"type": "boolean"}


def test_a_tree_ends_after_two_generations():
    view = bounded_schema(TREE, text_pattern=None)
    assert "$ref" not in json.dumps(view)
    children = view["properties"]["children"]["items"]["properties"]["children"]
    assert children["maxItems"] == 0
    jsonschema.validate({"name": "a", "children": [{"name": "b", "children": []}]}, view)


def test_an_optional_reference_to_itself_ends_without_it():
    schema = {
        "$defs": {
            "L": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/L"}, {"type": "null"}]}},
                "required": ["next"],
            }
        },
        "$ref": "#/$defs/L",
    }
    view = bounded_schema(schema)
    jsonschema.validate({"next": {"next": None}}, view)
    assert "$ref" not in json.dumps(view)


def test_a_schema_that_nothing_finite_fits_is_left_alone():
    schema = {
        "$defs": {"L": {"properties": {"n": {"$ref": "#/$defs/L"}}, "required": ["n"]}},
        "$ref": "#/$defs/L",
    }
    assert bounded_schema(schema) == schema


def test_yes_or_no_comes_before_what_could_talk_the_model_out_of_it():
    view = bounded_schema(
        {
            "type": "object",
            "properties": {"why": {"type": "string"}, "done": {"type": "boolean"}},
            "required": ["why", "done"],
        }
    )
    assert list(view["properties"]) == ["done", "why"]
    assert view["required"] == ["why", "done"]


def test_open_objects_have_few_properties():
    view = of_property({"type": "object", "additionalProperties": {"type": "integer"}})
    assert view["maxProperties"] == 3
    assert view["additionalProperties"]["type"] == "integer"


def test_objects_with_named_properties_have_no_others():
    view = bounded_schema({"type": "object", "properties": {"a": {"type": "null"}}})
    assert view["additionalProperties"] is False


def test_required_names_without_a_schema_get_one():
    view = bounded_schema({"type": "object", "required": ["a"]})
    assert set(view["properties"]) == {"a"}


def test_anything_is_a_short_scalar():
    kinds = [branch["type"] for branch in of_property({})["anyOf"]]
    assert kinds == ["string", "integer", "boolean"]
    assert of_property(True) == of_property({"description": "whatever"})


def test_several_types_become_alternatives():
    view = of_property({"type": ["string", "null"]})
    assert [branch["type"] for branch in view["anyOf"]] == ["string", "null"]


def test_constants_and_enumerations_are_kept_alone():
    assert of_property({"const": 1, "type": "integer"}) == {"const": 1}
    assert of_property({"enum": ["a"], "title": "A"}) == {"enum": ["a"]}


def test_one_of_becomes_any_of_and_all_of_stays():
    assert "anyOf" in of_property({"oneOf": [{"type": "null"}, {"type": "boolean"}]})
    assert "allOf" in of_property({"allOf": [{"type": "string"}, {"minLength": 2}]})
    assert "allOf" in of_property({"type": "string", "anyOf": [{"const": "a"}], "minLength": 1})


def test_the_type_of_a_part_is_guessed_from_its_keywords():
    assert of_property({"items": {"type": "null"}})["type"] == "array"
    assert of_property({"minLength": 2})["type"] == "string"
    assert of_property({"minimum": 2})["type"] == "number"


def test_the_schema_itself_is_not_changed():
    before = copy.deepcopy(TREE)
    bounded_schema(TREE)
    assert before == TREE


def test_the_view_of_a_view_is_the_view():
    view = bounded_schema({"type": "object", "properties": {"a": {"type": "string"}}})
    assert bounded_schema(view) == view


def test_tool_arguments_may_be_paths_and_numbers():
    view = bounded_schema({"type": "string"}, text_pattern=ARGUMENT)
    assert view["pattern"] == ARGUMENT


def test_the_grammar_fixes_the_blanks():
    grammar = grammar_of({"type": "null"})
    head, _, schema = grammar.partition("%json ")
    assert head == "%llguidance {}\nstart: "
    assert json.loads(schema)["x-guidance"]["whitespace_flexible"] is False
