"""What holds for the views of every schema, tried on schemas that hypothesis makes."""

import copy
import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support.schema_makers import arguments, convertible, nonsense, schemas
from support.schema_values import values_of

from mbxai.tools import convert_to_strict_schema
from mbxai.tools.schema._google_view import google_view
from mbxai.tools.schema._provider_view import provider_view
from mbxai.tools.schema._restore import restored
from mbxai.tools.schema._strict import says_the_same_when_strict

THOROUGH = settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
QUICK = settings(THOROUGH, max_examples=40)

# What strict mode is told in words only; our own validation still holds arguments to it.
SAID_IN_WORDS = {"minimum", "minLength", "format", "default"}


@THOROUGH
@given(schemas(), st.lists(arguments(), min_size=8, max_size=8))
def test_the_general_view_takes_the_same_values(
    schema: dict[str, Any], values: list[dict[str, Any]]
) -> None:
    before = copy.deepcopy(schema)
    view = provider_view(schema)
    assert schema == before
    Draft202012Validator.check_schema(view)
    assert provider_view(view) == view
    original, shown = Draft202012Validator(schema), Draft202012Validator(view)
    for value in values:
        assert shown.is_valid(value) is original.is_valid(value)


@THOROUGH
@given(nonsense())
def test_nonsense_becomes_a_schema_and_nothing_breaks(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    view = provider_view(schema)
    Draft202012Validator.check_schema(view)
    strict = convert_to_strict_schema(schema)
    Draft202012Validator.check_schema(strict)
    assert convert_to_strict_schema(strict) == strict
    for made in (view, strict, google_view(schema)):
        json.dumps(made, allow_nan=False)
        assert made["type"] == "object"
    restored({"a": None, "input": ["3", {"a": 1.0}]}, schema)
    assert repr(schema) == repr(before)  # NaN is not equal to itself


@THOROUGH
@given(schemas())
def test_strict_is_claimed_only_for_what_conversion_leaves_alone(schema: dict[str, Any]) -> None:
    view = provider_view(schema)
    strict = convert_to_strict_schema(schema, keep_input_wrapper=True)
    if says_the_same_when_strict(view):
        assert strict == view
    assert convert_to_strict_schema(strict, keep_input_wrapper=True) == strict


@QUICK
@given(convertible(), st.data())
def test_what_fits_the_strict_view_fits_the_schema_once_its_nulls_are_dropped(
    schema: dict[str, Any], data: st.DataObject
) -> None:
    strict = convert_to_strict_schema(schema, keep_input_wrapper=True)
    assume(says_the_same_when_strict(strict))
    value = data.draw(values_of(strict))
    assert Draft202012Validator(strict).is_valid(value)
    assert Draft202012Validator(_without_words(schema)).is_valid(restored(value, schema))


@QUICK
@given(convertible(), st.data())
def test_what_fits_the_schema_and_leaves_nothing_out_fits_the_strict_view(
    schema: dict[str, Any], data: st.DataObject
) -> None:
    strict = convert_to_strict_schema(schema, keep_input_wrapper=True)
    assume(says_the_same_when_strict(strict))
    value = data.draw(values_of(_all_required(provider_view(schema))))
    assert Draft202012Validator(strict).is_valid(value)


def _without_words(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_words(part) for part in node]
    if not isinstance(node, dict):
        return node
    return {name: _without_words(part) for name, part in node.items() if name not in SAID_IN_WORDS}


def _all_required(node: Any) -> Any:
    if isinstance(node, list):
        return [_all_required(part) for part in node]
    if not isinstance(node, dict):
        return node
    made = {name: _all_required(part) for name, part in node.items()}
    if "properties" in made:
        made["required"] = list(made["properties"])
    return made
