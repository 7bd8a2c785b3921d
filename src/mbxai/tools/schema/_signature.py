"""What a function takes: its parameters with resolved annotations, and which of them are injected.

Only reads the function; no schema and no pydantic model is made here.
"""

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, cast, get_args, get_origin

import typing_extensions

from mbxai.errors import ToolDefinitionError
from mbxai.tools._context import Secret, ToolContext
from mbxai.wire._typed_dicts import typed_dict_keys

AnyFunction: TypeAlias = Callable[..., Any]
"""A function of any signature; what it takes is read at registration."""

NOT_GIVEN: Final = object()
"""Default of a key that may be missing from `**options`; never given to the function."""

_UNPACKS: Final = (typing.Unpack, typing_extensions.Unpack)


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """A parameter that the library fills.

    Attributes:
        kind: What it is filled with.
        secret_name: Name of the credential; empty for a context.
        nullable: Whether the parameter takes None where there is no value.
        context_type: Which context it takes; some callers give more than the plain one.
    """

    kind: Literal["context", "secret"]
    secret_name: str = ""
    nullable: bool = False
    context_type: type[ToolContext[Any]] = ToolContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a tool's function.

    Attributes:
        name: Its name in the function.
        kind: Positional-only, keyword-only and so on, as in `inspect`.
        annotation: Its resolved annotation.
        default: Its default; `inspect.Parameter.empty` if it has none.
        injection: How the library fills it; None if the model gives it.
    """

    name: str
    kind: Any
    annotation: Any
    default: Any
    injection: Injection | None

    @property
    def is_required(self) -> bool:
        """Whether a call without it fails."""
        return self.default is inspect.Parameter.empty and not self.is_variadic

    @property
    def is_variadic(self) -> bool:
        """Whether it is `**options`."""
        return bool(self.kind is inspect.Parameter.VAR_KEYWORD)


def read_parameters(function: AnyFunction, label: str, *, lenient: bool) -> tuple[Parameter, ...]:
    """Return the parameters that a caller of the function may still give.

    Args:
        function: A function, bound method, partial, class or object with `__call__`.
        label: The tool's name, for errors.
        lenient: Accept a missing or unresolvable annotation (it becomes `Any`); used where a
            schema was given with the function.

    Returns:
        Parameters in their order, without those that a partial has fixed by keyword. The keys of
        an unpacked TypedDict (`**options: Unpack[Options]`) are parameters of their own.

    Raises:
        ToolDefinitionError: The function has no signature, takes `*args`, or a parameter has no
            annotation or one that cannot be resolved.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError, NameError) as cause:
        raise ToolDefinitionError(
            f"Tool {label!r}: its function has no readable signature.",
            hint="Wrap it in a plain function with annotated parameters.",
        ) from cause
    fixed = fixed_keywords(function)
    hints = _resolved_hints(function, signature, label, lenient=lenient)
    parameters: dict[str, Parameter] = {}
    for declared in signature.parameters.values():
        if declared.name in fixed:
            continue
        for parameter in _expanded(_read_parameter(declared, hints, label, lenient=lenient)):
            if parameter.name in parameters:
                raise ToolDefinitionError(
                    f"Tool {label!r}: there are two parameters {parameter.name!r}.",
                    hint=f"Take the key out of the TypedDict of **{declared.name}.",
                )
            parameters[parameter.name] = parameter
    return tuple(parameters.values())


def owner_of(function: AnyFunction) -> type | None:
    """Return the class whose bound method a function is; None for all others."""
    while isinstance(function, functools.partial):
        function = cast("AnyFunction", function.func)
    bound: object = getattr(function, "__self__", None)
    if bound is None or not inspect.ismethod(function):
        return None if inspect.isroutine(function) or inspect.isclass(function) else type(function)
    return cast("type", bound) if inspect.isclass(bound) else type(bound)


def fixed_keywords(function: AnyFunction) -> frozenset[str]:
    """Return the keyword arguments that partials around the function have fixed."""
    names: set[str] = set()
    while isinstance(function, functools.partial):
        names.update(function.keywords)
        function = cast("AnyFunction", function.func)
    return frozenset(names)


def innermost(function: AnyFunction) -> AnyFunction:
    """Return the function inside partials, or the `__call__` of an object."""
    while isinstance(function, functools.partial):
        function = cast("AnyFunction", function.func)
    if inspect.isclass(function):
        return function.__init__
    if inspect.isroutine(function):
        return function
    return type(function).__call__


def _resolved_hints(
    function: AnyFunction, signature: inspect.Signature, label: str, *, lenient: bool
) -> dict[str, Any]:
    owner = innermost(function)
    # Only the parameters: what a function returns is nobody's business here, and may be anything.
    written = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    }
    try:
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__=written),
            globalns=_surrounding_names(function, owner),
            localns=_enclosed_names(owner),
            include_extras=True,
        )
    except Exception as cause:  # an annotation is code, and may raise anything
        if lenient:
            return {}
        missing = cause.name if isinstance(cause, NameError) else None
        names = [
            name
            for name, parameter in signature.parameters.items()
            if isinstance(parameter.annotation, str)
            and (missing is None or missing in parameter.annotation)
        ]
        raise ToolDefinitionError(
            f"Tool {label!r}: the annotation of {' or '.join(names) or 'a parameter'} cannot be"
            f" resolved ({type(cause).__name__}: {cause}).",
            hint="Define the type at module level, or write the annotation without quotes.",
        ) from cause


def _surrounding_names(function: AnyFunction, owner: AnyFunction) -> dict[str, Any]:
    """The names of the module in which a function was written."""
    inner = inspect.unwrap(getattr(owner, "__func__", owner))
    names: dict[str, Any] | None = getattr(inner, "__globals__", None)
    if names is None:  # a class without an `__init__` of its own
        module = sys.modules.get(getattr(function, "__module__", None) or "")
        names = vars(module) if module else {}
    return names


def _enclosed_names(function: AnyFunction) -> dict[str, Any]:
    """What a function inside a function sees of the names around it; those already bound."""
    inner = inspect.unwrap(getattr(function, "__func__", function))
    names: dict[str, Any] = {}
    if not inspect.isfunction(inner):
        return names
    for name, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # assigned after the function was made
            continue
    return names


def _read_parameter(
    parameter: inspect.Parameter, hints: dict[str, Any], label: str, *, lenient: bool
) -> Parameter:
    name = parameter.name
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL and not lenient:
        raise ToolDefinitionError(
            f"Tool {label!r}: parameter *{name} cannot be described to a model, which gives every"
            " argument by name.",
            hint=f"Take one list instead, for example `{name}: list[str]`.",
        )
    if name not in hints and not lenient:
        raise ToolDefinitionError(
            f"Tool {label!r}: parameter {name!r} has no annotation. A schema that calls it a string"
            " would be wrong, so none is made up.",
            hint=f"Write its type, for example `{name}: str` (a lambda has no place for it: write a"
            " function), or pass a schema with the function.",
        )
    annotation = hints.get(name, Any)
    return Parameter(
        name=name,
        kind=parameter.kind,
        annotation=annotation,
        default=parameter.default,
        injection=_injection(annotation, name),
    )


def _expanded(parameter: Parameter) -> Iterator[Parameter]:
    """A parameter itself, or the keys of its unpacked TypedDict."""
    if not parameter.is_variadic or get_origin(parameter.annotation) not in _UNPACKS:
        yield parameter
        return
    (typed_dict,) = get_args(parameter.annotation)
    for name, (hint, is_required) in typed_dict_keys(typed_dict).items():
        yield Parameter(
            name=name,
            kind=inspect.Parameter.KEYWORD_ONLY,
            annotation=hint,
            default=inspect.Parameter.empty if is_required else NOT_GIVEN,
            injection=_injection(hint, name),
        )


def _injection(annotation: Any, name: str, *, nullable: bool = False) -> Injection | None:
    origin = get_origin(annotation)
    if origin is Annotated:
        texts = [data for data in annotation.__metadata__ if isinstance(data, str)]
        return _injection(get_args(annotation)[0], texts[0] if texts else name, nullable=nullable)
    if origin in (Union, types.UnionType):
        others = [member for member in get_args(annotation) if member is not types.NoneType]
        if len(others) == 1:
            return _injection(others[0], name, nullable=True)
        return None
    if annotation is Secret:
        return Injection(kind="secret", secret_name=name, nullable=nullable)
    kind = origin or annotation
    if inspect.isclass(kind) and issubclass(kind, ToolContext):
        wanted = cast("type[ToolContext[Any]]", kind)
        return Injection(kind="context", nullable=nullable, context_type=wanted)
    return None
