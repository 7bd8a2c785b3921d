"""A JSON Schema as a provider should see it: plain, self-contained, an object at its root.

One bad schema makes a provider refuse the whole request, so what confuses providers is taken out
(`$schema`, titles, references, keywords of a wrong type) and what they miss is put in
(`properties`, `required`, `items`). Which values are valid stays as it was. Schemas may come from
strangers: depth and size are bounded.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import unquote

from mbxai.tools.schema._schema_words import (
    ANNOTATIONS,
    DEFINITIONS,
    LINKED,
    NOISE,
    SCHEMA_LISTS,
    SCHEMA_MAPS,
    SCHEMA_VALUES,
    NotJsonError,
    TooLargeError,
    is_well_formed,
    json_copy,
    modernised,
    types_of,
)

_MAX_DEPTH: Final = 100
_MAX_NODES: Final = 20_000
_MAX_REFERENCES: Final = 300
_ELSEWHERE: Final = "Any value; it is described elsewhere."
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_.-]+")


def provider_view(schema: Mapping[str, Any], *, root: bool = True) -> dict[str, Any]:
    """Return a copy of a schema that providers accept.

    Args:
        schema: Any JSON Schema; it is not changed.
        root: Whether it describes a tool's arguments, which must be an object.

    Returns:
        The schema without noise. Local references are replaced by what they name, except in
        recursive ones, which stay as `#/$defs/...`; references to elsewhere accept anything.
    """
    view = _bounded_view(schema)
    if root:
        view["type"] = "object"
        view.setdefault("properties", {})
        view.setdefault("required", [])
    return view


def _bounded_view(schema: Mapping[str, Any]) -> dict[str, Any]:
    # What grows too large when its references are put in place may be small as it was written.
    for inlines in (True, False):
        try:
            return _View(schema, inlines=inlines).build()
        except TooLargeError:
            continue
    return {"description": "The schema is too large to be shown."}


class _View:
    """One pass over one schema."""

    def __init__(self, schema: Mapping[str, Any], *, inlines: bool) -> None:
        self._root = schema
        self._inlines = inlines
        self._nodes = 0
        self._kept: dict[str, str] = {}
        self._anchors: dict[str, object] | None = None

    def build(self) -> dict[str, Any]:
        self._find_kept()
        root: Mapping[str, Any] = self._root
        while (reference := _reference(root)) in self._kept:
            # The root of a recursive model is a reference; a provider wants to see an object.
            target = cast("Any", self.resolve(reference) or {})
            root = _merged(target, _without_reference(root))
        view = cast("dict[str, Any]", self._clean(root, 0))
        if self._kept:
            view["$defs"] = {
                name: self._clean(self.resolve(reference), 1)
                for reference, name in self._kept.items()
            }
        return view

    def _find_kept(self) -> None:
        """Note the references that lead back to themselves; only these stay references."""
        graph: dict[str, set[str]] = {}
        waiting = sorted(self._references(self._root))
        while waiting:
            reference = waiting.pop()
            if reference in graph:
                continue
            graph[reference] = self._references(self.resolve(reference))
            if len(graph) > _MAX_REFERENCES:
                raise TooLargeError
            waiting.extend(graph[reference] - graph.keys())
        names: set[str] = set()
        for reference in sorted(graph):
            if not self._inlines or _reaches(graph, reference, reference):
                stem = unquote(reference).rsplit("/", 1)[-1].lstrip("#").replace("~1", "/")
                stem = _NOT_IN_A_NAME.sub("_", stem) or "Root"
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
            schema = modernised(cast("Mapping[str, Any]", node))
            if (reference := _reference(schema)).startswith("#"):
                found.add(reference)
            waiting.extend((child, depth + 1) for child in _children(schema))
        return found

    def _count(self, depth: int) -> None:
        self._nodes += 1
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            raise TooLargeError

    def _clean(self, node: object, depth: int) -> object:
        self._count(depth)
        if not isinstance(node, Mapping):
            return {"not": {}} if node is False else {}
        schema = modernised(cast("Mapping[str, Any]", node))
        if "$ref" in schema:
            return self._clean_reference(schema, depth)
        cleaned: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword in NOISE or keyword in DEFINITIONS or not is_well_formed(keyword, value):
                continue
            try:
                cleaned[keyword] = self._clean_keyword(keyword, value, depth)
            except NotJsonError:
                continue
        if "array" in types_of(cleaned) and not {"items", "prefixItems"} & cleaned.keys():
            cleaned["items"] = {}
        return cleaned

    def _clean_reference(self, schema: Mapping[str, Any], depth: int) -> object:
        reference, beside = _reference(schema), _without_reference(schema)
        if reference in self._kept:
            kept = {"$ref": f"#/$defs/{self._kept[reference]}"}
            return {**cast("dict[str, Any]", self._clean(beside, depth + 1)), **kept}
        target = self.resolve(reference)
        if target is None:
            words = [text for text in (beside.get("description"), _ELSEWHERE) if text]
            return self._clean({**beside, "description": " ".join(map(str, words))}, depth + 1)
        if not isinstance(target, Mapping):
            return self._clean(target if target is False else beside, depth + 1)
        return self._clean(_merged(cast("Mapping[str, Any]", target), beside), depth + 1)

    def _clean_keyword(self, keyword: str, value: Any, depth: int) -> object:
        if keyword in SCHEMA_MAPS:
            return {name: self._clean(child, depth + 1) for name, child in value.items()}
        if keyword in SCHEMA_LISTS:
            return [self._clean(child, depth + 1) for child in value]
        if keyword in SCHEMA_VALUES:
            # True and False are how everybody writes these two.
            plain = keyword in {"additionalProperties", "unevaluatedProperties"}
            return value if plain and isinstance(value, bool) else self._clean(value, depth + 1)
        return json_copy(value, self._count, depth)

    def resolve(self, reference: str) -> object:
        """What a local reference names; None where it names nothing in this schema."""
        node = self._named(reference)
        seen = {reference}
        step = node
        while isinstance(step, Mapping) and (reference := _reference(cast("Any", step))):
            if reference in seen:
                return None  # it only leads in a circle
            seen.add(reference)
            step = self._named(reference)
        return node

    def _named(self, reference: str) -> object:
        if not reference.startswith("#"):
            return None
        pointer = unquote(reference[1:])
        if pointer and not pointer.startswith("/"):
            return self._anchored(pointer)
        node: object = self._root
        for step in pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping):
                node = cast("Mapping[str, object]", node).get(key)
            elif isinstance(node, list) and key.isdecimal() and len(key) < 6:
                node = dict(enumerate(cast("list[object]", node))).get(int(key))
            else:
                return None
        return cast("object", node) if isinstance(node, (Mapping, bool)) else None

    def _anchored(self, name: str) -> object:
        if self._anchors is None:
            self._anchors = {}
            waiting: list[tuple[object, int]] = [(self._root, 0)]
            while waiting:
                node, depth = waiting.pop()
                self._count(depth)
                if not isinstance(node, Mapping):
                    continue
                schema = cast("Mapping[str, Any]", node)
                for keyword in ("$anchor", "$dynamicAnchor"):
                    if isinstance(schema.get(keyword), str):
                        self._anchors.setdefault(schema[keyword], schema)
                waiting.extend((child, depth + 1) for child in _children(schema, DEFINITIONS))
        return self._anchors.get(name)


def _children(schema: Mapping[str, Any], also: frozenset[str] = frozenset[str]()) -> list[object]:
    children: list[object] = []
    for keyword, value in schema.items():
        if keyword in DEFINITIONS and keyword not in also:
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


def _reference(schema: Mapping[str, Any]) -> str:
    """The reference of a schema; empty if it is none."""
    reference: object = schema.get("$ref")
    return reference if isinstance(reference, str) else ""


def _without_reference(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "$ref"}


def _merged(target: Mapping[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
    """A schema, and what stood beside the reference to it; both hold."""
    rules = {
        name
        for name in beside
        if name not in ANNOTATIONS and name not in NOISE and name not in DEFINITIONS
    }
    if rules.isdisjoint(target) and not (rules & LINKED and LINKED & target.keys()):
        return {**target, **beside}
    notes = {name: value for name, value in beside.items() if name not in rules}
    return {**notes, "allOf": [target, {name: beside[name] for name in rules}]}
