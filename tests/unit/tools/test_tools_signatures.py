"""Signatures that people write, and the exact schema each becomes."""

import datetime as dt
import decimal
import enum
import functools
import json
import pathlib
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, Optional, Union

import jsonschema
import pytest
import typing_extensions
from annotated_types import Doc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mbxai.tools import Secret, Tool, ToolContext


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class City(BaseModel):
    """A place."""

    name: str = Field(description="What it is called")
    population: int | None = None


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


class Node(BaseModel):
    value: int
    children: list["Node"] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    first: str = Field(alias="firstName")


@dataclass
class Point:
    x: float
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


class Movie(typing.TypedDict):
    title: str
    year: NotRequired[int]


class Film(typing_extensions.TypedDict, total=False):
    title: typing_extensions.Required[str]
    movies: list[Movie]


class Shop:
    def find(self, query: str) -> str:
        """Find it."""
        return query

    @classmethod
    def open(cls, name: str) -> str:
        return name

    @staticmethod
    def close(hard: bool) -> bool:
        return hard


class Adder:
    """Adds."""

    def __call__(self, left: int, right: int = 1) -> int:
        return left + right


def no_parameters() -> None: ...
def one_string(text: str) -> None: ...
def all_scalars(a: str, b: int, c: float, d: bool) -> None: ...
def with_default(unit: str = "celsius") -> None: ...
def optional_new(limit: int | None = None) -> None: ...
def optional_old(limit: Optional[int]) -> None: ...  # noqa: UP045
def implicit_optional(limit: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def union(value: int | str) -> None: ...
def union_old(value: Union[int, list[str]]) -> None: ...  # noqa: UP007
def bare_list(items: list) -> None: ...
def bare_dict(data: dict) -> None: ...
def typed_list(items: list[str]) -> None: ...
def optional_list(items: list[str] | None = None) -> None: ...
def nested_list(items: list[list[int]]) -> None: ...
def typed_dict_value(data: dict[str, int]) -> None: ...
def abstract(names: Sequence[str], table: Mapping[str, float]) -> None: ...
def a_set(items: set[int]) -> None: ...
def fixed_tuple(pair: tuple[int, str]) -> None: ...
def open_tuple(items: tuple[int, ...]) -> None: ...
def anything(value: Any) -> None: ...
def literal(unit: Literal["c", "f"] = "c") -> None: ...
def one_literal(kind: Literal["x"]) -> None: ...
def an_enum(color: Color) -> None: ...
def an_int_enum(level: Level = Level.LOW) -> None: ...
def a_model(city: City) -> None: ...
def a_closed_model(value: Closed) -> None: ...
def two_of_a_model(start: City, end: City) -> None: ...
def an_aliased_model(value: Aliased) -> None: ...
def models(cities: list[Closed]) -> None: ...
def a_recursive_model(node: Node) -> None: ...
def a_discriminated_union(pet: Annotated[Cat | Dog, Field(discriminator="kind")]) -> None: ...
def a_dataclass(point: Point) -> None: ...
def a_typed_dict(movie: Movie) -> None: ...
def nested_typed_dicts(films: list[Film]) -> None: ...
def times(at: dt.datetime, day: dt.date, wait: dt.timedelta) -> None: ...
def identifiers(key: uuid.UUID, path: pathlib.Path) -> None: ...
def bounded(count: Annotated[int, Field(ge=1, le=10)] = 3) -> None: ...
def described(text: Annotated[str, Field(description="The text")]) -> None: ...
def described_by_text(text: Annotated[str, "The text"]) -> None: ...
def described_by_doc(text: Annotated[str, Doc("The text")]) -> None: ...
def field_default(size: int = Field(3, gt=0, description="How big")) -> None: ...
def annotated_default(size: Annotated[int, Field(default=3)]) -> None: ...
def optional_alias(origin: Annotated[str, Field(alias="from", min_length=1)] = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def own_alias(origin: Annotated[str, Field(alias="from")]) -> None: ...
def keyword_only(*, name: str, loud: bool = False) -> None: ...
def positional_only(left: int, right: int = 2, /) -> None: ...
def open_keywords(name: str, **rest: int) -> None: ...
def awkward_names(schema: str, model_config: str, json: int, _hidden: bool, input: str) -> None: ...  # noqa: A002
def quoted(city: "City") -> None: ...
def with_context(text: str, context: ToolContext[int]) -> None: ...
def with_secret(text: str, token: Secret, other: Annotated[Secret | None, "shop.key"]) -> None: ...
def odd_default(callback: str = object()) -> None: ...  # type: ignore[assignment]
async def a_coroutine(text: str) -> None: ...


def google(location: str, unit: str = "celsius") -> dict:
    """Get weather information for a location.

    Args:
        location: The city
            or location name
        unit (str): Temperature unit
    """
    return {}


def numpy_style(location: str) -> None:
    """Get it.

    Parameters
    ----------
    location : str
        The city
    """


def sphinx_style(location: str) -> None:
    """Get it.

    :param location: The city
    """


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def three(first: int, second: str, third: bool = False) -> None: ...


CITY = {
    "description": "A place.",
    "properties": {
        "name": {"description": "What it is called", "type": "string"},
        "population": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
    },
    "required": ["name"],
    "type": "object",
}
CLOSED = {
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "type": "object",
}
MOVIE = {
    "additionalProperties": False,
    "properties": {"title": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["title"],
    "type": "object",
}
STRING = {"type": "string"}
INTEGER = {"type": "integer"}
MAYBE_INT = {"anyOf": [{"type": "integer"}, {"type": "null"}]}


def schema(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {
        "additionalProperties": False,
        "properties": properties,
        "type": "object",
        "required": list(required),
    } | more


# function, its schema, arguments that fit, arguments that do not
TABLE: list[tuple[Callable[..., Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (no_parameters, schema({}), {}, {"a": 1}),
    (one_string, schema({"text": STRING}, "text"), {"text": "a"}, {"text": 1}),
    (
        all_scalars,
        schema(
            {"a": STRING, "b": INTEGER, "c": {"type": "number"}, "d": {"type": "boolean"}},
            *"abcd",
        ),
        {"a": "", "b": 1, "c": 1.5, "d": True},
        {"a": "", "b": "1", "c": 1.5, "d": True},
    ),
    (with_default, schema({"unit": {"default": "celsius", "type": "string"}}), {}, {"unit": 1}),
    (
        optional_new,
        schema({"limit": {**MAYBE_INT, "default": None}}),
        {"limit": None},
        {"limit": "a"},
    ),
    (optional_old, schema({"limit": MAYBE_INT}, "limit"), {"limit": None}, {}),
    (
        implicit_optional,
        schema({"limit": {**MAYBE_INT, "default": None}}),
        {"limit": None},
        {"limit": "a"},
    ),
    (
        union,
        schema({"value": {"anyOf": [INTEGER, STRING]}}, "value"),
        {"value": "a"},
        {"value": []},
    ),
    (
        union_old,
        schema({"value": {"anyOf": [INTEGER, {"items": STRING, "type": "array"}]}}, "value"),
        {"value": ["a"]},
        {"value": "a"},
    ),
    (
        bare_list,
        schema({"items": {"items": {}, "type": "array"}}, "items"),
        {"items": [1, "a"]},
        {"items": {}},
    ),
    (
        bare_dict,
        schema({"data": {"additionalProperties": True, "type": "object"}}, "data"),
        {"data": {"a": [1]}},
        {"data": []},
    ),
    (
        typed_list,
        schema({"items": {"items": STRING, "type": "array"}}, "items"),
        {"items": []},
        {"items": [1]},
    ),
    (
        optional_list,
        schema(
            {
                "items": {
                    "anyOf": [{"items": STRING, "type": "array"}, {"type": "null"}],
                    "default": None,
                }
            }
        ),
        {"items": ["a"]},
        {"items": "a"},
    ),
    (
        nested_list,
        schema({"items": {"items": {"items": INTEGER, "type": "array"}, "type": "array"}}, "items"),
        {"items": [[1], []]},
        {"items": [1]},
    ),
    (
        typed_dict_value,
        schema({"data": {"additionalProperties": INTEGER, "type": "object"}}, "data"),
        {"data": {"a": 1}},
        {"data": {"a": "b"}},
    ),
    (
        abstract,
        schema(
            {
                "names": {"items": STRING, "type": "array"},
                "table": {"additionalProperties": {"type": "number"}, "type": "object"},
            },
            "names",
            "table",
        ),
        {"names": ["a"], "table": {"a": 1}},
        {"names": "a", "table": {}},
    ),
    (
        a_set,
        schema({"items": {"items": INTEGER, "type": "array", "uniqueItems": True}}, "items"),
        {"items": [1, 2]},
        {"items": ["a"]},
    ),
    (
        fixed_tuple,
        schema(
            {
                "pair": {
                    "maxItems": 2,
                    "minItems": 2,
                    "prefixItems": [INTEGER, STRING],
                    "type": "array",
                }
            },
            "pair",
        ),
        {"pair": [1, "a"]},
        {"pair": [1]},
    ),
    (
        open_tuple,
        schema({"items": {"items": INTEGER, "type": "array"}}, "items"),
        {"items": [1]},
        {"items": ["a"]},
    ),
    (anything, schema({"value": {}}, "value"), {"value": [None]}, {}),
    (
        literal,
        schema({"unit": {"default": "c", "enum": ["c", "f"], "type": "string"}}),
        {"unit": "f"},
        {"unit": "k"},
    ),
    (
        one_literal,
        schema({"kind": {"const": "x", "type": "string"}}, "kind"),
        {"kind": "x"},
        {"kind": "y"},
    ),
    (
        an_enum,
        schema({"color": {"enum": ["red", "blue"], "type": "string"}}, "color"),
        {"color": "red"},
        {"color": "RED"},
    ),
    (
        an_int_enum,
        schema({"level": {"default": 1, "enum": [1, 2], "type": "integer"}}),
        {"level": 2},
        {"level": 3},
    ),
    (a_model, schema({"city": CITY}, "city"), {"city": {"name": "a"}}, {"city": {}}),
    (
        a_closed_model,
        schema({"value": CLOSED}, "value"),
        {"value": {"name": "a"}},
        {"value": {"name": "a", "b": 1}},
    ),
    (
        two_of_a_model,
        schema({"start": CITY, "end": CITY}, "start", "end"),
        {"start": {"name": "a"}, "end": {"name": "b"}},
        {"start": {"name": "a"}},
    ),
    (
        an_aliased_model,
        schema(
            {
                "value": {
                    "properties": {"firstName": STRING},
                    "required": ["firstName"],
                    "type": "object",
                }
            },
            "value",
        ),
        {"value": {"firstName": "a"}},
        {"value": {"first": "a"}},
    ),
    (
        models,
        schema({"cities": {"items": CLOSED, "type": "array"}}, "cities"),
        {"cities": [{"name": "a"}]},
        {"cities": [{}]},
    ),
    (
        a_recursive_model,
        schema(
            {"node": {"$ref": "#/$defs/Node"}},
            "node",
            **{
                "$defs": {
                    "Node": {
                        "properties": {
                            "value": INTEGER,
                            "children": {
                                "default": [],
                                "items": {"$ref": "#/$defs/Node"},
                                "type": "array",
                            },
                        },
                        "required": ["value"],
                        "type": "object",
                    }
                }
            },
        ),
        {"node": {"value": 1, "children": [{"value": 2}]}},
        {"node": {"value": 1, "children": [{}]}},
    ),
    (
        a_discriminated_union,
        schema(
            {
                "pet": {
                    "discriminator": {
                        "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"},
                        "propertyName": "kind",
                    },
                    "oneOf": [
                        {
                            "properties": {
                                "kind": {"const": "cat", "type": "string"},
                                "lives": {"default": 9, "type": "integer"},
                            },
                            "required": ["kind"],
                            "type": "object",
                        },
                        {
                            "properties": {"kind": {"const": "dog", "type": "string"}},
                            "required": ["kind"],
                            "type": "object",
                        },
                    ],
                }
            },
            "pet",
        ),
        {"pet": {"kind": "dog"}},
        {"pet": {"kind": "cow"}},
    ),
    (
        a_dataclass,
        schema(
            {
                "point": {
                    "additionalProperties": False,
                    "properties": {
                        "x": {"type": "number"},
                        "y": {"default": 0.0, "type": "number"},
                        "tags": {"items": STRING, "type": "array"},
                    },
                    "required": ["x"],
                    "type": "object",
                }
            },
            "point",
        ),
        {"point": {"x": 1}},
        {"point": {"y": 1}},
    ),
    (
        a_typed_dict,
        schema({"movie": MOVIE}, "movie"),
        {"movie": {"title": "a"}},
        {"movie": {"year": 1}},
    ),
    (
        nested_typed_dicts,
        schema(
            {
                "films": {
                    "items": {
                        "additionalProperties": False,
                        "properties": {
                            "title": STRING,
                            "movies": {"items": MOVIE, "type": "array"},
                        },
                        "required": ["title"],
                        "type": "object",
                    },
                    "type": "array",
                }
            },
            "films",
        ),
        {"films": [{"title": "a", "movies": [{"title": "b", "year": 1}]}]},
        {"films": [{"movies": []}]},
    ),
    (
        times,
        schema(
            {
                "at": {"format": "date-time", "type": "string"},
                "day": {"format": "date", "type": "string"},
                "wait": {"format": "duration", "type": "string"},
            },
            "at",
            "day",
            "wait",
        ),
        {"at": "2026-01-02T03:04:05Z", "day": "2026-01-02", "wait": "PT5S"},
        {"at": 1, "day": "2026-01-02", "wait": "PT5S"},
    ),
    (
        identifiers,
        schema(
            {
                "key": {"format": "uuid", "type": "string"},
                "path": {"format": "path", "type": "string"},
            },
            "key",
            "path",
        ),
        {"key": "12345678-1234-5678-1234-567812345678", "path": "/a"},
        {"key": 1, "path": "/a"},
    ),
    (
        bounded,
        schema({"count": {"default": 3, "maximum": 10, "minimum": 1, "type": "integer"}}),
        {"count": 10},
        {"count": 11},
    ),
    (described, schema({"text": {"description": "The text", **STRING}}, "text"), {"text": "a"}, {}),
    (
        described_by_text,
        schema({"text": {"description": "The text", **STRING}}, "text"),
        {"text": "a"},
        {},
    ),
    (
        described_by_doc,
        schema({"text": {"description": "The text", **STRING}}, "text"),
        {"text": "a"},
        {},
    ),
    (
        field_default,
        schema(
            {
                "size": {
                    "default": 3,
                    "description": "How big",
                    "exclusiveMinimum": 0,
                    "type": "integer",
                }
            }
        ),
        {},
        {"size": 0},
    ),
    (annotated_default, schema({"size": {"default": 3, "type": "integer"}}), {}, {"size": "a"}),
    (
        optional_alias,
        schema(
            {"from": {"anyOf": [{"minLength": 1, **STRING}, {"type": "null"}], "default": None}}
        ),
        {"from": None},
        {"from": ""},
    ),
    (own_alias, schema({"from": STRING}, "from"), {"from": "a"}, {"origin": "a"}),
    (
        keyword_only,
        schema({"name": STRING, "loud": {"default": False, "type": "boolean"}}, "name"),
        {"name": "a"},
        {"loud": True},
    ),
    (
        positional_only,
        schema({"left": INTEGER, "right": {"default": 2, "type": "integer"}}, "left"),
        {"left": 1},
        {"right": 1},
    ),
    (
        open_keywords,
        schema({"name": STRING}, "name", additionalProperties=INTEGER),
        {"name": "a", "other": 1},
        {"name": "a", "other": "b"},
    ),
    (
        awkward_names,
        schema(
            {
                "schema": STRING,
                "model_config": STRING,
                "json": INTEGER,
                "_hidden": {"type": "boolean"},
                "input": STRING,
            },
            "schema",
            "model_config",
            "json",
            "_hidden",
            "input",
        ),
        {"schema": "a", "model_config": "b", "json": 1, "_hidden": True, "input": "c"},
        {"schema": "a"},
    ),
    (quoted, schema({"city": CITY}, "city"), {"city": {"name": "a"}}, {"city": "a"}),
    (with_context, schema({"text": STRING}, "text"), {"text": "a"}, {"text": "a", "context": {}}),
    (with_secret, schema({"text": STRING}, "text"), {"text": "a"}, {"text": "a", "token": "b"}),
    (odd_default, schema({"callback": STRING}), {}, {"callback": 1}),
    (a_coroutine, schema({"text": STRING}, "text"), {"text": "a"}, {}),
    (
        google,
        schema(
            {
                "location": {"description": "The city or location name", **STRING},
                "unit": {"default": "celsius", "description": "Temperature unit", **STRING},
            },
            "location",
        ),
        {"location": "a"},
        {"unit": "a"},
    ),
    (
        numpy_style,
        schema({"location": {"description": "The city", **STRING}}, "location"),
        {"location": "a"},
        {},
    ),
    (
        sphinx_style,
        schema({"location": {"description": "The city", **STRING}}, "location"),
        {"location": "a"},
        {},
    ),
    (Shop().find, schema({"query": STRING}, "query"), {"query": "a"}, {"self": 1, "query": "a"}),
    (Shop.open, schema({"name": STRING}, "name"), {"name": "a"}, {}),
    (Shop.close, schema({"hard": {"type": "boolean"}}, "hard"), {"hard": True}, {"hard": 1}),
    (
        Adder(),
        schema({"left": INTEGER, "right": {"default": 1, "type": "integer"}}, "left"),
        {"left": 1},
        {"left": 1.5},
    ),
    (wrapped(one_string), schema({"text": STRING}, "text"), {"text": "a"}, {}),
    (
        functools.partial(three, 1),
        schema({"second": STRING, "third": {"default": False, "type": "boolean"}}, "second"),
        {"second": "a"},
        {"first": 1, "second": "a"},
    ),
    (
        functools.partial(three, second="bound"),
        schema({"first": INTEGER, "third": {"default": False, "type": "boolean"}}, "first"),
        {"first": 1},
        {"first": 1, "second": "a"},
    ),
    (
        Point,
        schema(
            {
                "x": {"type": "number"},
                "y": {"default": 0.0, "type": "number"},
                "tags": {"items": STRING, "type": "array"},
            },
            "x",
        ),
        {"x": 1},
        {"y": 2},
    ),
]


def name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: name_of(row[0]))
def test_signature_becomes_exactly_this_schema(row: Any) -> None:
    function, expected, good, bad = row
    tool = Tool("tool", "", function)
    assert tool.schema == expected
    parameters = tool.to_openai_function()["function"]["parameters"]
    assert parameters == expected
    jsonschema.Draft202012Validator.check_schema(parameters)
    validator = jsonschema.Draft202012Validator(parameters)
    assert validator.is_valid(good)
    assert not validator.is_valid(bad) or function is times
    json.dumps(parameters)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: name_of(row[0]))
def test_arguments_are_accepted_exactly_as_the_schema_says(row: Any) -> None:
    function, _, good, bad = row
    signature = Tool("tool", "", function).signature
    signature.validate(json.dumps(good))
    with pytest.raises(Exception, match=r"\w"):
        signature.validate(json.dumps(bad))


def test_the_table_is_large_enough() -> None:
    assert len(TABLE) >= 40


def test_values_arrive_as_the_types_that_the_function_names() -> None:
    def function(
        city: City,
        point: Point,
        color: Color,
        at: dt.datetime,
        amount: decimal.Decimal,
        tags: frozenset[str],
        counts: dict[int, str],
    ) -> None: ...

    values = Tool("tool", "", function).signature.validate(
        json.dumps(
            {
                "city": {"name": "Rome"},
                "point": {"x": 1},
                "color": "blue",
                "at": "2026-01-02T03:04:05",
                "amount": "1.10",
                "tags": ["a"],
                "counts": {"1": "a"},
            }
        )
    )
    assert values == {
        "city": City(name="Rome"),
        "point": Point(1.0),
        "color": Color.BLUE,
        "at": dt.datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001
        "amount": decimal.Decimal("1.10"),
        "tags": frozenset({"a"}),
        "counts": {1: "a"},
    }


def test_what_is_not_given_is_left_to_the_functions_own_default() -> None:
    shared: list[int] = []

    def function(items: list[int] = shared, size: int = Field(3)) -> None: ...

    assert Tool("tool", "", function).signature.validate("{}") == {"size": 3}


def test_null_for_an_optional_parameter_that_is_not_nullable_means_not_given() -> None:
    def function(
        text: str, unit: str = "celsius", size: Annotated[int, Field(default=3)] = 4
    ) -> None: ...

    signature = Tool("tool", "", function).signature
    assert signature.validate('{"text": "a", "unit": null, "size": null}') == {"text": "a"}
    with pytest.raises(Exception, match="text: Input should be a valid string"):
        signature.validate('{"text": null}')


def test_positional_only_parameters_are_given_by_position() -> None:
    def function(left: int, right: int = 2, /, *, third: int = 3) -> tuple[int, int, int]:
        return left, right, third

    signature = Tool("tool", "", function).signature
    positional, keywords = signature.bind({"left": 1, "third": 9})
    assert function(*positional, **keywords) == (1, 2, 9)


def test_a_field_of_a_model_that_is_called_title_stays() -> None:
    class Book(BaseModel):
        title: str
        default: int = 1

    def function(book: Book, title: str) -> None: ...

    properties = Tool("tool", "", function).schema["properties"]
    assert set(properties) == {"book", "title"}
    assert set(properties["book"]["properties"]) == {"title", "default"}


def test_a_validator_of_a_users_model_speaks_to_the_model() -> None:
    class Range(BaseModel):
        low: int
        high: int

        @model_validator(mode="after")
        def ordered(self) -> "Range":
            if self.low > self.high:
                raise ValueError("low must not be above high")
            return self

    def function(span: Range) -> None: ...

    with pytest.raises(Exception, match=r"span: Value error, low must not be above high"):
        Tool("tool", "", function).signature.validate('{"span": {"low": 2, "high": 1}}')
