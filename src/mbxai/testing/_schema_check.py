"""Whether a value fits a JSON Schema: a small checker without dependencies.

Covers what models and tools use of the 2020-12 vocabulary. It serves the sampler, which must know
which of its candidates is right; it is no validator for users.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

from mbxai.testing._json_views import (
    Json,
    as_list,
    as_number,
    as_object,
    as_text,
    is_list,
    is_object,
)

MAX_DEPTH: Final = 64

_FORMATS: Final[Mapping[str, str]] = {
    "date": r"^\d{4}-\d{2}-\d{2}$",
    "date-time": r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$",
    "time": r"^\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?$",
    "duration": r"^-?P(?=.)(\d+[YMWD])*(T(\d+[HMS])+)?$",
    "email": r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
    "uri": r"^[a-zA-Z][a-zA-Z0-9+.-]*:\S+$",
    "uuid": r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "ipv4": r"^\d{1,3}(\.\d{1,3}){3}$",
}


class SchemaCheck:
    """A root schema, its references and the question `fits`."""

    def __init__(self, root: object) -> None:
        """Keep the schema that references point into."""
        self._root = root

    def resolve(self, reference: str) -> object:
        """Return the schema that a `#/...` reference or an anchor names; {} if there is none."""
        if not reference.startswith("#"):
            return {}
        if not reference.startswith("#/"):
            return self._root if reference == "#" else self._anchored(reference[1:])
        node: object = self._root
        for raw in reference[2:].split("/"):
            part = raw.replace("~1", "/").replace("~0", "~")
            if is_list(node):
                node = node[int(part)] if part.isdigit() and int(part) < len(node) else {}
            else:
                node = as_object(node).get(part, {})
        return node

    def _anchored(self, name: str) -> object:
        for container in ("$defs", "definitions"):
            for schema in as_object(as_object(self._root).get(container)).values():
                if as_object(schema).get("$anchor") == name:
                    return schema
        return {}

    def fits(self, value: object, schema: object, depth: int = 0) -> bool:
        """Return whether the value is an instance of the schema."""
        if isinstance(schema, bool):
            return schema
        if depth > MAX_DEPTH:
            return True
        rules = as_object(schema)
        return (
            _type_fits(value, rules)
            and self._combinations_fit(value, rules, depth + 1)
            and (not isinstance(value, str) or _string_fits(value, rules))
            and _number_fits(value, rules)
            and (not is_list(value) or self._array_fits(value, rules, depth + 1))
            and (not is_object(value) or self._object_fits(value, rules, depth + 1))
        )

    def _combinations_fit(self, value: object, rules: Json, depth: int) -> bool:
        def fits(schema: object) -> bool:
            return self.fits(value, schema, depth)

        reference = rules.get("$ref")
        if isinstance(reference, str) and not fits(self.resolve(reference)):
            return False
        if not all(fits(schema) for schema in as_list(rules.get("allOf"))):
            return False
        if "anyOf" in rules and not any(fits(schema) for schema in as_list(rules["anyOf"])):
            return False
        if "oneOf" in rules and sum(fits(schema) for schema in as_list(rules["oneOf"])) != 1:
            return False
        if "not" in rules and fits(rules["not"]):
            return False
        return "if" not in rules or fits(rules.get("then" if fits(rules["if"]) else "else", True))

    def _array_fits(self, items: list[object], rules: Json, depth: int) -> bool:
        low, high = as_number(rules.get("minItems")), as_number(rules.get("maxItems"))
        if len(items) < (low or 0) or (high is not None and len(items) > high):
            return False
        if rules.get("uniqueItems") and any(item in items[:at] for at, item in enumerate(items)):
            return False
        first = as_list(rules.get("prefixItems"))
        if not all(self.fits(*pair, depth) for pair in zip(items, first, strict=False)):
            return False
        rest = rules.get("items", True)
        if not all(self.fits(item, rest, depth) for item in items[len(first) :]):
            return False
        return "contains" not in rules or self._contains_fits(items, rules, depth)

    def _contains_fits(self, items: list[object], rules: Json, depth: int) -> bool:
        found = sum(self.fits(item, rules["contains"], depth) for item in items)
        low, high = as_number(rules.get("minContains", 1)), as_number(rules.get("maxContains"))
        return found >= (low or 0) and (high is None or found <= high)

    def _object_fits(self, value: Json, rules: Json, depth: int) -> bool:
        low, high = as_number(rules.get("minProperties")), as_number(rules.get("maxProperties"))
        if len(value) < (low or 0) or (high is not None and len(value) > high):
            return False
        if any(name not in value for name in as_list(rules.get("required"))):
            return False
        for name, others in as_object(rules.get("dependentRequired")).items():
            if name in value and any(other not in value for other in as_list(others)):
                return False
        names = rules.get("propertyNames", True)
        return all(
            self.fits(name, names, depth) and self._property_fits(name, item, rules, depth)
            for name, item in value.items()
        )

    def _property_fits(self, name: str, item: object, rules: Json, depth: int) -> bool:
        properties = as_object(rules.get("properties"))
        known = [properties[name]] if name in properties else []
        for pattern, schema in as_object(rules.get("patternProperties")).items():
            if matches(pattern, name):
                known.append(schema)
        if not known:
            known.append(rules.get("additionalProperties", True))
        return all(self.fits(item, schema, depth) for schema in known)


def matches(pattern: str, text: str) -> bool:
    """Return whether the pattern is found; one that Python cannot read fits everything."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


_TYPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "number": lambda value: as_number(value) is not None,
    "integer": lambda value: as_number(value) is not None and as_number(value) == _whole(value),
}


def _whole(value: object) -> int | None:
    number = as_number(value)
    return int(number) if number is not None and math.isfinite(number) else None


def _same(left: object, right: object) -> bool:
    # 1 == True in Python, but not in JSON
    return isinstance(left, bool) is isinstance(right, bool) and left == right


def _type_fits(value: object, rules: Json) -> bool:
    kinds = rules.get("type")
    wanted = [as_text(kind) for kind in ([kinds] if isinstance(kinds, str) else as_list(kinds))]
    if wanted and not any(_TYPES[kind](value) for kind in wanted if kind in _TYPES):
        return False
    if "const" in rules and not _same(value, rules["const"]):
        return False
    return "enum" not in rules or any(_same(value, one) for one in as_list(rules["enum"]))


def _string_fits(value: str, rules: Json) -> bool:
    low, high = as_number(rules.get("minLength")), as_number(rules.get("maxLength"))
    if len(value) < (low or 0) or (high is not None and len(value) > high):
        return False
    pattern = rules.get("pattern")
    if isinstance(pattern, str) and not matches(pattern, value):
        return False
    shape = _FORMATS.get(str(rules.get("format")))
    return shape is None or matches(shape, value)


def _number_fits(value: object, rules: Json) -> bool:
    number = as_number(value)
    if number is None:
        return True
    low, high = as_number(rules.get("minimum")), as_number(rules.get("maximum"))
    above, below = (
        as_number(rules.get("exclusiveMinimum")),
        as_number(rules.get("exclusiveMaximum")),
    )
    if (low is not None and number < low) or (high is not None and number > high):
        return False
    if (above is not None and number <= above) or (below is not None and number >= below):
        return False
    step = as_number(rules.get("multipleOf"))
    return not step or math.isclose(number / step, round(number / step), abs_tol=1e-9)
