"""One flat schema from references, `allOf` and neighbours."""

from collections.abc import Callable
from typing import Final

from mbxai.testing._json_views import Json, as_list, as_number, as_object

_HIGHER: Final = frozenset(
    {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
)
_LOWER: Final = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
_BOTH: Final = frozenset({"items", "additionalProperties", "propertyNames", "contains", "not"})


def merged(
    schema: object, stack: frozenset[str], resolve: Callable[[str], object]
) -> tuple[Json | None, frozenset[str]]:
    """Return the schema without `$ref` and `allOf` at its top.

    Args:
        schema: What to flatten.
        stack: References that are being followed already.
        resolve: Finds the schema that a reference names.

    Returns:
        The flat schema, None if nothing can fit it or a reference goes in a circle; and the stack
        with the references that were followed.
    """
    if isinstance(schema, bool):
        return ({} if schema else None), stack
    parts: list[object] = []
    flat = dict(as_object(schema))
    reference = flat.pop("$ref", None)
    if isinstance(reference, str):
        if reference in stack:
            return None, stack
        stack |= {reference}
        parts.append(resolve(reference))
    parts += as_list(flat.pop("allOf", None))
    for part in parts:
        other, stack = merged(part, stack, resolve)
        if other is None:
            return None, stack
        flat = _both(other, flat)
    return flat, stack


def _both(left: Json, right: Json) -> Json:
    """A schema that only fits what fits both; of two annotations the right one stays."""
    result = dict(left)
    for word, value in right.items():
        result[word] = _joined(word, result[word], value) if word in result else value
    return result


def _joined(word: str, left: object, right: object) -> object:
    # one return a keyword family; a table of functions would hide that
    if word == "properties":
        return _joined_properties(as_object(left), as_object(right))
    if word == "required":
        return list(dict.fromkeys([*as_list(left), *as_list(right)]))
    if word in _HIGHER | _LOWER:
        pair = [number for one in (left, right) if (number := as_number(one)) is not None]
        return (max(pair) if word in _HIGHER else min(pair)) if pair else right
    if word == "type":
        return _joined_types(left, right)
    if word == "enum":
        return [one for one in as_list(left) if one in as_list(right)]
    if word == "not":
        return {"anyOf": [left, right]}
    if word in _BOTH:
        return {"allOf": [left, right]}
    if word in {"anyOf", "oneOf"}:
        return [{"allOf": [one, two]} for one in as_list(left) for two in as_list(right)]
    return right


def _joined_properties(left: Json, right: Json) -> Json:
    result = dict(left)
    for name, schema in right.items():
        result[name] = {"allOf": [result[name], schema]} if name in result else schema
    return result


def _joined_types(left: object, right: object) -> object:
    first = [left] if isinstance(left, str) else as_list(left)
    second = [right] if isinstance(right, str) else as_list(right)
    common = [kind for kind in first if kind in second]
    if "integer" in second and "number" in first:
        common.append("integer")
    if "integer" in first and "number" in second:
        common.append("integer")
    return list(dict.fromkeys(common))
