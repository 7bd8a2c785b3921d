"""Signatures of plain values: texts, numbers, lists, maps, unions, literals."""

import collections
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NewType, Optional, Union

import typing_extensions
from hypothesis import strategies as st
from support.signature_case import (
    BOOLEAN,
    FLOATS,
    INTEGER,
    NAMES,
    NULL,
    NUMBER,
    STRING,
    STRINGS,
    TEXT,
    Schema,
    SignatureCase,
    closed,
    json_values,
    made,
)
from support.tool_signatures_models import MAYBE_INT
from support.tool_signatures_types import Size


class Pair(typing.NamedTuple):
    left: int
    right: str = "x"


UserId = NewType("UserId", int)


Json = typing_extensions.TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | None")


Names: typing.TypeAlias = list[str]


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


def string_map(data: dict[str, int]) -> None: ...


def integer_map(data: dict[int, str]) -> None: ...


def enum_map(data: dict[Size, int]) -> None: ...


def abstract(names: Sequence[str], table: Mapping[str, float], rest: Iterable[int]) -> None: ...


def a_set(items: set[int], frozen: frozenset[str]) -> None: ...


def a_deque(items: collections.deque[int]) -> None: ...


def fixed_tuple(pair: tuple[int, str]) -> None: ...


def open_tuple(items: tuple[int, ...]) -> None: ...


def named_tuple(pair: Pair) -> None: ...


def anything(value: Any) -> None: ...


def literal(unit: Literal["c", "f"] = "c") -> None: ...


def one_literal(kind: Literal["x"]) -> None: ...


def number_literal(size: Literal[1, 2, 3]) -> None: ...


def mixed_literal(value: Literal["auto", 0, True, None]) -> None: ...  # noqa: PYI061


def a_new_type(user: UserId, others: list[UserId]) -> None: ...


def a_recursive_alias(value: Json) -> None: ...


def an_alias(names: Names) -> None: ...


JSON_REF: Schema = {"$ref": "#/$defs/Json"}


CASES = [
    SignatureCase("no_parameters", no_parameters, closed({}), True, None, {"a": 1}),
    SignatureCase(
        "one_string",
        one_string,
        closed({"text": STRING}, "text"),
        True,
        made(text=TEXT),
        {"text": 1},
    ),
    SignatureCase(
        "all_scalars",
        all_scalars,
        closed({"a": STRING, "b": INTEGER, "c": NUMBER, "d": BOOLEAN}, *"abcd"),
        True,
        made(a=TEXT, b=st.integers(), c=FLOATS, d=st.booleans()),
        {"a": "", "b": "1", "c": 1.5, "d": True},
    ),
    SignatureCase(
        "with_default",
        with_default,
        closed({"unit": {"type": "string", "default": "celsius"}}),
        False,
        made(unit=TEXT),
        {"unit": 1},
    ),
    SignatureCase(
        "optional_new",
        optional_new,
        closed({"limit": {**MAYBE_INT, "default": None}}),
        False,
        made(limit=st.none() | st.integers()),
        {"limit": "a"},
    ),
    SignatureCase(
        "optional_old",
        optional_old,
        closed({"limit": MAYBE_INT}, "limit"),
        True,
        made(limit=st.none() | st.integers()),
        {},
    ),
    SignatureCase(
        "implicit_optional",
        implicit_optional,
        closed({"limit": {**MAYBE_INT, "default": None}}),
        False,
        made(limit=st.none() | st.integers()),
        {"limit": "a"},
    ),
    SignatureCase(
        "union",
        union,
        closed({"value": {"anyOf": [INTEGER, STRING]}}, "value"),
        True,
        made(value=st.integers() | TEXT),
        {"value": []},
    ),
    SignatureCase(
        "union_old",
        union_old,
        closed({"value": {"anyOf": [INTEGER, STRINGS]}}, "value"),
        True,
        made(value=st.integers() | st.lists(TEXT, max_size=3)),
        {"value": "a"},
    ),
    SignatureCase(
        "bare_list",
        bare_list,
        closed({"items": {"type": "array", "items": {}}}, "items"),
        False,
        made(items=st.lists(json_values, max_size=3)),
        {"items": 1},
    ),
    SignatureCase(
        "bare_dict",
        bare_dict,
        closed({"data": {"type": "object", "additionalProperties": True}}, "data"),
        False,
        made(data=st.dictionaries(NAMES, json_values, max_size=3)),
        {"data": []},
    ),
    SignatureCase(
        "typed_list",
        typed_list,
        closed({"items": STRINGS}, "items"),
        True,
        made(items=st.lists(TEXT, max_size=3)),
        {"items": [1]},
    ),
    SignatureCase(
        "optional_list",
        optional_list,
        closed({"items": {"anyOf": [STRINGS, NULL], "default": None}}),
        False,
        made(items=st.none() | st.lists(TEXT, max_size=3)),
        {"items": "a"},
    ),
    SignatureCase(
        "nested_list",
        nested_list,
        closed({"items": {"type": "array", "items": {"type": "array", "items": INTEGER}}}, "items"),
        True,
        made(items=st.lists(st.lists(st.integers(), max_size=3), max_size=3)),
        {"items": [1]},
    ),
    SignatureCase(
        "string_map",
        string_map,
        closed({"data": {"type": "object", "additionalProperties": INTEGER}}, "data"),
        False,
        made(data=st.dictionaries(TEXT, st.integers(), max_size=3)),
        {"data": {"a": "b"}},
    ),
    SignatureCase(
        "integer_map",
        integer_map,
        closed(
            {
                "data": {
                    "type": "object",
                    "additionalProperties": STRING,
                    "propertyNames": {"type": "string", "pattern": "^-?[0-9]+$"},
                }
            },
            "data",
        ),
        False,
        made(data=st.dictionaries(st.integers(), TEXT, max_size=3)),
        {"data": {"one": "1"}},
    ),
    SignatureCase(
        "enum_map",
        enum_map,
        closed(
            {
                "data": {
                    "type": "object",
                    "additionalProperties": INTEGER,
                    "propertyNames": {"type": "string", "enum": ["s", "l"]},
                }
            },
            "data",
        ),
        False,
        made(data=st.dictionaries(st.sampled_from(Size), st.integers(), max_size=2)),
        {"data": {"m": 1}},
    ),
    SignatureCase(
        "abstract",
        abstract,
        closed(
            {
                "names": STRINGS,
                "table": {"type": "object", "additionalProperties": NUMBER},
                "rest": {"type": "array", "items": INTEGER},
            },
            "names",
            "table",
            "rest",
        ),
        False,
        made(
            names=st.lists(TEXT, max_size=3),
            table=st.dictionaries(TEXT, FLOATS, max_size=3),
            rest=st.lists(st.integers(), max_size=3),
        ),
        {"names": [], "table": {}, "rest": ["a"]},
    ),
    SignatureCase(
        "a_set",
        a_set,
        closed(
            {
                "items": {"type": "array", "items": INTEGER, "uniqueItems": True},
                "frozen": {"type": "array", "items": STRING, "uniqueItems": True},
            },
            "items",
            "frozen",
        ),
        False,
        made(items=st.sets(st.integers(), max_size=3), frozen=st.frozensets(TEXT, max_size=3)),
        {"items": ["a"], "frozen": []},
    ),
    SignatureCase(
        "a_deque",
        a_deque,
        closed({"items": {"type": "array", "items": INTEGER}}, "items"),
        True,
        made(items=st.lists(st.integers(), max_size=3).map(collections.deque)),
        {"items": {}},
    ),
    SignatureCase(
        "fixed_tuple",
        fixed_tuple,
        closed(
            {
                "pair": {
                    "type": "array",
                    "prefixItems": [INTEGER, STRING],
                    "minItems": 2,
                    "maxItems": 2,
                }
            },
            "pair",
        ),
        False,
        made(pair=st.tuples(st.integers(), TEXT)),
        {"pair": [1]},
    ),
    SignatureCase(
        "open_tuple",
        open_tuple,
        closed({"items": {"type": "array", "items": INTEGER}}, "items"),
        True,
        made(items=st.lists(st.integers(), max_size=3).map(tuple)),
        {"items": ["a"]},
    ),
    SignatureCase(
        "named_tuple",
        named_tuple,
        closed(
            {
                "pair": {
                    "type": "array",
                    "prefixItems": [INTEGER, {"type": "string", "default": "x"}],
                    "minItems": 1,
                    "maxItems": 2,
                }
            },
            "pair",
        ),
        False,
        made(pair=st.builds(Pair, left=st.integers(), right=TEXT)),
        {"pair": []},
    ),
    SignatureCase(
        "anything",
        anything,
        closed({"value": {}}, "value"),
        False,
        made(value=json_values),
        {},
    ),
    SignatureCase(
        "literal",
        literal,
        closed({"unit": {"type": "string", "enum": ["c", "f"], "default": "c"}}),
        False,
        made(unit=st.sampled_from(["c", "f"])),
        {"unit": "k"},
    ),
    SignatureCase(
        "one_literal",
        one_literal,
        closed({"kind": {"type": "string", "const": "x"}}, "kind"),
        True,
        made(kind=st.just("x")),
        {"kind": "y"},
    ),
    SignatureCase(
        "number_literal",
        number_literal,
        closed({"size": {"type": "integer", "enum": [1, 2, 3]}}, "size"),
        True,
        made(size=st.sampled_from([1, 2, 3])),
        {"size": 4},
    ),
    SignatureCase(
        "mixed_literal",
        mixed_literal,
        closed({"value": {"enum": ["auto", 0, True, None]}}, "value"),
        True,
        made(value=st.sampled_from(["auto", 0, True, None])),
        {"value": "manual"},
    ),
    SignatureCase(
        "a_new_type",
        a_new_type,
        closed({"user": INTEGER, "others": {"type": "array", "items": INTEGER}}, "user", "others"),
        True,
        made(user=st.integers(), others=st.lists(st.integers(), max_size=3)),
        {"user": "a", "others": []},
    ),
    SignatureCase(
        "a_recursive_alias",
        a_recursive_alias,
        closed(
            {"value": JSON_REF},
            "value",
            **{
                "$defs": {
                    "Json": {
                        "anyOf": [
                            {"type": "object", "additionalProperties": JSON_REF},
                            {"type": "array", "items": JSON_REF},
                            {"type": "string"},
                            {"type": "integer"},
                            {"type": "null"},
                        ]
                    }
                }
            },
        ),
        False,
        made(value=json_values),
        {"value": {"a": [1.5]}},
    ),
    SignatureCase(
        "an_alias",
        an_alias,
        closed({"names": STRINGS}, "names"),
        True,
        made(names=st.lists(TEXT, max_size=3)),
        {"names": [1]},
    ),
]
