"""Signatures with pydantic models, dataclasses and TypedDicts."""

import typing
from dataclasses import dataclass, field
from typing import Annotated, Generic, NotRequired, TypeVar

import typing_extensions
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from support.signature_case import (
    BOOLEAN,
    FLOATS,
    INTEGER,
    NULL,
    STRING,
    TEXT,
    Schema,
    SignatureCase,
    closed,
    made,
)

from mbxai.tools import ToolContext


class City(BaseModel):
    """A place."""

    name: str = Field(description="What it is called")
    population: int | None = None


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


class Address(BaseModel):
    street: str
    city: City


class Node(BaseModel):
    value: int
    children: list["Node"] = []


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    first: str = Field(alias="firstName")


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: int | None


class Documented(BaseModel):
    """A parcel.

    Attributes:
        weight: In grams,
            packing included.
        to: Who gets it.
    """

    weight: int
    to: str = Field(description="Said by the field")


@dataclass
class Point:
    x: float
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


@dataclass
class Line:
    """A straight line.

    Attributes:
        start: Where it begins.
    """

    start: Point
    end: Point


class Movie(typing.TypedDict):
    title: str
    year: NotRequired[int]


class Film(typing_extensions.TypedDict, total=False):
    title: typing_extensions.Required[str]
    movies: list[Movie]


class Tree(typing.TypedDict):
    label: str
    branches: "list[Tree]"


def a_whole_model(city: City) -> None: ...


def a_whole_model_described(city: Annotated[Closed, "Where to go"]) -> None: ...


def a_whole_nested_model(address: Address) -> None: ...


def a_whole_recursive_model(node: Node) -> None: ...


def a_whole_generic_model(page: Page[int]) -> None: ...


def a_whole_documented_model(parcel: Documented) -> None: ...


def a_whole_dataclass(point: Point, context: ToolContext) -> None: ...


def a_whole_typed_dict(movie: Movie) -> None: ...


def a_whole_recursive_typed_dict(tree: Tree) -> None: ...


def a_model_beside_another_parameter(city: City, loud: bool) -> None: ...


def an_optional_model(city: City | None = None) -> None: ...


def two_of_a_model(start: City, end: City) -> None: ...


def an_aliased_model(value: Aliased, size: int) -> None: ...


def models(cities: list[Closed]) -> None: ...


def a_documented_dataclass(line: Line, width: int) -> None: ...


def a_union_of_models(pet: Closed | Point | None) -> None: ...


def nested_typed_dicts(films: list[Film]) -> None: ...


CITY: Schema = {
    "type": "object",
    "description": "A place.",
    "properties": {
        "name": {"type": "string", "description": "What it is called"},
        "population": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
    },
    "required": ["name"],
}

CLOSED: Schema = closed({"name": STRING}, "name")

POINT: Schema = closed(
    {
        "x": {"type": "number"},
        "y": {"type": "number", "default": 0.0},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "x",
)

MOVIE: Schema = closed({"title": STRING, "year": INTEGER}, "title")

MAYBE_INT: Schema = {"anyOf": [{"type": "integer"}, {"type": "null"}]}

cities = st.builds(City, name=TEXT, population=st.none() | st.integers())

closed_models = st.builds(Closed, name=TEXT)

points = st.builds(Point, x=FLOATS, y=FLOATS, tags=st.lists(TEXT, max_size=3))

movies = st.fixed_dictionaries({"title": TEXT}, optional={"year": st.integers()})

films = st.fixed_dictionaries({"title": TEXT}, optional={"movies": st.lists(movies, max_size=2)})

nodes = st.recursive(
    st.builds(Node, value=st.integers(), children=st.just([])),
    lambda inner: st.builds(Node, value=st.integers(), children=st.lists(inner, max_size=2)),
    max_leaves=4,
)

trees = st.recursive(
    st.fixed_dictionaries({"label": TEXT, "branches": st.just([])}),
    lambda inner: st.fixed_dictionaries({"label": TEXT, "branches": st.lists(inner, max_size=2)}),
    max_leaves=4,
)


CASES = [
    SignatureCase(
        "a_whole_model",
        a_whole_model,
        CITY,
        False,
        made(city=cities),
        {"population": 1},
        is_whole=True,
    ),
    SignatureCase(
        "a_whole_model_described",
        a_whole_model_described,
        {**CLOSED, "description": "Where to go"},
        True,
        made(city=closed_models),
        {"name": "a", "other": 1},
        is_whole=True,
    ),
    SignatureCase(
        "a_whole_nested_model",
        a_whole_nested_model,
        {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": CITY},
            "required": ["street", "city"],
        },
        False,
        made(address=st.builds(Address, street=TEXT, city=cities)),
        {"street": "a"},
        is_whole=True,
    ),
    SignatureCase(
        "a_whole_recursive_model",
        a_whole_recursive_model,
        {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "default": []},
            },
            "required": ["value"],
            "$defs": {
                "Node": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "integer"},
                        "children": {
                            "type": "array",
                            "items": {"$ref": "#/$defs/Node"},
                            "default": [],
                        },
                    },
                    "required": ["value"],
                }
            },
        },
        False,
        made(node=nodes),
        {"value": 1, "children": [{}]},
        is_whole=True,
    ),
    SignatureCase(
        "a_whole_generic_model",
        a_whole_generic_model,
        {
            "type": "object",
            "properties": {"items": {"type": "array", "items": INTEGER}, "next": MAYBE_INT},
            "required": ["items", "next"],
        },
        False,
        made(
            page=st.builds(
                Page[int],
                items=st.lists(st.integers(), max_size=3),
                next=st.none() | st.integers(),
            )
        ),
        {"items": ["a"], "next": None},
        is_whole=True,
    ),
    SignatureCase(
        "a_whole_documented_model",
        a_whole_documented_model,
        {
            "type": "object",
            "description": "A parcel.",
            "properties": {
                "weight": {"type": "integer", "description": "In grams, packing included."},
                "to": {"type": "string", "description": "Said by the field"},
            },
            "required": ["weight", "to"],
        },
        False,
        made(parcel=st.builds(Documented, weight=st.integers(), to=TEXT)),
        {"weight": 1},
        is_whole=True,
    ),
    SignatureCase(
        "a_whole_dataclass",
        a_whole_dataclass,
        POINT,
        False,
        made(point=points),
        {"y": 1},
        is_whole=True,
    ),
    SignatureCase(
        "a_whole_typed_dict",
        a_whole_typed_dict,
        MOVIE,
        False,
        made(movie=movies),
        {"year": 1},
        is_whole=True,
    ),
    SignatureCase(
        "a_whole_recursive_typed_dict",
        a_whole_recursive_typed_dict,
        closed(
            {"label": STRING, "branches": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
            "label",
            "branches",
            **{
                "$defs": {
                    "Tree": closed(
                        {
                            "label": STRING,
                            "branches": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                        },
                        "label",
                        "branches",
                    )
                }
            },
        ),
        True,
        made(tree=trees),
        {"label": "a"},
        is_whole=True,
    ),
    SignatureCase(
        "a_model_beside_another_parameter",
        a_model_beside_another_parameter,
        closed({"city": CITY, "loud": BOOLEAN}, "city", "loud"),
        False,
        made(city=cities, loud=st.booleans()),
        {"name": "a", "loud": True},
    ),
    SignatureCase(
        "an_optional_model",
        an_optional_model,
        closed({"city": {"anyOf": [CITY, NULL], "default": None}}),
        False,
        made(city=st.none() | cities),
        {"city": {}},
    ),
    SignatureCase(
        "two_of_a_model",
        two_of_a_model,
        closed({"start": CITY, "end": CITY}, "start", "end"),
        False,
        made(start=cities, end=cities),
        {"start": {"name": "a"}},
    ),
    SignatureCase(
        "an_aliased_model",
        an_aliased_model,
        closed(
            {
                "value": {
                    "type": "object",
                    "properties": {"firstName": {"type": "string"}},
                    "required": ["firstName"],
                },
                "size": INTEGER,
            },
            "value",
            "size",
        ),
        False,
        made(value=st.builds(Aliased, firstName=TEXT), size=st.integers()),
        {"value": {"first": "a"}, "size": 1},
    ),
    SignatureCase(
        "models",
        models,
        closed({"cities": {"type": "array", "items": CLOSED}}, "cities"),
        True,
        made(cities=st.lists(closed_models, max_size=3)),
        {"cities": [{}]},
    ),
    SignatureCase(
        "a_documented_dataclass",
        a_documented_dataclass,
        closed(
            {
                "line": closed(
                    {"start": {**POINT, "description": "Where it begins."}, "end": POINT},
                    "start",
                    "end",
                    description="A straight line.",
                ),
                "width": INTEGER,
            },
            "line",
            "width",
        ),
        False,
        made(line=st.builds(Line, start=points, end=points), width=st.integers()),
        {"line": {"start": {"x": 1}}, "width": 1},
    ),
    SignatureCase(
        "a_union_of_models",
        a_union_of_models,
        closed({"pet": {"anyOf": [CLOSED, POINT, NULL]}}, "pet"),
        False,
        made(pet=st.none() | closed_models | points),
        {"pet": {"z": 1}},
    ),
    SignatureCase(
        "nested_typed_dicts",
        nested_typed_dicts,
        closed(
            {
                "films": {
                    "type": "array",
                    "items": closed(
                        {"title": STRING, "movies": {"type": "array", "items": MOVIE}}, "title"
                    ),
                }
            },
            "films",
        ),
        False,
        made(films=st.lists(films, max_size=2)),
        {"films": [{"movies": []}]},
    ),
]
