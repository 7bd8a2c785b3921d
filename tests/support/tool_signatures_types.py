"""Signatures with enumerations, tagged unions, types of the standard library, constraints, descriptions and defaults."""

import datetime as dt
import decimal
import enum
import ipaddress
import pathlib
import uuid
from typing import Annotated, Literal

from annotated_types import Doc
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field, PositiveInt, SecretStr
from support.signature_case import (
    INTEGER,
    NAMES,
    NULL,
    STRING,
    TEXT,
    Schema,
    SignatureCase,
    closed,
    json_values,
    made,
)
from support.tool_signatures_models import T


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.StrEnum):
    SMALL = "s"
    LARGE = "l"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


def an_enum(color: Color) -> None: ...


def a_string_enum(size: Size | None = None) -> None: ...


def an_int_enum(level: Level = Level.LOW) -> None: ...


def a_flag(access: Access) -> None: ...


def a_mixed_enum(value: Mixed) -> None: ...


def a_discriminated_union(pet: Annotated[Cat | Dog, Field(discriminator="kind")]) -> None: ...


def times(at: dt.datetime, day: dt.date, hour: dt.time, wait: dt.timedelta) -> None: ...


def identifiers(key: uuid.UUID, path: pathlib.Path, host: ipaddress.IPv4Address) -> None: ...


def texts(data: bytes, link: AnyUrl, password: SecretStr) -> None: ...


def money(amount: decimal.Decimal, least: Annotated[decimal.Decimal, Field(ge=0)]) -> None: ...


def a_type_variable(value: T, count: int) -> None: ...


def bounded(count: Annotated[int, Field(ge=1, le=10)] = 3) -> None: ...


def constrained(
    code: Annotated[str, Field(pattern="^[A-Z]{2}$")],
    names: Annotated[list[str], Field(min_length=1, max_length=3)],
    half: Annotated[float, Field(gt=0, lt=1)],
    steps: Annotated[int, Field(multiple_of=5)],
    many: PositiveInt,
) -> None: ...


def described(text: Annotated[str, Field(description="The text")]) -> None: ...


def described_by_text(text: Annotated[str, "The text"]) -> None: ...


def described_by_doc(text: Annotated[str, Doc("The text")]) -> None: ...


def field_default(size: int = Field(3, gt=0, description="How big")) -> None: ...


def annotated_default(size: Annotated[int, Field(default=3)]) -> None: ...


def mutable_default(tags: list[str] = [], size: dict[str, int] = {"a": 1}) -> None: ...  # noqa: B006


def rich_default(day: dt.date = dt.date(2026, 1, 2), color: Color = Color.RED) -> None: ...


def odd_default(callback: str = object()) -> None: ...  # type: ignore[assignment]


decimals = st.decimals(-(10**6), 10**6, places=2)

DECIMAL: Schema = {
    "anyOf": [
        {"type": "number"},
        {"type": "string", "pattern": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$"},
    ]
}


CASES = [
    SignatureCase(
        "an_enum",
        an_enum,
        closed({"color": {"type": "string", "enum": ["red", "blue"]}}, "color"),
        True,
        made(color=st.sampled_from(Color)),
        {"color": "RED"},
    ),
    SignatureCase(
        "a_string_enum",
        a_string_enum,
        closed(
            {"size": {"anyOf": [{"type": "string", "enum": ["s", "l"]}, NULL], "default": None}}
        ),
        False,
        made(size=st.none() | st.sampled_from(Size)),
        {"size": "m"},
    ),
    SignatureCase(
        "an_int_enum",
        an_int_enum,
        closed({"level": {"type": "integer", "enum": [1, 2], "default": 1}}),
        False,
        made(level=st.sampled_from(Level)),
        {"level": 3},
    ),
    SignatureCase(
        "a_flag",
        a_flag,
        closed(
            {
                "access": {
                    "type": "integer",
                    "enum": [0, 1, 2, 3],
                    "description": "Sum of: READ = 1, WRITE = 2.",
                }
            },
            "access",
        ),
        True,
        made(access=st.sampled_from([Access.READ, Access.WRITE, Access.READ | Access.WRITE])),
        {"access": 4},
    ),
    SignatureCase(
        "a_mixed_enum",
        a_mixed_enum,
        closed({"value": {"enum": [1, "two"]}}, "value"),
        True,
        made(value=st.sampled_from(Mixed)),
        {"value": 2},
    ),
    SignatureCase(
        "a_discriminated_union",
        a_discriminated_union,
        closed(
            {
                "pet": {
                    "oneOf": [
                        {
                            "type": "object",
                            "properties": {
                                "kind": {"type": "string", "const": "cat"},
                                "lives": {"type": "integer", "default": 9},
                            },
                            "required": ["kind"],
                        },
                        {
                            "type": "object",
                            "properties": {"kind": {"type": "string", "const": "dog"}},
                            "required": ["kind"],
                        },
                    ],
                }
            },
            "pet",
        ),
        False,
        made(
            pet=st.builds(Cat, kind=st.just("cat"), lives=st.integers()) | st.just(Dog(kind="dog"))
        ),
        {"pet": {"kind": "cow"}},
    ),
    SignatureCase(
        "times",
        times,
        closed(
            {
                "at": {"type": "string", "format": "date-time"},
                "day": {"type": "string", "format": "date"},
                "hour": {"type": "string", "format": "time"},
                "wait": {"type": "string", "format": "duration"},
            },
            "at",
            "day",
            "hour",
            "wait",
        ),
        False,
        made(
            at=st.datetimes(timezones=st.none() | st.just(dt.UTC)),
            day=st.dates(),
            hour=st.times(),
            wait=st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999)),
        ),
        {"at": 1, "day": "2026-01-02", "hour": "10:00", "wait": "PT5S"},
    ),
    SignatureCase(
        "identifiers",
        identifiers,
        closed(
            {
                "key": {"type": "string", "format": "uuid"},
                "path": {"type": "string", "format": "path"},
                "host": {"type": "string", "format": "ipv4"},
            },
            "key",
            "path",
            "host",
        ),
        False,
        made(
            key=st.uuids(),
            path=NAMES.map(pathlib.Path),
            host=st.ip_addresses(v=4),
        ),
        {"key": 1, "path": "/a", "host": "1.2.3.4"},
    ),
    SignatureCase(
        "texts",
        texts,
        closed(
            {
                "data": {"type": "string", "format": "binary"},
                "link": {"type": "string", "format": "uri", "minLength": 1},
                "password": {"type": "string", "format": "password", "writeOnly": True},
            },
            "data",
            "link",
            "password",
        ),
        False,
        made(
            data=TEXT.map(str.encode),
            link=NAMES.map(lambda name: AnyUrl(f"https://{name}.example/{name}")),
            password=TEXT.map(SecretStr),
        ),
        {"data": "a", "link": "", "password": "b"},
    ),
    SignatureCase(
        "money",
        money,
        closed(
            {
                "amount": DECIMAL,
                "least": {
                    "anyOf": [
                        {"type": "number", "minimum": 0},
                        DECIMAL["anyOf"][1],
                    ]
                },
            },
            "amount",
            "least",
        ),
        False,
        made(amount=decimals, least=decimals.map(abs)),
        {"amount": "a lot", "least": 1},
    ),
    SignatureCase(
        "a_type_variable",
        a_type_variable,
        closed({"value": {}, "count": INTEGER}, "value", "count"),
        False,
        made(value=json_values, count=st.integers()),
        {"value": 1},
    ),
    SignatureCase(
        "bounded",
        bounded,
        closed({"count": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3}}),
        False,
        made(count=st.integers(1, 10)),
        {"count": 11},
    ),
    SignatureCase(
        "constrained",
        constrained,
        closed(
            {
                "code": {"type": "string", "pattern": "^[A-Z]{2}$"},
                "names": {"type": "array", "items": STRING, "minItems": 1, "maxItems": 3},
                "half": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                "steps": {"type": "integer", "multipleOf": 5},
                "many": {"type": "integer", "exclusiveMinimum": 0},
            },
            "code",
            "names",
            "half",
            "steps",
            "many",
        ),
        False,
        made(
            code=st.from_regex("[A-Z]{2}", fullmatch=True),
            names=st.lists(TEXT, min_size=1, max_size=3),
            half=st.floats(0.1, 0.9),
            steps=st.integers(-99, 99).map(lambda number: number * 5),
            many=st.integers(1),
        ),
        {"code": "abc", "names": ["a"], "half": 0.5, "steps": 5, "many": 1},
    ),
    SignatureCase(
        "described",
        described,
        closed({"text": {"type": "string", "description": "The text"}}, "text"),
        True,
        made(text=TEXT),
        {},
    ),
    SignatureCase(
        "described_by_text",
        described_by_text,
        closed({"text": {"type": "string", "description": "The text"}}, "text"),
        True,
        made(text=TEXT),
        {},
    ),
    SignatureCase(
        "described_by_doc",
        described_by_doc,
        closed({"text": {"type": "string", "description": "The text"}}, "text"),
        True,
        made(text=TEXT),
        {},
    ),
    SignatureCase(
        "field_default",
        field_default,
        closed(
            {
                "size": {
                    "type": "integer",
                    "exclusiveMinimum": 0,
                    "description": "How big",
                    "default": 3,
                }
            }
        ),
        False,
        made(size=st.integers(1)),
        {"size": 0},
    ),
    SignatureCase(
        "annotated_default",
        annotated_default,
        closed({"size": {"type": "integer", "default": 3}}),
        False,
        made(size=st.integers()),
        {"size": "a"},
    ),
    SignatureCase(
        "mutable_default",
        mutable_default,
        closed(
            {
                "tags": {"type": "array", "items": {"type": "string"}, "default": []},
                "size": {
                    "type": "object",
                    "additionalProperties": {"type": "integer"},
                    "default": {"a": 1},
                },
            }
        ),
        False,
        made(
            tags=st.lists(TEXT, max_size=3), size=st.dictionaries(TEXT, st.integers(), max_size=3)
        ),
        {"tags": "a"},
    ),
    SignatureCase(
        "rich_default",
        rich_default,
        closed(
            {
                "day": {"type": "string", "format": "date", "default": "2026-01-02"},
                "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            }
        ),
        False,
        made(day=st.dates(), color=st.sampled_from(Color)),
        {"color": "green"},
    ),
    SignatureCase(
        "odd_default",
        odd_default,
        closed({"callback": STRING}),
        False,
        made(callback=TEXT),
        {"callback": 1},
    ),
]
