"""Every function of the table: its exact schema, and values that go there and back."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.schema_values import values_of
from support.tool_signatures import CASES, SignatureCase

from mbxai.errors import ToolArgumentError
from mbxai.tools import Tool

QUICK = settings(
    derandomize=True,
    max_examples=15,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# What fits a schema and is refused all the same: JSON Schema has no words for these rules.
BEYOND_THE_SCHEMA: dict[str, dict[str, Any]] = {
    "money": {"amount": 1, "least": "-1"},  # the bound of a number that is written as text
}

by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_the_table_is_large_enough_and_names_each_case_once() -> None:
    assert len(CASES) >= 64
    assert len({case.name for case in CASES}) == len(CASES)


@by_name
def test_signature_becomes_exactly_this_schema(case: SignatureCase) -> None:
    tool = Tool("tool", "", case.function)
    assert tool.schema == case.schema
    assert list(tool.schema["properties"]) == list(case.schema["properties"])
    function = tool.definition["function"]
    assert function["parameters"] == case.schema
    assert function.get("strict", False) is case.strict
    jsonschema.Draft202012Validator.check_schema(tool.schema)
    json.dumps(function, allow_nan=False)


@by_name
def test_wrong_arguments_are_refused_by_the_schema_and_by_the_function(
    case: SignatureCase,
) -> None:
    assert not jsonschema.Draft202012Validator(case.schema).is_valid(case.wrong)
    with pytest.raises(ToolArgumentError):
        Tool("tool", "", case.function).signature.validate(json.dumps(case.wrong))


@by_name
def test_values_survive_the_way_to_the_model_and_back(case: SignatureCase) -> None:
    signature = Tool("tool", "", case.function).signature
    validator = jsonschema.Draft202012Validator(case.schema)

    @QUICK
    @given(case.values() if case.values else st.just({}))
    def check(values: dict[str, Any]) -> None:
        arguments = case.arguments_of(values)
        validator.validate(arguments)
        back = signature.validate(json.dumps(arguments))
        assert back == values
        assert {name: type(value) for name, value in back.items()} == {
            name: type(value) for name, value in values.items()
        }

    check()


@by_name
def test_what_fits_the_schema_is_taken(case: SignatureCase) -> None:
    signature = Tool("tool", "", case.function).signature
    validator = jsonschema.Draft202012Validator(case.schema)

    @QUICK
    @given(values_of(case.schema))
    def check(arguments: dict[str, Any]) -> None:
        validator.validate(arguments)
        try:
            signature.validate(json.dumps(arguments))
        except ToolArgumentError:
            if case.name not in BEYOND_THE_SCHEMA:
                raise

    check()


@pytest.mark.parametrize("name", BEYOND_THE_SCHEMA)
def test_what_the_schema_cannot_say_is_still_checked(name: str) -> None:
    (case,) = [case for case in CASES if case.name == name]
    arguments = BEYOND_THE_SCHEMA[name]
    jsonschema.Draft202012Validator(case.schema).validate(arguments)
    with pytest.raises(ToolArgumentError):
        Tool("tool", "", case.function).signature.validate(json.dumps(arguments))
