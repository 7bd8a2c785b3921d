"""JSON Schemas made by hypothesis: good ones with references, and ones that are nearly nonsense.

A reference that leads to itself stands below a property or an item, so that values end.
"""

from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]
NAMES = ("a", "b", "c")
DEFINITIONS = ("D0", "D1", "D2/x y")

_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "ab", "$ref", "7"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
    ),
    max_leaves=3,
)

_LEAVES = st.one_of(
    st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array"]).map(
        lambda kind: {"type": kind}
    ),
    st.sampled_from([["string", "null"], ["integer", "string"], ["object", "null"]]).map(
        lambda kinds: {"type": kinds}
    ),
    st.builds(lambda least: {"type": "string", "minLength": least}, st.integers(0, 2)),
    st.builds(lambda least: {"type": "integer", "minimum": least}, st.integers(-2, 2)),
    st.builds(lambda most: {"maxLength": most}, st.integers(0, 2)),
    st.lists(_DATA, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    _DATA.map(lambda value: {"const": value}),
    st.just({}),
)


def arguments() -> st.SearchStrategy[Any]:
    """Return what makes objects that may fit what `schemas` makes."""
    return st.dictionaries(st.sampled_from((*NAMES, "other")), _DATA, max_size=3)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Make a schema of an object, with references of all kinds."""
    named = {name: draw(_body(index)) for index, name in enumerate(DEFINITIONS)}
    properties: Schema = {}
    for name in NAMES:
        earlier = [f"#/properties/{other}" for other in properties]
        anything = [_pointer(definition) for definition in DEFINITIONS]
        properties[name] = draw(_part(2, [*anything, *earlier], [*anything, *earlier]))
    schema: Schema = {"type": "object", "properties": properties, "$defs": named, "title": "T"}
    if draw(st.booleans()):
        schema["required"] = draw(st.lists(st.sampled_from(NAMES), unique=True))
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.booleans())
    return schema


@st.composite
def _body(draw: st.DrawFn, index: int) -> Schema | bool:
    every = [_pointer(name) for name in DEFINITIONS]
    return draw(_part(2, every[:index], every))


@st.composite
def _part(draw: st.DrawFn, depth: int, here: list[str], below: list[str]) -> Schema | bool:
    """A schema that may refer to some definitions here, and to others below a level of data."""
    kinds = ["leaf", "leaf", "bool"]
    kinds += ["ref", "ref"] if here else []
    kinds += ["object", "array", "anyOf", "oneOf", "allOf", "not"] if depth else []
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        return {**draw(_LEAVES), "description": "Text."}
    if kind == "bool":
        return draw(st.booleans())
    if kind == "ref":
        beside = draw(st.just({}) | st.just({"description": "Beside."}) | _LEAVES)
        return {**beside, "$ref": draw(st.sampled_from(here))}
    if kind == "not":
        return {"not": draw(_part(depth - 1, here, below))}
    if kind in ("anyOf", "oneOf", "allOf"):
        return {kind: draw(st.lists(_part(depth - 1, here, below), min_size=1, max_size=3))}
    inner = _part(depth - 1, below, below)
    if kind == "array":
        return draw(
            st.builds(lambda items: {"type": "array", "items": items}, inner)
            | st.builds(
                lambda places, rest: {"prefixItems": places, "items": rest},
                st.lists(inner, min_size=1, max_size=2),
                inner | st.just(False),
            )
        )
    return draw(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(_NAME, inner, max_size=2)},
            optional={
                "required": st.lists(_NAME, unique=True, max_size=2),
                "additionalProperties": st.booleans() | inner,
            },
        )
    )


_NAME = st.sampled_from(NAMES)


def _pointer(name: str) -> str:
    return "#/$defs/" + name.replace("/", "~1").replace(" ", "%20")


@st.composite
def convertible(draw: st.DrawFn) -> Schema:
    """Make a schema of an object that is often one that strict rules can say."""
    node = draw(_strict_object(2))
    schema = {**node, "properties": {**node["properties"], "tree": {"$ref": "#/$defs/Tree"}}}
    tree = draw(_strict_object(1))
    tree["properties"]["trees"] = {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    return {**schema, "$defs": {"Tree": tree}}


@st.composite
def _strict_object(draw: st.DrawFn, depth: int) -> Schema:
    properties = draw(st.dictionaries(_NAME, _strict_part(depth), min_size=1, max_size=3))
    names = [name for name in properties if draw(st.booleans())]
    closed = draw(st.sampled_from([{}, {}, {"additionalProperties": False}]))
    return {"type": "object", "properties": properties, "required": names, **closed}


@st.composite
def _strict_part(draw: st.DrawFn, depth: int) -> Schema:
    leaf = st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer", "minimum": 3, "default": 4},
            {"type": ["string", "null"], "default": None},
            {"type": "string", "enum": ["x", "y"], "default": "x"},
            {"type": "string", "format": "uri", "minLength": 3},
            {"enum": ["x", 1, None]},
            {"const": "z"},
            {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            {"oneOf": [{"type": "integer"}, {"type": "string"}], "description": "Either."},
            {"allOf": [{"type": "boolean"}], "default": True},
        ]
    )
    if depth == 0:
        return draw(leaf)
    items = st.builds(lambda part: {"type": "array", "items": part}, _strict_part(depth - 1))
    choice = st.builds(lambda part: {"anyOf": [part, {"type": "boolean"}]}, _strict_part(depth - 1))
    # Now and then a map, which no strict schema can say.
    table = st.just({"type": "object", "additionalProperties": {"type": "string"}})
    return draw(st.one_of(leaf, leaf, items, choice, _strict_object(depth - 1), table))


_KEYWORDS = st.sampled_from(
    [
        *("type", "properties", "required", "items", "prefixItems", "additionalProperties"),
        *("anyOf", "oneOf", "allOf", "not", "if", "then", "enum", "const", "$ref", "$defs"),
        *("definitions", "$anchor", "$id", "$schema", "title", "description", "default", "format"),
        *("minimum", "exclusiveMinimum", "maxLength", "minItems", "uniqueItems", "multipleOf"),
        *("patternProperties", "dependencies", "dependentRequired", "propertyNames", "contains"),
        *("discriminator", "examples", "a", "input", "nullable"),
    ]
)
_WORDS = st.sampled_from(
    ["object", "string", "array", "any", "#", "#/$defs/a", "#a", "http://x/", "a", "", "null"]
)


def nonsense() -> st.SearchStrategy[Schema]:
    """Return what makes dicts in the words of JSON Schema that seldom mean anything."""
    scalars = st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | _WORDS
    values = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYWORDS, inner, max_size=4),
        max_leaves=12,
    )
    return st.dictionaries(_KEYWORDS, values, max_size=5)
