"""The form that a user is asked to fill in: a flat JSON Schema, from a model or as it was given."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from pydantic import BaseModel, ValidationError

from mbxai.errors import ConfigurationError

# Any in this file: JSON, and JSON Schema.
Values: TypeAlias = dict[str, Any]

_PLAIN: Final = ("string", "number", "integer", "boolean")
_KEPT: Final = frozenset(
    {
        *("type", "title", "description", "default", "enum", "enumNames", "oneOf", "format"),
        *("minLength", "maxLength", "minimum", "maximum", "items", "minItems", "maxItems"),
    }
)
_FORMATS: Final = ("email", "uri", "date", "date-time")


@dataclass(frozen=True, slots=True)
class Form:
    """A form.

    Attributes:
        schema: Its JSON Schema.
        read: Returns the values of a filled in form, and what is wrong with them; one is empty.
    """

    schema: Values
    read: Callable[[Mapping[str, Any]], tuple[Values, str]]


def read_form(schema: type[BaseModel] | Mapping[str, Any]) -> Form:
    """Return the form of a schema.

    Args:
        schema: A model, or a JSON Schema.

    Raises:
        ConfigurationError: It holds what a form cannot ask for.
    """
    if isinstance(schema, Mapping):
        given = copy.deepcopy(dict(schema))
        _check(given)
        return Form(given, lambda values: _checked(given, values))
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
        raise ConfigurationError(
            f"A form is a pydantic model or a JSON Schema, not a {type(schema).__name__}."
        )
    return Form(_flat(schema), lambda values: _validated(schema, values))


def _flat(model: type[BaseModel]) -> Values:
    whole = model.model_json_schema()
    properties = {
        name: _field(f"{model.__name__}.{name}", field, whole.get("$defs", {}))
        for name, field in whole.get("properties", {}).items()
    }
    form: Values = {"type": "object", "properties": properties}
    if whole.get("required"):
        form["required"] = whole["required"]
    return form


def _field(label: str, schema: Values, definitions: Values) -> Values:
    field = _resolved(schema, definitions)
    if "const" in field:
        field.setdefault("enum", [field["const"]])
    if isinstance(field.get("items"), dict):
        field["items"] = _choice(_resolved(cast("Values", field["items"]), definitions))
    if field.get("format") not in _FORMATS:
        field.pop("format", None)
    if field.get("default") is None:
        field.pop("default", None)  # of an optional field: leaving it out says the same
    kept = {key: value for key, value in field.items() if key in _KEPT}
    if not _is_askable(kept):
        raise ConfigurationError(
            f"A form cannot ask for {label}.",
            hint="Its fields are texts, numbers, booleans, choices among texts, and lists of such"
            " choices.",
        )
    return kept


def _choice(items: Values) -> Values:
    return {key: items[key] for key in ("type", "enum", "anyOf") if key in items}


def _resolved(schema: Values, definitions: Values) -> Values:
    """A field's schema without references and without null."""
    schema = dict(schema)
    options = [
        option
        for option in cast("list[Values]", schema.pop("anyOf", []))
        if option.get("type") != "null"
    ]
    parts = [*cast("list[Values]", schema.pop("allOf", [])), *options]
    if len(options) > 1:
        return {}
    reference = schema.pop("$ref", None)
    if isinstance(reference, str):
        parts.append(cast("Values", definitions.get(reference.rpartition("/")[2], {})))
    for part in parts:
        schema = {**_resolved(part, definitions), **schema}
    return schema


def _check(schema: Values) -> None:
    """Refuse a given schema that no form can show; what may stand in a field is left to it."""
    properties: object = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, Mapping):
        raise ConfigurationError(
            'A form\'s JSON Schema is {"type": "object", "properties": {...}}.',
            hint="Give each field of the form a property of its own.",
        )
    for name, field in cast("Mapping[str, object]", properties).items():
        if not isinstance(field, Mapping) or not _is_askable(cast("Mapping[str, Any]", field)):
            raise ConfigurationError(
                f"A form cannot ask for {name!r}.",
                hint="Its fields are texts, numbers, booleans, choices among texts, and lists of"
                " such choices.",
            )


def _is_askable(field: Mapping[str, Any]) -> bool:
    if field.get("type") == "array":
        items: object = field.get("items")
        return isinstance(items, Mapping) and ("enum" in items or "anyOf" in items)
    choices = field.get("enum", [])
    return field.get("type") in _PLAIN and all(isinstance(choice, str) for choice in choices)


def _validated(model: type[BaseModel], values: Mapping[str, Any]) -> tuple[Values, str]:
    try:
        filled = model.model_validate(dict(values))
    except ValidationError as error:
        return {}, "; ".join(
            f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
            for found in error.errors(include_url=False, include_context=False, include_input=False)
        )
    return filled.model_dump(mode="json", by_alias=True), ""


def _checked(schema: Values, values: Mapping[str, Any]) -> tuple[Values, str]:
    from jsonschema import Draft202012Validator  # slow to load

    given = dict(values)
    found = [
        f"{'.'.join(map(str, error.absolute_path)) or 'the form'}: {error.validator} is not met"
        for error in Draft202012Validator(schema).iter_errors(given)  # pyright: ignore[reportUnknownMemberType]  # untyped
    ]
    return (given, "") if not found else ({}, "; ".join(found))
