"""Schemas without what changes no meaning, and where two of them differ."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_IGNORED = ("$defs", "$schema", "$id", "title", "discriminator")
"""Names, and a hint of OpenAPI's that validators do not look at."""
_SCHEMAS = ("items", "additionalProperties", "propertyNames", "not")
_MAPS_OF_SCHEMAS = ("properties", "patternProperties")


def normal_form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema in one of its many spellings, for comparison.

    References are replaced by what they mean, except that a type inside itself stays a name; titles
    and what says nothing (`additionalProperties: true`) go; lists of alternatives are sorted;
    `const` becomes `enum`, `oneOf` becomes `anyOf` (its types exclude each other anyway), a list of
    types and an enum with null become alternatives; a description stands on one line.
    """
    # A type that takes all arguments and contains itself: the root may be it, or refer to it.
    is_root = _bare(schema)
    names = (n for n, each in schema.get("$defs", {}).items() if _bare(each) == is_root)
    return _form(schema, schema, tuple(f"#/$defs/{name}" for name in names))


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """What differs between two normal forms, one line for each place."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            place = f"{path}.{key}".removeprefix(".")
            yield from differences(ours.get(key, _NOTHING), theirs.get(key, _NOTHING), place)
    elif _are_schemas(ours) and _are_schemas(theirs) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(mine, other, f"{path}[{index}]")
    elif ours != theirs or isinstance(ours, bool) != isinstance(theirs, bool):
        yield f"{path}: {_shown(ours)} / {_shown(theirs)}"


_NOTHING = object()


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _bare(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in schema.items() if k not in ("$defs", "title", "description")}


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "-"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _form(schema: Any, root: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if not isinstance(schema, Mapping):
        return {} if schema is True else schema
    schema, inside = _resolved(dict(schema), root, inside)
    if "$ref" in schema:
        return schema
    form = {
        key: _part(key, value, root, inside) for key, value in schema.items() if key not in _IGNORED
    }
    _merge_alternatives(form, root, inside)
    _sort_values(form)
    for key in _SCHEMAS:
        if form.get(key) == {}:
            del form[key]
    return {key: value for key, value in form.items() if value not in ({}, []) or key == "default"}


def _part(key: str, value: Any, root: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if key in _MAPS_OF_SCHEMAS:
        return {name: _form(each, root, inside) for name, each in value.items()}
    if key in _SCHEMAS:
        return _form(value, root, inside)
    if key == "prefixItems":
        return [_form(each, root, inside) for each in value]
    return " ".join(value.split()) if key == "description" else value


def _resolved(
    schema: dict[str, Any], root: Mapping[str, Any], inside: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The schema with its reference, or its only `allOf`, replaced by what it stands for."""
    while True:
        if len(schema.get("allOf", ())) == 1:
            schema = {**schema["allOf"][0], **{k: v for k, v in schema.items() if k != "allOf"}}
        reference = schema.get("$ref")
        if reference is None:
            return schema, inside
        if reference in inside:
            return {"$ref": reference.rsplit("/", 1)[-1]}, inside
        target: Any = root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target[step] if step else target
        inside = (*inside, reference)
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _merge_alternatives(
    form: dict[str, Any], root: Mapping[str, Any], inside: tuple[str, ...]
) -> None:
    types = form.get("type")
    if isinstance(types, list):
        del form["type"]
        form["anyOf"] = [{"type": each} for each in types]
    options = [*form.pop("anyOf", ()), *form.pop("oneOf", ())]
    if not options:
        return
    flat: list[Any] = []
    for option in options:
        made = _form(option, root, inside)
        is_nested = isinstance(made, dict) and made.keys() == {"anyOf"}
        flat.extend(made["anyOf"] if is_nested else [made])
    plain = [each for each in flat if isinstance(each, dict) and each.keys() == {"enum"}]
    others = [each for each in flat if each not in plain]
    null = {"type": "null"}
    if plain and null in others:
        others.remove(null)
        plain.append({"enum": [None]})
    if plain:
        others.append({"enum": _sorted([value for each in plain for value in each["enum"]])})
    if len(others) == 1:
        form.update(others[0])
    else:
        form["anyOf"] = _sorted(others)


def _sort_values(form: dict[str, Any]) -> None:
    if "const" in form:
        form["enum"] = [form.pop("const")]
    if "enum" in form:
        form["enum"] = _sorted(form["enum"])
        if {_TYPES.get(type(value)) for value in form["enum"]} == {form.get("type")}:
            del form["type"]
    if "required" in form:
        form["required"] = sorted(form["required"])


def _sorted(values: list[Any]) -> list[Any]:
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))
