"""Strict mode of tool schemas: when it says the same, and how a schema is made to fit it.

Under strict rules every object is closed and every property required. Nothing here is sent by
itself: tools use `says_the_same_when_strict`, and callers may use `convert_to_strict_schema`.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from mbxai.tools._provider_view import SCHEMA_LISTS, SCHEMA_MAPS, SCHEMA_VALUES, provider_view

_STRICT_KEYWORDS: Final = frozenset(
    {
        "type",
        "description",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
        "anyOf",
        "$ref",
        "$defs",
    }
)
_MAX_STRICT_DEPTH: Final = 10


def says_the_same_when_strict(schema: Mapping[str, Any]) -> bool:
    """Whether a schema already obeys strict rules, so that `strict: true` changes nothing.

    Args:
        schema: A provider view.
    """
    return "anyOf" not in schema and _is_strict(schema, 0)


def convert_to_strict_schema(
    schema: Mapping[str, Any], strict: bool = True, keep_input_wrapper: bool = False
) -> dict[str, Any]:
    """Return a schema of a tool's arguments in the form that providers take.

    Args:
        schema: JSON Schema of the arguments; it is not changed.
        strict: Close every object and require every property; a property that was optional
            takes null instead, and a default moves into its description. Objects that map free
            names to values stay open, since no strict schema can say that.
        keep_input_wrapper: Keep a lone object property called `input`, which some servers wrap
            around the real arguments. By default the wrapper is taken off; a property `input`
            that is no object, or not alone, always stays.

    Returns:
        A new schema without `$schema`, titles and resolvable references.
    """
    view = provider_view(schema)
    if not keep_input_wrapper:
        view = _unwrapped(view)
    if strict:
        view = cast("dict[str, Any]", _tightened(view))
        view.setdefault("required", [])
    return view


def _is_strict(schema: Mapping[str, Any], depth: int) -> bool:
    if not schema or depth > _MAX_STRICT_DEPTH or not schema.keys() <= _STRICT_KEYWORDS:
        return False
    if not schema.keys() & {"type", "enum", "const", "anyOf", "$ref"}:
        return False
    if "object" in _types(schema) and not _is_closed(schema):
        return False
    if "array" in _types(schema) and not schema.get("items"):
        return False
    children: list[Any] = [
        *schema.get("properties", {}).values(),
        *schema.get("$defs", {}).values(),
        *schema.get("anyOf", []),
    ]
    if "items" in schema:
        children.append(schema["items"])
    return all(isinstance(child, Mapping) and _is_strict(child, depth + 1) for child in children)  # pyright: ignore[reportUnknownArgumentType]  # JSON


def _is_closed(schema: Mapping[str, Any]) -> bool:
    properties = schema.get("properties", {})
    return schema.get("additionalProperties") is False and set(schema.get("required", [])) == set(
        properties
    )


def _types(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _unwrapped(view: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = view["properties"]
    inner = properties.get("input")
    if len(properties) != 1 or not isinstance(inner, dict):
        return view
    wrapped = cast("dict[str, Any]", inner)
    if wrapped.get("type") != "object" or "properties" not in wrapped:
        return view
    kept = {"$defs": view["$defs"]} if "$defs" in view else {}
    return {**wrapped, "required": wrapped.get("required", []), **kept}


def _tightened(node: object) -> object:
    if not isinstance(node, Mapping):
        return node
    schema = dict(cast("Mapping[str, Any]", node))
    if "oneOf" in schema and "anyOf" not in schema:
        schema["anyOf"] = schema.pop("oneOf")
    for keyword, value in schema.items():
        if keyword in SCHEMA_MAPS:
            schema[keyword] = {name: _tightened(child) for name, child in value.items()}
        elif keyword in SCHEMA_LISTS:
            schema[keyword] = [_tightened(child) for child in value]
        elif keyword in SCHEMA_VALUES:
            schema[keyword] = _tightened(value)
    if "properties" in schema and not isinstance(schema.get("additionalProperties"), Mapping):
        _close(schema)
    return schema


def _close(schema: dict[str, Any]) -> None:
    properties: dict[str, Any] = schema["properties"]
    if not properties and schema.get("additionalProperties") is True:
        return
    required = set(schema.get("required", []))
    schema["properties"] = {
        name: child if name in required else _nullable(_without_default(child))
        for name, child in properties.items()
    }
    schema["required"] = list(properties)
    schema["additionalProperties"] = False


def _without_default(schema: dict[str, Any]) -> dict[str, Any]:
    if "default" not in schema:
        return schema
    rest = {keyword: value for keyword, value in schema.items() if keyword != "default"}
    if schema["default"] is not None:
        note = f"Null means the default, {schema['default']!r}."
        rest["description"] = f"{rest.get('description', '')} {note}".strip()
    return rest


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if not schema or "null" in _types(schema):
        return schema
    if "anyOf" in schema:
        members: list[dict[str, Any]] = schema["anyOf"]
        if any("null" in _types(member) for member in members):
            return schema
        return {**schema, "anyOf": [*members, {"type": "null"}]}
    if "type" in schema and "const" not in schema:
        widened = {**schema, "type": [*_types(schema), "null"]}
        if "enum" in widened and None not in widened["enum"]:
            widened["enum"] = [*widened["enum"], None]
        return widened
    description = {"description": schema["description"]} if "description" in schema else {}
    bare = {keyword: value for keyword, value in schema.items() if keyword != "description"}
    return {"anyOf": [bare, {"type": "null"}], **description}
