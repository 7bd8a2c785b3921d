"""A function's signature as a JSON Schema and as the validator of the arguments a model sends.

Made once, at registration. What a provider gets to see of the schema is made in `_provider_view`.
"""

import inspect
from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any, ClassVar, Optional, cast, get_args, get_origin

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from mbxai.errors import ToolArgumentError, ToolDefinitionError
from mbxai.tools._arguments import argument_problems, read_object
from mbxai.tools._docstring import DocstringText
from mbxai.tools._provider_view import provider_view
from mbxai.tools._signature import AnyFunction, Parameter, fixed_keywords, read_parameters
from mbxai.wire._typed_dicts import with_readable_typed_dicts


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSignature:
    """How a function is described to a model, and how it is called with the model's arguments.

    Attributes:
        schema: JSON Schema of the arguments: an object with `properties` and `required`.
        parameters: All parameters, injected ones included, in the function's order.
        model: Validates the arguments; field `p3` is parameter number 3.
        extra: Validates arguments that land in `**options`; None if there is no such parameter.
        droppable: Arguments for which null means "not given": optional, but not nullable.
        reserved: Names that the model must not set through `**options`.
        wire_names: Names of the arguments, as the model gives them.
        strict: Whether a string is refused where a number is wanted, and the like.
    """

    schema: dict[str, Any]
    parameters: tuple[Parameter, ...]
    model: type[BaseModel]
    extra: TypeAdapter[Any] | None
    droppable: frozenset[str]
    reserved: frozenset[str]
    wire_names: tuple[str, ...]
    strict: bool

    def validate(self, arguments: str) -> dict[str, Any]:
        """Return the values for the function, by parameter name.

        Args:
            arguments: JSON text of an object; blank text and `null` are an empty one.

        Returns:
            Validated values of the arguments that were given; what was not given is left to the
            function's own defaults.

        Raises:
            ToolArgumentError: The text is no JSON object, or the arguments do not fit.
        """
        given = read_object(arguments)
        kept = {k: v for k, v in given.items() if v is not None or k not in self.droppable}
        try:
            # Always from JSON text: there, strict rules still take a date or an enum from a string.
            model = self.model.model_validate_json(pydantic_core.to_json(kept), strict=self.strict)
            values = self._extra_values(model)
        except ValidationError as cause:
            errors = cause.errors(include_url=False, include_context=False, include_input=False)
            raise ToolArgumentError(argument_problems(errors)) from None
        for index, parameter in enumerate(self.parameters):
            key = f"p{index}"
            if key in model.model_fields_set or self._has_field_default(parameter, key):
                values[parameter.name] = getattr(model, key)
        return values

    def _extra_values(self, model: BaseModel) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in (model.model_extra or {}).items():
            if name in self.reserved or self.extra is None:
                raise ToolArgumentError(f"{name}: no such argument.")
            text = pydantic_core.to_json({name: value})
            values.update(self.extra.validate_json(text, strict=self.strict))
        return values

    def _has_field_default(self, parameter: Parameter, key: str) -> bool:
        """Whether the default stands in a `Field`, so that the function itself does not know it."""
        if key not in self.model.model_fields:
            return False
        return isinstance(parameter.default, FieldInfo) or parameter.is_required

    def bind(self, values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Split values into positional and keyword arguments, as the function wants them.

        Args:
            values: Values by parameter name, injected ones included.

        Returns:
            Positional-only arguments, and all others by name.
        """
        keywords = dict(values)
        only = [p for p in self.parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY]
        last = max((i for i, p in enumerate(only) if p.name in values), default=-1)
        positional = [keywords.pop(p.name, p.default) for p in only[: last + 1]]
        return positional, keywords


def read_signature(
    function: AnyFunction, label: str, texts: DocstringText, *, lenient: bool = False
) -> FunctionSignature:
    """Read a function once, for all its calls.

    Args:
        function: The function; see `read_parameters` for what may be one.
        label: The tool's name, for errors.
        texts: What its docstring says.
        lenient: Accept annotations that no schema can be made of, and convert what can be
            converted; used where a schema was given with the function.

    Raises:
        ToolDefinitionError: A parameter has no annotation, or one that cannot become a schema.
    """
    parameters = read_parameters(function, label, lenient=lenient)
    fields: dict[str, Any] = {}
    droppable: set[str] = set()
    wire_names: list[str] = []
    extra: TypeAdapter[Any] | None = None
    for index, parameter in enumerate(parameters):
        if parameter.injection is not None or parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        annotation = _checked_annotation(parameter, label, lenient=lenient)
        if parameter.is_variadic:
            extra = TypeAdapter[Any](cast("Any", GenericAlias(dict, (str, annotation))))
            continue
        field = _field(parameter, annotation, texts)
        fields[f"p{index}"] = field.definition
        wire_names.append(field.wire_name)
        if field.droppable:
            droppable.add(field.wire_name)
    config = ConfigDict(extra="allow" if extra else "forbid", hide_input_in_errors=True)
    model = create_model("Arguments", __config__=config, **fields)
    named = {parameter.name for parameter in parameters if not parameter.is_variadic}
    return FunctionSignature(
        schema={} if lenient else _schema_of(model, extra),
        parameters=parameters,
        model=model,
        extra=extra,
        droppable=frozenset(droppable),
        reserved=frozenset(named) | fixed_keywords(function),
        wire_names=tuple(wire_names),
        strict=not lenient,
    )


@dataclass(frozen=True, slots=True)
class _Field:
    wire_name: str
    droppable: bool
    definition: tuple[Any, Any]


class _PlainJsonSchema(GenerateJsonSchema):
    """Leaves a default that JSON cannot hold out of the schema, without a warning."""

    # Declared as an instance's attribute there, and read from the class.
    ignored_warning_kinds: ClassVar[set[Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "skipped-choice",
        "non-serializable-default",
    }


def _schema_of(model: type[BaseModel], extra: TypeAdapter[Any] | None) -> dict[str, Any]:
    schema = model.model_json_schema(schema_generator=_PlainJsonSchema)
    if extra is not None:
        rest = provider_view(extra.json_schema(schema_generator=_PlainJsonSchema))
        schema["additionalProperties"] = rest.get("additionalProperties", True)
    return provider_view(schema)


def _checked_annotation(parameter: Parameter, label: str, *, lenient: bool) -> Any:
    try:
        annotation = with_readable_typed_dicts(parameter.annotation)
        _probe(annotation).model_json_schema(schema_generator=_PlainJsonSchema)
    except Exception as cause:  # pydantic, and the hooks of a user's type, may raise anything
        if lenient:
            return Any
        reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise ToolDefinitionError(
            f"Tool {label!r}: the annotation of parameter {parameter.name!r} cannot become a JSON"
            f" Schema ({reason[:200]}).",
            hint="Use plain types, a pydantic model, a dataclass or a TypedDict, or pass a schema"
            " with the function; `ToolContext` and `Secret` are injected only as whole parameters.",
        ) from cause
    return annotation


def _field(parameter: Parameter, annotation: Any, texts: DocstringText) -> _Field:
    info = FieldInfo.from_annotation(annotation)
    default = parameter.default
    own = default if isinstance(default, FieldInfo) else FieldInfo()
    description = own.description or _description(info) or texts.parameters.get(parameter.name)
    alias = own.validation_alias or own.alias or info.validation_alias or info.alias
    nullable = _accepts_none(annotation)
    if default is None and not nullable:
        # `limit: int = None` is how many people write an optional parameter.
        annotation, nullable = _or_none(annotation), True
    settings: dict[str, Any] = {"description": description} if description else {}
    if alias is None:
        settings["alias"] = parameter.name
    if parameter.is_required:
        default = Field()  # lets a default that stands in the annotation through
    is_optional = not (parameter.is_required and info.is_required() and own.is_required())
    return _Field(
        wire_name=alias if isinstance(alias, str) else parameter.name,
        droppable=is_optional and not nullable,
        definition=(Annotated[annotation, Field(**settings)], default),
    )


def _description(info: FieldInfo) -> str | None:
    if info.description:
        return info.description
    for data in info.metadata:
        text = data if isinstance(data, str) else getattr(data, "documentation", None)
        if isinstance(text, str):
            return text
    return None


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
    try:
        _probe(annotation).model_validate({"value": None}, strict=True)
    except Exception:  # noqa: BLE001  # a user's validator runs here
        return False
    return True
