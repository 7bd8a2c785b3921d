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


def typed_dict_keys(typed_dict: Any) -> dict[str, tuple[Any, bool]]:  # Any: a class, an annotation
    """Return the keys of a TypedDict with their annotations, and whether they are required.

    Args:
        typed_dict: The class, of `typing` or of `typing_extensions`.
    """
    # With postponed annotations Python 3.11 cannot see `NotRequired`, so it is looked for here.
    required: frozenset[str] = typed_dict.__required_keys__
    keys: dict[str, tuple[Any, bool]] = {}
    for name, written in typing.get_type_hints(typed_dict, include_extras=True).items():
        hint, is_required = written, name in required
        while (mark := get_origin(hint)) in _MARKS:
            if mark not in _READ_ONLY:
                is_required = mark in _REQUIRED
            (hint,) = get_args(hint)
        keys[name] = hint, is_required
    return keys


def _replaced(annotation: Any, done: dict[Any, Any]) -> Any:
    if typing_extensions.is_typeddict(annotation):
        return _rebuilt(annotation, {}, done)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None or not arguments or origin is typing.Literal:
        return annotation
    if origin is Annotated:
        return Annotated[(_replaced(arguments[0], done), *arguments[1:])]
    if typing_extensions.is_typeddict(origin):
        return _rebuilt(annotation, dict(zip(origin.__parameters__, arguments, strict=True)), done)
    replaced = tuple(_replaced(argument, done) for argument in arguments)
    if all(new is old for new, old in zip(replaced, arguments, strict=True)):
        return annotation
    if origin in (Union, types.UnionType):
        return Union[replaced]  # noqa: UP007  # built from a tuple
    return origin[replaced]


def _rebuilt(annotation: Any, filled: dict[Any, Any], done: dict[Any, Any]) -> Any:
    if annotation in done:
        return done[annotation]
    typed_dict = get_origin(annotation) or annotation
    keys = typed_dict_keys(typed_dict)
    make: Any = typing_extensions.TypedDict  # type checkers only know it with literal fields
    marks = (typing_extensions.NotRequired, typing_extensions.Required)
    rebuilt = make(typed_dict.__name__, {name: marks[keys[name][1]][Any] for name in keys})
    # Known before its fields are, so that a recursive one can name itself.
    done[annotation] = rebuilt
    for name, (hint, is_required) in keys.items():
        field = _replaced(_filled(hint, filled), done)
        rebuilt.__annotations__[name] = marks[is_required][field]
    rebuilt.__doc__ = typed_dict.__doc__
    rebuilt.__module__ = typed_dict.__module__
    return rebuilt


def _filled(hint: Any, filled: dict[Any, Any]) -> Any:
    """An annotation in a generic TypedDict with its variables filled in."""
    if hint in filled:
        return filled[hint]
    variables: tuple[Any, ...] = getattr(hint, "__parameters__", ())
    if not filled or not variables:
        return hint
    return hint[tuple(filled.get(variable, variable) for variable in variables)]


_REQUIRED = (typing.Required, typing_extensions.Required)
_READ_ONLY = (typing_extensions.ReadOnly,)
_MARKS = (*_REQUIRED, *_READ_ONLY, typing.NotRequired, typing_extensions.NotRequired)
