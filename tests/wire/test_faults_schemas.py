"""C7: types that are hard to describe, and types that cannot be."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, Field
from support.client_kinds import KINDS, USER, opened
from support.raw_server import RawServer, answer, chunk, completion, stream

from mbxai.errors import OpenRouterConfigurationError, OutputValidationError

T = TypeVar("T")


class City(BaseModel):
    name: str
    size: float


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(params=KINDS)
async def client(raw, request):
    async with opened(request.param, raw.base_url, max_retries=0) as made:
        yield made


@pytest.fixture(params=["create", "stream"])
def way(request):
    return request.param


def script_of(way, text):
    if way == "stream":
        return stream(chunk(text, finish="stop"))
    return answer(completion(text))


async def typed(client, way, kind):
    if way == "create":
        return await client.parse(USER, kind, max_validation_retries=0)
    async with client.stream(USER, response_format=kind) as chunks:
        return await chunks.get_final_completion()


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    branches: list["Tree"]


class Page(BaseModel, Generic[T]):
    items: list[T]
    first: T | None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    owner: City


@dataclass
class Point:
    x: int
    y: Annotated[int, Field(ge=0)]


TREE = Tree(name="a", branches=[Tree(name="b", branches=[])])
CITY = City(name="Ulm", size=1)
TYPES = {
    "recursive": (Tree, TREE, True),
    "references": (Page[City], Page[City](items=[CITY], first=None), True),
    "a generic of itself": (Page[Tree], Page[Tree](items=[TREE], first=TREE), True),
    "union": (Cat | Dog, Dog(kind="dog", owner=CITY), True),
    "list": (list[Tree], [TREE], True),
    "dataclass": (Point, Point(1, 2), True),
    "open object": (dict[str, int], {"a": 1}, False),
    "tagged union": (Annotated[Cat | Dog, Field(discriminator="kind")], Cat(kind="cat", lives=9), False),
}  # fmt: skip


def check_strict(part: Any) -> None:
    """The rules of strict structured outputs: every property required, no further ones."""
    if isinstance(part, list):
        for item in part:
            check_strict(item)
    elif isinstance(part, dict):
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert sorted(part["required"]) == sorted(part["properties"])
        assert not {"oneOf", "allOf", "patternProperties", "default"} & part.keys()
        for item in part.values():
            check_strict(item)


@pytest.mark.parametrize(("kind", "value", "is_strict"), TYPES.values(), ids=TYPES.keys())
async def test_c7_the_schema_that_is_sent_is_valid_and_fits_its_values(
    raw, client, way, kind, value, is_strict
):
    raw.script(script_of(way, '"wrong"'))
    with pytest.raises(OutputValidationError):
        await typed(client, way, kind)
    asked_for = json.loads(raw.seen().requests[0]["body"])["response_format"]["json_schema"]
    schema = asked_for["schema"]
    assert asked_for.get("strict", False) == is_strict
    if is_strict:
        check_strict(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    text = json.dumps(_plain(value))
    sent = text if validator.is_valid(json.loads(text)) else json.dumps({"value": _plain(value)})
    validator.validate(json.loads(sent))
    assert not validator.is_valid("wrong")
    raw.script(script_of(way, sent))
    result = await typed(client, way, kind)
    assert result.choices[0].message.parsed == value
    assert not result.choices[0].message.repaired


def _plain(value):
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return vars(value) if isinstance(value, Point) else value


class Foreign:
    """A class that pydantic knows nothing of."""


@pytest.mark.parametrize(
    "kind", [Foreign, list[Foreign], Callable[[int], int], 3, "City", City(name="a", size=1)], ids=repr
)  # fmt: skip
async def test_c7_what_has_no_schema_is_refused_before_anything_is_sent(raw, client, way, kind):
    raw.script(answer(completion()))
    with pytest.raises(OpenRouterConfigurationError, match="response_format"):
        await typed(client, way, kind)
    assert raw.seen().requests == []
