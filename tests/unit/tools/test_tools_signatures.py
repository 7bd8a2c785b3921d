"""How signatures are read: values, unwrapped models, docstrings, and what is refused.

The exact schemas stand in the table of `support.tool_signatures`.
"""

import collections.abc
import datetime as dt
import decimal
import enum
import functools
import json
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired

import jsonschema
import pytest
import typing_extensions
from pydantic import AliasChoices, BaseModel, Field, RootModel, model_validator
from support.postponed_signatures import Finder, Spot, look

from mbxai.errors import ToolArgumentError, ToolDefinitionError
from mbxai.tools import Secret, Tool, ToolContext


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class City(BaseModel):
    name: str
    population: int | None = None


@dataclass
class Point:
    x: float
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


class Limits(typing.TypedDict, total=False):
    limit: typing_extensions.Required[int]
    page: int


def validated(function: Callable[..., Any], arguments: object) -> dict[str, Any]:
    return Tool("tool", "", function).signature.validate(json.dumps(arguments))


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

    with pytest.raises(Exception, match=r"arguments: Value error, low must not be above high"):
        Tool("tool", "", function).signature.validate('{"low": 2, "high": 1}')


# One parameter that is a model takes all arguments.


def test_the_fields_of_a_lone_model_are_the_arguments() -> None:
    def visit(city: City, context: ToolContext, token: Secret) -> None:
        """Visit it.

        Args:
            city: Where to go.
        """

    tool = Tool("tool", "", visit)
    assert set(tool.schema["properties"]) == {"name", "population"}
    assert tool.schema["description"] == "Where to go."
    assert validated(visit, {"name": "Rome"}) == {"city": City(name="Rome")}
    positional, keywords = tool.signature.bind(validated(visit, {"name": "Rome"}))
    assert (positional, keywords) == ([], {"city": City(name="Rome")})


def test_a_lone_model_by_position_is_given_by_position() -> None:
    def visit(city: City, /) -> None: ...

    signature = Tool("tool", "", visit).signature
    assert signature.bind(signature.validate('{"name": "Rome"}')) == ([City(name="Rome")], {})


def optional_model(city: City | None) -> None: ...
def defaulted_model(city: City = City(name="Rome")) -> None: ...  # noqa: B008
def named_model(city: Annotated[City, Field(alias="place")]) -> None: ...
def model_and_more(city: City, **more: int) -> None: ...
def root_model(cities: RootModel[dict[str, int]]) -> None: ...
def list_of_models(cities: list[City]) -> None: ...


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (optional_model, {"city"}),
        (defaulted_model, {"city"}),
        (named_model, {"place"}),
        (model_and_more, {"city"}),
        (root_model, {"cities"}),
        (list_of_models, {"cities"}),
    ],
)
def test_other_parameters_keep_their_name(function: Callable[..., Any], names: set[str]) -> None:
    assert set(Tool("tool", "", function).schema["properties"]) == names


def test_a_model_without_fields_keeps_its_name() -> None:
    class Nothing(BaseModel):
        pass

    def function(nothing: Nothing) -> None: ...

    assert set(Tool("tool", "", function).schema["properties"]) == {"nothing"}


def test_with_a_schema_of_its_own_a_lone_model_is_not_unwrapped() -> None:
    def visit(city: City) -> None: ...

    given = {"type": "object", "properties": {"city": {"type": "object"}}}
    tool = Tool("tool", "", visit, given)
    assert tool.signature.validate('{"city": {"name": "a"}}') == {"city": City(name="a")}


# Arguments are mended where the meaning is plain.


class Order(BaseModel):
    item: str
    count: int = 1
    note: str | None = None
    size: Color = Color.RED
    parts: list["Order"] = []


def order_twice(first: Order, second: Order, limit: int = 3) -> None: ...


def test_null_deep_inside_means_not_given_where_null_is_not_allowed() -> None:
    order = {"item": "a", "count": None, "note": None, "size": None}
    values = validated(
        order_twice, {"first": order, "second": {**order, "parts": [order]}, "limit": None}
    )
    assert values["first"] == Order(item="a", note=None)
    assert values["second"] == Order(item="a", parts=[Order(item="a", note=None)])
    assert values["first"].model_fields_set == {"item", "note"}
    assert "limit" not in values


def test_null_for_what_is_required_is_refused() -> None:
    with pytest.raises(ToolArgumentError, match=r"first\.item"):
        validated(order_twice, {"first": {"item": None}, "second": {"item": "a"}})


def test_an_object_that_was_encoded_twice_is_read() -> None:
    order = {"item": "a", "count": None}
    values = validated(order_twice, {"first": json.dumps(order), "second": {"item": "b"}})
    assert values == {"first": Order(item="a"), "second": Order(item="b")}


def test_a_whole_number_with_a_fraction_is_an_integer() -> None:
    def function(count: int, ratio: float, several: list[int]) -> None: ...

    values = validated(function, {"count": 3.0, "ratio": 2.0, "several": [1.0, 2]})
    assert values == {"count": 3, "ratio": 2.0, "several": [1, 2]}
    assert [type(value) for value in values.values()] == [int, float, list]
    with pytest.raises(ToolArgumentError, match="count"):
        validated(function, {"count": 3.5, "ratio": 2.0, "several": []})


def test_numbers_of_an_enumeration_may_be_written_as_text() -> None:
    def function(
        size: typing.Literal[1, 2], flag: typing.Literal[True, "x"], text: typing.Literal["1", 1]
    ) -> None: ...

    assert validated(function, {"size": "2", "flag": "true", "text": "1"}) == {
        "size": 2,
        "flag": True,
        "text": "1",
    }
    with pytest.raises(ToolArgumentError, match="size"):
        validated(function, {"size": "3", "flag": "x", "text": 1})


@pytest.mark.parametrize("text", ["", "  ", "null", "{}"])
def test_nothing_is_an_empty_object(text: str) -> None:
    def function(count: int = 3) -> None: ...

    assert Tool("tool", "", function).signature.validate(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        "{",
        '{"count": NaN}',
        '{"count": Infinity}',
        '{"count": 1} x',
        '{"count": ' + "[" * 5_000,
        '{"count": "\\ud800"}',
        '{"count": "\ud800"}',
        '{"count": 1, "other": 2}',
        '{"other": 2}',
        '{"count": "1"}',
    ],
)
def test_text_that_does_not_fit_is_refused_with_one_type_of_error(text: str) -> None:
    def function(count: float) -> None: ...

    with pytest.raises(ToolArgumentError):
        Tool("tool", "", function).signature.validate(text)


def test_words_that_look_like_numbers_stay_words() -> None:
    def function(name: str) -> None: ...

    assert validated(function, {"name": "NaN Infinity"}) == {"name": "NaN Infinity"}


def test_null_is_kept_where_anything_goes() -> None:
    def function(value: Any = 3, text: Annotated[str, "Words"] = "a") -> None: ...

    assert validated(function, {"value": None, "text": None}) == {"value": None}


def test_what_does_not_fit_when_read_twice_is_refused() -> None:
    with pytest.raises(ToolArgumentError, match=r"first\.item"):
        validated(order_twice, {"first": '{"item": 3}', "second": {"item": "a"}})
    given = Tool("tool", "", order_twice, {"type": "object"})
    with pytest.raises(ToolArgumentError, match=r"first\.item"):
        given.signature.validate('{"first": "{}", "second": {"item": "a"}}')


# `**options` in all its forms.


def test_the_keys_of_an_unpacked_typed_dict_are_parameters() -> None:
    def function(**options: typing_extensions.Unpack[Limits]) -> None: ...

    assert validated(function, {"limit": 1}) == {"limit": 1}
    with pytest.raises(ToolArgumentError, match="limit"):
        validated(function, {"page": 1})


def test_an_unpacked_typed_dict_may_not_repeat_a_parameter() -> None:
    def function(limit: int, **options: typing_extensions.Unpack[Limits]) -> None: ...

    with pytest.raises(ToolDefinitionError, match=r"'tool'.*two parameters 'limit'"):
        Tool("tool", "", function)


def test_an_open_keyword_may_not_set_what_the_model_must_not_set() -> None:
    def function(name: str, token: Secret, fixed: int = 0, **rest: int) -> None: ...

    bound = functools.partial(function, fixed=1)
    assert validated(bound, {"name": "a", "p0": 1}) == {"name": "a", "p0": 1}
    for name in ("token", "fixed"):
        with pytest.raises(ToolArgumentError, match=name):
            validated(bound, {"name": "a", name: 1})


def test_open_keywords_of_a_recursive_type_are_described() -> None:
    class Tree(BaseModel):
        branches: dict[str, "Tree"] = {}

    def function(root: Tree, **rest: Tree) -> None: ...

    schema = Tool("tool", "", function).schema
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"root": {}, "other": {"branches": {"a": {}}}})
    assert not validator.is_valid({"root": {}, "other": {"branches": {"a": 1}}})


# What surrounds a function.


def test_what_a_function_returns_need_not_exist() -> None:
    def function(text: str) -> "Missing": ...  # noqa: F821

    assert validated(function, {"text": "a"}) == {"text": "a"}


def test_annotations_of_a_signature_that_a_decorator_made_are_read() -> None:
    import inspect

    def function(*args: Any, **kwargs: Any) -> None: ...

    function.__signature__ = inspect.Signature(
        [inspect.Parameter("count", inspect.Parameter.KEYWORD_ONLY, annotation=int)]
    )
    assert validated(function, {"count": 1}) == {"count": 1}


def test_postponed_annotations_are_resolved() -> None:
    find = Finder().find
    assert validated(find, {"options": {"query": "a"}, "spot": {"x": 1, "next": {"x": 2}}}) == {
        "options": {"query": "a"},
        "spot": Spot(1, Spot(2)),
    }
    assert validated(look, {"query": "a"}) == {"query": "a"}
    with pytest.raises(ToolArgumentError, match="query"):
        validated(look, {"limit": 1})


def test_a_generic_typed_dict_is_filled_in() -> None:
    T = typing.TypeVar("T")

    class Page(typing.TypedDict, typing.Generic[T]):
        items: list[T]
        more: NotRequired[T]
        left: typing_extensions.ReadOnly["Limits | None"]

    def function(page: Page[int], size: int) -> None: ...

    page = Tool("tool", "", function).schema["properties"]["page"]
    assert page["properties"] == {
        "items": {"type": "array", "items": {"type": "integer"}},
        "more": {"type": "integer"},
        "left": {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"limit": {"type": "integer"}, "page": {"type": "integer"}},
                    "required": ["limit"],
                    "additionalProperties": False,
                },
                {"type": "null"},
            ]
        },
    }
    assert page["required"] == ["items", "left"]


def test_an_iterable_is_a_list_that_is_checked_before_the_function_runs() -> None:
    def function(
        names: Iterable[str],
        groups: dict[str, collections.abc.Collection[int]],
        bare: Iterable | None = None,
        noted: Annotated[Iterable[int], "Numbers"] = (),
    ) -> None: ...

    values = validated(function, {"names": ["a"], "groups": {"a": [1]}})
    assert values == {"names": ["a"], "groups": {"a": [1]}}
    with pytest.raises(ToolArgumentError, match="names"):
        validated(function, {"names": [1], "groups": {}})


def test_the_first_of_several_names_of_a_parameter_is_shown_and_all_are_taken() -> None:
    def function(
        size: Annotated[int, Field(validation_alias=AliasChoices("size_cm", "size"))], text: str
    ) -> None: ...

    assert list(Tool("tool", "", function).schema["properties"]) == ["size_cm", "text"]
    assert validated(function, {"size": 1, "text": "a"}) == {"size": 1, "text": "a"}


def test_a_name_that_is_bound_only_later_is_looked_up_elsewhere() -> None:
    def function(city: "City", later: int) -> None:
        return unbound

    assert set(Tool("tool", "", function).schema["properties"]) == {"city", "later"}
    unbound = None
