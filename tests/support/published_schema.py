"""Is a request what OpenRouter's published schema says, and nothing else?

`published_schema.json` holds the request bodies of OpenRouter's OpenAPI document; its `source` says
which. The document leaves most objects open, so that a misspelled field would pass: here every
object that lists its fields is closed. What the service takes beyond the document stands in one
table, `ACCEPTED_EXTRAS`, each with its source.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_FILE = Path(__file__).with_suffix(".json")
_ROOT = "urn:openrouter"
_REF = "#/components/schemas/"

BOOLEAN = {"type": "boolean"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
ANY_OBJECT = {"type": "object"}


def one_of(*words: str) -> dict[str, Any]:
    return {"enum": list(words)}


def closed(*required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


@dataclass(frozen=True)
class Extra:
    """Something that the service takes and the document does not have.

    `where` is a schema and a field of it; the field is added, or takes this as well if it is there
    already. A `[]` at the end means the items of the field.
    """

    where: str
    schema: dict[str, Any]
    source: str


# What the names of the sources mean: DOCS is OpenRouter's documentation site, SDK the models of its
# Python SDK 1.3.84 of 2026-10-27, which is newer than the document.
ACCEPTED_EXTRAS = (
    Extra("ChatRequest.transforms", TEXTS, "DOCS message-transforms (older word)"),
    Extra("ChatRequest.usage", closed(include=BOOLEAN), "DOCS usage-accounting (no effect any more)"),
    Extra("ChatRequest.preset", TEXT, "DOCS presets"),
    Extra("ChatRequest.verbosity", one_of("low", "medium", "high", "xhigh", "max"), "DOCS parameters"),
    Extra("ChatRequest.include_reasoning", BOOLEAN, "DOCS parameters (older word)"),
    Extra("ChatRequest.max_tool_calls", INTEGER, "DOCS server-tools"),
    Extra("ChatRequest.web_search_options", ANY_OBJECT, "DOCS parameters"),
    Extra("ChatRequest.structured_outputs", BOOLEAN, "DOCS parameters"),
    Extra("ChatRequest.audio", closed(voice=TEXT, format=TEXT), "DOCS multimodal/audio"),
    Extra("ChatRequest.n", INTEGER, "OpenAI's API, passed on"),
    Extra("ChatRequest.safe_prompt", BOOLEAN, "DOCS parameters (Mistral)"),
    Extra("ChatRequest.raw_mode", BOOLEAN, "DOCS parameters (Hyperbolic)"),
    Extra("ChatRequest.service_tier", one_of("ultrafast"), "SDK ChatRequest"),
    Extra(
        "ChatRequest.reasoning",
        closed(
            effort=one_of("max", "xhigh", "high", "medium", "low", "minimal", "none"),
            summary=one_of("auto", "concise", "detailed"),
            max_tokens=INTEGER,
            exclude=BOOLEAN,
            enabled=BOOLEAN,
            context=one_of("auto", "all_turns", "current_turn"),
            mode=one_of("standard", "pro"),
        ),
        "DOCS reasoning-tokens",
    ),
    Extra(
        "ChatRequest.deferred_tools",
        closed(
            "profile", "protocol", "search", "validation",
            profile=one_of("portable"),
            protocol=one_of("v1"),
            validation=one_of("runtime"),
            search=closed(
                "type",
                type=one_of("bm25", "regex", "custom"),
                max_results=INTEGER,
                tool_id=TEXT,
                result_key=TEXT,
            ),
        ),
        "SDK DeferredToolsControl",
    ),
    Extra(
        "ChatRequest.tools[]",
        closed(
            "type", "function",
            type=one_of("function"),
            function=closed(
                "name",
                name=TEXT | {"maxLength": 64},
                description=TEXT,
                parameters=ANY_OBJECT,
                strict={"type": ["boolean", "null"]},
                defer_loading=BOOLEAN,
            ),
            cache_control={"$ref": _REF + "ChatContentCacheControl"},
            defer_loading=BOOLEAN,
            eager_input_streaming=BOOLEAN,
        ),
        "SDK ChatFunctionToolFunction; DOCS tool-calling (eager_input_streaming)",
    ),
    Extra(
        "ChatRequest.plugins[]",
        closed(
            "id", "rules",
            id=one_of("alignment"),
            rules={"type": "array", "items": closed("rule", "watch", rule=TEXT, watch=TEXTS)},
            mode=one_of("enforce", "audit"),
            instruct=BOOLEAN,
            max_retries=INTEGER,
            threshold=NUMBER,
        ),
        "SDK AlignmentPlugin",
    ),
    Extra(
        "ChatRequest.plugins[]",
        closed(
            "id",
            id=one_of("armor"),
            enabled=BOOLEAN,
            mode=one_of("enforce", "audit"),
            on_error=one_of("log", "block"),
            output_mode=one_of("text", "custom_item", "claude_code_compatibility"),
            classifier_context=ANY_OBJECT,
            evaluate_native_tools=BOOLEAN,
            use_cc_style_default_rules=BOOLEAN,
        ),
        "SDK ArmorPlugin",
    ),
    Extra(
        "ChatRequest.plugins[]",
        closed("id", id=one_of("switchyard-router"), algorithm=TEXT, judge_model=TEXT),
        "SDK SwitchyardRouterPlugin",
    ),
    Extra(
        "ChatRequest.plugins[]",
        closed(
            "id",
            id=one_of("jev-router"),
            models=TEXTS,
            allowed_models=TEXTS,
            excluded_models=TEXTS,
            cost_tier=TEXT,
        ),
        "SDK JevRouterPlugin",
    ),
    *(
        Extra(
            f"{name}.x_search",
            closed(
                allowed_x_handles=TEXTS,
                excluded_x_handles=TEXTS,
                from_date=TEXT,
                to_date=TEXT,
                enable_image_understanding=BOOLEAN,
                enable_video_understanding=BOOLEAN,
            ),
            "SDK XSearchOptions",
        )
        for name in ("WebSearchPlugin", "WebSearchConfig", "ChatWebSearchShorthand")
    ),
    Extra("ProviderPreferences.options", ANY_OBJECT, "SDK ProviderPreferences"),
    Extra(
        "ProviderPreferences.max_price",
        closed(prompt=NUMBER, completion=NUMBER, request=NUMBER, image=NUMBER, audio=NUMBER),
        "DOCS provider-selection shows numbers",
    ),
    Extra("PromptCacheBreakpoint.ttl", {"type": ["string", "null"]}, "SDK PromptCacheBreakpoint"),
    Extra("ChatContentVideoInput.processing", one_of("agentic", "static"), "SDK ChatContentVideoInput"),
    Extra("ChatAssistantMessage.reasoning_content", TEXT, "DOCS reasoning-tokens (same as reasoning)"),
    Extra(
        "ChatAssistantMessage.annotations",
        {"type": "array", "items": ANY_OBJECT},
        "DOCS multimodal/pdfs",
    ),
)  # fmt: skip


def request_problems(
    path: str, body: object, *, method: str = "POST", media_type: str = "application/json"
) -> list[str]:
    """What is wrong with a request body; empty if it is just what the schema says.

    Args:
        path: As in the document (`/keys/{hash}`) or filled in (`/keys/abc`), without `/api/v1`.
        body: The parsed JSON; for a form, its fields.

    Raises:
        KeyError: The document knows no such request.
    """
    errors = _validator(_request_key(path, method, media_type)).iter_errors(body)
    return sorted({_told(error) for error in errors})


def request_keys() -> list[str]:
    """Every request body that is known, as `POST /chat/completions`."""
    return sorted(_document()["requests"])


def properties_of(name: str) -> set[str]:
    """The fields of a published schema, without the extras."""
    return set(_published()["components"]["schemas"][name]["properties"])


# --- how it is done -------------------------------------------------------------------------------


@cache
def _published() -> dict[str, Any]:
    return json.loads(_FILE.read_text(encoding="utf-8"))


@cache
def _document() -> dict[str, Any]:
    document = json.loads(_FILE.read_text(encoding="utf-8"))
    schemas = document["components"]["schemas"]
    for extra in ACCEPTED_EXTRAS:
        _add(schemas, extra)
    return {
        "components": {"schemas": {name: _strict(schemas[name], schemas) for name in schemas}},
        "requests": {key: _strict(one, schemas) for key, one in document["requests"].items()},
    }


@cache
def _registry() -> Registry[Any]:
    resource = Resource.from_contents(_document(), default_specification=DRAFT202012)
    return Registry().with_resource(_ROOT, resource).crawl()


@cache
def _validator(key: str) -> Draft202012Validator:
    pointer = key.replace("~", "~0").replace("/", "~1")
    pointer = pointer.replace(" ", "%20").replace("{", "%7B").replace("}", "%7D")
    reference = {"$ref": f"{_ROOT}#/requests/{pointer}"}
    return Draft202012Validator(reference, registry=_registry())


@cache
def _request_key(path: str, method: str, media_type: str) -> str:
    tail = "" if media_type == "application/json" else f" {media_type}"
    for key in sorted(_document()["requests"], key=lambda known: known.count("{")):
        pattern = re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(key))
        if re.fullmatch(pattern, f"{method} {path}{tail}") or key == f"{method} {path}{tail}":
            return key
    raise KeyError(f"{method} {path}{tail}")


def _add(schemas: dict[str, Any], extra: Extra) -> None:
    name, _, field = extra.where.partition(".")
    properties = schemas[name]["properties"]
    bare = field.removesuffix("[]")
    if bare != field:
        properties[bare]["items"] = _either(properties[bare]["items"], extra.schema)
    elif bare in properties:
        properties[bare] = _either(properties[bare], extra.schema)
    else:
        properties[bare] = extra.schema


def _either(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    if "extras" in known:
        known["anyOf"].append(more)
        return known
    return {"anyOf": [known, more], "extras": True}


def _strict(node: Any, schemas: dict[str, Any]) -> Any:
    """The schema with each object closed that lists its fields."""
    if isinstance(node, list):
        return [_strict(item, schemas) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"$ref": _ROOT + node["$ref"]}
    if "allOf" in node:
        return _strict(_merged(node, schemas), schemas)
    if "discriminator" in node:
        return _chosen(node)
    strict = {
        word: {name: _strict(one, schemas) for name, one in inner.items()}
        if word == "properties"
        else _strict(inner, schemas)
        for word, inner in node.items()
        if word != "extras"
    }
    if "oneOf" in strict:
        # Alternatives that overlap are meant as alternatives.
        strict["anyOf"] = strict.pop("oneOf")
    if "properties" in strict:
        strict.setdefault("additionalProperties", False)
    return strict


def _merged(node: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """One object of the parts of `allOf`, which could not be closed one by one."""
    merged: dict[str, Any] = {word: inner for word, inner in node.items() if word != "allOf"}
    for part in node["allOf"]:
        for word, inner in _resolved(part, schemas).items():
            if word == "properties":
                merged[word] = merged.get(word, {}) | inner
            elif word == "required":
                merged[word] = [*merged.get(word, []), *inner]
            else:
                merged.setdefault(word, inner)
    return merged


def _resolved(part: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        return _resolved(schemas[part["$ref"].removeprefix(_REF)], schemas)
    return _merged(part, schemas) if "allOf" in part else part


def _chosen(node: dict[str, Any]) -> dict[str, Any]:
    """The alternative that the discriminator names, so that a problem is told of that one only."""
    field, mapping = node["discriminator"]["propertyName"], node["discriminator"]["mapping"]
    return {
        "type": "object",
        "required": [field],
        "properties": {field: {"enum": sorted(mapping)}},
        "allOf": [
            {
                "if": {"properties": {field: {"const": word}}, "required": [field]},
                "then": {"$ref": _ROOT + target},
            }
            for word, target in mapping.items()
        ],
    }


def _told(error: ValidationError) -> str:
    for closest in _deepest(error):
        error = closest
    return f"{error.json_path}: {error.message[:300]}"


def _deepest(error: ValidationError) -> Iterator[ValidationError]:
    while error.context:
        error = max(error.context, key=_nearness)
        yield error


def _nearness(error: ValidationError) -> tuple[int, bool]:
    # A wrong type or a wrong word says that another alternative was meant.
    return len(error.absolute_path), error.validator not in {"type", "enum", "const"}
