"""The schemas of the signature table, taken by the grammars of a real llama.cpp server.

Each schema is tried both ways in which one reaches a model: as the form of the answer, and as the
parameters of a tool that must be called. A server that cannot make a grammar of a schema refuses
the request, and the client raises.
"""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.tiny_model import make_tiny_model
from support.tool_signatures import CASES, SignatureCase

from mbxai.local import LocalModel
from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.tools import Tool

HELLO = [{"role": "user", "content": "Hello"}]
MAX_TOKENS = 300

# llama.cpp takes every schema of the table. These rules it takes and does not hold answers to:
# names that are not listed one by one, multiples, and the bounds of numbers with a fraction. Our
# own validation does.
BEYOND_THE_GRAMMAR = {
    "enum_map": {"propertyNames"},
    "integer_map": {"propertyNames"},
    "constrained": {"multipleOf", "exclusiveMinimum", "exclusiveMaximum"},
}
# A list in a list in a list, or digits without an end: the tiny model may write on and on.
ENDLESS = {"a_whole_recursive_typed_dict", "constrained", "times"}

by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def native(weights: Path) -> Iterator[LocalModel]:
    """The server's own grammars: every schema reaches it as it is."""
    with LocalModel(weights) as started:
        yield started


@pytest.fixture(scope="module")
def constrained(weights: Path) -> Iterator[LocalModel]:
    """The short view of a schema that small models get, and its grammar."""
    with LocalModel(weights, tool_mode="constrained") as started:
        yield started


@pytest.fixture(params=["native", "constrained"])
def model(request: pytest.FixtureRequest) -> LocalModel:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def client(model: LocalModel) -> AsyncIterator[AsyncOpenRouterClient]:
    async with model.client() as opened:
        yield opened


@by_name
async def test_an_answer_of_the_schema_is_given(
    client: AsyncOpenRouterClient, case: SignatureCase
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": case.schema}}
    completion = await client.create(HELLO, response_format=form, max_tokens=MAX_TOKENS)
    (choice,) = completion.choices
    assert choice.finish_reason == "stop" or case.name in ENDLESS
    if choice.finish_reason != "length":
        jsonschema.validate(json.loads(choice.message.content), promised(case))


@by_name
async def test_a_tool_of_the_schema_is_called(
    client: AsyncOpenRouterClient, case: SignatureCase
) -> None:
    tool = Tool("tool", "A tool.", case.function).definition_for(model=None)
    completion = await client.create(
        HELLO, tools=[tool], tool_choice="required", max_tokens=MAX_TOKENS
    )
    (choice,) = completion.choices
    assert choice.finish_reason == "tool_calls" or case.name in ENDLESS
    if choice.finish_reason != "length":
        (call,) = choice.message.tool_calls
        jsonschema.validate(json.loads(call.function.arguments), promised(case))


def promised(case: SignatureCase) -> dict[str, Any]:
    """What the grammar holds an answer to: the schema, but for rules that it has no words for."""
    rules = BEYOND_THE_GRAMMAR.get(case.name, set())

    def without(node: Any) -> Any:
        if isinstance(node, list):
            return [without(part) for part in node]
        if not isinstance(node, dict):
            return node
        return {name: without(part) for name, part in node.items() if name not in rules}

    return without(case.schema)
