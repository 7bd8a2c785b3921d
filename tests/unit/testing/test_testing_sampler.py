"""The automatic model's values fit the schemas that they are made for."""

import enum
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, create_model

from mbxai.agent.machine._drafts import (
    EvaluationDraft,
    RequirementDraft,
    TodoDraft,
    ToolAnalysisDraft,
)
from mbxai.testing._sampler import Sampler, UnsatisfiableError
from mbxai.testing._schema_check import SchemaCheck
from mbxai.testing._schema_merge import merged


def valid(value: object, schema: object) -> bool:
    checker = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    return checker.is_valid(value)


NODE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "left": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["value", "left", "children"],
        }
    },
    "$ref": "#/$defs/Node",
}
EXPRESSION = {
    "$defs": {
        "Expr": {"anyOf": [{"$ref": "#/$defs/Sum"}, {"$ref": "#/$defs/Number"}]},
        "Sum": {
            "type": "object",
            "properties": {"kind": {"const": "sum"}, "of": {"$ref": "#/$defs/Expr"}},
            "required": ["kind", "of"],
            "additionalProperties": False,
        },
        "Number": {
            "type": "object",
            "properties": {"kind": {"const": "number"}, "n": {"type": "number"}},
            "required": ["kind", "n"],
            "additionalProperties": False,
        },
    },
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/Expr"}},
    "required": ["root"],
}
ODD_SCHEMAS: dict[str, Any] = {
    "empty": {},
    "true": True,
    "null": {"type": "null"},
    "constant": {"const": {"a": [1, None]}},
    "constant false": {"const": False},
    "enum of mixed types": {"enum": [None, 0, "a"]},
    "enum cut by a type": {"enum": ["x", 3], "type": "integer"},
    "several types": {"type": ["null", "integer"]},
    "integer range": {"type": "integer", "minimum": -7, "maximum": -3},
    "exclusive range": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2},
    "exclusive fraction": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    "multiples": {"type": "integer", "minimum": 11, "multipleOf": 5},
    "fractional multiples": {"type": "number", "minimum": 0.3, "multipleOf": 0.25},
    "maximum below one": {"type": "number", "maximum": -2.5},
    "no type, minimum": {"minimum": 12},
    "short text": {"type": "string", "maxLength": 3},
    "long text": {"type": "string", "minLength": 90},
    "exact length": {"type": "string", "minLength": 2, "maxLength": 2},
    "empty text": {"type": "string", "maxLength": 0},
    "pattern": {"type": "string", "pattern": r"^[A-Z]{2,4}-\d+$"},
    "pattern and length": {"type": "string", "pattern": "^[a-f0-9]+$", "minLength": 32},
    "date": {"type": "string", "format": "date"},
    "date-time": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "uuid": {"type": "string", "format": "uuid"},
    "email": {"type": "string", "format": "email"},
    "uri": {"type": "string", "format": "uri"},
    "unknown format": {"type": "string", "format": "colour"},
    "three different": {
        "type": "array",
        "items": {"type": "integer", "minimum": 1, "maximum": 3},
        "minItems": 3,
        "uniqueItems": True,
    },
    "different words": {
        "type": "array",
        "items": {"enum": ["a", "b", "c"]},
        "minItems": 2,
        "uniqueItems": True,
    },
    "different objects": {
        "type": "array",
        "items": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        "minItems": 3,
        "uniqueItems": True,
    },
    "no items allowed": {"type": "array", "items": False},
    "nothing fits the items": {"type": "array", "items": {"enum": []}},
    "at most none": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    "tuple": {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "integer"}],
        "minItems": 2,
        "items": False,
    },
    "contains": {"type": "array", "contains": {"const": 7}, "minContains": 2},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    "map with names": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]{3}$"},
        "additionalProperties": {"type": "boolean"},
        "minProperties": 1,
    },
    "required but undeclared": {"type": "object", "required": ["ghost"]},
    "closed and empty": {"type": "object", "additionalProperties": False},
    "all of": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"a": {"minimum": 9}, "b": {"type": "string"}}, "required": ["b"]},
        ]
    },
    "all of with either": {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "anyOf": [{"properties": {"a": {"minLength": 50}}}, {"required": ["b"]}],
    },
    "exactly one": {"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 2}]},
    "not": {"type": "string", "not": {"pattern": "Example"}},
    "condition": {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}},
        "required": ["kind"],
        "if": {"properties": {"kind": {"const": "a"}}},
        "then": {"required": ["extra"]},
    },
    "dependent": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "dependentRequired": {"a": ["b"]},
    },
    "reference with neighbours": {
        "$defs": {"n": {"type": "integer"}},
        "$ref": "#/$defs/n",
        "minimum": 40,
    },
    "escaped reference": {"$defs": {"a/b": {"type": "boolean"}}, "$ref": "#/$defs/a~1b"},
    "anchor": {"$defs": {"x": {"$anchor": "here", "type": "integer"}}, "$ref": "#here"},
    "definitions": {"definitions": {"x": {"type": "null"}}, "$ref": "#/definitions/x"},
    "tree": NODE,
    "expression": EXPRESSION,
    "self": {"type": "object", "properties": {"next": {"$ref": "#"}}},
    "dead branches": {"anyOf": [False, {"type": "integer"}]},
    "condition that cannot hold": {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "string"}},
        "if": {"properties": {"a": {"enum": []}}},
        "then": {"required": ["b"]},
    },
    "map of nothing": {"type": "object", "additionalProperties": {"enum": []}},
    "json in a string": {"type": "string", "contentMediaType": "application/json"},
    "few different ones": {
        "type": "array",
        "items": {"type": "boolean"},
        "minItems": 2,
        "uniqueItems": True,
    },
    "prefix only": {"type": "array", "prefixItems": [{"type": "null"}], "uniqueItems": True},
    "null first": {"anyOf": [{"type": "null"}, {"type": "string"}]},
}


@pytest.mark.parametrize("name", ODD_SCHEMAS)
def test_an_odd_schema_gets_a_valid_instance(name: str) -> None:
    schema = ODD_SCHEMAS[name]
    value = Sampler(schema).sample()
    assert valid(value, schema), value
    assert Sampler(schema).sample() == value


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Everything(BaseModel):
    id: UUID
    day: date
    moment: datetime
    span: timedelta
    colour: Colour
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    price: Decimal = Field(gt=0, max_digits=5, decimal_places=2)
    code: str = Field(pattern=r"^[A-Z]{3}\d{2}$")
    pair: tuple[int, str]
    words: set[str] = Field(min_length=2)
    scores: dict[str, float]
    maybe: int | None
    anything: Any
    parent: "Everything | None" = None


@pytest.mark.parametrize(
    "type_",
    [Everything, TodoDraft, RequirementDraft, ToolAnalysisDraft, EvaluationDraft, list[Cat | Dog]],
)
def test_a_pydantic_type_accepts_the_sample_of_its_own_schema(type_: Any) -> None:
    adapter = TypeAdapter(type_)
    value = Sampler(adapter.json_schema()).sample()
    accepted = adapter.validate_json(json.dumps(value), strict=None)
    assert adapter.validate_json(adapter.dump_json(accepted)) == accepted


FORMATS = ("date", "date-time", "uuid", "email", "uri")


def scalars(formats: tuple[str, ...] = ()) -> st.SearchStrategy[dict[str, Any]]:
    small = st.integers(-20, 20)
    span = st.tuples(small, small).map(sorted)
    return st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        span.map(lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[1]}),
        span.map(lambda pair: {"type": "number", "minimum": pair[0] / 3, "maximum": pair[1] / 3}),
        st.tuples(small, st.integers(1, 9)).map(
            lambda pair: {"type": "integer", "minimum": pair[0], "multipleOf": pair[1]}
        ),
        st.tuples(st.integers(0, 30), st.integers(0, 30))
        .map(sorted)
        .map(lambda pair: {"type": "string", "minLength": pair[0], "maxLength": pair[1]}),
        st.sampled_from(formats or ("unknown",)).map(
            lambda name: {"type": "string", "format": name}
        ),
        st.lists(st.sampled_from([1, "one", None, True, [2]]), min_size=1, max_size=3).map(
            lambda values: {"enum": values}
        ),
    )


def composed(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["key", "title", "depends_on", "percentage", "a b", "ü", "next_steps"])
    properties = st.dictionaries(names, inner, max_size=4)
    return st.one_of(
        st.tuples(properties, st.booleans()).map(
            lambda pair: {
                "type": "object",
                "properties": pair[0],
                "required": list(pair[0]) if pair[1] else [],
                "additionalProperties": not pair[1],
            }
        ),
        st.tuples(inner, st.integers(0, 3)).map(
            lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1]}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        inner.map(lambda part: {"allOf": [part, {"description": "the same"}]}),
        inner.map(lambda part: {"$defs": {"part": True}, "anyOf": [part, {"type": "null"}]}),
        inner.map(lambda part: {"type": "object", "additionalProperties": part}),
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(scalars(FORMATS), composed, max_leaves=8))
def test_any_satisfiable_schema_gets_a_valid_instance(schema: dict[str, Any]) -> None:
    assert valid(Sampler(schema).sample(), schema)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


# Without formats: jsonschema checks them only where more packages are installed.
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(scalars(), composed, max_leaves=5), JSON_VALUES)
def test_the_small_checker_agrees_with_jsonschema(schema: dict[str, Any], value: object) -> None:
    assert SchemaCheck(schema).fits(value, schema) is valid(value, schema)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": []},
        {"$ref": "#"},
        {"type": "string", "pattern": "(?=x)y"},
        {"type": "object", "additionalProperties": {"enum": []}, "minProperties": 1},
        {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
        {"type": "array", "items": False, "minItems": 1},
    ],
)
def test_a_schema_without_instances_is_refused(schema: object) -> None:
    with pytest.raises(UnsatisfiableError):
        Sampler(schema).sample()


def test_names_decide_where_the_schema_leaves_a_choice() -> None:
    class Report(BaseModel):
        completion_percentage: int = Field(ge=0, le=100)
        percentage_done: float
        estimated_complexity: int = Field(ge=1, le=5)
        goal_achieved: bool
        missing_capabilities: list[str]
        project_name: str
        comment: str | None

    assert Sampler(Report.model_json_schema()).sample() == {
        "completion_percentage": 100,
        "percentage_done": 100,
        "estimated_complexity": 1,
        "goal_achieved": True,
        "missing_capabilities": [],
        "project_name": "Example project name",
        "comment": "Example comment",
    }


def test_keys_differ_from_item_to_item_and_follow_the_taken_ones() -> None:
    schema = {
        "type": "array",
        "minItems": 3,
        "items": {"type": "object", "properties": {"key": {"type": "string"}}},
    }
    sample = Sampler(schema, last_key=4).sample()
    assert sample == [{"key": "t5"}, {"key": "t6"}, {"key": "t7"}]


def test_a_fact_is_taken_where_it_fits_and_ignored_where_it_does_not() -> None:
    schema = create_model("Order", id=(str, ...), date=(date, ...)).model_json_schema()
    sample = Sampler(schema, facts={"id": "ord_003", "date": "yesterday"}).sample()
    assert sample == {"id": "ord_003", "date": "2026-01-15"}


def test_arguments_use_defaults_and_leave_other_optional_ones_out() -> None:
    schema = {
        "type": "object",
        "properties": {
            "location": {"type": "string"},
            "unit": {"type": "string", "default": "celsius"},
            "mode": {"enum": ["fast", "slow"]},
            "cursor": {"type": "string"},
        },
        "required": ["location", "mode"],
    }
    sample = Sampler(schema, arguments=True).sample()
    assert sample == {"location": "Example location", "unit": "celsius", "mode": "fast"}


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ({"type": "integer"}, 1.0, True),
        ({"type": "integer"}, True, False),
        ({"const": 1}, True, False),
        ({"enum": [0]}, False, False),
        ({"$ref": "#/items/1", "items": [{}, {"type": "null"}]}, 1, False),
        ({"$ref": "https://example.com/other"}, 1, True),
        ({"$ref": "#nowhere"}, 1, True),
        ({"type": "string", "pattern": "("}, "x", True),
        ({"prefixItems": [{"type": "null"}]}, [1], False),
        ({"contains": {"const": 1}, "maxContains": 1}, [1, 1], False),
        ({"uniqueItems": True}, [1, 1], False),
        ({"required": ["a"]}, {}, False),
        ({"maxProperties": 0}, {"a": 1}, False),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, False),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, False),
        ({"patternProperties": {"^a": {"type": "null"}}}, {"ab": 1}, False),
        ({"oneOf": [{"type": "integer"}, {"minimum": 0}]}, 1, False),
        ({"if": {"type": "string"}, "then": {"minLength": 2}, "else": False}, 1, False),
        ({"exclusiveMinimum": 1}, 1, False),
        ({"exclusiveMaximum": 1}, 1, False),
        ({"multipleOf": 0.1}, 0.3, True),
    ],
)
def test_the_small_checker_knows_the_odd_rules(schema: Any, value: object, fits: bool) -> None:
    assert SchemaCheck(schema).fits(value, schema) is fits


@pytest.mark.parametrize(
    ("left", "right", "flat"),
    [
        ({"minimum": 1, "maximum": 9}, {"minimum": 3, "maximum": 5}, {"minimum": 3, "maximum": 5}),
        ({"minLength": 1}, {"minLength": None}, {"minLength": 1}),
        ({"minLength": "x"}, {"minLength": None}, {"minLength": None}),
        ({"type": ["string", "null"]}, {"type": "null"}, {"type": ["null"]}),
        ({"type": "number"}, {"type": ["integer", "null"]}, {"type": ["integer"]}),
        ({"type": "integer"}, {"type": "number"}, {"type": ["integer"]}),
        ({"enum": [1, 2]}, {"enum": [2, 3]}, {"enum": [2]}),
        ({"not": {"const": 1}}, {"not": {}}, {"not": {"anyOf": [{"const": 1}, {}]}}),
        ({"items": {"minimum": 1}}, {"items": {}}, {"items": {"allOf": [{"minimum": 1}, {}]}}),
        ({"anyOf": [1, 2]}, {"anyOf": [3]}, {"anyOf": [{"allOf": [1, 3]}, {"allOf": [2, 3]}]}),
        ({"required": ["a"]}, {"required": ["b", "a"]}, {"required": ["a", "b"]}),
        ({"title": "A"}, {"title": "B"}, {"title": "B"}),
        ({"properties": {"a": 1}}, {"properties": {"b": 2}}, {"properties": {"a": 1, "b": 2}}),
    ],
)
def test_two_schemas_are_merged_into_one_that_means_both(left: Any, right: Any, flat: Any) -> None:
    merged_schema, _ = merged({"allOf": [right, left]}, frozenset(), lambda _: {})
    assert merged_schema == flat


@pytest.mark.parametrize("part", [False, {"$ref": "#/again"}])
def test_nothing_fits_an_impossible_part(part: Any) -> None:
    flat, _ = merged({"allOf": [{}, part]}, frozenset({"#/again"}), lambda _: {})
    assert flat is None


def test_a_required_list_argument_has_an_item() -> None:
    schema = {
        "type": "object",
        "properties": {"numbers": {"type": "array", "items": {"type": "integer"}}},
        "required": ["numbers"],
    }
    assert Sampler(schema, arguments=True).sample() == {"numbers": [1]}


def test_a_vast_schema_keeps_only_what_is_required() -> None:
    leaf = {"type": "object", "properties": {f"p{n}": {"type": "null"} for n in range(100)}}
    schema = {"type": "object", "properties": {f"q{n}": leaf for n in range(100)}}
    value = Sampler({**schema, "required": ["q99"]}).sample()
    assert valid(value, schema)
    assert isinstance(value, dict)
    assert value["q99"] == {}


def test_a_schema_without_end_is_given_up() -> None:
    item = {"type": "array", "items": {"type": "integer"}, "minItems": 999}
    with pytest.raises(UnsatisfiableError):
        Sampler({"type": "array", "items": item, "minItems": 999}).sample()


def test_a_web_of_types_that_name_each_other_ends_soon() -> None:
    names = [f"T{number}" for number in range(12)]
    anyone = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    type_ = {
        "type": "object",
        "properties": {"one": anyone, "many": {"type": "array", "items": anyone}},
    }
    schema = {"$defs": dict.fromkeys(names, type_), "$ref": "#/$defs/T0"}
    value = Sampler(schema).sample()
    assert valid(value, schema)
