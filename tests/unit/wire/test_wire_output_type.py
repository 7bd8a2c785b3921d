import datetime as dt
import gc
import typing
import weakref
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from enum import Enum
from typing import Annotated, Any, ForwardRef, Generic, Literal, NamedTuple, TypeVar

import pytest
import typing_extensions
from pydantic import BaseModel, Field, RootModel, TypeAdapter, ValidationError
from pydantic_core import core_schema

from mbxai.errors import ConfigurationError
from mbxai.wire._output_type import output_type_of
from mbxai.wire._schema import json_schema_of

T = TypeVar("T")


class City(BaseModel):
    name: str
    size: float


class Box(BaseModel, Generic[T]):
    content: T


class Cities(RootModel[list[City]]):
    pass


class Tree(BaseModel):
    value: int
    children: list["Tree"]


@dataclass
class Point:
    x: int
    y: int = 0


class Film(typing.TypedDict):
    title: str


class Song(typing_extensions.TypedDict):
    title: str


class Pair(NamedTuple):
    first: int
    second: str


class Color(Enum):
    RED = "red"


class Loose(BaseModel):
    note: str = "none"


Score = Annotated[int, Field(ge=0, le=10)]
NewId = typing.NewType("NewId", int)

OBJECTS = [
    (City, '{"name": "Rome", "size": 1}', City(name="Rome", size=1)),
    (Box[int], '{"content": 1}', Box[int](content=1)),
    (Tree, '{"value": 1, "children": []}', Tree(value=1, children=[])),
    (Point, '{"x": 1}', Point(1)),
    (Film, '{"title": "M"}', {"title": "M"}),
    (Song, '{"title": "M"}', {"title": "M"}),
    (dict[str, int], '{"a": 1}', {"a": 1}),
    (TypeAdapter(Point), '{"x": 1}', Point(1)),
]

OTHERS = [
    (Cities, '[{"name": "Rome", "size": 1}]', Cities([City(name="Rome", size=1)])),
    (list[City], '[{"name": "Rome", "size": 1}]', [City(name="Rome", size=1)]),
    (list[Tree], '[{"value": 1, "children": []}]', [Tree(value=1, children=[])]),
    (list[Film], '[{"title": "M"}]', [{"title": "M"}]),
    (list[Film] | None, '[{"title": "M"}]', [{"title": "M"}]),
    (Annotated[list[Film], Field(min_length=1)], '[{"title": "M"}]', [{"title": "M"}]),
    (Pair, '[1, "a"]', Pair(1, "a")),
    (Color, '"red"', Color.RED),
    (Literal["a", "b"], '"b"', "b"),
    (int | None, "null", None),
    (City | Point, '{"x": 1}', Point(1)),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (Score, "7", 7),
    (NewId, "7", 7),
    (str, '"x"', "x"),
    (dt.date, '"2026-11-22"', dt.date(2026, 11, 22)),
    (Any, '[1, {"a": null}]', [1, {"a": None}]),
    (TypeAdapter(list[City]), "[]", []),
]


@pytest.mark.parametrize(("kind", "text", "value"), OBJECTS)
def test_a_type_whose_schema_is_an_object_travels_bare(kind, text, value):
    output_type = output_type_of(kind)
    assert output_type.schema["type"] == "object"
    assert not output_type.is_wrapped
    assert output_type.validate_json(text) == value


@pytest.mark.parametrize(("kind", "text", "value"), OTHERS)
def test_any_other_type_travels_inside_an_object(kind, text, value):
    output_type = output_type_of(kind)
    assert output_type.is_wrapped
    assert output_type.schema["type"] == "object"
    assert output_type.schema["required"] == ["value"]
    assert output_type.validate_json(f'{{"value": {text}}}') == value


def test_nothing_but_the_value_may_stand_in_the_wrapper():
    with pytest.raises(ValidationError) as caught:
        output_type_of(list[City]).validate_json('{"value": [{"name": 1}], "more": 1}')
    places = {error["loc"] for error in caught.value.errors()}
    assert places == {("value", 0, "name"), ("value", 0, "size"), ("more",)}


@pytest.mark.parametrize("kind", [kind for kind, *_ in OBJECTS + OTHERS if kind is not Score])
def test_an_output_type_is_made_once_for_each_type(kind):
    assert output_type_of(kind) is output_type_of(kind)


def test_equal_forms_share_an_output_type_and_unlike_literals_do_not():
    assert output_type_of(list[City]) is output_type_of(list[City])
    assert output_type_of(Literal[1]) is not output_type_of(Literal[True])


def test_a_form_that_has_no_hash_is_remembered_by_its_identity():
    assert output_type_of(Score) is output_type_of(Score)
    for limit in range(300):
        other = Annotated[int, Field(ge=limit), [limit]]
        with pytest.raises(ValidationError):
            output_type_of(other).validate_json(f'{{"value": {limit - 1}}}')


def test_a_subclass_does_not_get_the_output_type_of_its_parent():
    class Capital(City):
        country: str

    parent = output_type_of(City)
    assert output_type_of(Capital) is not parent
    assert "country" in output_type_of(Capital).schema["properties"]


def brief_model():
    return type("Brief", (BaseModel,), {"__annotations__": {"x": int}})


def brief_dataclass():
    return make_dataclass("Brief", [("x", int)])


def brief_adapter():
    return TypeAdapter(list[int])


def used_and_dropped(made):
    assert output_type_of(made) is output_type_of(made)
    return weakref.ref(made)


@pytest.mark.parametrize("make", [brief_model, brief_dataclass, brief_adapter])
def test_an_output_type_goes_away_with_its_class(make):
    gone = used_and_dropped(make())
    gc.collect()
    assert gone() is None


class Sealed(type):
    def __setattr__(cls, name, value):
        raise AttributeError(name)


class Closed(metaclass=Sealed):
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        return core_schema.int_schema()


def test_a_class_that_takes_no_attributes_is_remembered_all_the_same():
    assert output_type_of(Closed) is output_type_of(Closed)
    assert output_type_of(Closed).validate_json('{"value": 1}') == 1


def test_classes_of_python_are_left_as_they_are():
    output_type_of(dt.date)
    output_type_of(Enum)
    assert not [name for name in (*vars(dt.date), *vars(Enum)) if "mbxai" in name]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (City, "City"),
        (Box[int], "Box_int"),
        (list[City], "list_City"),
        (dict[str, City], "dict_str_City"),
        (City | None, "Union_City_NoneType"),
        (Literal["a b", 3], "Literal_a_b_3"),
        (list[Score], "list_int"),
        (TypeAdapter(list[City]), "response"),
        (Literal["ö" * 100], "Literal"),
        (Literal["x" * 100], "Literal_" + "x" * 56),
    ],
)
def test_names_fit_what_providers_allow(kind, name):
    assert output_type_of(kind).name == name
    assert output_type_of(kind).response_format["json_schema"]["name"] == name


@pytest.mark.parametrize("kind", [City, Tree, list[Tree], list[City], Literal["a"], City | Tree])
def test_c7_recursive_referenced_and_union_schemas_are_strict_where_nothing_is_lost(kind):
    output_type = output_type_of(kind)
    assert output_type.strict_schema is not None
    assert output_type.strict_schema["additionalProperties"] is False
    inner = output_type.response_format["json_schema"]
    assert inner["strict"] is True
    assert inner["schema"] is output_type.asked_schema is output_type.strict_schema
    for name in _references(inner["schema"]):
        assert name in inner["schema"]["$defs"]


def _references(part):
    if isinstance(part, list):
        return {name for item in part for name in _references(item)}
    if not isinstance(part, dict):
        return set()
    own = {part["$ref"].removeprefix("#/$defs/")} if isinstance(part.get("$ref"), str) else set()
    return own.union(*(_references(item) for item in part.values()))


@pytest.mark.parametrize("kind", [Loose, dict[str, int], Pair, Any])
def test_strict_is_left_out_where_it_would_change_the_meaning(kind):
    output_type = output_type_of(kind)
    assert output_type.strict_schema is None
    assert "strict" not in output_type.response_format["json_schema"]
    assert output_type.asked_schema is output_type.schema


@pytest.mark.parametrize(
    ("kind", "is_list"),
    [
        (list[City], True),
        (Cities, True),
        (tuple[int, ...], True),
        (set[int], False),
        (City, False),
        (dict[str, int], False),
        (str, False),
    ],
)
def test_lists_are_told_from_other_types(kind, is_list):
    assert output_type_of(kind).is_list is is_list


@pytest.mark.parametrize("given", [None, "City", {"type": "object"}, 3, print, [City], Loose()])
def test_what_is_no_type_is_refused(given):
    with pytest.raises(ConfigurationError, match="is no type"):
        output_type_of(given)


class NoSchema:
    pass


class Broken:
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        raise AttributeError


@pytest.mark.parametrize(
    "kind",
    [NoSchema, Callable[[int], int], ForwardRef("Nowhere"), list[NoSchema], Broken],
)
def test_c7_a_type_without_a_schema_is_refused_when_it_is_given(kind):
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="has no JSON Schema"):
            output_type_of(kind)


def test_a_model_shares_its_schema_with_other_users():
    assert output_type_of(Loose).schema == json_schema_of(Loose)


def test_an_adapter_that_waits_for_its_building_is_built():
    class Late(BaseModel):
        model_config = {"defer_build": True}
        x: int

    adapter = TypeAdapter(list[Late], config=None)
    assert output_type_of(adapter).validate_json('{"value": [{"x": 1}]}') == [Late(x=1)]
