import gc
import weakref
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, RootModel

from mbxai.errors import ConfigurationError
from mbxai.wire import compact, json_schema_of, response_format_of, strict_view


class Inner(BaseModel):
    x: int


class Plain(BaseModel):
    inner: Inner = Field(description="The inner one")
    items: list[Inner]
    kind: Literal["a", "b"]
    maybe: str | None


class WithDefault(BaseModel):
    x: int = 1


class WithMap(BaseModel):
    x: dict[str, int]


class WithTuple(BaseModel):
    x: tuple[int, str]


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class WithUnion(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Tree(BaseModel):
    children: list["Tree"]


def format_of(model):
    wanted = response_format_of(model)
    assert wanted["type"] == "json_schema"
    return wanted["json_schema"]


def test_a_model_whose_fields_are_all_required_is_strict():
    wanted = format_of(Plain)
    assert wanted["name"] == "Plain"
    assert wanted["strict"] is True
    assert wanted["schema"]["additionalProperties"] is False
    inner = wanted["schema"]["properties"]["inner"]
    assert inner["additionalProperties"] is False
    assert inner["description"] == "The inner one"


@pytest.mark.parametrize("model", [WithDefault, WithMap, WithTuple, WithUnion])
def test_strict_is_left_out_where_it_would_change_the_meaning(model):
    assert "strict" not in format_of(model)


def test_an_optional_property_is_never_made_required():
    assert "required" not in format_of(WithDefault)["schema"]


def test_a_recursive_model_keeps_its_definitions_and_has_an_object_at_the_top():
    wanted = format_of(Tree)
    assert wanted["schema"]["type"] == "object"
    assert wanted["schema"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert wanted["strict"] is True
    assert wanted["schema"]["$defs"]["Tree"]["additionalProperties"] is False


def test_the_original_schema_is_not_changed():
    before = Plain.model_json_schema()
    strict_view(before)
    compact(before)
    assert before == Plain.model_json_schema()
    assert "$defs" in json_schema_of(Plain)


def test_remote_references_are_left_alone():
    schema = {"type": "object", "properties": {"x": {"$ref": "https://example.com/x.json"}}}
    assert compact(schema) == schema


def test_a_property_named_like_a_keyword_is_a_property():
    schema = {
        "type": "object",
        "properties": {"oneOf": {"type": "string"}, "$ref": {"type": "string"}},
        "required": ["oneOf", "$ref"],
    }
    assert strict_view(schema) == {**schema, "additionalProperties": False}


@pytest.mark.parametrize(
    "given",
    [{"type": "object"}, int, "City", None, Plain(inner={"x": 1}, items=[], kind="a", maybe=None)],
)
def test_what_is_no_model_class_is_refused_by_name(given):
    with pytest.raises(ConfigurationError, match="response_format must be a pydantic model class"):
        response_format_of(given)


def test_a_type_that_pydantic_cannot_describe_is_refused():
    with pytest.raises(ConfigurationError, match="has no JSON Schema"):
        json_schema_of(object())


def test_names_fit_what_providers_allow():
    generic = RootModel[list[int]]
    assert format_of(generic)["name"] == "RootModel_list_int"


def test_schemas_are_kept_only_as_long_as_their_classes():
    model = type("Brief", (BaseModel,), {"__annotations__": {"x": int}})
    assert response_format_of(model) is response_format_of(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
