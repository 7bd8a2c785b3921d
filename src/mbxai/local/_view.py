"""The view of a JSON Schema that a very small model can fill in, and its grammar.

Whatever fits the view also fits the schema's types, bounds, names and required properties, but the
view ends soon: texts, lists and open objects are short, references are put in place to a limited
depth, and keywords that a grammar cannot hold are left out. Pure functions; no I/O.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

# Any in this file: JSON Schema is open JSON.
Schema = dict[str, Any]

MAX_TEXT_CHARS: Final = 100
MAX_ITEM_TEXT_CHARS: Final = 60
MAX_LIST_ITEMS: Final = 3
MAX_NESTED_LIST_ITEMS: Final = 2  # also of lists of objects, each of which takes a second
MAX_OPEN_PROPERTIES: Final = 3
_MAX_INTEGER: Final = 1_000_000_000
_MAX_SELF_REFERENCES: Final = 2
_MAX_KEY_CHARS: Final = 30

# A tiny model that may begin a text with a digit or a bracket often writes nothing else. An
# argument of a tool is copied from the request, and may be a path or a number.
PROSE: Final = r'^\p{L}[^\x00-\x1f\x7f"\\]*$'
ARGUMENT: Final = r'^[\p{L}\p{N}./~_-][^\x00-\x1f\x7f"\\]*$'

_KEPT: Final = frozenset(
    {
        *("type", "enum", "const", "pattern", "format", "minLength", "maxLength"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("items", "prefixItems", "minItems", "maxItems", "minProperties", "maxProperties"),
        *("properties", "required", "additionalProperties", "anyOf", "allOf"),
    }
)
_FIXED_FORMATS: Final = frozenset({"date", "time", "date-time", "duration", "uuid", "ipv4", "ipv6"})
_OPEN_FORMATS: Final = frozenset({"email", "hostname", "uri"})
_TYPE_OF_KEYWORD: Final = {
    "properties": "object",
    "additionalProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "pattern": "string",
    "format": "string",
    "minLength": "string",
    "maxLength": "string",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}


def bounded_schema(schema: Mapping[str, Any], *, text_pattern: str | None = PROSE) -> Schema:
    """Return the short view of a schema.

    Args:
        schema: Any JSON Schema; not changed.
        text_pattern: What texts look like that have no pattern, format or enumeration of their own;
            None for engines that do not understand it.

    Returns:
        A schema without references. Where nothing finite fits the schema, it is returned as it is.
    """
    view = _Bounds(schema, text_pattern).view(schema, (), depth=0)
    return dict(schema) if view is None else view


def grammar_of(schema: Mapping[str, Any]) -> str:
    """Return the llguidance grammar of compact JSON that fits a schema.

    Blanks between the parts are fixed: a small model that may choose them writes little else.

    Args:
        schema: A view made by `bounded_schema`.
    """
    style = {
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
        "lenient": True,
    }
    return "%llguidance {}\nstart: %json " + json.dumps({**schema, "x-guidance": style})


class _Bounds:
    """One walk over one schema. A part that cannot end is None, and its parent does without it."""

    def __init__(self, root: Mapping[str, Any], text_pattern: str | None) -> None:
        self._root = root
        self._text_pattern = text_pattern

    def view(self, part: object, path: tuple[str, ...], *, depth: int) -> Schema | None:
        """Return the view of a part.

        Args:
            part: A schema, or True or False.
            path: References that led here.
            depth: Lists around this part.
        """
        if not isinstance(part, Mapping):
            return None if part is False else self._anything(depth)
        node = dict(cast("Mapping[str, Any]", part))
        reference: object = node.pop("$ref", None)
        if isinstance(reference, str):
            if path.count(reference) >= _MAX_SELF_REFERENCES:
                return None
            target = self._resolved(reference)
            return self.view({**target, **node}, (*path, reference), depth=depth)
        if "oneOf" in node:
            node["anyOf"] = node.pop("oneOf")
        node = {key: value for key, value in node.items() if key in _KEPT}
        for fixed in ("const", "enum"):
            if fixed in node:
                return {fixed: node[fixed]}
        for key in ("anyOf", "allOf"):
            if key in node:
                return self._combined(key, node, path, depth)
        return self._typed(node, path, depth)

    def _combined(self, key: str, node: Schema, path: tuple[str, ...], depth: int) -> Schema | None:
        beside = {name: value for name, value in node.items() if name != key}
        views = [self.view(part, path, depth=depth) for part in cast("list[object]", node[key])]
        finite = [view for view in views if view is not None]
        if not finite or (key == "allOf" and len(finite) < len(views)):
            return None
        if not beside or (set(beside) == {"type"} and key == "anyOf"):
            return finite[0] if len(finite) == 1 else {key: finite}
        own = self.view(beside, path, depth=depth)
        if own is None:
            return None
        return {"allOf": [own, *finite]} if key == "allOf" else {"allOf": [own, {key: finite}]}

    def _typed(self, node: Schema, path: tuple[str, ...], depth: int) -> Schema | None:
        given: object = node.get("type")
        if given is None:
            given = next((kind for key, kind in _TYPE_OF_KEYWORD.items() if key in node), None)
            if given is None:
                return self._anything(depth)
        if isinstance(given, list):
            kinds = cast("list[str]", given)
            branches = (self._typed({**node, "type": kind}, path, depth) for kind in kinds)
            finite = [view for view in branches if view is not None]
            return {"anyOf": finite} if finite else None
        if given == "string":
            return self._text(node, depth)
        if given == "array":
            return self._list(node, path, depth)
        if given == "object":
            return self._object(node, path, depth)
        return _number(node, str(given))

    def _text(self, node: Schema, depth: int) -> Schema:
        least = int(node.get("minLength", 0))
        room = MAX_TEXT_CHARS if depth == 0 else MAX_ITEM_TEXT_CHARS
        most = max(least, min(int(node.get("maxLength", room)), room))
        lengths: Schema = {"maxLength": most, **({"minLength": least} if least else {})}
        pattern: object = node.get("pattern")
        if isinstance(pattern, str) and _is_regular(pattern):
            return {"type": "string", "pattern": pattern, **lengths}
        form: object = node.get("format")
        if form in _FIXED_FORMATS:
            return {"type": "string", "format": form}
        if form in _OPEN_FORMATS:
            return {"type": "string", "format": form, **lengths}
        # A pattern together with a least length makes automata that engines give up on.
        if most == 0 or least > 1 or self._text_pattern is None:
            return {"type": "string", **lengths}
        return {"type": "string", "pattern": self._text_pattern, **lengths}

    def _list(self, node: Schema, path: tuple[str, ...], depth: int) -> Schema | None:
        least = int(node.get("minItems", 0))
        if "prefixItems" in node:
            places = cast("list[object]", node["prefixItems"])
            views = [self.view(place, path, depth=depth + 1) for place in places]
            if None in views:
                return None
            # Exactly the named places: what may come after them is optional.
            count = max(len(views), least)
            return {"type": "array", "prefixItems": views, "minItems": count, "maxItems": count}
        item = self.view(node.get("items", True), path, depth=depth + 1)
        if item is None:
            return None if least else {"type": "array", "items": {"type": "null"}, "maxItems": 0}
        is_long = depth > 0 or "properties" in item
        room = MAX_NESTED_LIST_ITEMS if is_long else MAX_LIST_ITEMS
        most = max(least, min(int(node.get("maxItems", room)), room))
        bounds: Schema = {"maxItems": most, **({"minItems": least} if least else {})}
        return {"type": "array", "items": item, **bounds}

    def _object(self, node: Schema, path: tuple[str, ...], depth: int) -> Schema | None:
        named = dict(cast("Schema", node.get("properties") or {}))
        required = list(cast("list[str]", node.get("required") or ()))
        named.update({name: True for name in required if name not in named})
        views: Schema = {}
        for name, part in named.items():
            view = self.view(part, path, depth=depth)
            if view is not None:
                views[name] = view
            elif name in required:
                return None
        further: object = node.get("additionalProperties", not named)
        if further is False or (further is True and named):
            return {
                "type": "object",
                "properties": _decisions_first(views),
                "required": required,
                "additionalProperties": False,
            }
        return self._open_object(node, views, required, self.view(further, path, depth=depth + 1))

    def _open_object(
        self, node: Schema, views: Schema, required: list[str], value: Schema | None
    ) -> Schema | None:
        least = int(node.get("minProperties", 0))
        room = max(least, len(views) + MAX_OPEN_PROPERTIES)
        view: Schema = {"type": "object", "properties": views, "required": required}
        if value is None:
            return {**view, "additionalProperties": False} if least <= len(views) else None
        view["additionalProperties"] = value
        view["maxProperties"] = min(int(node.get("maxProperties", room)), room)
        if least:
            view["minProperties"] = least
        return view

    def _anything(self, depth: int) -> Schema:
        return {"anyOf": [self._text({}, depth), _number({}, "integer"), {"type": "boolean"}]}

    def _resolved(self, reference: str) -> Schema:
        target: object = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            target = cast("Schema", target).get(name) if isinstance(target, Mapping) else None
        return dict(cast("Schema", target)) if isinstance(target, Mapping) else {}


def _number(node: Schema, kind: str) -> Schema:
    bounds = {
        key: node[key]
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
        if key in node
    }
    if kind != "integer":
        return {"type": kind, **bounds}
    # Digits without end are the favourite of a small model.
    low = bounds.get("minimum", bounds.get("exclusiveMinimum"))
    high = bounds.get("maximum", bounds.get("exclusiveMaximum"))
    if low is None:
        bounds["minimum"] = (0 if high is None else min(0, int(high))) - _MAX_INTEGER
    if high is None:
        bounds["maximum"] = (0 if low is None else max(0, int(low))) + _MAX_INTEGER
    return {"type": "integer", **bounds}


def _decisions_first(properties: Schema) -> Schema:
    """Put yes/no properties first: later, a small model says no to whatever it wrote before."""
    is_decision = {name: view == {"type": "boolean"} for name, view in properties.items()}
    return {name: properties[name] for name in sorted(properties, key=lambda n: not is_decision[n])}


def _is_regular(pattern: str) -> bool:
    """Whether a grammar can hold the pattern: no look-around and no back-references."""
    if any(f"(?{sign}" in pattern for sign in ("=", "!", "<", "P=", ">")):
        return False
    return not any(f"\\{digit}" in pattern for digit in "123456789")
