"""Values that fit a JSON Schema, made by hypothesis; for the keywords that our schemas use."""

import datetime as dt
import ipaddress
import json
from typing import Any

from hypothesis import strategies as st

_TEXT = st.text(max_size=12)
_NAMES = st.text("abcxyz", min_size=1, max_size=4)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | _FLOATS | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=2),
    max_leaves=3,
)
_FORMATS: dict[str, st.SearchStrategy[str]] = {
    "date-time": st.datetimes(timezones=st.just(dt.UTC)).map(dt.datetime.isoformat),
    "date": st.dates().map(dt.date.isoformat),
    "time": st.times().map(dt.time.isoformat),
    "duration": st.sampled_from(["PT5S", "P1DT2H", "P3D", "PT0.5S"]),
    "uuid": st.uuids().map(str),
    "ipv4": st.ip_addresses(v=4).map(ipaddress.IPv4Address.__str__),
    "uri": _NAMES.map(lambda name: f"https://{name}.example/"),
    "path": _NAMES,
    "binary": _TEXT,
    "password": _TEXT,
}


def values_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return what makes values that fit a schema."""
    return _Values(schema).of(schema, 0)


class _Values:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root

    def of(self, schema: Any, depth: int) -> st.SearchStrategy[Any]:
        if schema is True or not schema:
            return _ANY
        if "$ref" in schema:
            target = self._root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
            return st.deferred(lambda: self.of(target, depth + 1))
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if schema.get("allOf"):
            (part,) = schema["allOf"]
            return self.of({**schema, **part, "allOf": []}, depth)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                members = [part for part in schema[keyword] if depth < 4 or not _nests(part)]
                return st.one_of([self.of(part, depth + 1) for part in members])
        kind = schema["type"]
        if isinstance(kind, list):
            return st.one_of([self.of({**schema, "type": name}, depth) for name in kind])
        return getattr(self, f"_{kind}")(schema, depth)

    def _null(self, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        return st.none()

    def _boolean(self, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        return st.booleans()

    def _integer(self, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        least = schema.get("minimum", schema.get("exclusiveMinimum", -1001) + 1)
        step = schema.get("multipleOf", 1)
        whole = st.integers(least, schema.get("maximum", least + 2000))
        numbers = whole.map(lambda number: number - number % step)
        return numbers | numbers.map(float)  # 3.0 is an integer in JSON Schema

    def _number(self, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        if "exclusiveMinimum" in schema:
            return st.floats(schema["exclusiveMinimum"] + 0.01, schema["exclusiveMaximum"] - 0.01)
        return st.floats(schema.get("minimum", -1e9), schema.get("maximum", 1e9)) | st.integers(
            schema.get("minimum", -99), 99
        )

    def _string(self, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        if "pattern" in schema:
            return st.from_regex(schema["pattern"].removesuffix("$") + r"\Z").filter(str.isascii)
        if "format" in schema:
            return _FORMATS[schema["format"]]
        return st.text(min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 12))

    def _array(self, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        if "prefixItems" in schema:
            places = [self.of(part, depth + 1) for part in schema["prefixItems"]]
            counts = st.integers(schema.get("minItems", 0), len(places))
            return counts.flatmap(lambda count: st.tuples(*places[:count]).map(list))
        most = 0 if depth > 4 else schema.get("maxItems", 3)
        unique = json.dumps if schema.get("uniqueItems") else None
        items = self.of(schema["items"], depth + 1) if most else st.nothing()
        if unique:
            # Equal as JSON Schema sees it: 1 and 1.0 are one item.
            items = items.filter(lambda item: not isinstance(item, float))
        return st.lists(items, min_size=schema.get("minItems", 0), max_size=most, unique_by=unique)

    def _object(self, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        named = schema.get("properties", {})
        required = schema.get("required", [])
        fixed = {name: self.of(named[name], depth + 1) for name in required}
        loose = {name: self.of(named[name], depth + 1) for name in named if name not in required}
        known = st.fixed_dictionaries(fixed, optional=loose)
        others = schema.get("additionalProperties", not named)
        if others is False or depth > 4 or (named and "additionalProperties" not in schema):
            return known
        names = self.of(schema.get("propertyNames", {"type": "string"}), depth + 1)
        extra = st.dictionaries(names, self.of(others, depth + 1), max_size=2)
        return st.builds(lambda first, second: {**second, **first}, known, extra)


def _nests(schema: dict[str, Any]) -> bool:
    return "$ref" in schema or schema.get("type") in ("array", "object")
