"""An instance of a JSON Schema, always the same one for the same schema and facts.

A branch whose reference is already being filled in is given up, so that recursive schemas end;
every candidate is checked against the schema before it is taken.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mbxai.testing._json_views import Json, as_list, as_number, as_object, as_text, is_object
from mbxai.testing._pattern_text import text_for
from mbxai.testing._schema_check import SchemaCheck
from mbxai.testing._schema_merge import merged

EMPTY_LISTS: Final = frozenset(
    {"dependencies", "depends_on", "missing_capabilities", "remaining_criteria", "next_steps"}
)
"""Arrays of these properties stay empty where the schema allows it: nothing is missing."""

_BUDGET: Final = 4_000
"""Schemas to visit before optional parts are left out."""

_HARD_LIMIT: Final = 40_000
"""Schemas to visit after that before the sampler gives up."""

_MOST_ITEMS: Final = 1_000


class UnsatisfiableError(ValueError):
    """No instance was found on this way through the schema."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the value the sampler stands.

    Attributes:
        name: The property's name; empty at the top.
        stack: References that are being filled in.
        ordinal: Which item of an array this is or lies in, from 1.
        vary: Whether values must differ from item to item.
    """

    name: str = ""
    stack: frozenset[str] = frozenset()
    ordinal: int = 1
    vary: bool = False


class Sampler:
    """Instances of the schemas below one root."""

    def __init__(
        self,
        root: object,
        *,
        facts: Mapping[str, object] | None = None,
        arguments: bool = False,
        last_key: int = 0,
    ) -> None:
        """Keep the schema.

        Args:
            root: The schema; references point into it.
            facts: Values by property name that are taken where they fit.
            arguments: Whether the value is a tool's arguments: defaults are used, and optional
                properties without a default or a fact are left out.
            last_key: The number of the last task key that is taken; new ones are higher.
        """
        self._root = root
        self._facts = facts or {}
        self._arguments = arguments
        self._check = SchemaCheck(root)
        self._budget = _BUDGET
        self._keys = last_key

    def sample(self) -> object:
        """Return an instance of the root schema.

        Raises:
            UnsatisfiableError: None was found.
        """
        return self._sample(self._root, Place())

    def _sample(self, schema: object, place: Place) -> object:
        self._budget -= 1
        if self._budget < -_HARD_LIMIT:
            raise UnsatisfiableError("the schema is too large")
        flat, stack = merged(schema, place.stack, self._check.resolve)
        if flat is None:
            raise UnsatisfiableError("nothing fits, or the schema goes in a circle")
        place = replace(place, stack=stack)
        for candidate in self._candidates(flat, place):
            if self._check.fits(candidate, flat):
                return candidate
        raise UnsatisfiableError("no candidate fits")

    def _candidates(self, flat: Json, place: Place) -> Iterator[object]:
        if place.name in self._facts and place.name != "key":
            yield self._facts[place.name]
        if self._arguments and "default" in flat:
            yield flat["default"]
        if "const" in flat:
            yield flat["const"]
        choices = as_list(flat.get("enum"))
        shift = (place.ordinal - 1) % len(choices) if choices and place.vary else 0
        yield from (choices[shift:] + choices[:shift])
        for word in ("anyOf", "oneOf"):
            if word in flat:
                yield from self._branches(flat, as_list(flat[word]), word, place)
                return
        if "if" in flat:
            yield from self._conditional(flat, place)
            return
        for kind in _kinds(flat):
            try:
                yield from self._of_kind(kind, flat, place)
            except UnsatisfiableError:
                continue

    def _branches(
        self, flat: Json, branches: list[object], word: str, place: Place
    ) -> Iterator[object]:
        base = {key: value for key, value in flat.items() if key != word}
        for branch in sorted(branches, key=lambda one: as_object(one).get("type") == "null"):
            try:
                yield self._sample({"allOf": [base, branch]}, place)
            except UnsatisfiableError:
                continue

    def _conditional(self, flat: Json, place: Place) -> Iterator[object]:
        base = {key: value for key, value in flat.items() if key not in {"if", "then", "else"}}
        ways: list[list[object]] = [
            [base, flat["if"], flat.get("then", True)],
            [base, flat.get("else", True)],
        ]
        for way in ways:
            try:
                yield self._sample({"allOf": way}, place)
            except UnsatisfiableError:
                continue

    def _of_kind(self, kind: str, flat: Json, place: Place) -> Iterator[object]:
        if kind == "object":
            yield self._object(flat, place)
        elif kind == "array":
            yield from self._arrays(flat, place)
        elif kind == "string":
            yield from self._strings(flat, place)
        elif kind in {"integer", "number"}:
            yield from _numbers(flat, place, whole=kind == "integer")
        elif kind == "boolean":
            yield from (True, False) if place.ordinal % 2 or not place.vary else (False, True)
        else:
            yield None

    # --- objects ----------------------------------------------------------------------------------

    def _object(self, flat: Json, place: Place) -> Json:
        required = [as_text(name) for name in as_list(flat.get("required"))]
        properties = as_object(flat.get("properties"))
        result: Json = {}
        for name, schema in properties.items():
            if name not in required and not self._is_wanted(name, schema):
                continue
            try:
                result[name] = self._sample(schema, replace(place, name=name))
            except UnsatisfiableError:
                if name in required:
                    raise
        for name in required:
            if name not in result:
                schema = flat.get("additionalProperties", {})
                result[name] = self._sample(schema, replace(place, name=name))
        self._fill_up(result, flat, place)
        return result

    def _is_wanted(self, name: str, schema: object) -> bool:
        if self._arguments:
            return name in self._facts or "default" in as_object(schema)
        return self._budget > 0

    def _fill_up(self, result: Json, flat: Json, place: Place) -> None:
        schema = flat.get("additionalProperties", True)
        least = int(as_number(flat.get("minProperties")) or 0)
        if not result and is_object(schema) and self._budget > 0:
            least = max(least, 1)
        for number in range(1, _MOST_ITEMS):
            if len(result) >= least:
                return
            name = "example" if number == 1 else f"example_{number}"
            if "propertyNames" in flat:
                name = as_text(self._sample(flat["propertyNames"], replace(place, ordinal=number)))
            try:
                result[name] = self._sample(schema, replace(place, name=name))
            except UnsatisfiableError:
                if least > len(result) and as_number(flat.get("minProperties")):
                    raise
                return

    # --- arrays -----------------------------------------------------------------------------------

    def _arrays(self, flat: Json, place: Place) -> Iterator[object]:
        least = int(as_number(flat.get("minItems")) or 0)
        most = as_number(flat.get("maxItems"))
        first = as_list(flat.get("prefixItems"))
        wanted = max(least, len(first), 1)
        if place.name in EMPTY_LISTS or self._budget <= 0:
            wanted = least
        if most is not None:
            wanted = min(wanted, int(most))
        if "contains" in flat:
            wanted = max(wanted, int(as_number(flat.get("minContains", 1)) or 0))
        try:
            yield self._items(flat, first, wanted, place)
        except UnsatisfiableError:
            if least == 0:
                yield []
            raise

    def _items(self, flat: Json, first: list[object], wanted: int, place: Place) -> list[object]:
        rest = flat.get("items", True)
        if "contains" in flat:
            rest = {"allOf": [rest, flat["contains"]]}
        unique = bool(flat.get("uniqueItems"))
        items: list[object] = []
        for ordinal in range(1, min(wanted, _MOST_ITEMS) * (20 if unique else 1) + 1):
            if len(items) >= wanted:
                break
            schema = first[len(items)] if len(items) < len(first) else rest
            spot = replace(place, ordinal=ordinal, vary=unique or place.vary)
            item = self._sample(schema, spot)
            if not unique or item not in items:
                items.append(item)
        return items

    # --- strings ----------------------------------------------------------------------------------

    def _strings(self, flat: Json, place: Place) -> Iterator[object]:
        least = int(as_number(flat.get("minLength")) or 0)
        if place.name == "key":
            self._keys += 1
            yield f"t{self._keys}"
        if "format" in flat:
            yield _formatted(as_text(flat["format"]), place.ordinal)
        if "pattern" in flat:
            yield text_for(as_text(flat["pattern"]), least)
        if "contentMediaType" in flat:
            yield "{}"
        words = place.name or as_text(flat.get("title")) or as_text(flat.get("description"))
        text = f"Example {words.replace('_', ' ').strip() or 'text'}"
        if place.ordinal > 1:
            text = f"{text} {place.ordinal}"
        most = as_number(flat.get("maxLength"))
        for shown in (text, text[-int(most) :] if most else text, "a", str(place.ordinal)):
            longer = shown + ("." * (least - len(shown)))
            yield longer[: int(most)] if most is not None else longer
        yield from ("", "{}", "[]", "0", "https://example.com/fake")


def _kinds(flat: Json) -> list[str]:
    """Types to try, the likeliest first; null last."""
    kinds = flat.get("type")
    if isinstance(kinds, str):
        return [kinds]
    named = [as_text(kind) for kind in as_list(kinds)]
    if named:
        return sorted(named, key=lambda kind: kind == "null")
    hints = {
        "object": ("properties", "required", "additionalProperties", "minProperties"),
        "array": ("items", "prefixItems", "minItems", "contains"),
        "number": ("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"),
    }
    hinted = [kind for kind, words in hints.items() if any(word in flat for word in words)]
    return [*hinted, "string", "integer", "object", "array", "boolean", "null"]


def _numbers(flat: Json, place: Place, *, whole: bool) -> Iterator[object]:
    step = as_number(flat.get("multipleOf"))
    unit = step or (1 if whole else 0.5)
    low, high = as_number(flat.get("minimum")), as_number(flat.get("maximum"))
    above, below = (
        as_number(flat.get("exclusiveMinimum")),
        as_number(flat.get("exclusiveMaximum")),
    )
    if above is not None and (low is None or above >= low):
        low = above + unit
    if below is not None and (high is None or below <= high):
        high = below - unit
    name = place.name.lower()
    start: float = 1 if low is None else low
    if "percentage" in name or "completion" in name:
        start = 100 if high is None else high
    shift = unit * (place.ordinal - 1) if place.vary else 0
    values = [start, low, high, 0, -1]
    if low is not None and high is not None:
        values.append((low + high) / 2)
    if above is not None and below is not None:
        values.append((above + below) / 2)
    for value in values:
        if value is None:
            continue
        for rounded in (math.ceil, math.floor):
            number: float = value + shift
            if step or whole:
                number = rounded(number / unit) * unit
            yield int(number) if whole or number == int(number) else number


def _formatted(name: str, ordinal: int) -> str | None:
    """A text of a format; None where the format is not known."""
    day = (ordinal + 13) % 28 + 1
    tail = "" if ordinal == 1 else str(ordinal)
    known = {
        "date": f"2026-01-{day:02}",
        "date-time": f"2026-01-{day:02}T10:00:00Z",
        "time": f"10:{ordinal % 60 - 1 if ordinal % 60 else 59:02}:00Z",
        "duration": f"PT{ordinal}H",
        "email": f"fake{tail}@example.com",
        "idn-email": f"fake{tail}@example.com",
        "uri": f"https://example.com/fake{tail}",
        "url": f"https://example.com/fake{tail}",
        "uri-reference": f"/fake{tail}",
        "iri": f"https://example.com/fake{tail}",
        "uuid": f"00000000-0000-4000-8000-{ordinal:012}",
        "hostname": f"fake{tail}.example.com",
        "ipv4": f"127.0.0.{ordinal % 255}",
        "ipv6": f"::{ordinal:x}",
        "byte": "ZmFrZQ==",
        "base64": "ZmFrZQ==",
        "base64url": "ZmFrZQ==",
        "regex": "^fake$",
        "json-pointer": f"/fake{tail}",
        "json-string": "{}",
    }
    return known.get(name)
