"""The parameters of a function as the fields of one pydantic model.

A field is called `p3` after its parameter's number, so that no parameter's name can be in the way
of pydantic; the model knows it by its alias.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, Optional, Union, cast, get_args, get_origin

import pydantic_core
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.fields import FieldInfo

from mbxai.errors import ToolArgumentError, ToolDefinitionError
from mbxai.tools.schema._annotations import readable_annotation
from mbxai.tools.schema._docstring import DocstringText
from mbxai.tools.schema._json_schema import ToolJsonSchema
from mbxai.tools.schema._provider_view import provider_view
from mbxai.tools.schema._signature import AnyFunction, Parameter, fixed_keywords, owner_of
from mbxai.wire._typed_dicts import with_readable_typed_dicts

_PLAIN: Final[tuple[Any, ...]] = (str, int, float, bool)
_NEVER_NONE: Final[tuple[Any, ...]] = (*_PLAIN, list, dict, set, frozenset, tuple)


class _Key(NamedTuple):
    """Where the value of a parameter is found, and whether also when it was not given."""

    field: str
    parameter: str
    has_own_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldReader:
    """Reads arguments into the values of parameters.

    Attributes:
        schema: JSON Schema of the arguments; empty where one was given with the function.
        model: Validates the arguments.
        extra: Validates arguments that land in `**options`; None if there is no such parameter.
        keys: The parameters that the model's fields stand for.
        droppable: Arguments for which null means "not given".
        reserved: Names that the model must not set through `**options`.
        wire_names: Names of the arguments, as the model gives them.
        strict: Whether a string is refused where a number is wanted, and the like.
    """

    schema: dict[str, Any]
    model: type[BaseModel]
    extra: TypeAdapter[Any] | None
    keys: tuple[_Key, ...]
    droppable: frozenset[str]
    reserved: frozenset[str]
    wire_names: tuple[str, ...]
    strict: bool

    def __call__(self, text: str | bytes) -> dict[str, Any]:
        """Return values by parameter name.

        Args:
            text: JSON text of an object.

        Raises:
            ToolArgumentError: An argument has a name that is not open to the model.
            ValidationError: The arguments do not fit.
        """
        model = self.model.model_validate_json(text, strict=self.strict)
        values = {} if self.extra is None else self._extra_values(model, self.extra)
        given, found = model.model_fields_set, model.__dict__
        for field, parameter, has_own_default in self.keys:
            if has_own_default or field in given:
                values[parameter] = found[field]
        return values

    def _extra_values(self, model: BaseModel, extra: TypeAdapter[Any]) -> dict[str, Any]:
        named = model.model_extra or {}
        for name in named:
            if name in self.reserved:
                raise ToolArgumentError(f"{name}: no such argument.")
        text = pydantic_core.to_json(named)
        return cast("dict[str, Any]", extra.validate_json(text, strict=self.strict))


def read_fields(
    function: AnyFunction,
    parameters: Sequence[Parameter],
    label: str,
    texts: DocstringText,
    *,
    lenient: bool,
) -> FieldReader:
    """Make the model of a function's arguments.

    Args:
        function: The function.
        parameters: Its parameters, injected ones included.
        label: The tool's name, for errors.
        texts: What its docstring says.
        lenient: Accept annotations that no schema can be made of.

    Raises:
        ToolDefinitionError: An annotation cannot become a schema, or two arguments have one name.
    """
    owner = owner_of(function)
    annotations = {
        index: _readable(parameter, owner, label, lenient=lenient)
        for index, parameter in enumerate(parameters)
        if parameter.injection is None and parameter.kind is not inspect.Parameter.VAR_POSITIONAL
    }
    try:
        return _reader(function, parameters, annotations, label, texts, lenient=lenient)
    except ToolDefinitionError:
        raise
    except Exception as cause:  # pydantic, and the hooks of a user's type, may raise anything
        # Looking at each on its own takes time, so it is done only to name the one at fault.
        for index, annotation in annotations.items():
            _check(parameters[index], annotation, label)
        raise ToolDefinitionError(
            f"Tool {label!r}: its parameters together cannot become a JSON Schema"
            f" ({type(cause).__name__})."
        ) from cause


def _reader(
    function: AnyFunction,
    parameters: Sequence[Parameter],
    annotations: Mapping[int, Any],
    label: str,
    texts: DocstringText,
    *,
    lenient: bool,
) -> FieldReader:
    fields: dict[str, _Field] = {}
    extra: TypeAdapter[Any] | None = None
    for index, annotation in annotations.items():
        parameter = parameters[index]
        if parameter.is_variadic:
            extra = TypeAdapter[Any](cast("Any", GenericAlias(dict, (str, annotation))))
            continue
        fields[f"p{index}"] = _field(parameter, annotation, texts)
    wire_names = tuple(field.wire_name for field in fields.values())
    double = next((name for name in wire_names if wire_names.count(name) > 1), None)
    if double is not None:
        raise ToolDefinitionError(
            f"Tool {label!r}: two parameters are called {double!r} by the model.",
            hint="Give each an alias of its own.",
        )
    config = ConfigDict(extra="allow" if extra else "forbid", hide_input_in_errors=True)
    definitions: dict[str, Any] = {name: field.definition for name, field in fields.items()}
    model = create_model("Arguments", __config__=config, **definitions)
    named = {parameter.name for parameter in parameters if not _is_apart(parameter)}
    return FieldReader(
        schema={} if lenient else _schema_of(model, extra),
        model=model,
        extra=extra,
        keys=tuple(
            _Key(name, field.parameter.name, field.has_own_default)
            for name, field in fields.items()
        ),
        droppable=frozenset(field.wire_name for field in fields.values() if field.droppable),
        reserved=frozenset(named) | fixed_keywords(function),
        wire_names=wire_names,
        strict=not lenient,
    )


def _is_apart(parameter: Parameter) -> bool:
    """Whether an argument of the same name is something else, which lands in `**options`."""
    is_context = parameter.injection is not None and parameter.injection.kind == "context"
    only = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    return parameter.is_variadic or (is_context and only)


def field_description(info: FieldInfo) -> str | None:
    """Return what an annotation says of its parameter: by `Field`, as plain text, or by `Doc`.

    Args:
        info: The annotation, as pydantic reads it.
    """
    if info.description:
        return info.description
    for data in info.metadata:
        text = data if isinstance(data, str) else getattr(data, "documentation", None)
        if isinstance(text, str):
            return text
    return None


@dataclass(frozen=True, slots=True)
class _Field:
    parameter: Parameter
    wire_name: str
    droppable: bool
    definition: tuple[Any, Any]

    @property
    def has_own_default(self) -> bool:
        """Whether the default stands in a `Field`, so that the function itself does not know it."""
        default = self.parameter.default
        return isinstance(default, FieldInfo) or self.parameter.is_required


def _schema_of(model: type[BaseModel], extra: TypeAdapter[Any] | None) -> dict[str, Any]:
    schema = model.model_json_schema(schema_generator=ToolJsonSchema)
    if extra is not None:
        rest = provider_view(extra.json_schema(schema_generator=ToolJsonSchema), root=False)
        schema["additionalProperties"] = rest.get("additionalProperties", True)
        if "$defs" in rest:
            schema["$defs"] = {**rest["$defs"], **schema.get("$defs", {})}
    return provider_view(schema)


def _readable(parameter: Parameter, owner: type | None, label: str, *, lenient: bool) -> Any:
    try:
        annotation = with_readable_typed_dicts(readable_annotation(parameter.annotation, owner))
        if lenient:
            _check(parameter, annotation, label)
    except ToolDefinitionError:
        return Any
    except Exception as cause:  # as above
        if lenient:
            return Any
        raise _unreadable(parameter, label, cause) from cause
    return annotation


def _check(parameter: Parameter, annotation: Any, label: str) -> None:
    if annotation in _PLAIN:
        return
    try:
        _probe(annotation).model_json_schema(schema_generator=ToolJsonSchema)
    except Exception as cause:  # as above
        raise _unreadable(parameter, label, cause) from cause


def _unreadable(parameter: Parameter, label: str, cause: Exception) -> ToolDefinitionError:
    reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    return ToolDefinitionError(
        f"Tool {label!r}: the annotation of parameter {parameter.name!r} cannot become a JSON"
        f" Schema ({reason[:200]}).",
        hint="Use plain types, a pydantic model, a dataclass or a TypedDict, or pass a schema"
        " with the function; `ToolContext` and `Secret` are injected only as whole parameters.",
    )


def _field(parameter: Parameter, annotation: Any, texts: DocstringText) -> _Field:
    info = FieldInfo.from_annotation(annotation)
    default = parameter.default
    own = default if isinstance(default, FieldInfo) else FieldInfo()
    description = own.description or field_description(info)
    description = description or texts.parameters.get(parameter.name)
    alias = _wire_name(own) or _wire_name(info)
    is_optional = not (parameter.is_required and info.is_required() and own.is_required())
    nullable = is_optional and _accepts_none(annotation)
    if default is None and not nullable:
        # `limit: int = None` is how many people write an optional parameter.
        annotation, nullable = _or_none(annotation), True
    settings: dict[str, Any] = {"description": description} if description else {}
    if alias is None:
        settings["alias"] = parameter.name
    if parameter.is_required:
        default = Field()  # lets a default that stands in the annotation through
    return _Field(
        parameter=parameter,
        wire_name=alias or parameter.name,
        droppable=is_optional and not nullable,
        definition=(Annotated[annotation, Field(**settings)], default),
    )


def _wire_name(info: FieldInfo) -> str | None:
    alias = info.validation_alias or info.alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), None)
    return alias if isinstance(alias, str) else None


def _probe(annotation: Any) -> type[BaseModel]:
    """A model of one field: only there does pydantic take all that a `Field` may say."""
    return create_model(
        "Probe", __config__=ConfigDict(populate_by_name=True), value=(annotation, ...)
    )


def _or_none(annotation: Any) -> Any:
    if get_origin(annotation) is not Annotated:
        return Optional[annotation]  # noqa: UP045  # `|` fails on some forms of annotation
    inner, *metadata = get_args(annotation)
    return Annotated[(Optional[inner], *metadata)]  # noqa: UP045


def _accepts_none(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    if kind in _NEVER_NONE:
        return False
    if kind in (Union, UnionType) and NoneType in get_args(annotation):
        return True
    try:
        _probe(annotation).model_validate({"value": None}, strict=True)
    except Exception:  # noqa: BLE001  # a user's validator runs here
        return False
    return True
