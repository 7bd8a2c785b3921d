"""Arguments that fit a view of a schema, brought back to the schema itself.

Views bend a schema to what a provider takes: an optional property takes null, a number of an
enumeration is written as text. Models also write 3.0 where 3 is wanted. Pure functions.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from mbxai.tools.runner._arguments import SchemaChecker
from mbxai.tools.schema._schema_words import types_of

_MAX_DEPTH: Final = 100
_MAX_HOPS: Final = 20
_MAX_STEPS: Final = 50_000
_UNIONS: Final = ("anyOf", "oneOf", "allOf")


def restored(values: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as the schema means them.

    Null for a property that is optional but not nullable means "not given" and is left out. Text
    that writes out a value of an enumeration becomes that value, and a whole number written with
    a fraction (3.0) an integer. All else stays as it is, also what does not fit.

    Args:
        values: Arguments as the model gave them; not changed.
        schema: What the arguments should fit: a provider view, or any other schema.
    """
    return cast("dict[str, Any]", _Restorer(schema).value(values, schema, 0))


class RestoringChecker(SchemaChecker):
    """Checks arguments against a given schema, in the form that its views have brought out."""

    def fitted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check one call's arguments, brought back to the schema itself.

        Returns:
            The arguments themselves, or new ones; see `restored`.

        Raises:
            ToolArgumentError: The arguments break a rule of the schema.
        """
        mended = restored(arguments, self._schema)
        return super().fitted(arguments if mended == arguments else mended)


class _Restorer:
    """One walk over one value."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._steps = 0

    def value(self, value: Any, schema: object, depth: int) -> Any:
        """Return a part of the arguments as its part of the schema means it."""
        node = self._target(schema)
        if depth > _MAX_DEPTH or not node:
            return value
        for keyword in _UNIONS:
            for member in _list(node.get(keyword)):
                if keyword == "allOf" or self._may_fit(value, member):
                    value = self.value(value, member, depth + 1)
                    if keyword != "allOf":
                        break
        if isinstance(value, dict):
            return self._object(cast("dict[str, Any]", value), node, depth)
        if isinstance(value, list):
            places, items = _list(node.get("prefixItems")), node.get("items")
            return [
                self.value(item, places[index] if index < len(places) else items, depth + 1)
                for index, item in enumerate(cast("list[Any]", value))
            ]
        return self._scalar(value, node)

    def _object(self, given: dict[str, Any], node: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties, others = _table(node.get("properties")), node.get("additionalProperties")
        required = _list(node.get("required"))
        kept: dict[str, Any] = {}
        for name, item in given.items():
            part = properties.get(name, others)
            is_known = name in properties
            if item is None and is_known and name not in required and not self._takes_null(part, 0):
                continue
            kept[name] = self.value(item, part, depth + 1)
        return kept

    def _scalar(self, value: Any, node: Mapping[str, Any]) -> Any:
        choices = [node["const"]] if "const" in node else _list(node.get("enum"))
        if isinstance(value, str) and value not in choices:
            for choice in choices:
                if value == written(choice):
                    return choice
        kinds = types_of(node)
        if isinstance(value, float) and "integer" in kinds and "number" not in kinds:
            return int(value) if value.is_integer() else value
        return value

    def _may_fit(self, value: Any, schema: object) -> bool:
        """Whether a value is of the kind of this alternative, its tags included."""
        node = self._target(schema)
        kinds = types_of(node)
        if isinstance(value, dict):
            table = cast("dict[str, Any]", value)
            properties = _table(node.get("properties"))
            tags = (name for name in properties if "const" in self._target(properties[name]))
            return "object" in kinds and all(
                self._target(properties[name])["const"] in (table.get(name), None)
                for name in tags
                if name in table
            )
        if isinstance(value, list):
            return "array" in kinds
        if isinstance(value, str):
            return "string" in kinds or self._scalar(value, node) is not value
        if isinstance(value, float):
            return "number" in kinds or "integer" in kinds
        return False

    def _takes_null(self, schema: object, depth: int) -> bool:
        node = self._target(schema)
        if depth > _MAX_HOPS:
            return True
        if "const" in node:
            return node["const"] is None
        if "enum" in node and None not in _list(node["enum"]):
            return False
        kinds = types_of(node)
        if kinds and "null" not in kinds:
            return False
        for keyword in ("anyOf", "oneOf"):
            members = _list(node.get(keyword))
            if members and not any(self._takes_null(member, depth + 1) for member in members):
                return False
        return all(self._takes_null(member, depth + 1) for member in _list(node.get("allOf")))

    def _target(self, schema: object) -> Mapping[str, Any]:
        for _ in range(_MAX_HOPS):
            self._steps += 1
            # A schema that refers to itself in two places would be walked through for ever.
            if not isinstance(schema, Mapping) or self._steps > _MAX_STEPS:
                break
            node = cast("Mapping[str, Any]", schema)
            reference: Any = node.get("$ref")
            if not isinstance(reference, str):
                return node
            schema = self._named(reference)
        return {}

    def _named(self, reference: str) -> object:
        node: object = self._root if reference.startswith("#") else None
        for step in reference.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            node = _table(node).get(key)
        return node


def written(value: object) -> str:
    """Return how a view writes a value that is no text where only text is allowed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _table(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
