"""The words of JSON Schema: which keywords hold schemas, which are noise, what their values are.

Knows nothing of views. `modernised` brings the words of older drafts into those of 2020-12.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

DEFINITIONS: Final = frozenset({"$defs", "definitions"})
"""Keywords that only hold what references name."""

SCHEMA_MAPS: Final = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
)
"""Keywords whose value maps names to schemas."""

SCHEMA_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
"""Keywords whose value is a list of schemas."""

SCHEMA_VALUES: Final = frozenset(
    {
        *("items", "additionalProperties", "contains", "not", "if", "then", "else"),
        *("propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema"),
    }
)
"""Keywords whose value is one schema."""

NOISE: Final = frozenset(
    {
        *("$schema", "$id", "$comment", "$anchor", "$dynamicAnchor", "$recursiveAnchor"),
        *("$vocabulary", "title", "examples", "example", "discriminator"),
    }
)
"""Keywords that say nothing of the values, or point at what a view has put in place."""

ANNOTATIONS: Final = frozenset({"description", "default", "deprecated", "readOnly", "writeOnly"})
"""Keywords that explain and forbid nothing."""

LINKED: Final = frozenset(
    {
        *("properties", "patternProperties", "additionalProperties", "unevaluatedProperties"),
        *("items", "prefixItems", "contains", "minContains", "maxContains", "unevaluatedItems"),
        *("if", "then", "else", "anyOf", "oneOf", "allOf"),
    }
)
"""Keywords whose meaning depends on others beside them."""

TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")


class TooLargeError(Exception):
    """The schema is deeper or larger than anything a model could use."""


class NotJsonError(Exception):
    """A value that JSON cannot hold."""


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema names; empty if it names none."""
    kind: Any = schema.get("type")
    named = cast("list[object]", kind if isinstance(kind, list) else [kind])
    return [name for name in named if isinstance(name, str)]


def modernised(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema in the words of 2020-12, what is not JSON left out.

    Args:
        schema: One schema; those inside of it stay as they are. It is not changed.
    """
    if not any(_is_old(keyword, value) for keyword, value in schema.items()):
        return schema
    new = {keyword: value for keyword, value in schema.items() if isinstance(keyword, str)}  # pyright: ignore[reportUnnecessaryIsInstance]  # foreign data
    for old in ("$dynamicRef", "$recursiveRef"):
        if old in new:
            reference = new.pop(old)
            new.setdefault("$ref", reference)
    if not isinstance(new.get("$ref", ""), str):
        del new["$ref"]
    _replace_item_lists(new)
    for strict, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(new.get(strict), bool) and new.pop(strict) and plain in new:
            new[strict] = new.pop(plain)
    linked: object = new.pop("dependencies", None)
    if isinstance(linked, Mapping):
        named = cast("Mapping[str, Any]", linked)
        lists = {name for name in named if isinstance(named[name], list)}
        new.setdefault("dependentRequired", {name: named[name] for name in lists})
        new.setdefault("dependentSchemas", {name: named[name] for name in named.keys() - lists})
    if "type" in new:
        _repair_types(new)
    return new


def _is_old(keyword: object, value: object) -> bool:
    if keyword == "type":
        return not isinstance(value, str) or value not in TYPES
    if keyword == "items":
        return isinstance(value, (list, bool))
    if keyword in {"exclusiveMinimum", "exclusiveMaximum"}:
        return isinstance(value, bool)
    if keyword == "$ref":
        return not isinstance(value, str)
    return keyword in {"$dynamicRef", "$recursiveRef", "dependencies"} or not isinstance(
        keyword, str
    )


def _replace_item_lists(schema: dict[str, Any]) -> None:
    items: Any = schema.get("items")
    if isinstance(items, list):
        places = cast("list[Any]", schema.pop("items"))
        schema["prefixItems"] = places
        if "additionalItems" in schema:
            schema["items"] = schema.pop("additionalItems")
        if not places:
            del schema["prefixItems"]
    if schema.get("items") is False:
        # Nothing after the places that have a schema; many providers only know the count.
        places = cast("Any", schema.get("prefixItems") or [])
        most: Any = schema.get("maxItems")
        count = len(cast("list[Any]", places)) if isinstance(places, list) else 0
        schema["maxItems"] = min(most, count) if _is_count(most) else count
        del schema["items"]
    elif schema.get("items") is True:
        schema["items"] = {}


def _repair_types(schema: dict[str, Any]) -> None:
    given: Any = schema.pop("type")
    named: list[Any] = [given] if isinstance(given, str) else given
    if not isinstance(named, list):  # pyright: ignore[reportUnnecessaryIsInstance]  # foreign data
        return
    known = [kind for kind in TYPES if kind in named]
    if known:
        kept = [kind for kind in dict.fromkeys(filter(_is_text, named)) if kind in known]
        schema["type"] = kept[0] if len(kept) == 1 and isinstance(given, str) else kept


def is_well_formed(keyword: str, value: object) -> bool:
    """Whether a keyword's value is of the type that JSON Schema wants there."""
    check = _CHECKS.get(keyword)
    return check is None or check(value)


def json_copy(value: object, count: Callable[[int], None], depth: int) -> Any:
    """Copy JSON data.

    Args:
        value: The data.
        count: Told of each node with its depth; raises where it is too much.
        depth: Depth of the value.

    Raises:
        NotJsonError: JSON cannot hold the value.
    """
    count(depth)
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        if not all(isinstance(key, str) for key in table):
            raise NotJsonError
        return {key: json_copy(child, count, depth + 1) for key, child in table.items()}
    if isinstance(value, (list, tuple)):
        return [json_copy(child, count, depth + 1) for child in cast("list[object]", value)]
    if value is None or isinstance(value, (str, bool, int)) or _is_number(value):
        return value
    raise NotJsonError


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value)


def _is_positive(value: object) -> bool:
    return _is_number(value) and cast("float", value) > 0


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_schema(value: object) -> bool:
    return isinstance(value, (Mapping, bool))


def _is_schema_list(value: object) -> bool:
    return isinstance(value, list) and bool(cast("list[object]", value))


def _is_schema_map(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(name, str) for name in cast("Mapping[object, object]", value))


def _is_names(value: object) -> bool:
    if not isinstance(value, list):
        return False
    names = cast("list[object]", value)
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _is_name_map(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(_is_names(names) for names in cast("Mapping[object, object]", value).values())


_CHECKS: Final[Mapping[str, Callable[[object], bool]]] = {
    **dict.fromkeys(SCHEMA_MAPS, _is_schema_map),
    **dict.fromkeys(SCHEMA_LISTS, _is_schema_list),
    **dict.fromkeys(SCHEMA_VALUES, _is_schema),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _is_count),
    **dict.fromkeys(("uniqueItems", "deprecated"), lambda value: isinstance(value, bool)),
    **dict.fromkeys(("readOnly", "writeOnly"), lambda value: isinstance(value, bool)),
    **dict.fromkeys(("description", "pattern", "format"), _is_text),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), _is_text),
    "multipleOf": _is_positive,
    "enum": lambda value: isinstance(value, list),
    "required": _is_names,
    "dependentRequired": _is_name_map,
}
