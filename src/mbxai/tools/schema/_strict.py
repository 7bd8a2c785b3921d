"""Strict mode of tool schemas: when it says the same, and how a schema is made to fit it.

Under strict rules every object is closed, every property required, and few keywords are known.
Nothing here is sent by itself: tools use `says_the_same_when_strict`, and callers may use
`convert_to_strict_schema`.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from mbxai.tools.schema._provider_view import provider_view
from mbxai.tools.schema._schema_words import types_of

# What every provider with a strict mode knows. Bounds, patterns and formats are known to some, and
# make others refuse the request.
_STRICT_KEYWORDS: Final = frozenset(
    {
        *("type", "description", "properties", "required", "additionalProperties", "items"),
        *("enum", "const", "anyOf", "$ref", "$defs"),
    }
)
# Rules that narrow a text, a number or a list, and can be said in words instead.
_SAID_IN_WORDS: Final = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"),
        *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
        *("default", "deprecated", "readOnly", "writeOnly"),
    }
)
_MAX_STRICT_DEPTH: Final = 10
_MAX_STRICT_NODES: Final = 5_000
_MAX_SAID_CHARS: Final = 200


def says_the_same_when_strict(schema: Mapping[str, Any]) -> bool:
    """Whether a schema already obeys strict rules, so that `strict: true` changes nothing.

    Args:
        schema: A provider view.
    """
    return "anyOf" not in schema and "$ref" not in schema and _Strictness().holds(schema, 0)


def convert_to_strict_schema(
    schema: Mapping[str, Any], strict: bool = True, keep_input_wrapper: bool = False
) -> dict[str, Any]:
    """Return a schema of a tool's arguments in the form that providers take.

    Args:
        schema: JSON Schema of the arguments; it is not changed.
        strict: Close every object and require every property; a property that was optional
            takes null instead. Defaults, bounds, patterns and formats move into descriptions.
            What no strict schema can say (objects with free names, conditions, several schemas
            that must all fit) stays as it was; such a schema must be sent without `strict`.
        keep_input_wrapper: Keep a lone object property called `input`, which some servers wrap
            around the real arguments. By default the wrapper is taken off; a property `input`
            that is no object, or not alone, always stays.

    Returns:
        A new schema without `$schema`, titles and resolvable references.
    """
    view = provider_view(schema)
    if not keep_input_wrapper:
        view = _unwrapped(view)
    if strict:
        view = _tightened(view, at_root=True)
    return view


class _Strictness:
    """Looks through one schema, and gives up where it is larger than providers take."""

    def __init__(self) -> None:
        self._nodes = 0

    def holds(self, schema: object, depth: int) -> bool:
        """Whether a part obeys strict rules."""
        self._nodes += 1
        if not isinstance(schema, Mapping) or not schema or self._nodes > _MAX_STRICT_NODES:
            return False
        node = cast("Mapping[str, Any]", schema)
        if depth > _MAX_STRICT_DEPTH or not _is_plain(node):
            return False
        children: list[Any] = [
            *node.get("properties", {}).values(),
            *node.get("$defs", {}).values(),
            *node.get("anyOf", []),
            *([node["items"]] if "items" in node else []),
        ]
        return all(self.holds(child, depth + 1) for child in children)


def _is_plain(node: Mapping[str, Any]) -> bool:
    if not node.keys() <= _STRICT_KEYWORDS:
        return False
    if not node.keys() & {"type", "enum", "const", "anyOf", "$ref"}:
        return False
    if "$ref" in node and not node.keys() <= {"$ref", "description"}:
        return False
    kinds = types_of(node)
    if "object" in kinds or "properties" in node:
        properties = node.get("properties", {})
        return node.get("additionalProperties") is False and set(node.get("required", [])) == set(
            properties
        )
    return "array" not in kinds or bool(node.get("items"))


def _unwrapped(view: dict[str, Any]) -> dict[str, Any]:
    while view["properties"].keys() == {"input"}:
        wrapped = cast("dict[str, Any]", view["properties"]["input"])
        if wrapped.get("type") != "object" or "properties" not in wrapped:
            break
        kept = {keyword: view[keyword] for keyword in ("description", "$defs") if keyword in view}
        view = {"required": [], **kept, **wrapped}
    return view


def _tightened(
    node: Mapping[str, Any], *, at_root: bool = False, is_optional: bool = False
) -> dict[str, Any]:
    schema = _flat(node)
    if set(schema) <= _STRICT_KEYWORDS | _SAID_IN_WORDS:
        schema = _said_in_words(schema, is_optional=is_optional)
    # A rule that strict mode cannot say is left whole: half of it would say something else.
    closes = _can_be_closed(schema, at_root=at_root)
    required = schema.get("required", []) if closes else schema.get("properties", {})
    if "properties" in schema:
        schema["properties"] = {
            name: _tightened(part, is_optional=name not in required)
            for name, part in schema["properties"].items()
        }
    if "$defs" in schema:
        schema["$defs"] = {name: _tightened(part) for name, part in schema["$defs"].items()}
    if "anyOf" in schema:
        schema["anyOf"] = [_tightened(part) for part in schema["anyOf"]]
    if "items" in schema:
        schema["items"] = _tightened(schema["items"])
    if closes:
        _close(schema)
    return schema


def _flat(node: Mapping[str, Any]) -> dict[str, Any]:
    """Write a lone `allOf` and alternatives in the words of strict mode."""
    schema = dict(node)
    if len(schema.get("allOf", [])) == 1 and schema.keys() <= {"allOf", "description", "default"}:
        (part,) = cast("list[Mapping[str, Any]]", schema.pop("allOf"))
        schema = _flat({**part, **schema})
    if "oneOf" in schema and "anyOf" not in schema:
        alternatives = cast("list[dict[str, Any]]", schema.pop("oneOf"))
        schema["anyOf"] = alternatives
        if not _exclude_each_other(alternatives):
            _explain(schema, "Exactly one of the alternatives must fit.")
    return schema


def _exclude_each_other(alternatives: list[dict[str, Any]]) -> bool:
    """Whether no value can fit two of the alternatives, as far as that is plain to see."""
    kinds: list[set[str]] = []
    for part in alternatives:
        found = set(types_of(part))
        kinds.append(found | ({"integer"} if "number" in found else set[str]()))
    if all(kinds) and sum(map(len, kinds)) == len(set[str]().union(*kinds)):
        return True
    return bool(_tags(alternatives))


def _tags(alternatives: list[dict[str, Any]]) -> set[str]:
    """Names of properties that are required and have another constant in each alternative."""
    seen: dict[str, list[str]] = {}
    for schema in alternatives:
        if types_of(schema) != ["object"]:
            return set()
        for name, child in schema.get("properties", {}).items():
            if name in schema.get("required", []) and "const" in child:
                seen.setdefault(name, []).append(json.dumps(child["const"], sort_keys=True))
    return {name for name, found in seen.items() if len(set(found)) == len(alternatives)}


def _said_in_words(schema: dict[str, Any], *, is_optional: bool) -> dict[str, Any]:
    """Move what strict mode does not know into the description."""
    kept = {keyword: value for keyword, value in schema.items() if keyword in _STRICT_KEYWORDS}
    rules = [
        f"{keyword}: {json.dumps(value, ensure_ascii=False)[:_MAX_SAID_CHARS]}"
        for keyword, value in schema.items()
        if keyword not in _STRICT_KEYWORDS and keyword != "default"
    ]
    if rules:
        _explain(kept, f"({'; '.join(rules)})")
    if schema.get("default") is not None:
        said = json.dumps(schema["default"], ensure_ascii=False)[:_MAX_SAID_CHARS]
        means = "Null means the default," if is_optional else "The default is"
        _explain(kept, f"{means} {said}.")
    return kept


def _explain(schema: dict[str, Any], note: str) -> None:
    schema["description"] = f"{schema.get('description', '')} {note}".strip()


def _can_be_closed(schema: Mapping[str, Any], *, at_root: bool) -> bool:
    """Whether an object has named properties only; one that names none may be a free map."""
    if "properties" not in schema or not set(schema) <= _STRICT_KEYWORDS:
        return False
    if types_of(schema) not in (["object"], ["object", "null"], ["null", "object"]):
        return False
    if not set(schema.get("required", [])) <= set(schema["properties"]):
        return False
    if "additionalProperties" in schema:
        return schema["additionalProperties"] is False
    return at_root or bool(schema["properties"])


def _close(schema: dict[str, Any]) -> None:
    properties: dict[str, Any] = schema["properties"]
    required = set(schema.get("required", []))
    schema["properties"] = {
        name: child if name in required else _nullable(child) for name, child in properties.items()
    }
    schema["required"] = list(properties)
    schema["additionalProperties"] = False


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = types_of(schema)
    if not schema or "null" in kinds:
        return schema
    description = {"description": schema["description"]} if "description" in schema else {}
    bare = {keyword: value for keyword, value in schema.items() if keyword != "description"}
    if bare.keys() == {"anyOf"}:
        members: list[dict[str, Any]] = schema["anyOf"]
        if any("null" in types_of(member) for member in members):
            return schema
        return {**schema, "anyOf": [*members, {"type": "null"}]}
    if kinds and "const" not in schema and "anyOf" not in schema:
        widened = {**schema, "type": [*kinds, "null"]}
        if "enum" in widened and None not in widened["enum"]:
            widened["enum"] = [*widened["enum"], None]
        return widened
    return {"anyOf": [bare, {"type": "null"}], **description}
