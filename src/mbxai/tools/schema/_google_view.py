"""A JSON Schema as Google's models take it: few keywords, no references, one type a schema.

Gemini refuses the whole request for an array without items, a reference, an enumeration of
numbers or a format it does not know. What it cannot be told by keyword it is told in words.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from mbxai.tools.schema._provider_view import provider_view
from mbxai.tools.schema._restore import written
from mbxai.tools.schema._schema_words import types_of

_MAX_DEPTH: Final = 32
_MAX_NODES: Final = 3_000
_MAX_SAID_CHARS: Final = 300
_MAX_SELF_REFERENCES: Final = 2
_FORMATS: Final = frozenset({"date-time", "enum", "int32", "int64", "float", "double"})
_CUT: Final = "(It goes on in the same way; the rest is not shown.)"

_KEYWORDS_OF_TYPE: Final = {
    "string": frozenset({"enum", "format", "pattern", "minLength", "maxLength"}),
    "integer": frozenset({"format", "minimum", "maximum"}),
    "number": frozenset({"format", "minimum", "maximum"}),
    "boolean": frozenset[str](),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required", "minProperties", "maxProperties"}),
}
_TYPE_OF_KEYWORD: Final = {
    **dict.fromkeys(("properties", "required", "additionalProperties"), "object"),
    **dict.fromkeys(("items", "minItems", "maxItems", "prefixItems", "uniqueItems"), "array"),
    **dict.fromkeys(("pattern", "format", "minLength", "maxLength"), "string"),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), "number"),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), "number"),
}
_NOT_AT_ROOT: Final = ("anyOf", "oneOf", "enum", "const")
_ANY_TYPES: Final = ("string", "number", "boolean", "object", "array")


def google_view(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema of a tool's arguments that Google's models take.

    Args:
        schema: Any JSON Schema; it is not changed.

    Returns:
        The schema without references; recursion ends after two rounds. Values of enumerations are
        text, null is `nullable`, and what has no keyword stands in the descriptions.
    """
    general = provider_view(schema)
    view = _GoogleView(general.get("$defs", {})).root(general)
    return {**view, "properties": view.get("properties", {}), "required": view.get("required", [])}


class _GoogleView:
    """One walk over one general view."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._nodes = 0

    def root(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the view of the whole, which must be an object whatever else it says.

        Args:
            schema: A general view.
        """
        node, path = self._plain(schema, ())
        if path is None:
            return _cut(node)
        beside = {name: value for name, value in node.items() if name not in _NOT_AT_ROOT}
        view = self._of_type("object", beside, path, 0)
        for keyword in _NOT_AT_ROOT:
            if keyword in node:
                _explain(view, f"({keyword}: {_said(node[keyword])})")
        return view

    def part(self, schema: Mapping[str, Any], path: tuple[str, ...], depth: int) -> dict[str, Any]:
        """Return the view of one part.

        Args:
            schema: The part, a general view.
            path: Names of the definitions that led here.
            depth: Levels above it.
        """
        self._nodes += 1
        node, inner = self._plain(schema, path)
        if inner is None or depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            return _cut(node)
        path = inner
        if "const" in node:
            node.setdefault("enum", [node.pop("const")])
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                members = node.pop(keyword)
                return self._alternatives(members, node, path, depth)
        if "enum" in node:
            return _enumeration(node)
        return self._typed(node, path, depth)

    def _plain(
        self, schema: Mapping[str, Any], path: tuple[str, ...]
    ) -> tuple[dict[str, Any], tuple[str, ...] | None]:
        """A part without reference and `allOf`, and the path to it; None where it is cut."""
        node = {name: value for name, value in schema.items() if name != "$defs"}
        while "$ref" in node or "allOf" in node:
            if "$ref" not in node:
                node = _joined(node)
                continue
            name = node.pop("$ref").rsplit("/", 1)[-1]
            if path.count(name) >= _MAX_SELF_REFERENCES:
                return node, None
            path = (*path, name)
            node = _both(self._definitions.get(name, {}), node)
        return node, path

    def _alternatives(
        self,
        members: list[dict[str, Any]],
        beside: dict[str, Any],
        path: tuple[str, ...],
        depth: int,
    ) -> dict[str, Any]:
        """Beside `anyOf` nothing else may stand, so each alternative bears it all."""
        others = [member for member in members if types_of(member) != ["null"]]
        nullable = {"nullable": True} if len(others) < len(members) else {}
        if not others:
            return _null(beside)
        if "type" in beside:
            others = [{"type": beside["type"], **member} for member in others]
            del beside["type"]
        views: list[dict[str, Any]] = []
        for member in others:
            view = self.part(_both(beside, member), path, depth + 1)
            views.extend({**part, **nullable} for part in view.get("anyOf", [view]))
        views = _distinct(views)
        return views[0] if len(views) == 1 else {"anyOf": views}

    def _typed(self, node: dict[str, Any], path: tuple[str, ...], depth: int) -> dict[str, Any]:
        given = types_of(node)
        kinds = [kind for kind in given if kind != "null"]
        if given and not kinds:
            return _null(node)
        if not kinds:
            guess = next((kind for word, kind in _TYPE_OF_KEYWORD.items() if word in node), None)
            kinds = [guess] if guess else list(_ANY_TYPES)
        views = [self._of_type(kind, node, path, depth) for kind in kinds]
        if "null" in given:
            for view in views:
                view["nullable"] = True
        return views[0] if len(views) == 1 else {"anyOf": views}

    def _of_type(
        self, kind: str, node: dict[str, Any], path: tuple[str, ...], depth: int
    ) -> dict[str, Any]:
        if kind == "array":
            node = _with_items(node)
        known, words = _KEYWORDS_OF_TYPE[kind], list[str]()
        view: dict[str, Any] = {"type": kind}
        if "description" in node:
            view["description"] = node["description"]
        others = _keywords_of_others(kind)
        for keyword, value in node.items():
            if keyword == "properties" and keyword in known:
                view[keyword] = {
                    name: self.part(part, path, depth + 1) for name, part in value.items()
                }
            elif keyword == "items" and keyword in known:
                view[keyword] = self.part(value, path, depth + 1)
            elif keyword in known and (keyword != "format" or value in _FORMATS):
                view[keyword] = value
            elif keyword not in {"type", "description", *others}:
                words.append(f"{keyword}: {_said(value)}")
        if "required" in view:
            named = view.get("properties", {})
            view["required"] = [name for name in view["required"] if name in named]
        if words:
            _explain(view, f"({'; '.join(words)})")
        return view


def _keywords_of_others(kind: str) -> set[str]:
    """Keywords that say nothing of values of this type."""
    same = {kind, "number" if kind == "integer" else kind}
    return {word for word, owner in _TYPE_OF_KEYWORD.items() if owner not in same} - {"format"}


def _joined(node: dict[str, Any]) -> dict[str, Any]:
    """The schemas of `allOf` as one; there is no word for them here."""
    parts = node.pop("allOf")
    for part in parts:
        node = _both(node, part)
    return node


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """One schema that says what two say, the second more exactly where they differ."""
    merged = {**first, **second}
    if "properties" in first and "properties" in second:
        merged["properties"] = {**first["properties"], **second["properties"]}
    for keyword in ("required", "allOf"):
        if keyword in first and keyword in second:
            new = [entry for entry in second[keyword] if entry not in first[keyword]]
            merged[keyword] = [*first[keyword], *new]
    if "description" in first and "description" in second:
        texts = dict.fromkeys((first["description"], second["description"]))
        merged["description"] = " ".join(texts)
    return merged


def _enumeration(node: dict[str, Any]) -> dict[str, Any]:
    """An enumeration; its values must be text, and come back as what they were."""
    values: list[Any] = [value for value in node["enum"] if value is not None]
    if not values:
        return _null(node)
    texts = [value if isinstance(value, str) and value else written(value) for value in values]
    view: dict[str, Any] = {"type": "string", "enum": list(dict.fromkeys(texts))}
    if "description" in node:
        view["description"] = node["description"]
    if "default" in node:
        _explain(view, f"(default: {_said(node['default'])})")
    if len(values) < len(node["enum"]):
        view["nullable"] = True
    return view


def _with_items(node: dict[str, Any]) -> dict[str, Any]:
    items: Any = node.get("items") or {"type": "string"}
    places: list[Any] = node.get("prefixItems", [])
    if places:
        rest = [node["items"]] if node.get("items") else []
        kinds = _distinct([*places, *rest])
        items = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return {**node, "items": items}


def _null(node: Mapping[str, Any]) -> dict[str, Any]:
    """Only null fits; there is no such type here."""
    view: dict[str, Any] = {"type": "string", "nullable": True}
    if "description" in node:
        view["description"] = node["description"]
    _explain(view, "(always null)")
    return view


def _cut(node: Mapping[str, Any]) -> dict[str, Any]:
    view: dict[str, Any] = {"type": "object"}
    if "description" in node:
        view["description"] = node["description"]
    _explain(view, _CUT)
    return view


def _distinct(schemas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(schema, sort_keys=True): schema for schema in schemas}.values())


def _said(value: object) -> str:
    if value == "" or not isinstance(value, str):
        value = written(value)
    return value if len(value) <= _MAX_SAID_CHARS else f"{value[:_MAX_SAID_CHARS]}..."


def _explain(schema: dict[str, Any], note: str) -> None:
    schema["description"] = f"{schema.get('description', '')} {note}".strip()
