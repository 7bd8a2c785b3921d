"""What a tool promises to return: a JSON Schema from the return annotation; no protocol here."""

import inspect
import types
import typing
from collections.abc import AsyncIterable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from mbxai.mcp.serving._blocks import EmbeddedResource, ResourceLink
from mbxai.tools.schema._signature import AnyFunction, innermost
from mbxai.wire import ToolResult
from mbxai.wire._content_parts import AudioPart, FilePart, ImagePart, TextPart, VideoPart
from mbxai.wire._typed_dicts import with_readable_typed_dicts

_WRAPPER: Final = "result"
# Texts are left out: a text is its own best form, and would be sent twice.
_NO_DATA: Final = (None, types.NoneType, Any, object, str, inspect.Parameter.empty)
_CONTENT: Final = (
    *(bytes, bytearray, memoryview, ToolResult, EmbeddedResource, ResourceLink),
    *(ImagePart, AudioPart, FilePart, VideoPart, TextPart),
)
_STREAMS: Final = (Iterator, AsyncIterable)


@dataclass(frozen=True, slots=True)
class OutputShape:
    """What every result of a tool looks like.

    Attributes:
        schema: Its JSON Schema: an object.
        is_wrapped: Whether the value stands under "result", since it is no object itself.
        adapter: Checks a value, and turns it into JSON.
    """

    schema: dict[str, Any]
    is_wrapped: bool
    adapter: TypeAdapter[Any]

    def plain(self, value: object) -> object:
        """Return a value as JSON.

        Args:
            value: What the function returned.

        Raises:
            ValidationError: It is not what the function's annotation says.
        """
        checked = self.adapter.validate_python(value)
        return self.adapter.dump_python(checked, mode="json", by_alias=True)

    def structured(self, value: object) -> dict[str, Any] | None:
        """Return the structured part of a result.

        Args:
            value: The value as JSON.
        """
        if self.is_wrapped:
            return {_WRAPPER: value}
        return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def output_shape(function: AnyFunction) -> OutputShape | None:
    """Return what a function promises to return.

    Args:
        function: Any callable.

    Returns:
        The shape; None where the annotation promises no data: it is missing, a text, a picture, a
        stream, or nothing that JSON Schema can say.
    """
    inner = innermost(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        return None
    try:
        annotation: Any = typing.get_type_hints(inner, include_extras=True).get("return")
        if not _is_data(annotation):
            return None
        adapter = TypeAdapter[Any](with_readable_typed_dicts(annotation))
        schema = adapter.json_schema(mode="serialization", by_alias=True)
    except Exception:  # noqa: BLE001  # an annotation is code; a tool needs no output schema
        return None
    return _shaped(schema, adapter)


def misfit(error: ValidationError) -> str:
    """Return where a value is not what it should be, without the value.

    Args:
        error: What checking it raised.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in found[:5])


def _shaped(schema: dict[str, Any], adapter: TypeAdapter[Any]) -> OutputShape:
    definitions = schema.get("$defs", {})
    reference = schema.get("$ref")
    target = definitions.get(str(reference).rpartition("/")[2], {}) if reference else schema
    if target.get("type") == "object":
        return OutputShape({"type": "object", **schema}, is_wrapped=False, adapter=adapter)
    value = {key: part for key, part in schema.items() if key != "$defs"}
    wrapped: dict[str, Any] = {
        "title": "Output",  # by such a title clients know a wrapper
        "type": "object",
        "properties": {_WRAPPER: value},
        "required": [_WRAPPER],
    }
    if definitions:
        wrapped["$defs"] = definitions
    return OutputShape(wrapped, is_wrapped=True, adapter=adapter)


def _is_data(annotation: Any) -> bool:
    if annotation in _NO_DATA:
        return False
    if get_origin(annotation) in (list, tuple, set, frozenset) and Any in get_args(annotation):
        return False  # perhaps a list of pictures
    return annotation not in (list, tuple) and not _holds_content(annotation)


def _holds_content(annotation: Any) -> bool:
    if annotation in _CONTENT:
        return True
    origin = get_origin(annotation)
    if inspect.isclass(origin) and (origin is Iterable or issubclass(origin, _STREAMS)):
        return True
    return any(_holds_content(inner) for inner in get_args(annotation))
