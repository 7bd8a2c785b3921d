"""Python types as JSON Schema, and the views of a schema that providers accept."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

from mbxai.errors import ConfigurationError

# Any in this file: JSON Schema is open JSON.
Schema = dict[str, Any]

# Keyed weakly, so that classes made at run time can go away.
_SCHEMAS: "WeakKeyDictionary[type, Schema]" = WeakKeyDictionary()
_FORMATS: "WeakKeyDictionary[type, Schema]" = WeakKeyDictionary()

SCHEMA_FAILURES: Final = (
    *(PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError),
    *(AttributeError, RecursionError),
)
"""What pydantic, and the hooks of other people's types, raise where no schema can be had."""

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_MAX_NAME_CHARS = 64

# What strict structured outputs understand everywhere. Any other keyword, for example `oneOf`,
# `patternProperties`, `prefixItems` or a default, would be refused or mean something else.
_STRICT_KEYWORDS = frozenset(
    {
        *("type", "enum", "const", "anyOf", "properties", "required", "additionalProperties"),
        *("items", "$ref", "$defs", "title", "description", "pattern", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minItems", "maxItems"),
    }
)


def json_schema_of(kind: Any) -> Schema:
    """Return the JSON Schema of a type, as pydantic validates it.

    Args:
        kind: A pydantic model or anything else that pydantic understands.

    Returns:
        The schema; shared between calls, so it must not be changed.

    Raises:
        ConfigurationError: pydantic has no schema for the type.
    """
    cls = cast("type[object]", kind) if isinstance(kind, type) else None
    known = None if cls is None else _SCHEMAS.get(cls)
    if known is not None:
        return known
    try:
        if cls is not None and issubclass(cls, BaseModel):
            schema = cls.model_json_schema()
        else:
            schema = TypeAdapter[Any](kind).json_schema()
    except SCHEMA_FAILURES as error:
        raise no_schema_error(kind, error) from error
    if cls is not None:
        _SCHEMAS[cls] = schema
    return schema


def no_schema_error(kind: object, error: Exception) -> ConfigurationError:
    """Return what a caller is told about a type without a schema.

    Args:
        kind: The type.
        error: One of `SCHEMA_FAILURES`; its first line is shown.
    """
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ConfigurationError(
        f"{_name_of(kind)} has no JSON Schema: {reason.rstrip('.')}.",
        hint="Use types that pydantic can describe.",
    )


def response_format_of(model: type[BaseModel]) -> Schema:
    """Return the `response_format` that asks for JSON of a model.

    `strict` is set only where strict rules leave the meaning alone; see `strict_view`.

    Args:
        model: A pydantic model class.

    Returns:
        The value of `response_format`; shared between calls, so it must not be changed.

    Raises:
        ConfigurationError: The argument is no pydantic model class, or has no JSON Schema.
    """
    given: Any = model  # callers without a type checker pass anything
    if not isinstance(given, type) or not issubclass(given, BaseModel):
        raise ConfigurationError(
            f"response_format must be a pydantic model class, not {_name_of(given)}.",
            hint="Pass the class itself, for example response_format=CityInfo.",
        )
    known = _FORMATS.get(given)
    if known is not None:
        return known
    schema = json_schema_of(given)
    strict = strict_view(schema)
    inner: Schema = {
        "name": _schema_name(given),
        "schema": compact(schema) if strict is None else strict,
    }
    if strict is not None:
        inner["strict"] = True
    _FORMATS[given] = {"type": "json_schema", "json_schema": inner}
    return _FORMATS[given]


def strict_view(schema: Mapping[str, Any]) -> Schema | None:
    """Return the schema under strict rules, or None where they would change what it says.

    Strict rules want every property required, no further properties and few keywords. A property
    with a default is optional, so a schema that has one is not strict.

    Args:
        schema: JSON Schema of an object; not changed.
    """
    view = compact(schema)
    if view.get("type") != "object" or not _is_strict(view):
        return None
    return cast("Schema", _map_objects(view, lambda part: {**part, "additionalProperties": False}))


def compact(schema: Mapping[str, Any]) -> Schema:
    """Return the schema with its local references put in place.

    Many providers ignore or refuse `$ref`. Recursive definitions cannot be put in place; they
    stay, with their `$defs`. Remote references are left alone and never fetched.

    Args:
        schema: Any JSON Schema; not changed.
    """
    definitions = cast("Schema", schema.get("$defs") or {})
    inlined = {name for name in definitions if not _reaches(name, name, definitions)}

    def expand(part: object) -> object:
        if isinstance(part, list):
            return [expand(item) for item in cast("list[object]", part)]
        if not isinstance(part, Mapping):
            return part
        node = cast("Mapping[str, object]", part)
        name = _local_name(node.get("$ref"))
        if name in inlined:
            # What stands beside a reference (a description) is more specific than its target.
            beside = {key: value for key, value in node.items() if key != "$ref"}
            return expand({**definitions[name], **beside})
        return {key: expand(value) for key, value in node.items() if key != "$defs"}

    view = cast("Schema", expand(schema))
    root = _local_name(view.get("$ref"))
    if root in definitions:
        # A recursive model is only a reference at the top, where providers want an object.
        beside = {key: value for key, value in view.items() if key != "$ref"}
        view = {**cast("Schema", expand(definitions[root])), **beside}
    kept = {name: expand(definitions[name]) for name in definitions if name not in inlined}
    return {**view, "$defs": kept} if kept else view


def _is_strict(part: object) -> bool:
    if isinstance(part, list):
        return all(_is_strict(item) for item in cast("list[object]", part))
    if not isinstance(part, Mapping):
        return True
    node = cast("Schema", part)
    if not set(node) <= _STRICT_KEYWORDS or ("$ref" in node and len(node) > 1):
        return False
    if not node:  # the empty schema allows anything, strict rules want a type
        return False
    if node.get("type") == "object" or "properties" in node:
        properties = cast("Schema", node.get("properties") or {})
        if set(properties) != set(node.get("required") or ()):
            return False
        if node.get("additionalProperties", False) is not False:
            return False
    return all(_is_strict(child) for child in _children(node))


def _children(node: Schema) -> list[object]:
    children: list[object] = []
    for key in ("properties", "$defs"):
        children.extend(cast("Schema", node.get(key) or {}).values())
    children.extend(node[key] for key in ("items", "anyOf") if key in node)
    return children


def _map_objects(part: object, change: Callable[[Schema], Schema]) -> object:
    """Copy a strict schema, with `change` applied to every object schema in it."""
    if isinstance(part, list):
        return [_map_objects(item, change) for item in cast("list[object]", part)]
    if not isinstance(part, Mapping):
        return part
    node = dict(cast("Schema", part))
    for key in ("properties", "$defs"):
        if key in node:
            named = cast("Schema", node[key])
            node[key] = {name: _map_objects(child, change) for name, child in named.items()}
    for key in ("items", "anyOf"):
        if key in node:
            node[key] = _map_objects(node[key], change)
    return change(node) if node.get("type") == "object" else node


def _reaches(start: str, goal: str, definitions: Schema, seen: set[str] | None = None) -> bool:
    """Whether a definition refers, directly or through others, to the goal."""
    seen = set() if seen is None else seen
    for name in _references(definitions.get(start)):
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            if _reaches(name, goal, definitions, seen):
                return True
    return False


def _references(part: object) -> set[str]:
    if isinstance(part, list):
        return set[str]().union(*(_references(item) for item in cast("list[object]", part)))
    if not isinstance(part, Mapping):
        return set()
    node = cast("Mapping[str, object]", part)
    found = set[str]().union(*(_references(value) for value in node.values()))
    name = _local_name(node.get("$ref"))
    return found | {name} if name else found


def _local_name(reference: object) -> str:
    prefix = "#/$defs/"
    if isinstance(reference, str) and reference.startswith(prefix):
        return reference.removeprefix(prefix).replace("~1", "/").replace("~0", "~")
    return ""


def _schema_name(model: type[BaseModel]) -> str:
    title = model.model_config.get("title") or model.__name__
    name = _NOT_IN_A_NAME.sub("_", title).strip("_")[:_MAX_NAME_CHARS]
    return name or "response"


def _name_of(value: Any) -> str:
    name: object = getattr(value, "__name__", None)
    return name if isinstance(name, str) else f"a {type(value).__name__}"
