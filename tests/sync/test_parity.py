"""Every blocking class has the methods of its async twin: names, parameters, defaults, docstrings.

The pairs are found, not listed: a class `X` or a class with an `async_client` beside every public
`AsyncX`.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

import mbxai

# What the blocking world calls otherwise.
RENAMED = {
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
ONLY_ASYNC = {"open", "batches", "set_response", "output_type", "parsed", "next_item"}


def _public_classes() -> Iterator[tuple[str, type]]:
    for info in pkgutil.walk_packages(mbxai.__path__, "mbxai."):
        if any(part.startswith("_") for part in info.name.split(".")) or "cli" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if isinstance(value, type):
                yield name, value


CLASSES = dict(_public_classes())
PAIRS = [
    (cls, CLASSES.get(name.removeprefix("Async")))
    for name, cls in CLASSES.items()
    if name.startswith("Async")
]


def test_every_async_class_has_a_blocking_twin() -> None:
    assert len(PAIRS) >= 6
    assert [cls.__name__ for cls, twin in PAIRS if twin is None] == []


def _methods() -> list[Any]:
    found = []
    for cls, twin in PAIRS:
        for name, member in inspect.getmembers(cls):
            dunder = name.startswith("_") and name not in RENAMED
            if dunder or name in ONLY_ASYNC or name in vars(object):
                continue
            if callable(member) or isinstance(inspect.getattr_static(cls, name), property):
                found.append(pytest.param(cls, twin, name, id=f"{cls.__name__}.{name}"))
    return found


@pytest.mark.parametrize(("cls", "twin", "name"), _methods())
def test_the_twin_has_the_same_method(cls: type, twin: type, name: str) -> None:
    theirs = RENAMED.get(name, name)
    assert hasattr(twin, theirs), f"{twin.__name__}.{theirs} is missing"
    ours = inspect.getattr_static(cls, name)
    other = inspect.getattr_static(twin, theirs)
    assert isinstance(ours, property) == isinstance(other, property)
    if isinstance(ours, property):
        return
    method, blocking = getattr(cls, name), getattr(twin, theirs)
    assert not inspect.iscoroutinefunction(blocking)
    assert _parameters(method) == _parameters(blocking)
    if not name.startswith("__"):
        assert _words(method.__doc__) == _words(blocking.__doc__)


@pytest.mark.parametrize(("cls", "twin"), [p for p in PAIRS if p[0].__name__.endswith("Client")])
def test_the_constructor_takes_the_same_arguments(cls: type, twin: type) -> None:
    assert _parameters(cls) == _parameters(twin)


def _parameters(function: Any) -> list[tuple[str, str, str]]:
    return [
        (parameter.name, str(parameter.kind), repr(parameter.default))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in ("self", "http_client")
    ]


def _words(text: str | None) -> str:
    """A docstring without what differs between the worlds."""
    plain = re.sub(
        r"\b(an )?async(hronous)? |\bAsync(?=[A-Z])|\baclose\b|\bclose\b|\bawaits?\b",
        "",
        text or "",
    )
    return " ".join(re.sub(r"\ban? \b", "", plain.lower()).split())
