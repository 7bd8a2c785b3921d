"""Functions of every form: methods, partials, objects, open keywords, docstrings."""

import functools
import typing
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, NotRequired

import typing_extensions
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from support.signature_case import (
    BOOLEAN,
    FLOATS,
    INTEGER,
    NAMES,
    NULL,
    STRING,
    STRINGS,
    TEXT,
    SignatureCase,
    closed,
    made,
)
from support.tool_signatures_models import CITY, POINT, City, Point, cities
from support.tool_signatures_plain import one_string

from mbxai.tools import Secret, ToolContext


class Paging(typing.TypedDict):
    query: str
    limit: NotRequired[int]


class Shop:
    def find(self, query: str) -> "Nowhere":  # noqa: F821
        """Find it."""

    @classmethod
    def open(cls, name: str) -> str:
        return name

    @staticmethod
    def close(hard: bool) -> bool:
        return hard

    def merge(self, other: "Basket") -> None: ...


class Basket(BaseModel):
    fruits: list[str]

    def merge(self, other: typing_extensions.Self, twice: bool) -> None: ...


class Adder:
    """Adds two numbers.

    Args:
        left: The first one.
    """

    def __call__(self, left: int, right: int = 1) -> int:
        return left + right


class Mailer:
    """Sends mail."""

    def __init__(self, host: str, port: int = 25) -> None:
        """Connect.

        Args:
            host: Where the server is.
        """
        self.host, self.port = host, port

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mailer)

    def __hash__(self) -> int:
        return 1


def optional_alias(origin: Annotated[str, Field(alias="from", min_length=1)] = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013


def own_alias(origin: Annotated[str, Field(alias="from")]) -> None: ...


def keyword_only(*, name: str, loud: bool = False) -> None: ...


def positional_only(left: int, right: int = 2, /) -> None: ...


def open_keywords(name: str, **rest: int) -> None: ...


def only_keywords(**rest: list[str]) -> None: ...


def unpacked_keywords(name: str, **rest: typing_extensions.Unpack[Paging]) -> None: ...


def awkward_names(schema: str, model_config: str, json: int, _hidden: bool, input: str) -> None: ...  # noqa: A002


def quoted(city: "City", number: "int") -> None: ...


def with_context(text: str, context: ToolContext[int]) -> None: ...


def with_secret(text: str, token: Secret, other: Annotated[Secret | None, "shop.key"]) -> None: ...


async def a_coroutine(text: str) -> None: ...


async def a_generator(text: str) -> AsyncIterator[str]:
    yield text


def google(location: str, unit: str = "celsius", *, days: int) -> dict:
    """Get weather information for a location.

    Args:
        location: The city
            or location name
        unit (str): Temperature unit

    Keyword Args:
        days: How many days
    """
    return {}


def numpy_style(location: str, north: float, east: float) -> None:
    """Get it.

    Parameters
    ----------
    location : str
        The city
    north, east : float
        Degrees
    """


def sphinx_style(location: str, days: int) -> None:
    """Get it.

    :param location: The city
    :type location: str
    :param int days: How many
        days
    """


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def three(first: int, second: str, third: bool = False) -> None: ...


CASES = [
    SignatureCase(
        "optional_alias",
        optional_alias,
        closed({"from": {"anyOf": [{"type": "string", "minLength": 1}, NULL], "default": None}}),
        False,
        made(origin=st.none() | NAMES),
        {"from": ""},
        aliases={"origin": "from"},
    ),
    SignatureCase(
        "own_alias",
        own_alias,
        closed({"from": STRING}, "from"),
        True,
        made(origin=TEXT),
        {"origin": "a"},
        aliases={"origin": "from"},
    ),
    SignatureCase(
        "keyword_only",
        keyword_only,
        closed({"name": STRING, "loud": {"type": "boolean", "default": False}}, "name"),
        False,
        made(name=TEXT, loud=st.booleans()),
        {"loud": True},
    ),
    SignatureCase(
        "positional_only",
        positional_only,
        closed({"left": INTEGER, "right": {"type": "integer", "default": 2}}, "left"),
        False,
        made(left=st.integers(), right=st.integers()),
        {"right": 1},
    ),
    SignatureCase(
        "open_keywords",
        open_keywords,
        closed({"name": STRING}, "name", additionalProperties=INTEGER),
        False,
        made(name=TEXT, other=st.integers()),
        {"name": "a", "other": "b"},
    ),
    SignatureCase(
        "only_keywords",
        only_keywords,
        closed({}, additionalProperties=STRINGS),
        False,
        made(first=st.lists(TEXT, max_size=3)),
        {"other": "b"},
    ),
    SignatureCase(
        "unpacked_keywords",
        unpacked_keywords,
        closed({"name": STRING, "query": STRING, "limit": INTEGER}, "name", "query"),
        False,
        lambda: st.fixed_dictionaries(
            {"name": TEXT, "query": TEXT}, optional={"limit": st.integers()}
        ),
        {"name": "a", "query": "b", "other": 1},
    ),
    SignatureCase(
        "awkward_names",
        awkward_names,
        closed(
            {
                "schema": STRING,
                "model_config": STRING,
                "json": INTEGER,
                "_hidden": BOOLEAN,
                "input": STRING,
            },
            "schema",
            "model_config",
            "json",
            "_hidden",
            "input",
        ),
        True,
        made(schema=TEXT, model_config=TEXT, json=st.integers(), _hidden=st.booleans(), input=TEXT),
        {"schema": "a"},
    ),
    SignatureCase(
        "quoted",
        quoted,
        closed({"city": CITY, "number": INTEGER}, "city", "number"),
        False,
        made(city=cities, number=st.integers()),
        {"city": "a", "number": 1},
    ),
    SignatureCase(
        "with_context",
        with_context,
        closed({"text": STRING}, "text"),
        True,
        made(text=TEXT),
        {"text": "a", "context": {}},
    ),
    SignatureCase(
        "with_secret",
        with_secret,
        closed({"text": STRING}, "text"),
        True,
        made(text=TEXT),
        {"text": "a", "token": "b"},
    ),
    SignatureCase(
        "a_coroutine",
        a_coroutine,
        closed({"text": STRING}, "text"),
        True,
        made(text=TEXT),
        {},
    ),
    SignatureCase(
        "a_generator",
        a_generator,
        closed({"text": STRING}, "text"),
        True,
        made(text=TEXT),
        {},
    ),
    SignatureCase(
        "google",
        google,
        closed(
            {
                "location": {"type": "string", "description": "The city or location name"},
                "unit": {
                    "type": "string",
                    "description": "Temperature unit",
                    "default": "celsius",
                },
                "days": {"type": "integer", "description": "How many days"},
            },
            "location",
            "days",
        ),
        False,
        made(location=TEXT, unit=TEXT, days=st.integers()),
        {"unit": "a"},
    ),
    SignatureCase(
        "numpy_style",
        numpy_style,
        closed(
            {
                "location": {"type": "string", "description": "The city"},
                "north": {"type": "number", "description": "Degrees"},
                "east": {"type": "number", "description": "Degrees"},
            },
            "location",
            "north",
            "east",
        ),
        True,
        made(location=TEXT, north=FLOATS, east=FLOATS),
        {},
    ),
    SignatureCase(
        "sphinx_style",
        sphinx_style,
        closed(
            {
                "location": {"type": "string", "description": "The city"},
                "days": {"type": "integer", "description": "How many days"},
            },
            "location",
            "days",
        ),
        True,
        made(location=TEXT, days=st.integers()),
        {},
    ),
    SignatureCase(
        "a_bound_method",
        Shop().find,
        closed({"query": STRING}, "query"),
        True,
        made(query=TEXT),
        {"self": 1, "query": "a"},
    ),
    SignatureCase(
        "a_class_method",
        Shop.open,
        closed({"name": STRING}, "name"),
        True,
        made(name=TEXT),
        {},
    ),
    SignatureCase(
        "a_static_method",
        Shop.close,
        closed({"hard": BOOLEAN}, "hard"),
        True,
        made(hard=st.booleans()),
        {"hard": 1},
    ),
    SignatureCase(
        "a_method_of_its_own_type",
        Basket(fruits=[]).merge,
        closed(
            {
                "other": {
                    "type": "object",
                    "properties": {"fruits": STRINGS},
                    "required": ["fruits"],
                },
                "twice": BOOLEAN,
            },
            "other",
            "twice",
        ),
        False,
        made(other=st.builds(Basket, fruits=st.lists(TEXT, max_size=3)), twice=st.booleans()),
        {"other": [], "twice": True},
    ),
    SignatureCase(
        "a_callable_object",
        Adder(),
        closed(
            {
                "left": {"type": "integer", "description": "The first one."},
                "right": {"type": "integer", "default": 1},
            },
            "left",
        ),
        False,
        made(left=st.integers(), right=st.integers()),
        {"left": 1.5},
    ),
    SignatureCase(
        "a_class",
        Mailer,
        closed(
            {
                "host": {"type": "string", "description": "Where the server is."},
                "port": {"type": "integer", "default": 25},
            },
            "host",
        ),
        False,
        made(host=TEXT, port=st.integers()),
        {"port": 1},
    ),
    SignatureCase(
        "a_dataclass_as_a_function",
        Point,
        POINT,
        False,
        made(x=FLOATS, y=FLOATS, tags=st.lists(TEXT, max_size=3)),
        {"y": 2},
    ),
    SignatureCase(
        "a_decorated_function",
        wrapped(one_string),
        closed({"text": STRING}, "text"),
        True,
        made(text=TEXT),
        {},
    ),
    SignatureCase(
        "a_partial_by_position",
        functools.partial(three, 1),
        closed({"second": STRING, "third": {"type": "boolean", "default": False}}, "second"),
        False,
        made(second=TEXT, third=st.booleans()),
        {"first": 1, "second": "a"},
    ),
    SignatureCase(
        "a_partial_by_keyword",
        functools.partial(three, second="bound"),
        closed({"first": INTEGER, "third": {"type": "boolean", "default": False}}, "first"),
        False,
        made(first=st.integers(), third=st.booleans()),
        {"first": 1, "second": "a"},
    ),
]
