"""Functions that cannot be tools, and what their authors are told."""

import collections.abc
import json
import socket
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from mbxai.errors import ToolDefinitionError
from mbxai.tools import Secret, Tool, ToolContext


@dataclass
class Holder:
    context: ToolContext


def no_annotation(text) -> None: ...
def no_annotation_of_rest(**rest) -> None: ...
def star(*texts: str) -> None: ...
def a_socket(count: int, link: socket.socket) -> None: ...
def a_callback(call: Callable[[int], int]) -> None: ...
def a_class(kind: type[int]) -> None: ...
def a_generator(items: collections.abc.Generator[int, None, None]) -> None: ...
def nested_context(contexts: list[ToolContext]) -> None: ...
def nested_secret(tokens: dict[str, Secret]) -> None: ...
def context_or_text(value: ToolContext | str) -> None: ...
def context_in_a_dataclass(holder: Holder, count: int) -> None: ...
def missing(city: "Nowhere") -> None: ...  # noqa: F821
def broken(city: "1 +") -> None: ...  # noqa: F722
def self_outside(other: typing.Self) -> None: ...
def two_of_one_name(
    first: Annotated[str, Field(alias="x")], second: Annotated[str, Field(alias="x")]
) -> None: ...
def name_of_another(text: str, other: Annotated[str, Field(alias="text")]) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_annotation, ["'text'", "no annotation", "string would be wrong", "`text: str`"]),
        (lambda text: text, ["'text'", "no annotation", "lambda"]),
        (no_annotation_of_rest, ["'rest'", "no annotation"]),
        (star, ["*texts", "`texts: list[str]`"]),
        (a_socket, ["'link'", "cannot become a JSON Schema"]),
        (a_callback, ["'call'", "cannot become a JSON Schema"]),
        (a_class, ["'kind'", "cannot become a JSON Schema"]),
        (a_generator, ["'items'", "take a list"]),
        (nested_context, ["'contexts'", "injected only as a whole parameter"]),
        (nested_secret, ["'tokens'", "injected only as a whole parameter"]),
        (context_or_text, ["'value'", "injected only as a whole parameter"]),
        (context_in_a_dataclass, ["'holder'", "injected only as whole parameters"]),
        (missing, ["city", "Nowhere", "module level"]),
        (broken, ["city", "cannot be resolved"]),
        (self_outside, ["'other'", "Self"]),
        (two_of_one_name, ["two parameters", "'x'", "alias"]),
        (name_of_another, ["two parameters", "'text'", "alias"]),
        (dict.fromkeys, ["'shout'"]),
        (max, ["no readable signature"]),
    ],
)
def test_a_definition_that_cannot_be_is_refused_by_name_and_with_advice(
    function: Callable[..., Any], words: list[str]
) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        Tool("shout", "", function)
    for word in ["'shout'", *words]:
        assert word in str(caught.value)


def test_a_model_that_nobody_can_describe_is_refused_by_its_parameter() -> None:
    class Odd(BaseModel):
        call: Callable[[int], int]

    def function(odd: Odd) -> None: ...

    with pytest.raises(ToolDefinitionError, match=r"'shout'.*'odd'"):
        Tool("shout", "", function)


def test_with_a_schema_what_cannot_be_described_is_taken_as_it_is() -> None:
    def postponed(link: "Nowhere", other, **rest) -> None: ...  # noqa: F821
    def odd(link: socket.socket, other: typing.Self, *texts: str, **rest: int) -> None: ...

    for function in (postponed, odd):
        tool = Tool("tool", "", function, {"type": "object", "properties": {"link": {}}})
        arguments = {"link": [1], "other": None, "more": 2}
        assert tool.signature.validate(json.dumps(arguments)) == arguments


def test_types_that_only_fail_together_are_refused_too() -> None:
    class Moody:
        looked_at = 0

        @classmethod
        def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
            cls.looked_at += 1
            if cls.looked_at == 1:
                raise ValueError("not now")
            return {"type": "int"}

    def function(moody: Moody) -> None: ...

    with pytest.raises(ToolDefinitionError, match=r"'shout'.*together"):
        Tool("shout", "", function)


def test_a_schema_without_an_end_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"items": schema}

    async def call(**arguments: Any) -> None: ...

    with pytest.raises(ToolDefinitionError, match=r"'shout'.*too deeply"):
        Tool("shout", "", call, {"properties": {"a": schema}})
