"""Makes `typing.TypedDict` classes readable for pydantic on Python 3.11.

There, `typing.TypedDict` does not keep what pydantic needs, and pydantic asks for the class of
`typing_extensions`. People write `typing`. The file goes when 3.11 goes.
"""

import sys
import types
import typing
from typing import Annotated, Any, Union, get_args, get_origin

import typing_extensions


def with_readable_typed_dicts(annotation: Any) -> Any:  # Any: every form an annotation can have
    """Return the annotation with each `typing.TypedDict` replaced by an equal readable one.

    Args:
        annotation: A resolved annotation; it is not changed.
    """
    if sys.version_info >= (3, 12):
        return annotation
    return _replaced(annotation, {})


def _replaced(annotation: Any, done: dict[type, Any]) -> Any:
    if typing_extensions.is_typeddict(annotation):
        return _rebuilt(annotation, done)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None or not arguments or origin is typing.Literal:
        return annotation
    if origin is Annotated:
        return Annotated[(_replaced(arguments[0], done), *arguments[1:])]
    replaced = tuple(_replaced(argument, done) for argument in arguments)
    if all(new is old for new, old in zip(replaced, arguments, strict=True)):
        return annotation
    if origin in (Union, types.UnionType):
        return Union[replaced]  # noqa: UP007  # built from a tuple
    return origin[replaced]


def _rebuilt(typed_dict: Any, done: dict[type, Any]) -> Any:
    if typed_dict in done:
        return done[typed_dict]
    done[typed_dict] = typed_dict  # a recursive definition stays as it is and pydantic says so
    required: frozenset[str] = typed_dict.__required_keys__
    hints = typing.get_type_hints(typed_dict, include_extras=True)
    fields: dict[str, Any] = {}
    for name, hint in hints.items():
        inner = get_args(hint)[0] if get_origin(hint) in _MARKS else hint
        mark = typing_extensions.Required if name in required else typing_extensions.NotRequired
        fields[name] = mark[_replaced(inner, done)]
    make: Any = typing_extensions.TypedDict  # type checkers only know it with literal fields
    rebuilt = make(typed_dict.__name__, fields)
    rebuilt.__doc__ = typed_dict.__doc__
    rebuilt.__module__ = typed_dict.__module__
    done[typed_dict] = rebuilt
    return rebuilt


_MARKS = (
    typing.Required,
    typing.NotRequired,
    typing_extensions.Required,
    typing_extensions.NotRequired,
)
