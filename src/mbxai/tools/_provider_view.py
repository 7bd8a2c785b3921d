"""A JSON Schema as a provider should see it: plain, self-contained, an object at its root.

One bad schema makes a provider refuse the whole request, so what confuses providers is taken out
(`$schema`, titles, references) and what they miss is put in (`properties`, `required`, `items`).
Which values are valid stays as it was. Schemas may come from strangers: depth and size are bounded.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import unquote

_MAX_DEPTH: Final = 100
_MAX_NODES: Final = 20_000
_MAX_REFERENCES: Final = 300

_NOISE: Final = frozenset({"$schema", "$id", "$comment", "$anchor", "title", "examples"})
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
SCHEMA_MAPS: Final = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
)
"""Keywords whose value maps names to schemas."""
SCHEMA_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
"""Keywords whose value is a list of schemas."""
SCHEMA_VALUES: Final = frozenset(
    {
        "items",
        "additionalProperties",
        "contains",
        "not",
        "if",
        "then",
        "else",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords whose value is one schema."""


def provider_view(schema: Mapping[str, Any], *, root: bool = True) -> dict[str, Any]:
    """Return a copy of a schema that providers accept.

    Args:
        schema: Any JSON Schema; it is not changed.
        root: Whether it describes a tool's arguments, which must be an object.

    Returns:
        The schema without noise. Local references are replaced by what they name, except in
        recursive ones, which stay as `#/$defs/...`; references to elsewhere accept anything.
    """
    view: dict[str, Any]
    try:
        view = _View(schema).build()
    except _TooLargeError:
        view = {"description": "The schema is too large to be shown."}
        if not root:
            return view
    if root:
        view["type"] = "object"
        view.setdefault("properties", {})
        view.setdefault("required", [])
    return view


class _TooLargeError(Exception):
    """The schema is deeper or larger than anything a model could use."""


class _View:
    """One pass over one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._nodes = 0
        self._kept: dict[str, str] = {}

    def build(self) -> dict[str, Any]:
        self._find_recursive()
        root: object = self._root
        if "$ref" in self._root and self._root["$ref"] in self._kept:
            # The root of a recursive model is a reference; a provider wants to see an object.
            target = _resolve(self._root, self._root["$ref"])
            root = {**cast("dict[str, Any]", target), **_without(self._root, "$ref")}
        view = cast("dict[str, Any]", self._clean(root, 0))
        for keyword in _DEFINITIONS:
            view.pop(keyword, None)
        if self._kept:
            view["$defs"] = {
                name: self._clean(_resolve(self._root, reference), 1)
                for reference, name in self._kept.items()
            }
        return view

    def _find_recursive(self) -> None:
        """Note the references that lead back to themselves; only these stay references."""
        graph: dict[str, set[str]] = {}
        waiting = sorted(self._references(self._root))
        while waiting:
            reference = waiting.pop()
            if reference in graph:
                continue
            graph[reference] = self._references(_resolve(self._root, reference))
            if len(graph) > _MAX_REFERENCES:
                raise _TooLargeError
            waiting.extend(graph[reference] - graph.keys())
        names: set[str] = set()
        for reference in sorted(graph):
            if _reaches(graph, reference, reference):
                stem = reference.rsplit("/", 1)[-1].lstrip("#") or "Root"
                name, number = stem, 2
                while name in names:
                    name, number = f"{stem}{number}", number + 1
                names.add(name)
                self._kept[reference] = name

    def _references(self, value: object) -> set[str]:
        """Local references in a schema, those in its definitions left out."""
        found: set[str] = set()
        waiting: list[tuple[object, int]] = [(value, 0)]
        while waiting:
            node, depth = waiting.pop()
            self._count(depth)
            if not isinstance(node, Mapping):
                continue
            schema = cast("Mapping[str, Any]", node)
            reference = schema.get("$ref")
            if isinstance(reference, str) and reference.startswith("#"):
                found.add(reference)
            waiting.extend((child, depth + 1) for child in _children(schema))
        return found

    def _count(self, depth: int) -> None:
        self._nodes += 1
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            raise _TooLargeError

    def _clean(self, node: object, depth: int) -> object:
        self._count(depth)
        if node is True:
            return {}
        if not isinstance(node, Mapping):
            return {"not": {}} if node is False else {}
        schema = cast("Mapping[str, Any]", node)
        if "$ref" in schema:
            return self._clean_reference(schema, depth)
        cleaned = {
            keyword: self._clean_keyword(keyword, value, depth)
            for keyword, value in schema.items()
            if keyword not in _NOISE and keyword not in _DEFINITIONS
        }
        if cleaned.get("type") == "array" and not {"items", "prefixItems"} & cleaned.keys():
            cleaned["items"] = {}
        return cleaned

    def _clean_reference(self, schema: Mapping[str, Any], depth: int) -> object:
        reference, beside = schema["$ref"], _without(schema, "$ref")
        if reference in self._kept:
            kept = {"$ref": f"#/$defs/{self._kept[reference]}"}
            return {**cast("dict[str, Any]", self._clean(beside, depth + 1)), **kept}
        target = _resolve(self._root, reference)
        if not isinstance(target, Mapping):
            return self._clean(beside or target, depth + 1)
        return self._clean({**cast("Mapping[str, Any]", target), **beside}, depth + 1)

    def _clean_keyword(self, keyword: str, value: object, depth: int) -> object:
        if keyword in SCHEMA_MAPS and isinstance(value, Mapping):
            named = cast("Mapping[str, object]", value)
            return {name: self._clean(child, depth + 1) for name, child in named.items()}
        if keyword in SCHEMA_LISTS and isinstance(value, list):
            return [self._clean(child, depth + 1) for child in cast("list[object]", value)]
        if keyword in SCHEMA_VALUES and isinstance(value, Mapping):
            return self._clean(cast("object", value), depth + 1)
        return copy.deepcopy(value)


def _children(schema: Mapping[str, Any]) -> list[object]:
    children: list[object] = []
    for keyword, value in schema.items():
        if keyword in _DEFINITIONS:
            continue
        if keyword in SCHEMA_MAPS and isinstance(value, Mapping):
            children.extend(cast("Mapping[str, object]", value).values())
        elif keyword in SCHEMA_LISTS and isinstance(value, list):
            children.extend(cast("list[object]", value))
        elif keyword in SCHEMA_VALUES:
            children.append(value)
    return children


def _reaches(graph: Mapping[str, set[str]], start: str, goal: str) -> bool:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        reference = waiting.pop()
        if reference == goal:
            return True
        if reference not in seen:
            seen.add(reference)
            waiting.extend(graph.get(reference, ()))
    return False


def _resolve(root: object, reference: object) -> object:
    """What a local reference names; True (anything) where it names nothing in this schema."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return True
    node: object = root
    for step in reference[1:].split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping):
            node = cast("Mapping[str, object]", node).get(key, True)
        elif isinstance(node, list) and key.isdigit() and int(key) < len(cast("list[Any]", node)):
            node = cast("list[object]", node)[int(key)]
        else:
            return True
    return node


def _without(schema: Mapping[str, Any], keyword: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != keyword}
