"""What typed output is asked for and validated with: one `OutputType` for each Python type."""

import re
import sys
import threading
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Final, Generic, TypeVar, cast, get_args, get_origin, overload

from pydantic import BaseModel, TypeAdapter
from pydantic_core import SchemaValidator, core_schema

from mbxai.errors import ConfigurationError
from mbxai.wire._schema import (
    SCHEMA_FAILURES,
    Schema,
    compact,
    json_schema_of,
    no_schema_error,
    strict_view,
)
from mbxai.wire._typed_dicts import with_readable_typed_dicts

T = TypeVar("T")

WRAPPER_KEY: Final = "value"
"""Where the value stands if its own schema is no object, which providers want at the top."""

# An output type lives in its class, so that classes made at run time can go away with all of it.
_ATTRIBUTE: Final = "__mbxai_output_type__"
_MAX_FORMS: Final = 256
_MAX_NAME_CHARS: Final = 64
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_MODULES_OF_FORMS: Final = frozenset({"typing", "typing_extensions", "types", "collections.abc"})

# Each with the form itself: an unhashable form is found by its id, which must not be reused.
_forms: "dict[object, tuple[object, OutputType[Any]]]" = {}
_lock = threading.Lock()  # guards the eviction from _forms


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputType(Generic[T]):
    """A Python type as a provider and a validator see it.

    Attributes:
        name: What providers call it: letters, digits, `_` and `-`, at most 64 characters.
        schema: JSON Schema of an object with local references put in place; do not change it.
        strict_schema: The schema under strict rules; None where they would change what it says.
        is_wrapped: Whether the value stands under `value` in an object, because the type's own
            schema is no object.
        adapter: Validates and serialises the bare value.
        response_format: Asks a provider for JSON of this type; do not change it.
    """

    name: str
    schema: Schema
    strict_schema: Schema | None
    is_wrapped: bool
    adapter: TypeAdapter[T]
    response_format: Schema
    _wrapper: SchemaValidator | None = field(default=None, repr=False)

    def validate_json(self, text: str) -> T:
        """Return the value in a JSON text, taken out of its wrapper.

        Args:
            text: JSON as the schema describes it.

        Raises:
            ValidationError: The text is no JSON or does not fit; pydantic's own error.
        """
        if self._wrapper is None:
            return self.adapter.validate_json(text)
        return cast("T", self._wrapper.validate_json(text)[WRAPPER_KEY])

    @property
    def asked_schema(self) -> Schema:
        """The schema to send: the strict one if there is one."""
        return self.schema if self.strict_schema is None else self.strict_schema

    @property
    def is_list(self) -> bool:
        """Whether the value is a JSON array whose items have an order."""
        schema: Schema = self.schema["properties"][WRAPPER_KEY] if self.is_wrapped else {}
        return schema.get("type") == "array" and not schema.get("uniqueItems")


@overload
def output_type_of(kind: type[T] | TypeAdapter[T]) -> OutputType[T]: ...
@overload
def output_type_of(kind: object) -> OutputType[Any]: ...
def output_type_of(kind: object) -> OutputType[Any]:
    """Return the output type of a Python type; nothing is built twice.

    Args:
        kind: A class, a typing form such as `list[City]` or `Literal["a", "b"]`, or a
            `TypeAdapter`.

    Raises:
        ConfigurationError: It is no type, or pydantic has no JSON Schema for it.
    """
    if _has_attributes(kind):
        known = cast("OutputType[Any] | None", vars(kind).get(_ATTRIBUTE))
        if known is not None:
            return known
    found = _forms.get(_key(kind))
    return _remembered(kind) if found is None else found[1]


def _remembered(kind: object) -> OutputType[Any]:
    made = _built(kind)
    if _has_attributes(kind) and not _is_of_python(kind):
        try:
            setattr(cast("Any", kind), _ATTRIBUTE, made)
        except (AttributeError, TypeError):
            pass  # an immutable class; it is remembered like a form
        else:
            return made
    with _lock:
        while len(_forms) >= _MAX_FORMS:
            del _forms[next(iter(_forms))]
        _forms[_key(kind)] = kind, made
    return made


def _has_attributes(kind: object) -> bool:
    return isinstance(kind, type | TypeAdapter)


def _is_of_python(kind: object) -> bool:
    """Whether a class comes with Python; such classes are left as they are."""
    if not isinstance(kind, type) or kind.__module__.partition(".")[0] not in (
        sys.stdlib_module_names
    ):
        return False
    # A class that is made at run time may bear the name of the module that made it.
    return getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind


def _key(kind: object) -> object:
    try:
        hash(kind)
    except TypeError:
        return id(kind)
    return kind


def _built(kind: object) -> OutputType[Any]:
    if not _is_type(kind):
        raise ConfigurationError(
            f"{'None' if kind is None else f'A value of type {type(kind).__name__}'} is no type.",
            hint="Pass a type, for example CityInfo, list[CityInfo] or Literal['a', 'b'].",
        )
    try:
        adapter = _adapter_of(kind)
        schema = json_schema_of(kind) if _is_model(kind) else adapter.json_schema()
        view = compact(schema)
        is_wrapped = view.get("type") != "object"
        if is_wrapped:
            view = compact(_wrapped(schema))
        wrapper = _wrapper_of(adapter) if is_wrapped else None
    except SCHEMA_FAILURES as error:
        raise no_schema_error(kind, error) from error
    name, strict = _name_of(kind, schema), strict_view(view)
    return OutputType(
        name=name,
        schema=view,
        strict_schema=strict,
        is_wrapped=is_wrapped,
        adapter=adapter,
        response_format=_response_format(name, view, strict),
        _wrapper=wrapper,
    )


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_type(kind: object) -> bool:
    # Not left to pydantic, which takes an instance for its class and a text for a name to look up.
    return _has_attributes(kind) or type(kind).__module__ in _MODULES_OF_FORMS


def _adapter_of(kind: object) -> TypeAdapter[Any]:
    if isinstance(kind, TypeAdapter):
        adapter = cast("TypeAdapter[Any]", kind)
        adapter.rebuild()  # does nothing unless its building was deferred
        return adapter
    return TypeAdapter(with_readable_typed_dicts(kind))


def _wrapped(schema: Schema) -> Schema:
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    wrapper: Schema = {
        "type": "object",
        "properties": {WRAPPER_KEY: inner},
        "required": [WRAPPER_KEY],
        "additionalProperties": False,
    }
    return {**wrapper, "$defs": schema["$defs"]} if "$defs" in schema else wrapper


def _wrapper_of(adapter: TypeAdapter[Any]) -> SchemaValidator:
    fields = {WRAPPER_KEY: core_schema.typed_dict_field(adapter.core_schema)}
    return SchemaValidator(core_schema.typed_dict_schema(fields, extra_behavior="forbid"))


def _response_format(name: str, schema: Schema, strict: Schema | None) -> Schema:
    inner: Schema = {"name": name, "schema": schema if strict is None else strict}
    if strict is not None:
        inner["strict"] = True
    return {"type": "json_schema", "json_schema": inner}


def _name_of(kind: object, schema: Schema) -> str:
    # A title that pydantic made is the class's own name, spaces included.
    title: object = schema.get("title") if _has_attributes(kind) else None
    text = title if isinstance(title, str) else _words(kind)
    return _NOT_IN_A_NAME.sub("_", text).strip("_")[:_MAX_NAME_CHARS] or "response"


def _words(kind: object) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(parts[0])
    if origin is None:
        return str(getattr(kind, "__name__", ""))
    name = "Union" if origin is UnionType else str(getattr(origin, "__name__", "value"))
    return "_".join([name, *(_words(part) if _is_type(part) else str(part) for part in parts)])
