"""Annotations of parameters as pydantic can read them from JSON.

`Iterable` would be validated only while the function already runs, `Self` means nothing outside of
its class, and what the library injects must stand alone. Nothing here knows of functions.
"""

import collections.abc
import types
import typing
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import typing_extensions

from mbxai.tools._context import Secret, ToolContext

_LISTS: Final = (collections.abc.Iterable, collections.abc.Collection, collections.abc.Container)
_NOT_DATA: Final = (
    collections.abc.Generator,
    collections.abc.Iterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
)
# Special forms, whose type no checker knows.
_SELVES: Final[Any] = (typing.Self, typing_extensions.Self)  # pyright: ignore[reportUnknownMemberType]
_LEFT_ALONE: Final[tuple[Any, ...]] = (Literal, collections.abc.Callable)  # pyright: ignore[reportUnknownMemberType]


def readable_annotation(annotation: Any, owner: type | None) -> Any:  # Any: every form there is
    """Return an annotation that says the same, and that arguments can be validated with.

    Args:
        annotation: A resolved annotation; it is not changed.
        owner: The class whose method has it, which is what `Self` means; None outside of one.

    Raises:
        TypeError: It contains something that no JSON value can become.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    kind = origin or annotation
    if _is_injected(kind):
        raise TypeError(f"{kind.__name__} is injected only as a whole parameter")
    if kind in _NOT_DATA:
        raise TypeError(f"{kind.__name__} cannot come from JSON, take a list")
    if kind in _SELVES:
        if owner is None:
            raise TypeError("Self has a meaning only in a method of an object or a class")
        return owner
    if kind in _LISTS:
        item = readable_annotation(arguments[0], owner) if arguments else Any
        return types.GenericAlias(list, (item,))
    if not arguments or origin in _LEFT_ALONE:
        return annotation
    if origin is Annotated:
        return Annotated[(readable_annotation(arguments[0], owner), *arguments[1:])]
    changed = tuple(readable_annotation(argument, owner) for argument in arguments)
    if all(new is old for new, old in zip(changed, arguments, strict=True)):
        return annotation
    if origin in (Union, types.UnionType):
        return Union[changed]  # noqa: UP007  # built from a tuple
    return origin[changed]


def _is_injected(kind: Any) -> bool:
    return kind is ToolContext or kind is Secret
